"""The wires between the boxes that are seen, through those that stand open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from compiler.targets.drawing.boxes import Box, Scene, Scope
from compiler.types import TensorType


@dataclass
class Flat:
    """What Mermaid and Graphviz need to know.

    Attributes:
        names: an identifier for each box that is seen, by the box's identity.
        edges: (source, target, what flows).
    """

    names: dict[int, str] = field(default_factory=dict)
    edges: list[tuple[Box, Box, TensorType]] = field(default_factory=list)


_Tensor = tuple[Box, TensorType]  # the box that is seen to make it


def flattened(scene: Scene, opened: frozenset[int]) -> Flat:
    """The boxes that are seen, and the wires between them."""
    flat = Flat()
    _walk(scene.scope, None, opened, flat)
    return flat


def _walk(scope: Scope, arriving: Sequence[_Tensor] | None, opened: frozenset[int], flat: Flat,
          ) -> list[_Tensor]:
    """Collect a scope; what leaves it. Nothing arrives at the outermost one, its ends are seen."""
    made: list[list[_Tensor]] = []
    leaving: list[_Tensor] = []
    for number, box in enumerate(scope.boxes):
        reads = [made[wire.source][wire.port] for wire in box.reads]
        if arriving is not None and box.kind == "input":
            made.append([arriving[number]])
            continue
        if arriving is not None and box.kind == "output":
            leaving += reads
            continue
        flat.names[id(box)] = f"n{len(flat.names)}"
        if box.inside is not None and id(box) in opened:
            made.append(_walk(box.inside, reads, opened, flat))
            continue
        flat.edges += [(source, box, kind) for source, kind in dict.fromkeys(reads)]
        made.append([(box, kind) for kind in box.types])
    return leaving
