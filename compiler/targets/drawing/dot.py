"""The drawing as Graphviz text."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.targets.drawing.boxes import Box, Scene, Scope
from compiler.targets.drawing.flat import Flat, flattened
from compiler.targets.drawing.svg import summary
from compiler.targets.drawing.words import caption, figures, heading, printable, shape, wrapped

_COLOURS = {"convolution": "#3b82f6", "dense": "#8b5cf6", "pooling": "#10b981",
            "recurrent": "#e11d74", "attention": "#d946ef", "combine": "#f59e0b"}


def text(scene: Scene, opened: frozenset[int], mark: str) -> str:
    """A digraph, its open boxes as clusters.

    Args:
        scene: what to draw.
        opened: the boxes that stand open.
        mark: a comment that says what made the file.
    """
    flat = flattened(scene, opened)
    lines = [f"// {mark}", f"digraph {_quoted(scene.name)} {{",
             f'  graph [label={_quoted(summary(scene))} labelloc=t fontname="Helvetica"]',
             '  node [shape=box style="rounded,filled" fillcolor="#f6f8fa" color="#8b97a6" '
             'fontname="Helvetica" fontsize=11]',
             '  edge [color="#8b97a6" fontname="Helvetica" fontsize=10 fontcolor="#566173"]',
             *_scope(scene.scope, flat, opened, "  ")]
    lines += [f"  {flat.names[id(source)]} -> {flat.names[id(target)]} "
              f"[label={_quoted(shape(kind))}]" for source, target, kind in flat.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _scope(scope: Scope, flat: Flat, opened: frozenset[int], pad: str) -> Iterator[str]:
    for box in scope.boxes:
        if (name := flat.names.get(id(box))) is None:
            continue
        if box.inside is not None and id(box) in opened:
            yield f"{pad}subgraph cluster_{name} {{"
            yield f'{pad}  label={_quoted(_told(box, ""))} color="#c3ccd7" style=rounded'
            yield from _scope(box.inside, flat, opened, f"{pad}  ")
            yield f"{pad}}}"
            continue
        others = ' shape=ellipse fillcolor="#ffffff"' if box.is_end else ""
        if colour := _COLOURS.get(box.family):
            others = f' color="{colour}"'
        elif box.inside is not None:
            others = " peripheries=2"
        yield f"{pad}{name} [label={_quoted(_told(box, box.detail))}{others}]"


def _told(box: Box, detail: str) -> str:
    if box.is_end:
        return box.title
    texts = [caption(box), heading(box), detail, figures(box)]
    return "\n".join(line for t in texts if t for line in wrapped(t))


def _quoted(text: str) -> str:
    """A quoted string whose lines are kept, and in which nothing else has a meaning."""
    lines = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n"))
    return '"' + "\\n".join(lines) + '"'
