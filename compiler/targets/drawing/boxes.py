"""The parts of a drawing as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from compiler.types import TensorType

Kind = Literal["layer", "join", "block", "group", "input", "output"]


@dataclass(frozen=True)
class Wire:
    """A tensor that a box reads: which output of which box of the same scope."""

    source: int
    port: int = 0


@dataclass(eq=False)
class Box:
    """A layer, what stands for several, or an end of the scope.

    Attributes:
        kind: what it is.
        path: the author's words for it, or an end's name.
        name: the part of the path that the author chose, or "".
        title: what it is: "conv 64, kernel 3"; "" for a group.
        types: of its outputs; the first flows on.
        reads: what arrives.
        full: the title with every field.
        word: its operator's or block's name.
        marks: what is special about it: "frozen".
        followers: the short titles of the layers that stand in it, too.
        family: the file of its operator in `compiler/ops`, or "".
        params, macs: of everything in it, all repeats together.
        times: how many equal neighbours it stands for.
        paths: every path that it stands for.
        during: the phase it exists in.
        inside: what a block or group holds.
        likeness: equal for boxes that do the same to the same types.
    """

    kind: Kind
    path: str
    name: str
    title: str
    types: tuple[TensorType, ...]
    reads: list[Wire]
    full: str = ""
    word: str = ""
    marks: list[str] = field(default_factory=list)
    followers: list[str] = field(default_factory=list)
    family: str = ""
    params: int = 0
    macs: int = 0
    times: int = 1
    paths: tuple[str, ...] = ()
    during: str = "always"
    inside: Scope | None = None
    likeness: object = None

    @property
    def is_end(self) -> bool:
        return self.kind in ("input", "output")

    @property
    def detail(self) -> str:
        """"batch_norm · relu", and what is special; what a group holds."""
        said = self.followers
        if self.kind == "group" and self.inside is not None:
            said = list(dict.fromkeys(b.word or b.name for b in self.inside.layers))
            said = [*said[:WORDS], *(["…"] if len(said) > WORDS else [])]
        phase = [f"in {self.during} only"] if self.during != "always" else []
        return " · ".join([*said, *self.marks, *phase])


@dataclass(eq=False)
class Scope:
    """Boxes in an order in which each reads earlier ones: inputs, layers, outputs."""

    boxes: list[Box]

    @property
    def layers(self) -> list[Box]:
        """The boxes that are no ends."""
        return [box for box in self.boxes if not box.is_end]

    def all(self) -> Iterator[Box]:
        """Every layer, block and group, outer ones first."""
        for box in self.layers:
            yield box
            if box.inside is not None:
                yield from box.inside.all()


@dataclass(frozen=True)
class Scene:
    """A model to draw.

    Attributes:
        name: the model's name.
        scope: its boxes.
        params, macs: its totals, of one example in evaluation.
        length: the steps that were assumed for open lengths, or None.
    """

    name: str
    scope: Scope
    params: int
    macs: int
    length: int | None = None


WORDS = 5  # of what a group holds, named in its box
