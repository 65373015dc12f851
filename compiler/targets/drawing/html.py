"""The drawing as one HTML page that opens offline: it folds, and finds words.

The browser places the boxes (a CSS grid for each scope, whose rows and lanes stand in the
classes); `page.js` draws the wires between them, again after each fold. Folding itself needs no
script. The page may load nothing, and runs no other script than its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path

from compiler.targets.drawing.boxes import Box, Scene, Scope
from compiler.targets.drawing.figures import costs
from compiler.targets.drawing.layout import Layout, lay_out
from compiler.targets.drawing.svg import LEGEND, PALETTE, labelled, told
from compiler.targets.drawing.words import caption, figures, heading, printable, shape

# Boxes that stand open at first, and the most that a page holds: of more, those that are open.
FITTING = 40
MOST = 6_000


def page(scene: Scene, opened: frozenset[int], mark: str) -> str:
    """The page.

    Args:
        scene: what to draw.
        opened: the boxes that stand open at first.
        mark: a comment that says what made the file.
    """
    whole = sum(1 for _ in scene.scope.all()) <= MOST
    body = "".join(_scope(scene.scope, scene.scope, opened, whole))
    style = (PALETTE.replace(".dg{", ":root{") + _own_text("page.css") + _placing(scene.scope))
    script = _own_text("page.js")
    policy = (f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
              "base-uri 'none'; form-action 'none'")
    deepest = _depth(scene.scope)
    levels = "".join(f'<option value="{i}">{i} level{"s" if i > 1 else ""}</option>'
                     for i in range(1, deepest + 1))
    numbers = costs(scene.params, scene.macs)
    steps = f" for {scene.length} steps" if scene.length else ""
    key = ('<svg class="key" viewBox="0 0 18 7" aria-hidden="true"><rect class="p" width="18" '
           'height="3"/><rect class="m" y="4" width="18" height="3"/></svg>')
    return (f'<!doctype html>\n<!-- {mark} -->\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            f"<title>{_safe(scene.name)}</title><style>{style}</style></head>\n"
            f"<body><header><div><h1>{_safe(scene.name)}</h1>"
            f'<span class="f">{numbers}{steps}</span></div>'
            f'<span class="dim">{key} {_safe(LEGEND)}</span>'
            '<div class="tools" role="search"><input id="word" type="search" '
            'placeholder="find: conv, stage1, 3 …" aria-label="find boxes" '
            'aria-keyshortcuts="/"><span id="found" class="dim" role="status"></span>'
            f'<select id="levels" aria-label="levels to open"><option value="">levels</option>'
            f'{levels}</select><button id="open" type="button">open all</button>'
            '<button id="fold" type="button">fold all</button></div></header>\n'
            '<noscript><p>The wires and the search need this page\'s own script.</p></noscript>'
            f"<main>{body}</main>\n"
            '<output id="told" aria-live="polite"></output>'
            f"<script>{script}</script></body></html>\n")


def _own_text(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _safe(text: str) -> str:
    return escape(printable(text))


def _depth(scope: Scope) -> int:
    return 1 + max((_depth(box.inside) for box in scope.layers if box.inside), default=0)


def _layout(scope: Scope, outermost: bool) -> Layout:
    edges = list(dict.fromkeys(
        (w.source, i) for i, box in enumerate(scope.boxes) for w in box.reads))
    sink = [i for i, box in enumerate(scope.boxes) if box.kind == "input"] if outermost else []
    return lay_out(len(scope.boxes), edges, sink=sink)


def _placing(scope: Scope) -> str:
    """The rules that put things into rows, lanes and gaps of so many tracks."""
    rows, spans, tracks = {0}, {(0, 0)}, {0}

    def collect(inner: Scope, outermost: bool) -> None:
        layout = _layout(inner, outermost)
        rows.update(range(2 * len(layout.tracks)))
        spans.update(layout.spans)
        spans.update((i, i) for i in range(layout.lanes))
        spans.add((0, layout.lanes - 1))
        tracks.update(layout.tracks)
        for box in inner.layers:
            if box.inside is not None:
                collect(box.inside, False)

    collect(scope, True)
    return "".join([
        *(f".r{row}{{grid-row:{row + 1}}}" for row in sorted(rows)),
        *(f".l{a}-{b}{{grid-column:{a + 1}/{b + 2}}}" for a, b in sorted(spans)),
        *(f".t{n}{{height:{18 + 9 * n}px}}.told.t{n}{{height:{30 + 9 * n}px}}"
          for n in sorted(tracks))])


def _scope(scope: Scope, model: Scope, opened: frozenset[int], whole: bool) -> Iterator[str]:
    outermost = scope is model
    layout = _layout(scope, outermost)
    shown = labelled(scope, outermost)
    lines = [[line.source, line.target, *line.lane, line.first, line.last, int(line.skips)]
             for line in layout.lines]
    places = [[row, *span] for row, span in zip(layout.rows, layout.spans)]
    yield (f'<div class="scope" data-lines="{json.dumps(lines, separators=(",", ":"))}" '
           f'data-places="{json.dumps(places, separators=(",", ":"))}">')
    yield ('<svg class="wires" aria-hidden="true"><defs>' + "".join(
        f'<marker id="dg-{name}" class="{name}" viewBox="0 0 6 6" refX="5.4" refY="3" '
        'markerWidth="6.5" markerHeight="6.5" markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M0 0L6 3L0 6z"/></marker>' for name in ("a", "as"))
        + "</defs></svg>" if outermost else '<svg class="wires" aria-hidden="true"></svg>')
    yield from (f'<i class="lane l{i}-{i}"></i>' for i in range(layout.lanes))
    told_rows = {layout.rows[i] for i in shown}
    for row, tracks in enumerate(layout.tracks[:-1]):
        mark = " told" if row in told_rows else ""
        yield f'<i class="gap r{2 * row + 1} l0-{layout.lanes - 1} t{tracks}{mark}"></i>'
    params, macs = sum(b.params for b in scope.layers), sum(b.macs for b in scope.layers)
    alone = {kind: sum(b.kind == kind for b in scope.boxes) == 1 and not outermost
             for kind in ("input", "output")}
    for i, (box, row, (a, b)) in enumerate(zip(scope.boxes, layout.rows, layout.spans)):
        place = f"r{2 * row} l{a}-{b}"
        if box.is_end and alone[box.kind]:
            yield f'<i class="b dot {place}"></i>'
        else:
            yield from _box(box, place, params, macs, model, opened, whole)
        if i in shown:
            yield (f'<span class="label r{2 * row + 1} l{a}-{b}"><span>'
                   f"{_safe(shape(box.types[0]))}</span></span>")
    yield "</div>"


def _box(box: Box, place: str, params: int, macs: int, model: Scope, opened: frozenset[int],
         whole: bool) -> Iterator[str]:
    everything = f'data-told="{_safe_lines(told(box))}"'
    if box.is_end:
        yield f'<div class="b box end {place}" {everything} tabindex="0">{_safe(box.title)}</div>'
        return
    marks = (" many" if box.times > 1 else "") + (" part" if box.during != "always" else "")
    texts = (("c", caption(box)), ("h", heading(box)), ("d", box.detail), ("f", figures(box)))
    inside = "".join(f'<span class="{kind}">{_safe(text)}</span>' for kind, text in texts if text)
    if box.params or box.macs:
        inside += _bars(box, params, macs)
    if box.inside is None or not (whole or id(box) in opened):
        yield (f'<div class="b box leaf {box.family} {place}{marks}" {everything} tabindex="0">'
               f"{inside}</div>")
        return
    is_open = " open" if id(box) in opened else ""
    yield (f'<details class="b box {place}{marks}" {everything}{is_open}><summary>{inside}'
           "</summary>")
    yield from _scope(box.inside, model, opened, whole)
    yield "</details>"


def _bars(box: Box, params: int, macs: int) -> str:
    rows = "".join(
        f'<rect class="g" y="{y}" width="100" height="3"/>' + (
            f'<rect class="{kind}" y="{y}" width="{max(0.7, 100 * part / whole):.1f}" '
            'height="3"/>' if part else "")
        for y, kind, part, whole in ((0, "p", box.params, params), (4, "m", box.macs, macs)))
    return ('<svg class="bars" viewBox="0 0 100 7" preserveAspectRatio="none" '
            f'aria-hidden="true">{rows}</svg>')


def _safe_lines(text: str) -> str:
    return "&#10;".join(map(_safe, text.split("\n")))
