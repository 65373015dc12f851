"""A stranger's spec names nothing outside its bundle, and tells nobody of what is done with it.

Packed specs are whole: what they use lies beside them. So every text in one that is a path to
somewhere else, every other bundle and every program that would be told of a run is refused, in
whatever place of the spec it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from compiler.diagnostics import Report, SpecError
from compiler.parse import parse, read_source
from compiler.source import Span
from compiler.tree import Mapping, Node, Scalar, Sequence
from runtime.share.reference import names_bundle

# Texts for people, and places on the web; no path.
_PROSE = {"summary", "source", "help", "name"}
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def check_spec(path: Path, called: str) -> None:
    """Refuse a spec that reaches outside its bundle.

    Args:
        path: a YAML file of the bundle.
        called: what messages call it.

    Raises:
        SpecError: F0858 it does; others where it is no YAML.
    """
    report = Report()
    tree = parse(read_source(path, called), report)
    for span, what in reaching(tree):
        report.error("F0858", f"a spec of a bundle {what}", span,
                     help="the bundle was not made by `flaxspec pack`: ask where it comes from, or "
                          "read its spec and copy what you need")
    if any(d.code == "F0858" for d in report.errors):
        raise SpecError(d for d in report.errors if d.code == "F0858")


def reaching(tree: Mapping) -> Iterator[tuple[Span, str]]:
    """The places of a spec that reach outside, and what each does."""
    for keys, node in _scalars(tree, ()):
        text = node.value
        if not isinstance(text, str) or keys[-1:] and keys[-1] in _PROSE:
            continue
        if leads_out(text):
            yield node.span, f"names a place outside it: `{text}`"
        elif (keys[:1] == ("extends",) or keys == ("train", "from")) and (
                "bundle" in keys or names_bundle(text)):
            yield node.span, f"names another bundle: `{text}`"
    train = tree.get("train")
    if isinstance(train, Mapping) and (log := train.get("log")) is not None and not (
            isinstance(log, Sequence) and not log):
        yield train.key_spans["log"], "tells other programs of its runs"


def leads_out(text: str) -> bool:
    """Whether a text is a path that leads out of its folder."""
    if len(text) < 2 or "\n" in text or text.startswith("="):
        return False
    parts = text.replace("\\", "/").split("/")
    return (text[0] in "/\\~" or ".." in parts or bool(_DRIVE.match(text))
            or text.startswith("file:"))


def _scalars(node: Node, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Scalar]]:
    """Every value, and the keys that lead to it."""
    match node:
        case Mapping():
            for key, value in node.items():
                yield from _scalars(value, (*keys, key))
        case Sequence():
            for item in node:
                yield from _scalars(item, keys)
        case Scalar():
            yield keys, node
