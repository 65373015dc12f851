"""The order of keys, where a spec's meaning does not depend on it.

Sections stand in the order of a file: what it is, its knobs, what it takes, what it is made
of, how it is trained. Fields of operators, params, loops and the like stand in the order of
the reference. The order of params, variants, blocks, branches and cases is the author's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compiler.format.pieces import Document, Entry, Group, Leaf, Piece
from compiler.layers import JOINS, SECTIONS, STRUCTURE
from compiler.modifiers import MODIFIERS
from compiler.ops import WORDS, operator
from compiler.spec import Block, Extended, Fact, ModelUse, Param, Used
from compiler.wording import field_names

TOP = ("flaxspec", "name", "summary", "source", "extends", "use", "params", "let", "variants",
       "facts", "inputs", "defaults", "blocks", "model", "outputs", "patch", "data", "task",
       "losses", "metrics", "train", "search")
INPUT = ("kind", "axes", "shape", "vocabulary", "length")
BODIES = {*STRUCTURE, *JOINS}


def arrange(document: Document) -> set[int]:
    """Put keys in their order; the ids of the maps in which that changed something."""
    changed: set[int] = set()
    root = document.root
    if not _is_spec(root) or _has_anchors(root):
        return changed  # an alias stands behind what it repeats
    _Arranger(set(_keys(_section(root, "blocks"))), changed).document(root)
    return changed


def _is_spec(root: Group) -> bool:
    return "flaxspec" in _keys(root)


def _has_anchors(piece: Piece) -> bool:
    return any(mark.startswith("&") for mark in piece.marks) or (
        isinstance(piece, Group)
        and any(_has_anchors(part) for e in piece.entries for part in (e.key, e.value) if part))


class _Arranger:
    """Puts the keys of one document in order.

    Attributes:
        blocks: the names of the file's blocks, whose fields are the author's.
        changed: the ids of the maps in which something changed.
    """

    def __init__(self, blocks: set[str], changed: set[int]):
        self.blocks, self.changed = blocks, changed

    def document(self, root: Group) -> None:
        self.sort(root, TOP, strict=False)
        for section, fields in (("params", Param), ("facts", Fact), ("use", Used)):
            for entry in _entries(_section(root, section)):
                self.sort(entry.value, field_names(fields))
        for entry in _entries(_section(root, "inputs")):
            self.sort(entry.value, INPUT)
        for entry in _entries(_section(root, "blocks")):
            self.sort(entry.value, field_names(Block))
            for param in _entries(_section(entry.value, "params")):
                self.sort(param.value, field_names(Param))
            self.layers(_section(entry.value, "layers"))
        model = _section(root, "model")
        self.sort(model, field_names(ModelUse))
        self.layers(model)
        self.sort(_section(root, "extends"), field_names(Extended))
        for entry in _entries(_section(root, "patch")):
            if _text(entry.key).startswith(("model", "blocks.")):
                for place in ("before", "after", "replace"):
                    self.layers(_section(entry.value, place))

    def sort(self, piece: Piece | None, order: Sequence[str], strict: bool = True) -> None:
        """Sort the keys of a map.

        Args:
            piece: the map; nothing is done with anything else.
            order: the keys in their order.
            strict: leave it alone where it has other keys; else those come last.
        """
        if not isinstance(piece, Group) or not piece.is_map:
            return
        ranks = {key: i for i, key in enumerate(order)}
        if strict and not set(_keys(piece)) <= set(ranks):
            return
        self.reorder(piece, sorted(piece.entries,
                                   key=lambda e: ranks.get(_text(e.key), len(ranks))))

    def reorder(self, group: Group, entries: list[Entry]) -> None:
        if all(a is b for a, b in zip(entries, group.entries)) or _is_tied_to_lines(group):
            return
        self.changed.add(id(group))
        if group.block:
            _space(group, entries)
        group.entries = entries

    def layers(self, piece: Piece | None) -> None:
        """Put the fields and modifiers of a list of layers in order."""
        if isinstance(piece, Group) and not piece.is_map:
            for item in piece.entries:
                if isinstance(item.value, Group) and item.value.is_map:
                    self.layer(item.value)

    def layer(self, group: Group) -> None:
        words = [e for e in group.entries if _text(e.key) not in MODIFIERS]
        if len(words) != 1:
            return
        (entry,) = words
        self.fields(_text(entry.key), entry.value)
        is_body = _text(entry.key) in BODIES or (
            isinstance(entry.value, Group) and entry.value.block)
        if group.block and is_body:
            return  # it may stand behind what is said of it: `when: …`, then its layers
        others = [e for e in group.entries if e is not entry]
        others.sort(key=lambda e: MODIFIERS.index(_text(e.key)))
        self.reorder(group, [entry, *others])

    def fields(self, word: str, value: Piece) -> None:
        if word in self.blocks:
            return
        if word in ("layers", "residual") and not _is_map(value):
            self.layers(value)
        elif word in JOINS:
            for branch in _entries(value):
                self.layers(branch.value)
        elif word in SECTIONS:
            self.sort(value, field_names(SECTIONS[word]))
            self.layers(_section(value, "layers"))
            for case in _entries(_section(value, "cases")):
                self.layers(case.value)
        elif word in WORDS:
            self.sort(value, field_names(operator(word)))


def _space(group: Group, entries: list[Entry]) -> None:
    """The empty lines between sections that changed places: around those of several lines."""
    if not any("" in entry.above for entry in group.entries[1:]):
        return
    is_long = [_is_long(entry) for entry in entries]
    for i, entry in enumerate(entries):
        above = [line for line in entry.above if line]
        apart = i > 0 and (is_long[i] or is_long[i - 1])
        entry.above = ["", *above] if apart else above


def _is_long(entry: Entry) -> bool:
    return isinstance(entry.value, Group) and entry.value.block or bool([*filter(None,
                                                                                 entry.above)])


def _is_tied_to_lines(group: Group) -> bool:
    """Whether a map in brackets has comments or lines of its own, which would move."""
    return group.flow and (bool(group.gap) or any(e.gap or e.broken for e in group.entries))


def _is_map(piece: Piece) -> bool:
    return isinstance(piece, Group) and piece.is_map


def _entries(piece: Piece | None) -> Iterable[Entry]:
    """The entries of a map; none of anything else."""
    return piece.entries if isinstance(piece, Group) and piece.is_map else ()


def _keys(piece: Piece | None) -> list[str]:
    return [_text(entry.key) for entry in _entries(piece)]


def _section(piece: Piece | None, key: str) -> Piece | None:
    return next((e.value for e in _entries(piece) if _text(e.key) == key), None)


def _text(key: Leaf | None) -> str:
    return key.value if key else ""
