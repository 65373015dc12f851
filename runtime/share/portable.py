"""A run's spec as it goes into a bundle: without this machine's paths, and telling nobody of runs.

What it names on this machine is of no use on another, and nobody else's business: a path of data,
or of weights to start from, becomes `data/NAME`, which a bundle does not hold; a tokeniser's file
is taken along under such a path. Of a run that a task names, the name is left. Programs that keep
track of runs (`train: {log: …}`) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from compiler.program import Program
from compiler.source import Source
from compiler.tree import Mapping, Node, Scalar
from runtime.data import member, tag_of
from runtime.data.tokens import TOKENISER_PATHS
from runtime.tasks import with_names

FOLDER = "data"


@dataclass(frozen=True)
class Portable:
    """A spec that may be given away.

    Attributes:
        program: it.
        carried: files that it reads and a bundle holds, by their path in the bundle.
        wanted: the fields whose files a bundle does not hold (`data.images`), with what they are
            there.
    """

    program: Program
    carried: dict[str, Path]
    wanted: dict[str, str]


def portable(program: Program) -> Portable:
    """The spec of a run, fit to be given away."""
    found = Portable(program, {}, {})
    data, train = program.tree.get("data"), program.tree.get("train")
    items: dict[str, Node] = {}
    if isinstance(data, Mapping):
        tag = tag_of(data | {k: v.value for k, v in data.items() if isinstance(v, Scalar)})
        kind = member(tag)
        for path in kind.paths if kind else ():
            data = _renamed(data, path.split("."), f"data.{path}", found)
        items["data"] = data
    if isinstance(train, Mapping):
        for key in ("from", "vectors"):
            train = _renamed(train, [key], f"train.{key}", found)
        assert isinstance(train, Mapping)
        items["train"] = Mapping({k: v for k, v in train.items() if k != "log"}, train.span,
                                 train.key_spans)
    if "task" in program.tree:
        items["task"] = with_names(program.tree["task"])
    tree = Mapping(program.tree | items, program.tree.span, program.tree.key_spans)
    return replace(found, program=replace(program, tree=tree))


def _renamed(node: Node, keys: Sequence[str], path: str, found: Portable) -> Node:
    """A node in which the path behind `keys`, if there is one, leads into a bundle."""
    if keys and isinstance(node, Mapping) and keys[0] in node:
        items = {**node, keys[0]: _renamed(node[keys[0]], keys[1:], path, found)}
        return Mapping(items, node.span, node.key_spans)
    if keys or not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value:
        return node
    file, carries = Path(node.value), path.removeprefix("data.") in TOKENISER_PATHS
    name = _free(file.name, {*found.carried, *found.wanted.values()}, ".json" if carries else "")
    if carries:
        found.carried[name] = file
    else:
        found.wanted[path] = name
    source = Source(f"{path}={name!r}", name)
    return Scalar(name, source.span(0, len(name)), name, True)


def _free(name: str, taken: set[str], suffix: str) -> str:
    """A path in the bundle for a file of that name, which no other file has."""
    clean = "".join(c if c.isalnum() or c in "_.-+" else "_" for c in name).strip(".") or "data"
    stem = PurePosixPath(clean).stem if suffix else clean
    number, found = 1, f"{FOLDER}/{stem}{suffix}"
    while found in taken:
        number += 1
        found = f"{FOLDER}/{number}-{stem}{suffix}"
    return found
