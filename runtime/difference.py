"""How two recipes differ: every value of `data`, `task` and `train`, defaults included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter

from compiler.program import Program
from compiler.tree import Mapping as MapNode
from compiler.tree import plain
from runtime.data import DataSource
from runtime.optim_document import Call, Steps
from runtime.recipe import Training
from runtime.tasks.written import Written

ABSENT = "–"


def recipe_values(program: Program, training: Training) -> dict[str, str]:
    """The values of a recipe by their paths, as texts; paths of data as they are written."""
    node = program.tree["data"]
    own = plain(node) if isinstance(node, MapNode) else {}
    data = TypeAdapter(DataSource).validate_python(plain(node))
    named = set() if data.dataset is None else {p for p in data.paths if p not in own}
    found = {"data": {key: value for key, value in _content(data).items() if key not in named},
             **_goal(training),
             "train": _content(training.train)}
    return dict(_flat(found, ""))


def _goal(training: Training) -> dict[str, Any]:
    """The task, and what is written out besides or instead."""
    written = training.written
    if not isinstance(written, Written):
        return {"task": {training.task.word: _content(training.task)}}
    own = {} if written.own is None else {"task": {written.own.word: _content(written.own)}}
    return {**own, **{section: {name: _named(what) for name, what in said.items()}
                      for section, said in (("losses", written.losses),
                                            ("metrics", written.metrics)) if said}}


def different_values(
    first: Mapping[str, str], second: Mapping[str, str],
) -> dict[str, tuple[str, str]]:
    """The values that differ, by path; "–" where one has none."""
    return {path: (first.get(path, ABSENT), second.get(path, ABSENT))
            for path in dict.fromkeys((*first, *second)) if first.get(path) != second.get(path)}


def _content(value: Any) -> Any:
    """A value as a document would have it."""
    match value:
        case Steps():
            amount = f"{value.amount:g}"
            unit = {"%": "%", "steps": ""}.get(value.unit, f" {value.unit}")
            return f"{amount}{unit}"
        case Call():
            return {value.name: _content(value.arguments)}
        case BaseModel():
            inside = {name: _content(getattr(value, name)) for name in type(value).model_fields}
            return inside
        case Mapping():
            return {str(key): _content(part) for key, part in value.items()}
        case list() | tuple():
            return [_named(part) for part in value]
        case _ if is_dataclass(value):
            return {part.name: _content(getattr(value, part.name)) for part in fields(value)}
        case _:
            return value


def _named(value: Any) -> Any:
    """An item of a list, behind the word that chose it where there is one."""
    word = getattr(type(value), "word", None)
    return {word: _content(value)} if isinstance(word, str) else _content(value)


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _flat(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        for i, part in enumerate(value):
            yield from _flat(part, f"{path}.{i}" if len(value) > 1 else path)
    elif value is not None and value != {} or path.count(".") > 1:
        yield path, _text(value)


def _text(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case list():
            return f"[{', '.join(map(_text, value))}]"
        case dict():
            return "{}"
        case _:
            return str(value)
