"""Line charts as inline SVG; their colours follow the page (see `page.STYLE`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 60, 14, 12, 40
# More points than this are thinned out: no screen shows them.
MOST_POINTS = 1000


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: what the legend calls it.
        points: (x, y); those that are not finite are left out.
        kind: its look: "train", "validation", "truth", "model", "other"; "dots" and "cloud"
            have no line, "area" has no dots; "band" is what its points go round.
    """

    name: str
    points: Sequence[tuple[float, float]]
    kind: str = "train"


def chart(title: str, lines: Sequence[Line], x_name: str = "", *, log: bool = False) -> str:
    """A chart with its legend, as a `figure`; "" where there is nothing to draw.

    Args:
        title: what y is.
        lines: what to draw.
        x_name: what x is.
        log: whether x is on a logarithmic scale.
    """
    lines = [Line(line.name, thin([(x, y) for x, y in line.points
                                   if math.isfinite(x) and math.isfinite(y)]), line.kind)
             for line in lines]
    lines = [line for line in lines if line.points]
    if not lines:
        return ""
    if log:
        lines = [Line(line.name, [(math.log10(x), y) for x, y in line.points], line.kind)
                 for line in lines]
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_ticks, y_ticks = ticks(min(xs), max(xs), 6), ticks(min(ys), max(ys), 5)
    powers = [tick for tick in x_ticks if log and tick % 1 == 0 and min(xs) <= tick <= max(xs)]
    x_ticks = powers if len(powers) > 1 else x_ticks  # 0.001 and 0.01, not 0.00316
    x_low, x_high = min(xs), max(xs)
    if x_low == x_high:
        x_low, x_high = x_low - 0.5, x_high + 0.5
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        return (LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM))

    parts = []
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/><text '
                     f'x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    whole = all(float(x).is_integer() for x in xs)  # there is no epoch 1.5
    for tick in x_ticks:
        if x_low <= tick <= x_high and not (whole and tick % 1):
            x, _ = place(tick, y_low)
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
                         f'{short(float(f"{10 ** tick:.3g}") if log else tick)}</text>')
    if x_name:
        parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 4}" '
                     f'text-anchor="middle">{escape(x_name)}</text>')
    for line in lines:
        spots = [place(x, y) for x, y in line.points]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        bare = line.kind in ("dots", "cloud")
        if not bare:
            parts.append(f'<path class="line {line.kind}" d="{path}"/>')
        size = 4 if line.kind == "dots" or len(spots) == 1 else 2.2
        if len(spots) <= 30 and line.kind not in ("area", "band") or bare:
            parts += [f'<circle class="{line.kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'
                      for x, y in spots]
    legend = "".join(f'<span><i class="{line.kind}"></i>{escape(line.name)}</span>'
                     for line in lines) if len(lines) > 1 or lines[0].name != title else ""
    return (f'<figure class="chart"><figcaption><b>{escape(title)}</b>{legend}</figcaption>'
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
            f'{"".join(parts)}</svg></figure>')


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from at most `low` to at least `high`; two at least."""
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        # One value: room on both sides of it.
        reach = abs(low) / 10 or 1.0
        low, high = low - reach, high + reach
    raw = (high - low) / max(count - 1, 1)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def number(value: float) -> str:
    """"0.25", "1,000", "412,788", "1e-05"."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e9:
        return f"{value:,.10g}"
    return f"{value:.3g}"


def short(value: float) -> str:
    """A number at an axis: "0.25", "1,000", "250 k", "1.5 M"."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if 1e5 <= abs(value) < 1e13 and abs(value) >= size:
            return f"{value / size:.6g} {prefix}"
    return number(value)


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_POINTS` of the points, evenly spaced, the last one always."""
    if len(points) <= MOST_POINTS:
        return list(points)
    stride = -(-len(points) // MOST_POINTS)
    return [*points[:-1:stride], points[-1]]
