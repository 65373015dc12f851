"""Layers as the author wrote them: one operator, block or construct each, with modifiers.

What they are; `reading` makes them.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field

from compiler.ops import FAMILIES, WORDS, operator
from compiler.ops.base import Operator
from compiler.parse import Mapping, Node, Scalar
from compiler.source import Span
from compiler.spec import Choose, Each, Head, Loop, Repeat, Scan, Section
from compiler.wording import field_names

JOINS = FAMILIES["combine"]
STRUCTURE = ("for", "repeat", "choose", "layers", "output", "residual", "scan")
SECTIONS: dict[str, type[Section]] = {
    "for": Loop,
    "repeat": Repeat,
    "choose": Choose,
    "output": Head,
    "layers": Each,
    "scan": Scan,
}


@dataclass(frozen=True, eq=False, slots=True)
class LayerSpec:
    """One item of a list of layers.

    Attributes:
        word: the operator, block or construct.
        kind: "operator", "join", "block", the construct's own word, or "broken" where it
            could not be read.
        span: the place of the word.
        value: what stands after the word, or None.
        modifiers: the reserved words beside it.
        segment: its part of the path: its name, else word and number in its scope.
        fields: an operator's or block's fields by name (the short form resolved).
        branches: layers by branch, case or "layers", for joins and constructs.
        section: a construct's own fields.
    """

    word: str
    kind: str
    span: Span
    value: Node | None
    modifiers: AbstractMapping[str, Node]
    segment: str
    fields: Mapping
    branches: AbstractMapping[str, tuple[LayerSpec, ...]]
    section: Section | None = None

    @property
    def is_named(self) -> bool:
        return "name" in self.modifiers

    def possible_names(self) -> set[str]:
        """What this layer and those in it may be called; an iteration by its index alone."""
        names = {self.segment, *self.branches}
        if isinstance(self.section, Loop | Repeat) and self.section.index:
            names.add(self.section.index)
        for branch in self.branches.values():
            for layer in branch:
                names |= layer.possible_names()
        return names


@dataclass(frozen=True, slots=True)
class Words:
    """What a layer may be called in a file.

    Attributes:
        blocks: the names of each block's params, in order.
        operators: operators that the caller of the compiler brought, by word.
        defaults: the fields that the file sets for an operator, by word.
        lost: blocks, and prefixes of used files, that could not be read: nothing is said of
            layers that use them.
    """

    blocks: AbstractMapping[str, tuple[str, ...]]
    operators: AbstractMapping[str, type[Operator]] = field(default_factory=dict)
    defaults: AbstractMapping[str, Collection[str]] = field(default_factory=dict)
    lost: Collection[str] = ()

    def operator(self, word: str) -> type[Operator] | None:
        """The class of an operator, or None where there is none of that word."""
        if word in self.operators:
            return self.operators[word]
        return operator(word) if word in WORDS else None

    def fields(self, word: str) -> tuple[str, ...]:
        """The fields of an operator or construct, the params of a block."""
        if word in self.blocks:
            return self.blocks[word]
        if (cls := self.operator(word)) is not None:
            return field_names(cls)
        return field_names(SECTIONS[word]) if word in SECTIONS else ()

    def __contains__(self, word: str) -> bool:
        return word in WORDS or word in self.operators or word in self.blocks or word in STRUCTURE


def broken(span: Span, modifiers: AbstractMapping[str, Node]) -> LayerSpec:
    """Stands for a layer that could not be read; its name is known all the same."""
    name = modifiers.get("name")
    segment = str(name.value) if isinstance(name, Scalar) else ""
    return LayerSpec("", "broken", span, None, {}, segment, Mapping({}, span), {})
