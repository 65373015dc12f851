"""A YAML text as pieces that can be put down again: with comments, empty lines and brackets.

The tree of the compiler (`compiler.tree`) keeps what a text means; the pieces keep how it is
written. They are made of a text that has been found to be in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from compiler.compose import events

_PROPERTY = re.compile(r"&[^\s,\[\]{}]+|!<[^>\s]*>|![^\s,\[\]{}]*")


@dataclass(slots=True)
class Comment:
    """A comment, from its `#` to the end of its line.

    Attributes:
        text: with the `#`.
        at: its index in the text.
        column: the characters before it on its line.
        gap: how many of these are the blanks that part it from the rest.
        alone: nothing but blanks is before it.
        apart: an empty line is before it.
    """

    text: str
    at: int
    column: int
    gap: int
    alone: bool
    apart: bool


@dataclass(slots=True)
class Leaf:
    """A single value, or an alias.

    Attributes:
        text: as it is written, quotes and all; "" for a value that is left out.
        style: "'", '"', "|", ">" or "" for none.
        value: what it says, without quotes and folds.
        marks: its anchor and tag, as they are written.
        start, end: its place, the marks with it.
    """

    text: str
    style: str
    value: str
    marks: list[str]
    start: int
    end: int


@dataclass(slots=True)
class Entry:
    """A key and its value, or an item of a list.

    Attributes:
        key: None in a list.
        value: what stands behind the key or dash.
        start: the index of the key or dash; in a list in brackets, of the value.
        column: the characters before that on its line.
        above: the comments above it, with "" for an empty line.
        head: a comment behind the key, before a value that begins on a later line.
        comment: a comment behind its last line.
        broken: inside brackets: it begins a line.
        colon: there is a colon behind the key.
    """

    key: Leaf | None
    value: Piece
    start: int
    column: int
    above: list[str] = field(default_factory=list)
    head: Comment | None = None
    comment: Comment | None = None
    broken: bool = False
    colon: bool = True
    gap: list[Comment] = field(default_factory=list)  # inside brackets: the comments before it


@dataclass(slots=True)
class Group:
    """A map or a list.

    Attributes:
        is_map: a map, not a list.
        flow: in brackets, or the one pair in a list `[a: 1]`.
        brackets: it has brackets of its own.
        entries: what is in it.
        marks: its anchor and tag.
        start, end: its place, from its marks to the end of its last value.
        column: where its entries begin on their lines.
        below: the comments below its last entry, with "" for an empty line.
        gap: inside brackets: the comments before the closing one.
    """

    is_map: bool
    flow: bool
    brackets: bool
    entries: list[Entry]
    marks: list[str]
    start: int
    end: int
    column: int = 0
    below: list[str] = field(default_factory=list)
    gap: list[Comment] = field(default_factory=list)

    @property
    def block(self) -> bool:
        """It takes lines of its own."""
        return not self.flow and bool(self.entries)


Piece = Leaf | Group


@dataclass(slots=True)
class _Open:
    group: Group
    key: Leaf | None = None
    colon: bool = False
    dash: int = -1
    broken: bool = False
    waiting: list[Comment] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    """Makes pieces of a text.

    Attributes:
        text: the text.
        comments: those outside brackets, in order.
        apart: the starts of entries with an empty line above.
    """

    text: str
    comments: list[Comment] = field(default_factory=list)
    apart: set[int] = field(default_factory=set)
    root: Piece | None = None
    _stack: list[_Open] = field(default_factory=list)
    _done: int = 0  # all before it has been read

    def run(self) -> None:
        for event in events(self.text):
            match event:
                case yaml.DocumentStartEvent() if event.explicit:
                    self._gap(event.end_mark.index)
                case yaml.ScalarEvent():
                    self._leaf(event)
                case yaml.AliasEvent():
                    self._gap(event.start_mark.index)
                    start, end = event.start_mark.index, event.end_mark.index
                    self._put(Leaf(self.text[start:end], "", "", [], start, end))
                case yaml.CollectionStartEvent():
                    self._gap(event.start_mark.index)
                    self._open(event)
                case yaml.CollectionEndEvent():
                    self._close(event)
        self._gap(len(self.text))

    def _leaf(self, event: Any) -> None:
        self._gap(event.start_mark.index)
        marks, start = self._marks(event)
        end = max(event.end_mark.index, start)
        text = self.text[start:end]
        if event.style in ("|", ">") and not _keeps(text):
            ends_blank = event.value.rstrip("\n")[-1:] in (" ", "\t")
            text = text.rstrip("\n" if ends_blank else None)
        elif event.style not in ("|", ">"):
            text = text.strip()
        self._done = end = start + len(text)
        self._put(Leaf(text, event.style or "", event.value, marks, event.start_mark.index, end))

    def _open(self, event: Any) -> None:
        marks, start = self._marks(event)
        is_map, flow = isinstance(event, yaml.MappingStartEvent), bool(event.flow_style)
        brackets = flow and self.text[start : start + 1] in ("{", "[")
        self._done = start + brackets
        group = Group(is_map, flow, brackets, [], marks, event.start_mark.index, start)
        self._stack.append(_Open(group))

    def _close(self, event: Any) -> None:
        opened = self._stack[-1]
        group = opened.group
        if group.brackets:
            self._gap(event.end_mark.index - 1)
            group.gap, opened.waiting = opened.waiting, []
            self._done = event.end_mark.index
        self._stack.pop()
        group.end = self._done if group.brackets else (
            max(entry.value.end for entry in group.entries) if group.entries else group.start)
        if group.entries:
            group.column = group.entries[0].column
        if group.flow and not group.brackets and self._stack:
            for entry in group.entries:
                self._stack[-1].waiting += entry.gap
                entry.gap = []
        self._put(group)

    def _put(self, piece: Piece) -> None:
        if not self._stack:
            self.root = piece
            return
        top = self._stack[-1]
        if top.group.is_map and top.key is None:
            assert isinstance(piece, Leaf), "keys are single values"
            top.key, top.colon = piece, False
            return
        start = top.key.start if top.key else (
            top.dash if not top.group.flow and top.dash >= 0 else piece.start)
        entry = Entry(top.key, piece, start, start - self.text.rfind("\n", 0, start) - 1,
                      broken=top.broken, colon=top.colon, gap=top.waiting)
        top.group.entries.append(entry)
        top.key, top.dash, top.broken, top.waiting = None, -1, False, []

    def _marks(self, event: Any) -> tuple[list[str], int]:
        """A node's anchor and tag, and where it begins behind them; comments between are kept."""
        at, found = event.start_mark.index, []
        if event.anchor is None and event.tag is None:
            return found, at
        while mark := _PROPERTY.match(self.text, at):
            found.append(mark[0])
            self._done = mark.end()
            at = self._skip(mark.end())
            self._gap(at)
        return found, at

    def _skip(self, at: int) -> int:
        """The index of the next character that is no blank and in no comment."""
        while at < len(self.text):
            if self.text[at] == "#":
                end = self.text.find("\n", at)
                at = len(self.text) if end < 0 else end
            elif self.text[at] in " \t\n":
                at += 1
            else:
                break
        return at

    def _gap(self, end: int) -> None:
        """Read what is between the last value and the next: comments, marks, line breaks."""
        text, at, breaks = self.text, self._done, 0
        # Outside brackets the nearest list or map that is open is the one that marks belong to.
        top = self._stack[-1] if self._stack else None
        while at < end:
            character = text[at]
            if character == "#" or (character == "%" and text[at - 1 : at] in ("", "\n")):
                stop = text.find("\n", at)
                stop = len(text) if stop < 0 else stop
                if character == "#":
                    self._comment(at, stop, breaks >= 2)
                at, breaks = stop, 0
                continue
            if character == "\n":
                breaks += 1
            elif character not in " \t":
                if character == "-" and top and not top.group.flow:
                    top.dash = at
                    if breaks >= 2:
                        self.apart.add(at)
                elif character == ":" and top:
                    top.colon = True
                breaks = 0
            at += 1
        if breaks >= 2 and end < len(text):
            self.apart.add(end)
        if top and breaks and top.group.flow:
            top.broken = top.broken or top.key is None
        self._done = max(self._done, end)

    def _comment(self, at: int, stop: int, apart: bool) -> None:
        line = self.text.rfind("\n", 0, at) + 1
        before = self.text[line:at]
        comment = Comment(self.text[at:stop].rstrip(), at, at - line,
                          len(before) - len(before.rstrip()), not before.strip(), apart)
        top = self._stack[-1] if self._stack else None
        if top and top.group.flow:
            top.waiting.append(comment)
            top.broken = True
        else:
            self.comments.append(comment)


@dataclass(slots=True)
class Document:
    """A whole text.

    Attributes:
        above: the comments above all else, with "" for an empty line.
        root: the map.
        below: the comments below all else.
        behind: the comment behind a map in brackets.
    """

    above: list[str]
    root: Group
    below: list[str]
    behind: Comment | None = None

    def comments(self) -> list[str]:
        """All comments, sorted."""
        behind = [self.behind.text] if self.behind else []
        return sorted([*filter(None, [*self.above, *self.below]), *behind, *_comments(self.root)])


def read_pieces(text: str) -> Document:
    """The pieces of a text that is a map."""
    reader = _Reader(text)
    reader.run()
    root = reader.root
    assert isinstance(root, Group), "a spec is a map"
    if root.flow or not root.entries:
        before = [c for c in reader.comments if c.at < root.start]
        behind = [c for c in reader.comments if c.at > root.start and not c.alone][:1]
        after = [c for c in reader.comments if c.at > root.start and c not in behind]
        return Document([line for c in before for line in _lines(c)], root,
                        [line for c in after for line in _lines(c)], *behind)
    for comment in reader.comments:
        _attach(comment, root)
    _mark_apart(root, reader.apart)
    first = root.entries[0]
    above, first.above = first.above, []
    below, root.below = root.below, []
    return Document(above, root, below)


def _lines(comment: Comment) -> list[str]:
    return ["", comment.text] if comment.apart else [comment.text]


def _comments(group: Group) -> Iterator[str]:
    yield from (line for line in group.below if line)
    yield from (comment.text for comment in group.gap)
    for entry in group.entries:
        yield from (line for line in entry.above if line)
        yield from (c.text for c in (entry.head, entry.comment, *entry.gap) if c)
        if isinstance(entry.value, Group):
            yield from _comments(entry.value)
        elif entry.value.style in ("|", ">"):
            yield from re.findall(r"(?<=[ \t])#.*", entry.value.text.partition("\n")[0])


# ---------------------------------------------------------------------- where comments belong


def _attach(comment: Comment, root: Group) -> None:
    """Give a comment outside brackets to the entry that it is about."""
    group = root
    while True:
        entry = next((e for e in group.entries if e.start <= comment.at < e.value.end), None)
        if entry is None:
            _attach_between(comment, group, root)
            return
        value = entry.value
        if not (isinstance(value, Group) and value.block):
            # Between a key and its value: the two come together, the comment goes above.
            _above(entry, comment)
            return
        first = value.entries[0]
        if comment.at >= first.start:
            group = value
            continue
        if comment.alone or entry.head:
            _above(first, comment)
        else:
            entry.head = comment
        return


def _attach_between(comment: Comment, group: Group, root: Group) -> None:
    before = [e for e in group.entries if e.start < comment.at]
    after = [e for e in group.entries if e.start > comment.at]
    if not comment.alone and before:
        last = before[-1]
        while isinstance(last.value, Group) and last.value.block:
            last = last.value.entries[-1]
        if last.comment is None:
            last.comment = comment
            return
    groups = [] if after else [root]
    entry = before[-1] if before else None
    while entry and isinstance(entry.value, Group) and entry.value.block:
        groups.append(entry.value)
        entry = entry.value.entries[-1]
    if after:
        groups = [g for g in groups if g.column > after[0].column]
    fitting = [g for g in groups if g.column <= comment.column]
    if fitting:
        # The innermost one that begins no further in; of two at one column the outer one.
        max(fitting, key=lambda g: g.column).below += _lines(comment)
    elif after:
        _above(after[0], comment)
    else:
        root.below += _lines(comment)


def _above(entry: Entry, comment: Comment) -> None:
    entry.above += _lines(comment)


def _mark_apart(group: Group, apart: set[int]) -> None:
    for entry in group.entries:
        if not group.flow and entry.start in apart:
            entry.above.append("")
        if isinstance(entry.value, Group):
            _mark_apart(entry.value, apart)


def _keeps(text: str) -> bool:
    """Whether a block of text keeps the line breaks at its end: `|+`."""
    return "+" in re.split(r"[ \t\n]", text, maxsplit=1)[0]
