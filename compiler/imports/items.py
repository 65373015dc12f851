"""A spec's layers as an importer arranges them: what will be written, and what it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.imports.parts import Part


@dataclass(eq=False)
class Item:
    """A layer as it will be written.

    Attributes:
        word: an operator, "repeat", "each", or a block's name.
        fields: its fields, and for a block its arguments; of a repeat `times`.
        branches: of a join, by their keys.
        body: the layers of a repeat or an each.
        part: the operator that it is, where it is one.
        name: what others call it, or what the file does.
        source: the names it reads, where that is not the flow; of a join with a list of them.
        pinned: others refer to its name, or it to theirs: it stays where it is.
        stands_for: of a block's use and of a repeat, the layers that they stand for.
    """

    word: str
    fields: dict[str, Any] = field(default_factory=dict)
    branches: dict[str, list[Item]] | None = None
    body: list[Item] | None = None
    part: Part | None = None
    name: str = ""
    source: list[str] = field(default_factory=list)
    pinned: bool = False
    stands_for: list[Item] | None = None
    is_call: bool = False

    def parts(self) -> Iterator[Part]:
        """The operators that it stands for, in the order in which they run."""
        if self.stands_for is not None:
            for item in self.stands_for:
                yield from item.parts()
            return
        for branch in (self.branches or {}).values():
            for item in branch:
                yield from item.parts()
        for item in self.body or ():
            yield from item.parts()
        if self.part is not None and self.word != "each":
            yield self.part

    @property
    def size(self) -> int:
        """How many lines it takes, about."""
        return 1 + sum(item.size for branch in (self.branches or {}).values() for item in branch
                       ) + sum(item.size for item in self.body or ())


class TypeName(str):
    """The type of a param that every use gives: `int`."""


@dataclass
class Block:
    """A block of the spec.

    Attributes:
        params: a default or a `TypeName` for each.
        layers: what it is made of.
    """

    params: Mapping[str, Any]
    layers: list[Item]


@dataclass
class Layout:
    """All that a spec is written from."""

    layers: list[Item]
    outputs: dict[str, str]
    blocks: dict[str, Block] = field(default_factory=dict)
