"""sweep.html: the trials of a sweep as a table and as plots."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from runtime.report.chart import Line, chart
from runtime.report.console import figure, span
from runtime.report.page import page, table, tile
from runtime.sweep import Trial, best

SHOWN = 200


def sweep_page(
    name: str, metric: str, highest: bool, trials: Sequence[Trial], command: str,
) -> str:
    """The page.

    Args:
        name: the recipe's name.
        metric: what was chosen by.
        highest: whether its highest value is best.
        trials: in the order they were made.
        command: what trains the best one again.
    """
    top = best(trials, highest)
    seconds = sum(trial.seconds for trial in trials)
    tiles = [tile(f"{len(trials):,}", "trials"), tile(span(seconds), "in all")]
    if top is not None and top.score is not None:
        tiles.insert(0, tile(figure(metric, top.score), f"{metric}, the best: trial {top.number}"))
    head = f'<h1>{escape(name)}: a sweep</h1><div class="tiles">{"".join(tiles)}</div>'
    return page(f"{name}: a sweep", head, [
        ("values", f"{metric} by what was tried", _plots(metric, trials, highest)),
        ("curves", "Curves of the best and the worst", _curves(metric, trials, highest)),
        ("trials", "Trials, the best first", _table(metric, trials, highest)),
        ("again", "The best one again", f"<pre>{escape(command)}</pre>" if command else "")])


def ranked(trials: Sequence[Trial], highest: bool) -> list[Trial]:
    """The best first; those without a score last."""
    return sorted(trials, key=lambda t: (
        t.state != "finished", -(t.score or 0.0) if highest else (t.score or 0.0), t.number))


def _plots(metric: str, trials: Sequence[Trial], highest: bool) -> str:
    done = [t for t in trials if t.score is not None]
    if not done:
        return ""
    running, so_far = [], None
    for trial in done:
        score = trial.score or 0.0
        so_far = score if so_far is None else (max if highest else min)(so_far, score)
        running.append((trial.number, so_far))
    charts = [chart(metric, [
        Line("trial", [(t.number, t.score or 0.0) for t in done], "dots"),
        Line("the best so far", running, "validation")], "trial")]
    for path in done[0].values:
        values = [(t.values[path], t.score or 0.0) for t in done]
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v, _ in values):
            low, high = min(v for v, _ in values), max(v for v, _ in values)
            title = f"{metric} by {path}"
            charts.append(chart(title, [Line(title, values, "dots")], path,
                                log=low > 0 and high / low >= 20))
        else:
            charts.append(_means(path, metric, values))
    return f'<div class="charts">{"".join(charts)}</div>'


def _means(path: str, metric: str, values: Sequence[tuple[object, float]]) -> str:
    """For values that are no numbers: the mean and the range by value."""
    groups: dict[str, list[float]] = {}
    for value, score in values:
        groups.setdefault(str(value), []).append(score)
    rows = [[value, str(len(scores)), figure(metric, sum(scores) / len(scores)),
             figure(metric, min(scores)), figure(metric, max(scores))]
            for value, scores in groups.items()]
    return f"<figure><b>{escape(path)}</b>" + table(
        ["value", "trials", "mean", "lowest", "highest"], rows, "<>>>>") + "</figure>"


def _curves(metric: str, trials: Sequence[Trial], highest: bool) -> str:
    order = [t for t in ranked(trials, highest) if len(t.curve) > 1]
    if len(order) < 2:
        return ""
    curves = chart(f"{metric} on validation", [
        Line(f"trial {order[0].number}, the best", [(x, y) for x, y in order[0].curve],
             "validation"),
        Line(f"trial {order[-1].number}", [(x, y) for x, y in order[-1].curve], "train")], "epoch")
    return f'<div class="charts">{curves}</div>'


def _table(metric: str, trials: Sequence[Trial], highest: bool) -> str:
    if not trials:
        return ""
    paths = list(trials[0].values)
    rows = [[str(t.number), figure(metric, t.score) if t.score is not None else t.state,
             *(shown(t.values[path]) for path in paths), span(t.seconds), t.note]
            for t in ranked(trials, highest)[:SHOWN]]
    return table(["trial", metric, *paths, "time", ""], rows, ">>" + ">" * (len(paths) + 1) + "<")


def shown(value: object) -> str:
    """"0.00123", "relu"."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
