"""The tree of a spec: scalars, maps and lists, each with its place in the source."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from compiler.scalars import Value
from compiler.source import Span


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A single value.

    Attributes:
        value: by YAML 1.2's core schema; of a scalar in quotes, the text.
        span: its place, with the quotes.
        text: as written, with the quotes.
        quoted: written in quotes, or as a block of text (`|`, `>`).
    """

    value: Value
    span: Span
    text: str
    quoted: bool

    def part(self, start: int, end: int) -> Span:
        """The place of characters `start` to `end` of a text.

        The whole scalar's place, where the value's characters are not those of the source.
        """
        if self.text == self.value:
            return self.span.within(start, end)
        if self.text[1:-1] == self.value:
            return self.span.within(start + 1, end + 1)
        return self.span


class Mapping(dict[str, "Node"]):
    """A map: an ordinary dict, in the order of the file, that knows its places.

    Attributes:
        span: the place of the whole map.
        key_spans: the place of each key.
    """

    def __init__(self, items: dict[str, Node] | Iterable[tuple[str, Node]], span: Span,
                 key_spans: dict[str, Span] | None = None):
        super().__init__(items)
        self.span = span
        self.key_spans = key_spans if key_spans is not None else {}


class Sequence(list["Node"]):
    """A list: an ordinary one that knows its place.

    Attributes:
        span: the place of the whole list.
    """

    def __init__(self, items: Iterable[Node], span: Span):
        super().__init__(items)
        self.span = span


Node = Scalar | Mapping | Sequence


def plain(node: Node) -> Any:
    """The plain Python data of a node: dicts, lists, numbers, strings, booleans, None."""
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node]
    return node.value


def present(node: Node | None) -> Node | None:
    """What stands behind a key; None where the key is not there, or has nothing or `null`."""
    return None if isinstance(node, Scalar) and node.value is None else node


def scalar(value: Value, span: Span) -> Scalar:
    """A scalar that nobody wrote, as if it stood at `span`."""
    words = {True: "true", False: "false"}
    text = "null" if value is None else words[value] if isinstance(value, bool) else str(value)
    return Scalar(value, span, text, False)


def copy(node: Node) -> Node:
    """The node again, maps and lists anew, so that one can be changed without the other."""
    if isinstance(node, Mapping):
        return Mapping({key: copy(value) for key, value in node.items()}, node.span,
                       dict(node.key_spans))
    if isinstance(node, Sequence):
        return Sequence([copy(item) for item in node], node.span)
    return node


def comment_after(scalar: Scalar) -> bool:
    """Whether ` #` follows an unquoted scalar on its line, and so may have cut it short."""
    if scalar.quoted:
        return False
    line = scalar.span.source.line(scalar.span.end_line)
    return re.match(r"[ \t]+#", line[scalar.span.end_column - 1 :]) is not None
