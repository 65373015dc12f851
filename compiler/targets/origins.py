"""A resolved spec with the place of each value behind it.

A place is a file and a line, with the variant that gave the value to a param; or the command
line. What was written in one line of one file stands in one line here, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from compiler.program import Program
from compiler.source import Span
from compiler.targets.canonical import (
    WIDTH,
    Written,
    canonical_documents,
    flow,
    is_small,
    key_text,
)
from compiler.tree import Mapping as MapNode
from compiler.tree import Scalar
from compiler.tree import Sequence as SequenceNode

COLUMN = 60  # where places stand at most; what is longer has its own behind it


def origins_text(program: Program) -> str:
    """The files of a resolved spec, a place behind each value.

    Each file but the first stands under a line with its name.
    """
    texts = []
    for path, written in canonical_documents(program, "resolved.yaml").items():
        lines = list(_document(written))
        width = max((len(text) for text, place in lines if place and len(text) < COLUMN), default=0)
        shown = [f"{text:<{width}}  # {place}" if place else text for text, place in lines]
        head = [f"\n# {path}"] if texts else []
        texts.append("\n".join([*head, *shown]) + "\n")
    return "".join(texts)


# A line and the place of what it holds, "" where it holds no value.
_Line = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A value that nobody wrote as it stands, and where it comes from."""

    value: Any
    place: str


def _document(written: Written) -> Iterator[_Line]:
    """The lines of one file, its sections apart where they take more than a line."""
    before = 0
    for key, value in written.sections.items():
        lines = list(_entry(key, _section(written.program, key, value), 0))
        if before and max(before, len(lines)) > 1:
            yield "", ""
        yield from lines
        before = len(lines)


def _section(program: Program, key: str, value: Any) -> Any:
    """A section, its places put in where the file does not hold the value as it is printed."""
    if key in ("name", "flaxspec"):
        return _Placed(value, _of_key(program, key))
    if not isinstance(value, dict):
        return value
    match key:
        case "params":
            return {name: _param(program.architecture, name, part) for name, part in value.items()}
        case "use":
            return {prefix: _Placed(file, _used(program, prefix)) for prefix, file in value.items()}
        case "model" if "use" in value:
            return {"use": _Placed(value["use"], _used_model(program))}
    return value


def _of_key(program: Program, key: str) -> str:
    """The place of a section of one value that may not be written at all."""
    node = program.tree.get(key)
    if key == "name" and program.variant:
        return f"variant {program.variant}"
    if isinstance(node, Scalar):
        return place(node.span)
    return "the file's name" if key == "name" else ""


def _used(program: Program, prefix: str) -> str:
    node = program.architecture.tree.get("use")
    part = node.get(prefix) if isinstance(node, MapNode) else None
    if isinstance(part, MapNode):
        part = part.get("spec", part)
    return place(part.span) if part is not None else ""


def _used_model(program: Program) -> str:
    node = program.tree.get("model")
    part = node.get("use", node) if isinstance(node, MapNode) else node
    return place(part.span) if part is not None else ""


def _param(program: Program, name: str, value: Any) -> Any:
    """A param with the place of what gave it its value."""
    params = program.tree.get("params")
    declared = params.get(name) if isinstance(params, MapNode) else None
    given = program.given.get(name)
    node = given.node if given is not None else declared
    if isinstance(declared, MapNode) and given is None:
        node = declared.get("default", declared)
    if node is None:
        return value
    where = place(node.span) + (f", variant {given.variant}" if given and given.variant else "")
    if isinstance(value, dict) and "default" in value:
        return {**value, "default": _Placed(value["default"], where)}
    return _Placed(value, where)


def place(span: Span) -> str:
    """"resnet.yaml:12", or what was typed: "--set width=32"."""
    name, text = span.source.name, span.source.text
    return name if name.endswith(f"={text}") else f"{name}:{span.line}"


# ------------------------------------------------------------------------------------- lines


def _entry(key: str, value: Any, indent: int) -> Iterator[_Line]:
    """The lines of `key: value`."""
    head = f"{' ' * indent}{key_text(key)}:"
    whole = _one_line(head, value)
    if whole is not None:
        yield whole
        return
    yield head, ""
    yield from _lines(value, indent + 2)


def _lines(value: Any, indent: int) -> Iterator[_Line]:
    """A map or list over several lines."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _entry(key, part, indent)
        return
    for item in value:
        dash = f"{' ' * indent}-"
        whole = _one_line(dash, item)
        if whole is not None and not (isinstance(item, dict) and len(item) == 1):
            yield whole  # a layer without modifiers reads better without braces
            continue
        (first, where), *rest = _lines(item, indent + 2)
        yield f"{dash} {first.lstrip()}", where
        yield from rest


def _one_line(head: str, value: Any) -> _Line | None:
    """What stands in one line with what is before it; None where it takes several."""
    if isinstance(value, _Placed):
        return f"{head} {flow(value.value, not isinstance(value.value, dict | list))}", value.place
    places = set(_places(value))
    text = f"{head} {flow(_bare(value), not isinstance(value, dict | list))}"
    if not isinstance(value, dict | list) or not value or (
            len(places) == 1 and is_small(_bare(value)) and len(text) <= WIDTH):
        return text, min(places, default="")
    return None


def _places(value: Any) -> Iterator[str]:
    """The places of the values in a value."""
    if isinstance(value, _Placed):
        yield value.place
    elif isinstance(value, dict | list) and value:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _places(part)
    elif isinstance(value, Scalar | MapNode | SequenceNode):
        yield place(value.span)


def _bare(value: Any) -> Any:
    """A value without places."""
    if isinstance(value, _Placed):
        return _bare(value.value)
    if isinstance(value, dict):
        return {key: _bare(part) for key, part in value.items()}
    return [_bare(part) for part in value] if isinstance(value, list) else value
