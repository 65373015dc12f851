"""Pieces put down again: two columns a level, one space between words, comments in their columns.

What stays as the author chose it: brackets or lines, line breaks inside brackets, one empty
line where there were any, the columns of comments behind values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from compiler.format.pieces import Comment, Document, Entry, Group, Leaf

STEP = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the new text.

    Attributes:
        text: without its comment.
        comment: a comment behind it, or None.
        raw: it is inside a text of several lines, whose empty lines are its own.
        keeps: an empty line behind it would be the text's.
    """

    text: str
    comment: Comment | None = None
    raw: bool = False
    keeps: bool = False


def laid_out(document: Document) -> str:
    """The text of a document."""
    lines = [*_comments(document.above, 0)]
    if document.root.block:
        lines += _entries(document.root, 0)
    else:
        *others, last = _Flow(0).lines("", document.root)
        lines += [*others, replace(last, comment=document.behind)]
    lines += _comments(document.below, 0)
    return "".join(f"{text}\n" for text in _texts(list(_spaced(lines))))


def _comments(lines: Iterable[str], indent: int) -> Iterator[Line]:
    return (Line(" " * indent + line if line else "") for line in lines)


# --------------------------------------------------------------------------- lines and keys


def _entries(group: Group, indent: int) -> list[Line]:
    """A map or list over several lines."""
    lines: list[Line] = []
    for i, entry in enumerate(group.entries):
        above = [*_hoisted(entry)]
        while i == 0 and above and not above[0]:  # no empty line where a map or list begins
            above.pop(0)
        lines += _comments(above, indent)
        lines += _entry(entry, indent) if group.is_map else _item(entry, indent)
    return [*lines, *_comments(group.below, indent)]


def _hoisted(entry: Entry) -> list[str]:
    """The comments above an entry, with those above a map that begins on the line of a dash."""
    above, inner = list(entry.above), entry
    while _is_compact(inner):
        assert isinstance(inner.value, Group)
        above += [inner.head.text] if inner.head else []
        inner = inner.value.entries[0]
        above += inner.above
    return above


def _bare(group: Group) -> Group:
    """A map or list without the comments above its first entry, which stand above the dash."""
    first, *others = group.entries
    bare = replace(first, above=[])
    if _is_compact(first):
        assert isinstance(first.value, Group)
        bare = replace(bare, head=None, value=_bare(first.value))
    return replace(group, entries=[bare, *others])


def _is_compact(entry: Entry) -> bool:
    """Whether it is an item whose map or list begins on the line of its dash."""
    value = entry.value
    return entry.key is None and isinstance(value, Group) and value.block and not value.marks


def _entry(entry: Entry, indent: int) -> list[Line]:
    assert entry.key is not None
    return _valued(entry, f"{' ' * indent}{_key(entry.key)}:", indent)


def _item(entry: Entry, indent: int) -> list[Line]:
    dash = " " * indent + "-"
    if not _is_compact(entry):
        return _valued(entry, dash, indent)
    assert isinstance(entry.value, Group)
    lines = _entries(_bare(entry.value), indent + STEP)
    at = next(i for i, line in enumerate(lines) if line.text.strip())
    lines[at] = replace(lines[at], text=f"{dash} {lines[at].text.lstrip()}")
    return lines


def _valued(entry: Entry, head: str, indent: int) -> list[Line]:
    """What follows a key and its colon, or a dash."""
    value = entry.value
    head = " ".join([head, *value.marks])
    if isinstance(value, Leaf):
        lines = list(_leaf(head, value, indent))
    elif value.block:
        return [Line(head, entry.head), *_entries(value, indent + STEP)]
    else:
        lines = _Flow(indent).lines(f"{head} ", value)
    return [*lines[:-1], replace(lines[-1], comment=entry.comment)]


def _leaf(head: str, leaf: Leaf, indent: int) -> Iterator[Line]:
    if leaf.style in ("|", ">"):
        yield from _block_text(head, leaf, indent)
        return
    first, *others = _plain(leaf).split("\n")
    yield Line(f"{head} {first.rstrip()}".rstrip() if others else f"{head} {first}".rstrip())
    for i, line in enumerate(others):
        text = line.lstrip() if i == len(others) - 1 else _stripped(line, leaf.style)
        yield Line(" " * (indent + STEP) + text if text else "", raw=True)


def _stripped(line: str, style: str) -> str:
    """A line inside a text of several lines; a blank behind a backslash belongs to it."""
    line = line.lstrip()
    return line if style == '"' and re.search(r"\\[ \t]+$", line) else line.rstrip()


def _block_text(head: str, leaf: Leaf, indent: int) -> Iterator[Line]:
    """A text behind `|` or `>`, as far to the right as its key wants it."""
    first, *others = leaf.text.split("\n")
    keeps = "+" in first.partition("#")[0]
    yield Line(f"{head} {first}", keeps=keeps)
    given = re.search(r"\d", first.partition("#")[0])
    depth = min((len(line) - len(line.lstrip(" ")) for line in others if line.strip(" ")),
                default=0)
    wanted = indent + STEP
    if given:
        # The number counts from the key, so that the text may begin with blanks.
        wanted = indent + int(given[0])
        depth = _base(others, leaf, int(given[0]))
    while others and not others[-1][depth:]:
        others.pop()
        if keeps:
            break  # the end of the last line, which every line has
    for line in others:
        text = line[depth:]
        yield Line(" " * wanted + text if text else "", raw=True, keeps=keeps)


def _base(lines: list[str], leaf: Leaf, given: int) -> int:
    """Where the text behind `|2` begins on its lines: such that it says what it says."""
    first = next((line for line in lines if line.strip(" ")), "")
    said = next((line for line in leaf.value.split("\n") if line.strip(" ")), "")
    blanks = len(said) - len(said.lstrip(" "))
    return max(len(first) - len(first.lstrip(" ")) - blanks, 0)


def _key(key: Leaf) -> str:
    text = json.dumps(key.value, ensure_ascii=False) if "\n" in key.text else _plain(key)
    return " ".join([*key.marks, text])


def _plain(leaf: Leaf) -> str:
    """A value as it is written; in double quotes where single ones are not needed."""
    if leaf.style == "'" and "\n" not in leaf.text and not set(leaf.value) & set("\"\\'"):
        return f'"{leaf.value}"'
    return leaf.text


# --------------------------------------------------------------------------------- brackets


class _Flow:
    """Puts down what is in brackets; a line is broken where the author broke it."""

    def __init__(self, indent: int):
        self._margins = [indent + STEP]
        self._lines: list[Line] = []
        self._text = ""

    def lines(self, head: str, group: Group) -> list[Line]:
        """The lines of a group behind the beginning of its line."""
        self._text = head
        self._group(group)
        return [*self._lines, Line(self._text)]

    def _break(self, comment: Comment | None = None) -> None:
        if self._text.strip():
            self._lines.append(Line(self._text.rstrip(), comment))
        elif comment:
            self._lines.append(Line(self._margin() + comment.text))
        self._text = self._margin()

    def _margin(self) -> str:
        return " " * self._margins[-1]

    def _notes(self, comments: list[Comment]) -> None:
        for comment in comments:
            if comment.alone:
                if self._text.strip():
                    self._break()
                self._text = ""
            self._break(comment)

    def _group(self, group: Group) -> None:
        opening, closing = ("{", "}") if group.is_map else ("[", "]")
        if group.brackets:
            self._text += opening
            self._margins.append(self._inner_margin(group))
        for i, entry in enumerate(group.entries):
            self._text += "," if i else ""
            self._notes(entry.gap)
            if entry.broken and not entry.gap:
                self._break()
            elif i and self._text.strip() and not entry.gap:
                self._text += " "
            self._entry(entry)
        if group.gap:
            self._notes(group.gap)
        if group.brackets:
            self._margins.pop()
            self._text += closing

    def _inner_margin(self, group: Group) -> int:
        """Where lines inside a bracket begin: below its first value, or a level further in."""
        first = group.entries[0] if group.entries else None
        if first is not None and not first.broken and not first.gap:
            return len(self._text)
        return len(self._text) - len(self._text.lstrip()) + STEP

    def _entry(self, entry: Entry) -> None:
        if entry.key is not None:
            self._text += _key(entry.key) + (": " if entry.colon else "")
        self._text += "".join(f"{mark} " for mark in entry.value.marks)
        if isinstance(entry.value, Group):
            self._group(entry.value)
            return
        first, *others = _plain(entry.value).split("\n")
        self._text += first
        for i, line in enumerate(others):
            self._lines.append(Line(self._text.rstrip(), raw=True))
            text = line.lstrip() if i == len(others) - 1 else _stripped(
                line, entry.value.style)
            self._text = self._margin() + text if text else ""


# ---------------------------------------------------------------------------- the whole text


def _spaced(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines with at most one empty one between two, and none at the ends."""
    empty, last = False, None
    for line in lines:
        if not line.text and not line.raw and not line.comment:
            empty = True
            continue
        if empty and last and not last.keeps:
            yield Line("")
        empty, last = False, line
        yield line


def _texts(lines: list[Line]) -> Iterator[str]:
    """The lines with their comments; those that stood below each other do so again."""
    def column(line: Line) -> int:
        return line.comment.column if line.comment else -1

    for at, run in groupby(lines, column):
        run = list(run)
        wanted = max(len(line.text) for line in run) + STEP
        if all(line.comment is None or line.comment.gap > STEP for line in run):
            wanted = max(wanted, at)  # a column that was chosen
        for line in run:
            yield line.text.ljust(wanted) + line.comment.text if line.comment else line.text
