"""Pieces of Python text with holes for values that may differ between uses of a class."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_HOLE = re.compile(r"\{(\w+|\*)\}")


class Text(str):
    """Python source that stands for a value; other strings are values."""

    __slots__ = ()


@dataclass(frozen=True)
class Code:
    """An expression with holes.

    Attributes:
        text: the expression. `{0}`, `{1}` are a layer's inputs, `{n0}`, `{n1}` their lengths,
            `{self}` the layer's module, `{*}` the options; other holes are of `values`.
        values: the value of each hole, and of each option.
        options: keyword arguments (name, default); those that are the default are left out.
    """

    text: str
    values: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def form(self) -> tuple[Any, ...]:
        """Equal for pieces that differ in values alone."""
        return (self.text, tuple(self.values), self.options)

    def render(self, holes: Mapping[str, Any] | None = None) -> str:
        """The text with every hole filled: by `holes` first, else by the own value."""
        found = {**self.values, **(holes or {})}

        def fill(match: re.Match[str]) -> str:
            if match[1] == "*":
                return "".join(f", {name}={literal(found[name])}" for name, default in self.options
                               if not _same(found[name], default)
                               and not (name == "padding" and found.get("_same") is True))
            return literal(found[match[1]]) if match[1] in found else match[0]

        return _HOLE.sub(fill, self.text)

    def render_options(self) -> str:
        """The text with the options that are not the default written out as holes."""
        found = self.values
        shown = "".join(f", {name}={{{name}}}" for name, default in self.options
                        if not _same(found[name], default) and not self._by_itself(name))
        return self.text.replace("{*}", shown)

    def _by_itself(self, name: str) -> bool:
        """Whether a convolution's padding is the one that Flax takes without being told."""
        return name == "padding" and self.values.get("_same") is True

    def uses(self, hole: str) -> bool:
        """Whether the text has such a hole."""
        return f"{{{hole}}}" in self.text


def call(head: str, *positional: tuple[str, Any], rngs: bool = False, first: str = "",
         **options: tuple[Any, Any]) -> Code:
    """A call: `head(first, positional, option=value, rngs=rngs)`.

    Args:
        head: what is called.
        positional: pairs of a hole's name and its value.
        rngs: whether random numbers are passed on.
        first: text of arguments before these.
        options: keyword arguments: (value, default).
    """
    parts = [*([first] if first else []), *(f"{{{name}}}" for name, _ in positional)]
    inside = ", ".join(parts) + "{*}" + (", rngs=rngs" if rngs else "")
    values = dict(positional) | {name: value for name, (value, _) in options.items()}
    # Without anything before them, the options' first comma would hang in the air.
    if not parts:
        inside = inside.replace(", rngs=rngs", "rngs=rngs").replace("{*}", "")
        inside = ", ".join([*(f"{name}={{{name}}}" for name, (value, default) in options.items()
                              if not _same(value, default)), *([inside] if inside else [])])
        return Code(f"{head}({inside})", values)
    return Code(f"{head}({inside})", values, tuple((n, d) for n, (_, d) in options.items()))


def literal(value: Any) -> str:
    """A value as Python writes it."""
    match value:
        case Text():
            return str(value)
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case float() if math.isinf(value):
            return "jnp.inf" if value > 0 else "-jnp.inf"
        case tuple():
            inside = ", ".join(map(literal, value))
            return f"({inside},)" if len(value) == 1 else f"({inside})"
        case list():
            return f"[{', '.join(map(literal, value))}]"
        case Mapping():
            inside = ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items())
            return f"{{{inside}}}"
        case _:
            return repr(value)


def atom(text: str) -> str:
    """An expression that something may be written behind: in brackets where it needs them."""
    depth = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and letter in " +-*/@%":
            return f"({text})"
    return text


def _same(a: Any, b: Any) -> bool:
    return not isinstance(a, Text) and type(a) is type(b) and a == b


# -- layout ------------------------------------------------------------------------------------

WIDTH = 100
_OPEN, _CLOSE = "([{", ")]}"


def laid_out(line: str, indent: int) -> list[str]:
    """A statement as lines of at most 100 columns, broken as Black and Ruff break them."""
    pad = " " * indent
    if len(pad + line) <= WIDTH:
        return [pad + line]
    found = _last_brackets(line)
    if found is None:
        return [pad + line]
    start, end = found
    head, body, tail = line[:start + 1], line[start + 1:end], line[end:]
    items = top_level(body)
    is_call = start > 0 and (line[start - 1].isalnum() or line[start - 1] in "_)]")
    inner = " " * (indent + 4)
    alone = len(items) == 1 and _is_generator(items[0])
    # A subscript keeps its items on one line, as an index does; so does a call they fit.
    if len(inner + body) <= WIDTH and (is_call or alone or len(items) == 1 and line[start] == "("):
        lines = [inner + body]
    else:
        lines = []
        parts = _clauses(items[0]) if alone else items
        for item in parts:
            comma = "" if alone or len(items) == 1 else ","
            *first, last = laid_out(item + comma, indent + 4)
            lines += [*first, last]
    return [pad + head, *lines, pad + tail]


def _clauses(text: str) -> list[str]:
    """A comprehension as its element and its `for`."""
    tail = next(iter(_outside(text, " for ")))
    return [text[:-len(tail)], tail.strip()]


def _is_generator(text: str) -> bool:
    return any(part.startswith(" for ") for part in _outside(text, " for "))


def _outside(text: str, word: str) -> Iterable[str]:
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter in _OPEN) - (letter in _CLOSE)
        if depth == 0 and text.startswith(word, i):
            yield text[i:]


def _last_brackets(line: str) -> tuple[int, int] | None:
    """The place of the last pair of brackets that holds something, outside all others."""
    depth, start, found = 0, 0, None
    quoted = False
    for i, letter in enumerate(line):
        if letter == '"':
            quoted = not quoted
        if quoted:
            continue
        if letter in _OPEN:
            start = i if depth == 0 else start
            depth += 1
        elif letter in _CLOSE:
            depth -= 1
            if depth == 0 and i > start + 1:
                found = (start, i)
    return found


def top_level(text: str) -> list[str]:
    """The parts of a text between commas that stand outside of all brackets and quotes."""
    parts, depth, begun, quoted = [], 0, 0, False
    for i, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        if quoted:
            continue
        depth += (letter in _OPEN) - (letter in _CLOSE)
        if letter == "," and depth == 0:
            parts.append(text[begun:i].strip())
            begun = i + 1
    last = text[begun:].strip()
    return [*parts, last] if last else parts


def unique(wish: str, taken: Callable[[str], bool]) -> str:
    """A name that is free: `wish`, or `wish_2`, `wish_3`, …"""
    name, number = wish, 2
    while taken(name):
        name, number = f"{wish}_{number}", number + 1
    return name
