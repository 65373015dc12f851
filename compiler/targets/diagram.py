"""The drawing of a model for pages and cards."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.diagnostics import SpecError
from compiler.graph import Graph
from compiler.targets.drawing import svg
from compiler.targets.drawing.opening import opened
from compiler.targets.drawing.scene import make_scene

STYLE = svg.STYLE


@dataclass(frozen=True)
class Drawing:
    """A model, drawn.

    Attributes:
        svg: an `svg` element without a style of its own; `STYLE` has it.
        file: the same as the content of an SVG file.
    """

    svg: str
    file: str


def drawings(graph: Graph) -> list[Drawing]:
    """The drawing of a model; none where it has too many boxes."""
    scene = make_scene(graph)
    try:
        found = opened(scene)
    except SpecError:
        return []
    return [Drawing(svg.drawing(scene, found), svg.standalone(scene, found, "drawn by flaxspec"))]


def standalone(drawing: Drawing) -> str:
    """The drawing as an SVG file."""
    return drawing.file
