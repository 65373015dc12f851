"""Numbers: what was said against what is true, errors, forecasts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from runtime.report.chart import Line, chart, number
from runtime.report.evidence.seen import SHOWN, Seen
from runtime.report.page import table
from runtime.tasks.forecast_words import intervals


def values(seen: Seen) -> str:
    parts = []
    for name in seen.said[0]["values"]:
        said = np.array([s["values"][name] for s in seen.said], float).reshape(len(seen.said), -1)
        true = np.array([t["values"][name] for t in seen.true], float).reshape(said.shape)
        unit = _unit(seen, name)
        error = said - true
        low, high = min(said.min(), true.min()), max(said.max(), true.max())
        parts.append(chart(f"{name}{unit}: said against true", [
            Line("right", [(low, low), (high, high)], "truth"),
            Line("an example", list(zip(true.ravel(), said.ravel())), "cloud")], f"true {name}"))
        parts.append(chart(f"{name}{unit}: error (said − true)", [
            Line("right", [(low, 0.0), (high, 0.0)], "truth"),
            Line("an example", list(zip(said.ravel(), error.ravel())), "cloud")], f"said {name}"))
        parts.append(chart(f"{name}{unit}: how large errors are", [
            Line("examples", _steps(error.ravel()), "area")], "error (said − true)"))
        worst = np.argsort(-np.abs(error).max(axis=1), kind="stable")[:SHOWN]
        at = np.abs(error).argmax(axis=1)
        parts.append("<div><b>The largest errors</b>" + table(
            ["example", "said", "true", "error"],
            [[seen.part.called(int(i)), *(number6(float(v[i, at[i]]))
                                          for v in (said, true, error))] for i in worst],
            "<>>>") + "</div>")
    return f'<div class="charts">{"".join(parts)}</div>'


def _steps(errors: np.ndarray) -> list[tuple[float, float]]:
    """The outline of a histogram."""
    errors = errors[np.isfinite(errors)]
    if not len(errors):
        return []
    counts, edges = np.histogram(errors, bins=int(np.clip(np.sqrt(len(errors)), 5, 40)))
    points = [(float(edges[0]), 0.0)]
    for count, left, right in zip(counts, edges, edges[1:]):
        points += [(float(left), float(count)), (float(right), float(count))]
    return [*points, (float(edges[-1]), 0.0)]


def _unit(seen: Seen, name: str) -> str:
    unit = seen.said[0].get("units", {}).get(name)
    return f" ({unit})" if unit else ""


def forecasts(seen: Seen) -> str:
    parts = []
    for name in seen.said[0]["forecast"]:
        said = np.atleast_2d([np.ravel(s["forecast"][name]) for s in seen.said])
        true = np.atleast_2d([np.ravel(t["forecast"][name]) for t in seen.true])
        bands = _bands(seen, name)
        unit = _unit(seen, name)
        for ahead in sorted({0, said.shape[1] - 1}):
            steps = f"{ahead + 1} step{'s' if ahead else ''} ahead"
            parts.append(chart(f"{name}{unit}, {steps}", [
                *(_band(title, range(len(said)), low[:, ahead], high[:, ahead])
                  for title, (low, high) in bands.items()),
                Line("truth", list(enumerate(true[:, ahead])), "truth"),
                Line("the model", list(enumerate(said[:, ahead])), "model")], "window"))
        if said.shape[1] > 1:
            error = np.abs(said - true).mean(axis=0)
            parts.append(chart(f"{name}{unit}, mean absolute error", [
                Line("the model", [(i + 1, e) for i, e in enumerate(error)], "model")],
                "steps ahead"))
            worst = np.argsort(-np.abs(said - true).mean(axis=1), kind="stable")
            for title, i in (("the worst forecast", worst[0]),
                             ("one of middling quality", worst[len(worst) // 2])):
                parts.append(_window(seen, name, f"{name}{unit}: {title}", int(i),
                                     said[i], true[i], bands))
    return f'<div class="charts">{"".join(parts)}</div>'


def _bands(seen: Seen, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The intervals of a column by their title, the widest first: (windows, horizon) each."""
    told = seen.said[0].get("quantiles", {})

    def values(level: str) -> np.ndarray:
        return np.atleast_2d([np.ravel(s["quantiles"][level][name]) for s in seen.said])

    levels = list(told)
    return {f"{share} % interval": (values(levels[low]), values(levels[high]))
            for share, (low, high) in intervals([float(level) for level in levels]).items()}


def _band(
    title: str, steps: Iterable[int], low: Iterable[float], high: Iterable[float],
) -> Line:
    """What lies between two lines: along the lower one, and back along the upper one."""
    below, above = list(zip(steps, low)), list(zip(steps, high))
    return Line(title, [*below, *above[::-1]], "band")


def _window(
    seen: Seen, name: str, title: str, i: int, said: np.ndarray, true: np.ndarray,
    bands: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> str:
    """One forecast behind what came before it."""
    lines = [_band(band, range(1, len(said) + 1), low[i], high[i])
             for band, (low, high) in bands.items()]
    scale = seen.dataset.scales.get("past")
    past = seen.part.arrays.get("past")
    if scale is not None and past is not None and name in scale.names:
        channel = scale.names.index(name)
        before = np.asarray(past[i])[:, channel] * scale.deviation[channel] + scale.mean[channel]
        lines.append(Line("before", [(j + 1 - len(before), v) for j, v in enumerate(before)],
                          "train"))
    lines += [Line("truth", [(j + 1, v) for j, v in enumerate(true)], "truth"),
              Line("the model", [(j + 1, v) for j, v in enumerate(said)], "model")]
    return chart(title, lines, "steps ahead")


def number6(value: float) -> str:
    return number(float(f"{value:.6g}"))
