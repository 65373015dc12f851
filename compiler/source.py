"""Source text and places in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A piece of spec text and the name it goes by in messages.

    The name is the path as the user wrote it, or, for text that is not in a
    file, what the user typed: `--set depths=[2, 2]`.
    """

    name: str
    text: str

    def line(self, number: int) -> str:
        """The text of line `number` (1-based), without its line break."""
        lines = self.text.split("\n")
        return lines[number - 1].rstrip("\r") if 0 < number <= len(lines) else ""


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
