"""The drawing as lines of text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compiler.targets.drawing.boxes import Box, Scene, Scope
from compiler.targets.drawing.figures import short
from compiler.targets.drawing.words import caption, heading, printable, shape

FITTING = 40  # as on a screen


@dataclass(frozen=True)
class TextLine:
    """A box in a line: the tree with what it is, what it makes, what it costs."""

    what: str
    shape: str
    params: str
    macs: str


def lines(scene: Scene, opened: frozenset[int]) -> Iterator[TextLine]:
    """A line for each box that is seen."""
    yield from _scope(scene.scope, opened, "", outermost=True)


def _scope(scope: Scope, opened: frozenset[int], pad: str, *, outermost: bool,
           ) -> Iterator[TextLine]:
    shown = [i for i, box in enumerate(scope.boxes) if outermost or not box.is_end]
    for i in shown:
        box = scope.boxes[i]
        last = i == shown[-1]
        branch = "" if outermost else "└ " if last else "├ "
        what = printable(_told(box, i, scope, id(box) in opened))
        yield TextLine(pad + branch + what, shape(box.types[0]),
                       short(box.params) if box.params else "",
                       short(box.macs) if box.macs else "")
        if box.inside is not None and id(box) in opened:
            below = "" if outermost else "  " if last else "│ "
            yield from _scope(box.inside, opened, pad + below, outermost=False)


def _told(box: Box, number: int, scope: Scope, is_open: bool) -> str:
    """"body: conv 64 · batch_norm", and where it reads from if not from the line above."""
    if box.is_end:
        text = box.title
    else:
        text = ": ".join(filter(None, [caption(box), heading(box)]))
        text += f" · {box.detail}" if box.detail and not is_open else ""
    sources = [wire.source for wire in box.reads]
    if not sources or sources == [number - 1]:
        return text
    names = dict.fromkeys(_called(scope.boxes[source]) for source in sources)
    return f"{text}  ← {', '.join(names)}"


def _called(box: Box) -> str:
    """What an author would call a box inside its scope: its last layer's own name."""
    if box.is_end:
        return box.title
    return box.paths[-1].rpartition(".")[2] if not box.name else ".".join(
        box.paths[-1].split(".")[-2:])
