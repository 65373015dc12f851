"""The drawing as an SVG file: it needs no program to make and none but a browser to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from compiler.targets.drawing.boxes import Box, Scene, Scope
from compiler.targets.drawing.figures import costs
from compiler.targets.drawing.layout import Layout, Line, Span, lay_out
from compiler.targets.drawing.words import (
    caption,
    figures,
    heading,
    printable,
    shape,
    width,
    wrapped,
)

LINE = 16  # the height of a line of text
PAD = 9
GAP = 22  # between lanes
THIN = 14  # the width of a lane in which only lines run
LABEL = 17  # below a row, for the shapes
CLEAR = 5  # below a row without them
SHIFT = 4  # between the edges of a box that stands for several
TRACK = 9  # between lines that turn
ARROW = 13  # above a row
ROUND = 6  # the corners of lines
DOT = 7
LEGEND = "share of the parameters and of the MACs of the box around it"
LEAST = 96  # the width of a layer

PALETTE = """\
.dg{--back:#fff;--box:#f6f8fa;--line:#8b97a6;--text:#1c2430;--dim:#566173;--frame:#c3ccd7;
--inner:#fbfcfd;--skip:#d1600c;--params:#4477cc;--macs:#d98a2b;
--convolution:#3b82f6;--dense:#8b5cf6;--pooling:#10b981;--recurrent:#e11d74;--attention:#d946ef;
--normalisation:#94a3b8;--activation:#94a3b8;--combine:#f59e0b;
}
@media(prefers-color-scheme:dark){.dg{--back:#12161c;--box:#1d2530;--line:#7d8a9b;--text:#e6ebf2;
--dim:#a3afbe;--frame:#3a4656;--inner:#161c24;--skip:#fb923c;--params:#6ea0f5;--macs:#e5a550}}
"""
STYLE = PALETTE + """\
.dg{font:12px "DejaVu Sans",Verdana,"Segoe UI",Roboto,Arial,sans-serif;background:var(--back)}
.dg .r{fill:var(--box);stroke:var(--frame)}
.dg .open>.r{fill:var(--inner)}.dg .times{fill:var(--box);stroke:var(--frame)}
.dg .end>.r{fill:none;stroke:var(--line)}.dg .part>.r{stroke-dasharray:5 3}
.dg .s{fill:var(--line)}
.dg .convolution>.s{fill:var(--convolution)}.dg .dense>.s{fill:var(--dense)}
.dg .pooling>.s{fill:var(--pooling)}.dg .recurrent>.s,.dg .conv_lstm>.s,
.dg .cells>.s{fill:var(--recurrent)}.dg .attention>.s{fill:var(--attention)}
.dg .combine>.s{fill:var(--combine)}.dg .block>.s{fill:var(--text)}
.dg text{fill:var(--text)}.dg .h{font-weight:600}.dg .d,.dg .f,.dg .c{fill:var(--dim)}
.dg .f,.dg .c{font-size:11px}.dg .c{font-style:italic}
.dg .w{fill:none;stroke:var(--line);stroke-width:1.5}
.dg .skip{stroke:var(--skip);stroke-width:1.9}
.dg .t{font-size:11px;fill:var(--dim);stroke:var(--back);stroke-width:3px;paint-order:stroke;
stroke-linejoin:round}.dg .open .t{stroke:var(--inner)}
.dg .dot{fill:var(--line)}.dg .bp{fill:var(--params)}.dg .bm{fill:var(--macs)}
.dg .bar{fill:var(--frame);opacity:.45}
.dg .a{fill:var(--line)}.dg .as{fill:var(--skip)}"""


@dataclass(frozen=True)
class _Tile:
    """A box with its texts and size.

    Attributes:
        box: what is drawn.
        width, height: of the whole.
        lines: (class, text) of its own lines.
        inside: what stands in it, where it is open.
        in_middle: a port without words: a dot.
    """

    box: Box
    width: int
    height: int
    lines: Sequence[tuple[str, str]]
    inside: _Sheet | None = None
    dot: bool = False


@dataclass(frozen=True)
class _Sheet:
    """A scope with its places: of each tile its upper left corner."""

    width: int
    height: int
    tiles: Sequence[_Tile]
    places: Sequence[tuple[int, int]]
    paths: Sequence[tuple[str, str]]  # (class, path) of the lines
    labels: Sequence[tuple[int, int, str]]
    params: int
    macs: int


def drawing(scene: Scene, opened: frozenset[int]) -> str:
    """An `svg` element without its style; `STYLE` has that."""
    sheet = _sheet(scene.scope, opened, outermost=True)
    head = [("h", summary(scene))]
    if scene.params or scene.macs:
        head.append(("f", LEGEND))
    wide = max(sheet.width, *(round(width(text, 12, True)) + 24 for _, text in head)) + 2 * PAD
    top = LINE * len(head) + PAD
    tall = sheet.height + top + 2 * PAD
    texts = "".join(f'<text class="{kind}" x="{26 * i}" y="{LINE * i + 11}">{_safe(text)}</text>'
                    for i, (kind, text) in enumerate(head))
    if len(head) > 1:
        texts += (f'<rect class="bp" x="0" y="{LINE + 3}" width="18" height="3" rx="1"/>'
                  f'<rect class="bm" x="0" y="{LINE + 7}" width="18" height="3" rx="1"/>')
    left = (wide - 2 * PAD - sheet.width) // 2
    return (f'<svg class="dg" viewBox="{-PAD} {-PAD} {wide} {tall}" width="{wide}" '
            f'height="{tall}" role="img" aria-label="{_safe(f"drawing of {scene.name}")}"><defs>'
            + "".join(
                f'<marker id="dg-{name}" viewBox="0 0 6 6" refX="5.4" refY="3" markerWidth="6.5" '
                f'markerHeight="6.5" markerUnits="userSpaceOnUse" orient="auto">'
                f'<path class="{name}" d="M0 0L6 3L0 6z"/></marker>' for name in ("a", "as"))
            + f"</defs>{texts}" + "".join(_drawn(sheet, left, top)) + "</svg>")


def standalone(scene: Scene, opened: frozenset[int], mark: str) -> str:
    """The drawing as a file, with its totals above it.

    Args:
        scene: what to draw.
        opened: the boxes that stand open.
        mark: a comment that says what made the file.
    """
    svg = drawing(scene, opened).replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        "<defs>", f"<style>{STYLE}</style><title>{_safe(summary(scene))}</title><defs>", 1)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {mark} -->\n{svg}\n'


def summary(scene: Scene) -> str:
    """"resnet50: 25.6 M params · 4.09 G MACs"."""
    told = costs(scene.params, scene.macs)
    steps = f" for {scene.length} steps" if scene.length else ""
    return f"{scene.name}: {told}{steps}" if told else scene.name


def _safe(text: str) -> str:
    return escape(printable(text))


# ------------------------------------------------------------------------------- sizes


def _tile(box: Box, opened: frozenset[int], alone: bool, outermost: bool) -> _Tile:
    if box.is_end and alone and not outermost:
        return _Tile(box, DOT, DOT, (), dot=True)
    if box.is_end:
        lines = [("h", line) for line in wrapped(box.title)]
        return _Tile(box, _wide(lines, box), LINE * len(lines) + PAD, lines)
    lines = [("c", line) for line in wrapped(caption(box))[:2]]
    if box.inside is not None and id(box) in opened:
        sheet = _sheet(box.inside, opened, outermost=False)
        lines += [("h", line) for line in wrapped(heading(box), 48)]
        if said := figures(box):
            lines.append(("f", said + ("" if box.times == 1 else " in all")))
        width = max(sheet.width + 2 * PAD, _wide(lines, box))
        return _Tile(box, width, LINE * len(lines) + PAD + sheet.height + PAD, lines, sheet)
    lines += [("h", line) for line in wrapped(heading(box))]
    lines += [("d", line) for line in wrapped(box.detail)]
    if said := figures(box):
        lines.append(("f", said))
    bars = 2 * 4 if box.params or box.macs else 0
    return _Tile(box, max(_wide(lines, box), LEAST), LINE * len(lines) + PAD + bars, lines)


def _wide(lines: Sequence[tuple[str, str]], box: Box) -> int:
    """The width that texts need, and below the box the label of what leaves its middle."""
    label = 0.0 if box.kind == "output" else 2 * (width(shape(box.types[0]), 11) + 8)
    texts = (width(text, 12 if kind in "hd" else 11, kind == "h") for kind, text in lines)
    return round(max(max(texts, default=0) + 2 * PAD + 4, label))


def _sheet(scope: Scope, opened: frozenset[int], *, outermost: bool) -> _Sheet:
    boxes = scope.boxes
    counts = [sum(box.kind == kind for box in boxes) for kind in ("input", "output")]
    tiles = [_tile(box, opened, counts[box.kind == "output"] == 1, outermost) for box in boxes]
    edges = list(dict.fromkeys((w.source, i) for i, box in enumerate(boxes) for w in box.reads))
    sink = [i for i, box in enumerate(boxes) if box.kind == "input"] if outermost else []
    layout = lay_out(len(boxes), edges, sink=sink)

    told = labelled(scope, outermost)
    rows = len(layout.tracks)
    tall, label = [0] * rows, [0] * rows
    for i, (tile, row) in enumerate(zip(tiles, layout.rows)):
        tall[row] = max(tall[row], _below(tile))
        label[row] = max(label[row], LABEL if i in told else CLEAR)
    gaps = [label[row] + TRACK * layout.tracks[row] + ARROW for row in range(rows - 1)] + [0]
    tops = [sum(tall[:row]) + sum(gaps[:row]) for row in range(rows)]
    lefts, widths = _lanes(tiles, layout)

    def middle(span: Span) -> int:
        return (lefts[span[0]] + lefts[span[1]] + widths[span[1]]) // 2

    places = [(middle(span) - tile.width // 2, tops[row])
              for tile, span, row in zip(tiles, layout.spans, layout.rows)]

    def path(line: Line) -> tuple[str, str]:
        source, target = line.source, line.target
        above, below = layout.rows[source], layout.rows[target] - 1
        first, along, last = (middle(layout.spans[source]), middle(line.lane),
                              middle(layout.spans[target]))
        start = tops[above] + tall[above] + label[above]
        back = tops[below] + tall[below] + label[below]
        corners = [(first, places[source][1] + _below(tiles[source])),
                   (first, start + TRACK * line.first), (along, start + TRACK * line.first),
                   (along, back + TRACK * line.last), (last, back + TRACK * line.last),
                   (last, places[target][1] - 1)]
        return ("w skip" if line.skips else "w"), rounded(corners)

    labels = [(middle(span) + 5, places[i][1] + _below(tiles[i]) + 12, shape(boxes[i].types[0]))
              for i, span in enumerate(layout.spans) if i in told]
    wide = lefts[-1] + widths[-1]
    return _Sheet(wide, tops[-1] + tall[-1], tiles, places, [path(line) for line in layout.lines],
                  labels, sum(b.params for b in scope.layers), sum(b.macs for b in scope.layers))


def _below(tile: _Tile) -> int:
    """The height of a tile with the edges of its repeats."""
    return tile.height + (2 * SHIFT if tile.box.times > 1 else 0)


def labelled(scope: Scope, outermost: bool) -> set[int]:
    """The boxes with a shape below them: what is read, and not told outside of the scope."""
    boxes = scope.boxes
    read = {w.source for box in boxes for w in box.reads if outermost or box.kind != "output"}
    alone = sum(box.kind == "input" for box in boxes) == 1 and not outermost
    return {i for i in read if not (alone and boxes[i].kind == "input")}


def _lanes(tiles: Sequence[_Tile], layout: Layout) -> tuple[list[int], list[int]]:
    """The left edge and the width of each lane."""
    widths = [THIN] * layout.lanes
    for tile, (first, last) in zip(tiles, layout.spans):
        if first == last:
            widths[first] = max(widths[first], tile.width)
    for tile, (first, last) in zip(tiles, layout.spans):
        lack = tile.width - sum(widths[first:last + 1]) - GAP * (last - first)
        for lane in range(first, last + 1):
            widths[lane] += max(0, -(-lack // (last - first + 1)))
    return [sum(widths[:i]) + GAP * i for i in range(layout.lanes)], widths


def rounded(corners: Sequence[tuple[int, int]]) -> str:
    """A path through corners that are cut round."""
    points = [p for i, p in enumerate(corners) if i == 0 or p != corners[i - 1]]
    points = [p for i, p in enumerate(points) if not 0 < i < len(points) - 1
              or not _straight(points[i - 1], p, points[i + 1])]
    (x, y), *rest = points
    parts = [f"M{x} {y}"]
    for i, (a, b) in enumerate(rest):
        if i == len(rest) - 1:
            parts.append(f"L{a} {b}")
            break
        after = rest[i + 1]
        r = min(ROUND, (abs(a - x) + abs(b - y)) // 2, (abs(after[0] - a) + abs(after[1] - b)) // 2)
        parts.append(f"L{a - _sign(a - x) * r} {b - _sign(b - y) * r}"
                     f"Q{a} {b} {a + _sign(after[0] - a) * r} {b + _sign(after[1] - b) * r}")
        x, y = a, b
    return "".join(parts)


def _straight(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    return a[0] == b[0] == c[0] or a[1] == b[1] == c[1]


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


# ---------------------------------------------------------------------------- elements


def _drawn(sheet: _Sheet, x: int, y: int) -> Iterator[str]:
    yield f'<g transform="translate({x} {y})">' if x or y else "<g>"
    for kind, path in sheet.paths:
        end = "as" if "skip" in kind else "a"
        yield f'<path class="{kind}" d="{path}" marker-end="url(#dg-{end})"/>'
    for tile, place in zip(sheet.tiles, sheet.places):
        yield from _element(tile, *place, sheet)
    for left, base, text in sheet.labels:
        yield f'<text class="t" x="{left}" y="{base}">{_safe(text)}</text>'
    yield "</g>"


def _element(tile: _Tile, x: int, y: int, sheet: _Sheet) -> Iterator[str]:
    box = tile.box
    if tile.dot:
        yield f'<circle class="dot" cx="{x + DOT / 2}" cy="{y + DOT / 2}" r="{DOT / 2}"/>'
        return
    classes = ["end" if box.is_end else box.kind, box.family, "open" if tile.inside else "",
               "part" if box.during != "always" else ""]
    yield f'<g class="{" ".join(filter(None, classes))}"><title>{_safe(told(box))}</title>'
    if box.times > 1:
        for shift in (2 * SHIFT, SHIFT):
            yield (f'<rect class="times" x="{x + shift}" y="{y + shift}" width="{tile.width}" '
                   f'height="{tile.height}" rx="6"/>')
    yield (f'<rect class="r" x="{x}" y="{y}" width="{tile.width}" height="{tile.height}" '
           f'rx="{10 if box.is_end else 6}"/>')
    if not box.is_end and not tile.inside:
        yield (f'<rect class="s" x="{x + 2}" y="{y + 4}" width="3" height="{tile.height - 8}" '
               'rx="1.5"/>')
    if box.is_end:
        for i, (kind, text) in enumerate(tile.lines):
            yield (f'<text class="{kind}" x="{x + tile.width / 2}" y="{y + LINE * (i + 1)}" '
                   f'text-anchor="middle">{_safe(text)}</text>')
    else:
        for i, (kind, text) in enumerate(tile.lines):
            yield (f'<text class="{kind}" x="{x + PAD + 3}" y="{y + LINE * (i + 1)}">'
                   f'{_safe(text)}</text>')
        if not tile.inside and (box.params or box.macs):
            yield from _bars(tile, x, y, sheet)
    if tile.inside:
        yield from _drawn(tile.inside, x + (tile.width - tile.inside.width) // 2,
                          y + LINE * len(tile.lines) + PAD)
    yield "</g>"


def _bars(tile: _Tile, x: int, y: int, sheet: _Sheet) -> Iterator[str]:
    """The box's part of the parameters and of the MACs of what it stands in."""
    full = tile.width - 2 * PAD - 3
    for i, (kind, part, whole) in enumerate((("bp", tile.box.params, sheet.params),
                                             ("bm", tile.box.macs, sheet.macs))):
        place = f'x="{x + PAD + 3}" y="{y + tile.height - 11 + 4 * i}" height="3" rx="1"'
        yield f'<rect class="bar" {place} width="{full}"/>'
        if part:
            yield f'<rect class="{kind}" {place} width="{max(1, full * part / whole):.1f}"/>'


def told(box: Box) -> str:
    """All about a box, as a browser shows it under the pointer."""
    if box.is_end:
        return f"{box.kind} {box.title}: {box.types[0].described()}"
    numbers = " · ".join(filter(None, [
        f"{box.params:,} parameters" if box.params else "",
        f"{box.macs:,} multiply-accumulates" if box.macs else ""]))
    paths = box.paths[0] if len(box.paths) == 1 else f"{box.paths[0]} … {box.paths[-1]}"
    return "\n".join(filter(None, [
        paths, box.full, box.detail, f"makes {box.types[0].described()}", numbers]))
