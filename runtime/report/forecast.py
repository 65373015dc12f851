"""A forecast drawn: what came before, the values to come, and what lies between quantiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime.report.chart import short, ticks
from runtime.report.svg import COLOURS, INK, Svg
from runtime.tasks.drawing import Drawing, nothing_to_draw
from runtime.tasks.forecast_words import intervals

if TYPE_CHECKING:
    from runtime.data.dataset import Part
    from runtime.saved import Trained
    from runtime.tasks.forecasting import Forecasting

WIDTH, HEIGHT = 640, 240  # of a column's chart
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 30, 34
GREY = "#8a94a3"


def drawings(
    task: Forecasting, trained: Trained, part: Part, said: Sequence[Mapping[str, Any]],
) -> Iterator[Drawing]:
    """A chart of every column for each example.

    Raises:
        SpecError: F0690 nobody knows what the columns are.
    """
    scale = trained.preprocessing.meaning.scales.get(task.past)
    if scale is None:
        raise nothing_to_draw(task, f"nothing is known of the columns of `{task.past}`")
    for number, told in enumerate(said):
        past = np.asarray(part.arrays[task.past][number]) * scale.deviation + scale.mean
        before = {name: past[:, i] for i, name in enumerate(scale.names)}
        yield Drawing(".svg", drawn(told, before).document())


def drawn(told: Mapping[str, Any], before: Mapping[str, np.ndarray]) -> Svg:
    """The charts, one below the other.

    Args:
        told: what `Forecasting.predictions` gave.
        before: (steps,) of each column that is known, in the data's own units.
    """
    drawing = Svg(WIDTH, HEIGHT * len(told["forecast"]))
    for number, (name, values) in enumerate(told["forecast"].items()):
        levels = told.get("quantiles", {})
        unit = told.get("units", {}).get(name)
        quantiles = {float(level): list(columns[name]) for level, columns in levels.items()}
        _column(drawing, HEIGHT * number, f"{name} ({unit})" if unit else name,
                list(before.get(name, ())), list(values), quantiles, told.get("times", ()))
    return drawing


def _column(
    drawing: Svg, top: float, title: str, before: Sequence[float], values: Sequence[float],
    quantiles: Mapping[float, Sequence[float]], times: Sequence[Any],
) -> None:
    """The chart of a column, from `top` on."""
    every = [*before, *values, *(v for level in quantiles.values() for v in level)]
    marks = ticks(min(every), max(every), 5)
    low, high = marks[0], marks[-1]
    first, last = 1 - len(before), len(values)

    def place(step: float, value: float) -> tuple[float, float]:
        across = (step - first) / max(last - first, 1)
        return (LEFT + across * (WIDTH - LEFT - RIGHT),
                top + HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM))

    drawing.text(LEFT, top + 18, title, size=14, bold=True)
    for mark in marks:
        _, y = place(first, mark)
        drawing.line([(LEFT, y), (WIDTH - RIGHT, y)], GREY, 0.5, opacity=0.5)
        drawing.text(LEFT - 8, y + 4, short(mark), size=11, anchor="end")
    levels = list(quantiles)
    for below, above in intervals(levels).values():
        edges = [[place(step + 1, value) for step, value in enumerate(quantiles[levels[i]])]
                 for i in (below, above)]
        if len(values) == 1:  # an area of no width is not seen
            drawing.line([edges[0][0], edges[1][0]], COLOURS[2], 6, opacity=0.3)
        else:
            start = [place(0, before[-1])] if before else []
            drawing.area([*start, *edges[0], *edges[1][::-1]], COLOURS[2], 0.2)
    drawing.line([place(first + i, value) for i, value in enumerate(before)], INK)
    said = [place(step + 1, value) for step, value in enumerate(values)]
    joined = [place(0, before[-1]), *said] if before else said
    drawing.line(joined, COLOURS[2], 2)
    if shares := list(intervals(levels)):
        drawing.text(WIDTH - RIGHT, top + 18, f"shaded: {', '.join(shares)} %", size=11,
                     anchor="end")
    labels = [str(times[0]), str(times[-1])] if len(times) == last > 1 else ["+1", f"+{last}"]
    _beneath(drawing, labels, [place(step, low)[0] for step in (1, last)],
             top + HEIGHT - BOTTOM + 18)


def _beneath(drawing: Svg, labels: Sequence[str], places: Sequence[float], y: float) -> None:
    """The labels of the first step to come and of the last one; as one where they would meet."""
    first, last = labels
    if places[1] - places[0] < 7 * len(last):
        told = first if first == last else f"{first} to {last}"
        drawing.text(places[1], y, told, size=11, anchor="end")
        return
    drawing.text(places[1], y, last, size=11, anchor="end")
    anchor = "start" if places[0] - 7 * len(first) < LEFT else "end"
    drawing.text(places[0], y, first, size=11, anchor=anchor)
