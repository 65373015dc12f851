"""The text while it is being read: with mends put in, and looked at by its lines.

A mistake that is recognised in the text is told to the author once; what is
missing is put in, so that the rest can be read on. `Draft` keeps such a text
together with the way back to the source, where every place is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from compiler.diagnostics import Label, diagnostic
from compiler.source import Source, Span


@dataclass(frozen=True, slots=True)
class Draft:
    """A source's text with what was put in to read on, and the way back to the source.

    Attributes:
        source: what the author wrote.
        text: the same with the mends in it.
        mends: index in `text` and length of each mend, in order.
    """

    source: Source
    text: str
    mends: tuple[tuple[int, int], ...] = ()

    def index(self, at: int) -> int:
        """The index in the source of the character at `at` in the draft."""
        return at - sum(min(length, at - start) for start, length in self.mends if start < at)

    def span(self, start: int, end: int) -> Span:
        """The place in the source of a stretch of the draft."""
        if not self.mends:
            return self.source.span(start, end)
        return self.source.span(self.index(start), self.index(end))

    def written(self, start: int, end: int) -> str:
        """The author's own text of a stretch of the draft."""
        return self.source.text[self.index(start) : self.index(end)]

    def mended(self, pieces: Iterable[tuple[int, str]]) -> Draft:
        """The draft with each piece put in before the character at its index."""
        text, mends, shift, last = "", [], 0, 0
        pieces = sorted(pieces, key=lambda piece: piece[0])
        for at, piece in pieces:
            text += self.text[last:at] + piece
            mends.append((at + shift, len(piece)))
            shift += len(piece)
            last = at
        for start, length in self.mends:
            moved = sum(len(piece) for at, piece in pieces if at <= start)
            mends.append((start + moved, length))
        return Draft(self.source, text + self.text[last:], tuple(sorted(mends)))


class Trap(Exception):
    """A mistake that was recognised.

    Attributes:
        diagnostic: what to tell the author.
        mend: what to put in, and before which index, so that the text can be read on;
            empty where that cannot be known.
    """

    def __init__(
        self, draft: Draft, code: str, headline: str, start: int, end: int, label: str = "", *,
        help: str = "", notes: Iterable[str] = (), more: Iterable[tuple[int, int, str]] = (),
        mend: Sequence[tuple[int, str]] = (),
    ):
        super().__init__(headline)
        labels = [Label(draft.span(s, e), text) for s, e, text in more]
        self.diagnostic = diagnostic(code, headline, draft.span(start, end), label,
                                     help=help, notes=notes, more=labels)
        self.mend = tuple(mend)


@dataclass(frozen=True, slots=True)
class Stop:
    """Where YAML stopped, and what it had read.

    Attributes:
        draft: the text.
        problem: YAML's own words.
        at: the index of what it could not place.
        begin: the index of the beginning of what it was reading.
        last: start and end of the scalar read last, where there is one.
        brackets: the indices of the brackets that are open, outermost first.
    """

    draft: Draft
    problem: str
    at: int
    begin: int
    last: tuple[int, int] | None
    brackets: Sequence[int]

    @property
    def found(self) -> str:
        """The character that YAML could not place, "" at the end of the text."""
        return self.draft.text[self.at : self.at + 1]

    @property
    def last_quote(self) -> str:
        """The quote that the scalar read last is in, or ""."""
        first = self.draft.text[self.last[0] : self.last[0] + 1] if self.last else ""
        return first if first in ('"', "'") else ""

    @property
    def first_on_line(self) -> bool:
        text = self.draft.text
        return not text[line_start(text, self.at) : self.at].strip()


# ------------------------------------------------------- looking at the text


def line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def skip_blanks(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t"):
        at += 1
    return at


def indent_of(text: str, at: int) -> int:
    """How many characters stand before `at` on its line."""
    return at - line_start(text, at)


def value_end(text: str, start: int) -> int:
    """The end of what is on the line from `start` on, without a comment."""
    end = line_end(text, start)
    comment = re.compile(r"[ \t]#").search(text, start, end)
    return start + len(text[start : comment.start() if comment else end].rstrip())


def columns_above(text: str, line: int) -> dict[int, int]:
    """The columns at which what is open above `line` begins, each with one such place."""
    columns: dict[int, int] = {}
    least = len(text)
    while line > 0 and least > 0:
        line = line_start(text, line - 1)
        begin = skip_blanks(text, line)
        if text[begin : begin + 1] in tuple("\n#") or begin == len(text):
            continue
        indent = begin - line
        if indent >= least:
            continue
        while text[begin : begin + 2] == "- " and begin - line < least:
            columns.setdefault(begin - line, begin)
            begin = skip_blanks(text, begin + 1)
        if begin - line < least:
            columns.setdefault(begin - line, begin)
        least = indent
    return columns


def in_quotes(text: str) -> str:
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def quotes_around(text: str, start: int, end: int) -> list[tuple[int, str]]:
    """The mend that puts quotes around a stretch."""
    inner = text[start:end]
    if '"' not in inner and "\\" not in inner:
        return [(start, '"'), (end, '"')]
    doubled = [(start + at, "'") for at, character in enumerate(inner) if character == "'"]
    return [(start, "'"), *doubled, (end, "'")]
