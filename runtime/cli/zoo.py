"""`flaxspec list`: the models and data sets that come with flaxspec."""

from __future__ import annotations

import json as json_
from dataclasses import asdict, dataclass
from pathlib import Path

from compiler import zoo
from compiler.diagnostics import Report
from compiler.parse import parse, read_source
from compiler.tree import Mapping, Node, Scalar
from runtime.cli.terminal import bold, columns, width

# Columns that a summary needs to say anything; a terminal with fewer left gets none.
LEAST_SUMMARY = 24


@dataclass(frozen=True)
class Entry:
    """A name that stands for a model or a data set.

    Attributes:
        name: the name.
        file: its file in the zoo.
        summary: one line on the file's models.
        params: the published number of parameters, or None.
        is_model: False for a file that holds blocks for others, or a data set.
    """

    name: str
    file: str
    summary: str
    params: int | None
    is_model: bool


def run(word: str, *, json: bool) -> None:
    """List the models and data sets whose name or file holds a word."""
    entries = [entry for path in sorted(zoo.directory().rglob("*.yaml"))
               for entry in _entries(path) if word in entry.name or word in entry.file]
    if json:
        print(json_.dumps([asdict(entry) for entry in entries], indent=2, ensure_ascii=False))
        return
    if not entries:
        print(f"no model and no data set of the zoo is called {word}")
        return
    rows = []
    for file in dict.fromkeys(entry.file for entry in entries):
        mine = [entry for entry in entries if entry.file == file]
        about = (file, mine[0].summary)
        for entry in mine:
            other = "data set" if entry.file.startswith("datasets/") else "blocks"
            size = f"{entry.params:,}" if entry.params else "" if entry.is_model else other
            rows.append((entry.name, size, *about))
            about = ("", "")
    table = [("model", "params", "file", "summary"), *rows]
    room = width() - sum(max(map(len, cells)) + 2 for cells in zip(*(row[:3] for row in table)))
    if room < LEAST_SUMMARY:
        table = [row[:3] for row in table]
    head, *lines = columns(table, "<><<", squeeze=len(table[0]) - 1)
    print("\n".join([bold(head), *lines]))


def _entries(path: Path) -> list[Entry]:
    """The names that a file answers to: its variants, or where it has none, its own."""
    tree = parse(read_source(path), Report())
    file = path.relative_to(zoo.directory()).as_posix()
    summary = tree.get("summary")
    told = summary.value if isinstance(summary, Scalar) and isinstance(summary.value, str) else ""
    variants, facts = tree.get("variants"), tree.get("facts")
    names = list(variants) if isinstance(variants, Mapping) else []
    if path.stem not in names and (
            not names or (isinstance(facts, Mapping) and path.stem in facts)):
        names.insert(0, path.stem)
    is_model = "model" in tree or "extends" in tree
    return [Entry(name, file, told, _params(facts, name), is_model) for name in names]


def _params(facts: Node | None, name: str) -> int | None:
    fact = facts.get(name) if isinstance(facts, Mapping) else None
    params = fact.get("params") if isinstance(fact, Mapping) else None
    return params.value if isinstance(params, Scalar) and isinstance(params.value, int) else None
