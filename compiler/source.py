"""Source text, places in it, and the excerpt of a line above a caret."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass, field

from compiler.home import Home

EXCERPT_WIDTH = 110  # terminal cells; a longer line is cut around the caret
TAB = "    "  # a tab is shown as this, so that the caret below it stands right


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A piece of spec text and the name it goes by in messages.

    The name is the path as the user wrote it, or, for text that is not in a
    file, what the user typed: `--set depths=[2, 2]`. Text from a file has a home there.
    """

    name: str
    text: str
    home: Home | None = None
    _starts: list[int] = field(init=False, repr=False)  # the index of each line's first character

    def __post_init__(self) -> None:
        starts = [0]
        at = self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        object.__setattr__(self, "_starts", starts)

    def line(self, number: int) -> str:
        """The text of line `number` (1-based), without its line break."""
        if not 0 < number <= len(self._starts):
            return ""
        last = number == len(self._starts)
        end = len(self.text) if last else self._starts[number] - 1
        return self.text[self._starts[number - 1] : end].rstrip("\r")

    def place(self, index: int) -> tuple[int, int]:
        """The line and column, both 1-based, of the character at `index`."""
        line = bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        """The stretch from the character at `start` up to, not with, the one at `end`."""
        return Span(self, *self.place(start), *self.place(end))


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source; lines and columns are 1-based, the end exclusive."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    def within(self, start: int, end: int) -> Span:
        """The part of a one-line span from character `start` to `end`.

        Used for a place inside a formula; a span over several lines, whose
        characters cannot be counted from its start, is returned whole.
        """
        if self.line != self.end_line:
            return self
        return Span(self.source, self.line, self.column + start, self.line, self.column + end)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A line as the terminal shows it, and where the underline below it goes.

    Attributes:
        text: the line, cut to `EXCERPT_WIDTH` cells.
        offset: the cells before the underline.
        length: the cells of the underline, at least one.
    """

    text: str
    offset: int
    length: int


def excerpt(span: Span) -> Excerpt:
    """The first line of a span, with the underline of what the span covers on it."""
    line = span.source.line(span.line)
    start = min(span.column - 1, len(line))
    end = span.end_column - 1 if span.end_line == span.line else len(line.rstrip())
    end = max(start, min(end, len(line)))
    # Only what can come near the caret is looked at: a line may be a megabyte long.
    first = max(0, start - EXCERPT_WIDTH)
    near = line[first : start + EXCERPT_WIDTH]
    cells = [_shown(character) for character in near]
    ends = [0]
    for _, width in cells:
        ends.append(ends[-1] + width)
    left, right = 0, len(cells)
    if first or first + len(near) < len(line) or ends[-1] > EXCERPT_WIDTH:
        left, right = _window(ends, start - first, EXCERPT_WIDTH - 2)
    before = "…" if first + left > 0 else ""
    after = "…" if first + right < len(line) else ""
    text = "".join(shown for shown, _ in cells[left:right])
    at = ends[start - first]
    until = ends[min(max(end - first, left), right)]
    return Excerpt(f"{before}{text}{after}".rstrip(), len(before) + at - ends[left],
                   max(1, until - at))


def _window(ends: list[int], caret: int, width: int) -> tuple[int, int]:
    """The characters to show of a long line: a third of the width before the caret."""
    left = caret
    while left > 0 and ends[caret] - ends[left - 1] <= width // 3:
        left -= 1
    right = left
    while right < len(ends) - 1 and ends[right + 1] - ends[left] <= width:
        right += 1
    while left > 0 and ends[right] - ends[left - 1] <= width:
        left -= 1
    return left, right


def _shown(character: str) -> tuple[str, int]:
    """A character as the terminal shows it, and its width in cells."""
    if character == "\t":
        return TAB, len(TAB)
    shown = visible(character)
    if shown.isascii():
        return shown, len(shown)
    if unicodedata.category(shown) in ("Mn", "Me", "Cf"):
        return shown, 0
    return shown, 2 if unicodedata.east_asian_width(shown) in "WF" else 1


# What would move the terminal's cursor, ring its bell or turn the direction of
# the text must never reach it from a spec.
_DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_HIDDEN = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x0A},
    **{ord(character): "\N{REPLACEMENT CHARACTER}" for character in _DIRECTIONS},
    **{code: "\N{REPLACEMENT CHARACTER}" for code in (0x2028, 0x2029)},
}


def visible(text: str) -> str:
    """The text with control characters written out; line breaks stay."""
    if text.isascii() and text.isprintable():
        return text
    shown = text.translate(_HIDDEN)
    return shown.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair
