"""A graph as a drawing (SVG): the model, and below it each block that it uses, once.

Layers run from top to bottom. What only follows a layer and changes no shape (a norm, an
activation) stands in its box; neighbouring calls of one block are a box with ×N. Blocks that
differ only in their sizes are drawn for the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

from compiler.graph import Call, Each, Graph, Node, graphs, subgraph, walk
from compiler.ops.base import Operator
from compiler.printer import fields_of, pairs
from compiler.targets.diagram_layout import Box, Edge, Layout, lay_out
from compiler.types import TensorType

# A graph with more boxes than this is not drawn.
LARGEST = 300
LINE = 16  # the height of a line of text
PAD = 8
GAP = 16  # between rows, and between lanes
LETTER = 6.7  # the width of a character
WIDEST = 34  # characters in a line of a box

STYLE = """\
.dg{font:12px ui-sans-serif,system-ui,sans-serif;overflow:visible}
.dg rect{fill:var(--box,#f3f5f8);stroke:var(--line,#9aa5b4);rx:5}
.dg .call rect{fill:var(--call,#e4edfb);stroke:var(--accent,#3d6fc4)}
.dg .end rect{fill:none;stroke-dasharray:3 3}
.dg path{fill:none;stroke:var(--line,#9aa5b4);stroke-width:1.4}
.dg text{fill:var(--text,#1c2430)}
.dg .shape{fill:var(--dim,#5d6878);font-size:11px}
.dg marker path{fill:var(--line,#9aa5b4);stroke:none}"""


@dataclass(frozen=True)
class Drawing:
    """One graph, drawn.

    Attributes:
        title: the model's or the block's name.
        note: what it was drawn for, and how often it is used.
        svg: an `svg` element without a style of its own; `STYLE` has it.
    """

    title: str
    note: str
    svg: str


@dataclass
class _Piece:
    """What becomes a box."""

    lines: list[str]
    output: TensorType
    inputs: tuple[int, ...]  # the pieces it reads
    kind: str = "layer"
    runs: Graph | None = None
    times: int = 1
    values: set[int] = field(default_factory=set)  # the values that it makes, by identity


def drawings(graph: Graph) -> list[Drawing]:
    """The model, then its blocks in the order of their first use; empty where too large."""
    found: list[Drawing] = []
    known: dict[object, list[Graph]] = {}
    for inner in _in_order(graph):
        known.setdefault(_likeness(inner), []).append(inner)
    uses = _uses(graph)
    for alike in known.values():
        first = alike[0]
        pieces = _pieces(first)
        if len(pieces) > LARGEST:
            continue
        note = ""
        if first is not graph:
            params = pairs(uses[id(first)][0])
            count = sum(len(uses[id(g)]) for g in alike)
            note = ", ".join(filter(None, [
                f"drawn for {params}" if params and len(alike) > 1 else params,
                f"used {count} times" if count > 1 else ""]))
        found.append(Drawing(first.name, note, _svg(pieces)))
    return found


def _in_order(graph: Graph) -> list[Graph]:
    """A graph and those that it calls, each once, in the order of their first use."""
    found = [graph]
    for _, node in walk(graph):
        inner = subgraph(node)
        if inner is not None and not any(inner is known for known in found):
            found.append(inner)
    return found


def _uses(graph: Graph) -> dict[int, list[Mapping[str, Any]]]:
    """For each graph that is called, the params of every call; each call site once."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    for inner in graphs(graph):
        for node in inner.nodes:
            match node.operation:
                case Call(graph=called, params=params):
                    found.setdefault(id(called), []).append(params)
                case Each(graph=called):
                    found.setdefault(id(called), []).append({})
    return found


def _likeness(graph: Graph) -> object:
    """What is equal for graphs that differ only in their sizes."""
    names = {id(v): i for i, v in enumerate(graph.inputs)}
    lines: list[object] = []
    for node in graph.nodes:
        inner = subgraph(node)
        word = (inner.name, id(type(node.operation))) if inner else _word(node)
        lines.append((word, tuple(names.get(id(v), -1) for v in node.inputs)))
        for value in node.outputs.values():
            names[id(value)] = len(names)
    return graph.name, tuple(lines)


def _word(node: Node) -> str:
    return node.operation.word if isinstance(node.operation, Operator) else ""


# ------------------------------------------------------------------------------ pieces


def _pieces(graph: Graph) -> list[_Piece]:
    """The boxes of a graph: its inputs, its layers, its outputs."""
    readers: dict[int, int] = {}
    for value in [*(v for n in graph.nodes for v in n.inputs), *graph.outputs.values()]:
        readers[id(value)] = readers.get(id(value), 0) + 1
    pieces = [_Piece([v.name], v.type, (), "end", values={id(v)}) for v in graph.inputs]
    made_by = {id(v): i for i, v in enumerate(graph.inputs)}
    for node in graph.nodes:
        first = next(iter(node.outputs.values()))
        sources = tuple(made_by[id(v)] for v in node.inputs)
        if _word(node) == "identity":
            made_by[id(first)] = sources[0]
            readers[id(node.inputs[0])] += readers.get(id(first), 0) - 1
            continue
        before = pieces[sources[0]] if len(sources) == 1 else None
        alone = before is not None and readers[id(node.inputs[0])] == 1
        inner = subgraph(node)
        if alone and before is not None and _joins(node, before):
            before.output = first.type
            if inner is None:
                before.lines.append(_told(node))
            else:
                before.times += 1
            index = sources[0]
        else:
            kind = "layer" if inner is None else "call"
            index = len(pieces)
            pieces.append(_Piece([_told(node)], first.type, sources, kind, inner))
        for value in node.outputs.values():
            made_by[id(value)] = index
    for name, value in graph.outputs.items():
        pieces.append(_Piece([name], value.type, (made_by[id(value)],), "end"))
    return pieces


def _joins(node: Node, before: _Piece) -> bool:
    """Whether a layer stands in the box before it."""
    if isinstance(node.operation, Operator):
        same = node.inputs[0].type.shape == next(iter(node.outputs.values())).type.shape
        light = node.operation.word.endswith("_norm") or not node.operation.parameters(
            *(v.type for v in node.inputs))
        return before.kind == "layer" and same and light
    return before.kind == "call" and before.runs is subgraph(node)


def _told(node: Node) -> str:
    """"conv 64, kernel: 3": a layer as an author might write it."""
    match node.operation:
        case Call(block=block, params=params):
            return f"{block}  {pairs(params)}".rstrip()
        case Each(axis=axis):
            return f"each {axis}"
        case op:
            fields = fields_of(op)
            main = fields.pop(op.main, None) if op.main else None
            head = op.word if main is None else f"{op.word} {pairs({'': main})[2:]}"
            others = pairs(fields)
            return f"{head}, {others}" if others else head


# ----------------------------------------------------------------------------- drawing


def _svg(pieces: list[_Piece]) -> str:
    boxes, edges = [], []
    texts: list[list[str]] = []
    for i, piece in enumerate(pieces):
        told = [*piece.lines]
        if piece.times > 1:
            told[0] += f"  ×{piece.times}"
        lines = [line for text in _joined(told) for line in _wrapped(text)]
        texts.append(lines)
        longest = max(map(len, [*lines, str(piece.output)]))
        boxes.append(Box(round(longest * LETTER) + 2 * PAD, LINE * (len(lines) + 1) + PAD))
        edges += [Edge(source, i) for source in piece.inputs]
    layout = lay_out(boxes, edges, GAP)
    parts = [
        f'<svg class="dg" viewBox="-1 -1 {layout.width + 2} {layout.height + 2}" '
        f'width="{layout.width + 2}" height="{layout.height + 2}" role="img" '
        f'aria-label="drawing of {escape(pieces[-1].lines[0])}">'
        '<defs><marker id="dg-arrow" viewBox="0 0 6 6" refX="5.5" refY="3" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z"/></marker></defs>',
        *(f'<path d="{points}" marker-end="url(#dg-arrow)"/>' for points in _paths(layout)),
        *(_box(piece, lines, place, box) for piece, lines, place, box in zip(
            pieces, texts, layout.places, boxes)),
        "</svg>"]
    return "".join(parts)


def _box(piece: _Piece, lines: list[str], place: tuple[int, int], box: Box) -> str:
    x, y = place
    rows = "".join(f'<text x="{x + PAD}" y="{y + LINE * (i + 1)}">{escape(line)}</text>'
                   for i, line in enumerate(lines))
    below = y + LINE * (len(lines) + 1)
    return (f'<g class="{piece.kind}"><rect x="{x}" y="{y}" width="{box.width}" '
            f'height="{box.height}"/>{rows}<text class="shape" x="{x + PAD}" y="{below}">'
            f'{escape(str(piece.output))}</text></g>')


def _paths(layout: Layout) -> Iterable[str]:
    for route in layout.routes:
        (x, y), *rest = route
        yield f"M{x} {y}" + "".join(f"L{a} {b}" for a, b in rest)


def _joined(texts: list[str]) -> list[str]:
    """The layers of a box: what follows the first shares a line, `batch_norm · relu`."""
    if len(whole := " · ".join(texts)) <= WIDEST:
        return [whole]
    first, *others = texts
    return [first, " · ".join(others)] if others else [first]


def _wrapped(text: str) -> list[str]:
    """A text in lines that are not too wide."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > WIDEST:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return [line if len(line) <= 2 * WIDEST else f"{line[: 2 * WIDEST - 1]}…" for line in lines]


def standalone(drawing: Drawing) -> str:
    """The drawing as an SVG file."""
    return replace(drawing, svg=drawing.svg.replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        "<defs>", f"<style>{STYLE}</style><defs>", 1)).svg
