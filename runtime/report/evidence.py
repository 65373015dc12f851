"""What a model says of examples it never saw, beside the truth: the middle of the report.

Each kind of prediction has its own way to be looked at; which one it is tells the key that
the task's predictions have (`label`, `forecast`, `mask`, …).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from runtime.data.dataset import Dataset, Part
from runtime.report.chart import Line, chart, number
from runtime.report.console import figure
from runtime.report.page import table
from runtime.report.png import as_pixels, data_uri
from runtime.report.samples import continuations, text_of
from runtime.saved import Trained

# How many examples are looked at in search of mistakes, and how many of these are shown.
LOOKED_AT, SHOWN = 5000, 12
# A confusion matrix of more classes is a list of what is most often mistaken instead.
MATRIX = 30
Told = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """Examples with what the model says of them.

    Attributes:
        trained: the model.
        dataset: the data; `part` is one of its parts.
        part: the examples.
        said: the prediction for each.
        true: the truth for each, in the same terms.
        details: scores by class, counted over every example of the part.
    """

    trained: Trained
    dataset: Dataset
    part: Part
    said: Sequence[Told]
    true: Sequence[Told]
    details: Mapping[str, Any]


def evidence(trained: Trained, dataset: Dataset, details: Mapping[str, Any]) -> str:
    """The body of the section, for the test part or, where there is none, for validation."""
    part = dataset.test if dataset.test.size else dataset.validation
    if not part.size:
        return ""
    chosen = np.unique(np.linspace(0, part.size - 1, min(part.size, LOOKED_AT)).astype(int))
    part = part.take(chosen)
    seen = Seen(trained, dataset, part, trained.predictions(part), trained.truths(part), details)
    ways: dict[str, Callable[[Seen], str]] = {
        "label": _labels, "labels": _label_sets, "values": _values, "tags": _tags,
        "mask": _masks, "forecast": _forecasts, "next": _texts}
    return next((way(seen) for key, way in ways.items() if key in seen.said[0]), "")


# ---------------------------------------------------------------------- classification


def _labels(seen: Seen) -> str:
    wrong = [i for i, (said, true) in enumerate(zip(seen.said, seen.true))
             if said["label"] != true["label"]]
    worst = sorted(wrong, key=lambda i: -seen.said[i]["probability"])[:SHOWN]
    rate = f"{len(wrong):,} of {len(seen.said):,} examples are mistaken"
    shots = "".join(_shot(seen, i, (
        f'<span class="said">{escape(str(seen.said[i]["label"]))}</span> '
        f'{100 * seen.said[i]["probability"]:.0f} %, is '
        f'<span class="true">{escape(str(seen.true[i]["label"]))}</span>')) for i in worst)
    mistakes = (f'<h3>The most certain mistakes</h3><p class="dim">{rate}; these are the ones of '
                f'which the model is most sure.</p><div class="shots">{shots}</div>'
                if worst else f'<p class="dim">{rate}.</p>')
    return _confusion(seen.details) + mistakes + _by_class(seen.details)


def _confusion(details: Mapping[str, Any]) -> str:
    """The confusion matrix, or for many classes the pairs that are most often mistaken."""
    counts, classes = details.get("confusion"), details.get("classes", [])
    if not counts:
        return ""
    names = [str(c["name"]) for c in classes]
    if len(names) > MATRIX:
        pairs = sorted(((count, i, j) for i, row in enumerate(counts)
                        for j, count in enumerate(row) if i != j and count), reverse=True)[:25]
        return "<h3>What is most often mistaken</h3>" + table(
            ["true", "taken for", "examples"],
            [[names[i], names[j], f"{count:,}"] for count, i, j in pairs], "<<>")
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = []
    for i, row in enumerate(counts):
        total = max(sum(row), 1)
        cells = "".join(_cell(count, count / total, i == j) for j, count in enumerate(row))
        rows.append(f'<tr><th scope="row" class="row">{escape(names[i])}</th>{cells}</tr>')
    return ('<h3>Confusion matrix</h3><p class="dim">A row is a true class, a column what the '
            'model takes it for.</p><div class="wide"><table class="matrix"><thead><tr><th></th>'
            f'{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>')


def _cell(count: int, share: float, right: bool) -> str:
    colour = "heat" if right else "wrong"
    # Rare mistakes are to be seen, too.
    strength = 0.75 * share if right else min(0.85, 0.18 + 1.5 * share)
    style = f' style="background:rgba(var(--{colour}),{strength:.2f})"' if count else ""
    return f"<td{style}>{count:,}</td>" if count else '<td class="dim">·</td>'


def _by_class(details: Mapping[str, Any]) -> str:
    classes = details.get("classes", [])
    if not classes:
        return ""
    scores = [key for key in classes[0] if key not in ("name", "examples")]
    rows = [[str(c["name"]), f"{c['examples']:,}", *(figure(s, c[s]) for s in scores)]
            for c in sorted(classes, key=lambda c: c.get("f1", 0))[:100]]
    return "<h3>By class, the hardest first</h3>" + table(
        ["class", "examples", *scores], rows, "<" + ">" * (len(scores) + 1))


def _label_sets(seen: Seen) -> str:
    def wrong(i: int) -> int:
        return len(set(seen.said[i]["labels"]) ^ set(seen.true[i]["labels"]))

    worst = [i for i in sorted(range(len(seen.said)), key=wrong, reverse=True)[:SHOWN] if wrong(i)]
    shots = "".join(_shot(seen, i, (
        f'<span class="said">{_names(seen.said[i]["labels"])}</span>, is '
        f'<span class="true">{_names(seen.true[i]["labels"])}</span>')) for i in worst)
    return _by_class(seen.details) + (
        f'<h3>The worst mistakes</h3><div class="shots">{shots}</div>' if shots else "")


def _tags(seen: Seen) -> str:
    def wrong(i: int) -> int:
        return sum(t is not None and s != t
                   for s, t in zip(seen.said[i]["tags"], seen.true[i]["tags"]))

    worst = [i for i in sorted(range(len(seen.said)), key=wrong, reverse=True)[:SHOWN] if wrong(i)]
    lines = []
    for i in worst:
        words = _tokens(seen, i) or [str(n + 1) for n in range(len(seen.said[i]["tags"]))]
        shown = " ".join(
            escape(word) if true is None or said == true else
            f'{escape(word)} <span class="said">{escape(str(said))}</span>/'
            f'<span class="true">{escape(str(true))}</span>'
            for word, said, true in zip(words, seen.said[i]["tags"], seen.true[i]["tags"]))
        lines.append(f"<p>{shown}</p>")
    return _by_class(seen.details) + (
        "<h3>The worst mistakes</h3><p class=\"dim\">Said / true, where they differ.</p>"
        + "".join(lines) if lines else "")


# ----------------------------------------------------------------------------- numbers


def _values(seen: Seen) -> str:
    parts = []
    for name in seen.said[0]["values"]:
        said = np.array([s["values"][name] for s in seen.said], float)
        true = np.array([t["values"][name] for t in seen.true], float)
        if said.ndim > 1:
            said, true = said.reshape(-1), true.reshape(-1)
        order = np.argsort(true, kind="stable")
        parts.append(chart(f"{name}, sorted by the truth", [
            Line("the model", list(enumerate(said[order])), "model"),
            Line("truth", list(enumerate(true[order])), "truth")], "example"))
        worst = np.argsort(-np.abs(said - true))[:SHOWN]
        parts.append(f"<div><h3>{escape(name)}: the largest errors</h3>" + table(
            ["example", "said", "true", "error"],
            [[seen.part.called(int(i)), *(number6(float(v)) for v in (
                said[i], true[i], said[i] - true[i]))] for i in worst], "<>>>") + "</div>")
    return f'<div class="charts">{"".join(parts)}</div>'


def _forecasts(seen: Seen) -> str:
    units = seen.said[0].get("units", {})
    parts = []
    for name in seen.said[0]["forecast"]:
        said = np.atleast_2d([np.ravel(s["forecast"][name]) for s in seen.said])
        true = np.atleast_2d([np.ravel(t["forecast"][name]) for t in seen.true])
        unit = f" ({units[name]})" if name in units else ""
        for ahead in sorted({0, said.shape[1] - 1}):
            steps = f"{ahead + 1} step{'s' if ahead else ''} ahead"
            parts.append(chart(f"{name}{unit}, {steps}", [
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
                                     said[i], true[i]))
    return f'<div class="charts">{"".join(parts)}</div>'


def _window(
    seen: Seen, name: str, title: str, i: int, said: np.ndarray, true: np.ndarray,
) -> str:
    """One forecast behind what came before it."""
    lines = []
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


# -------------------------------------------------------------------- pictures and text


def _masks(seen: Seen) -> str:
    def wrong(i: int) -> float:
        said, true = np.array(seen.said[i]["mask"]), np.array(seen.true[i]["mask"])
        return float((said != true).mean())

    worst = sorted(range(len(seen.said)), key=wrong, reverse=True)[:SHOWN // 3]
    classes = 1 + max(int(np.max(told["mask"])) for told in [*seen.said, *seen.true])
    shots = []
    for i in worst:
        image = _image(seen, i)
        pictures = [("image", image)] if image is not None else []
        pictures += [("the model", _coloured(seen.said[i]["mask"], classes)),
                     ("truth", _coloured(seen.true[i]["mask"], classes))]
        shots += [_picture(pixels, escape(f"{seen.part.called(i)}: {what}"))
                  for what, pixels in pictures]
    return _by_class(seen.details) + (
        f'<h3>The worst masks</h3><div class="shots">{"".join(shots)}</div>')


def _coloured(mask: Any, classes: int) -> np.ndarray:
    """A mask (height, width) of class numbers in colours: (height, width, 3)."""
    hue = np.arange(classes) / max(classes, 1)
    wheel = np.stack([np.clip(np.abs((hue + shift) * 6 % 6 - 3) - 1, 0, 1)
                      for shift in (0, 2 / 3, 1 / 3)], axis=-1)
    wheel = np.round(40 + 190 * wheel).astype(np.uint8)
    numbers = np.asarray(mask, int)
    inside = (numbers >= 0) & (numbers < classes)
    return np.where(inside[..., None], wheel[np.where(inside, numbers, 0)], 128).astype(np.uint8)


def _texts(seen: Seen) -> str:
    """Texts that the model goes on with, from the beginnings of real ones."""
    parts = []
    for prompt, told in continuations(seen.trained, seen.part):
        bodies = "".join(
            f'<p class="dim">temperature {temperature:g}</p><pre class="text"><b>'
            f"{escape(prompt)}</b>{escape(text)}</pre>" for temperature, text in told)
        parts.append(bodies)
    if not parts:
        return ""
    return ('<p class="dim">In bold the beginning of a text of the test part, then what the model '
            "goes on with. A low temperature keeps to what is likely.</p>" + "".join(parts))


def _shot(seen: Seen, i: int, caption: str) -> str:
    """An example with a caption: its picture, or its text, or its name alone."""
    name = f'<br><span class="dim">{escape(seen.part.called(i))}</span>'
    image = _image(seen, i)
    if image is not None:
        return _picture(image, caption + name)
    text = text_of(_tokens(seen, i))
    shown = f'<pre class="text">{escape(text[:300])}</pre>' if text else ""
    return f"<figure>{shown}<figcaption>{caption}{name}</figcaption></figure>"


def _picture(pixels: np.ndarray, caption: str) -> str:
    return (f'<figure><img src="{data_uri(pixels)}" alt="">'
            f"<figcaption>{caption}</figcaption></figure>")


def _image(seen: Seen, i: int) -> np.ndarray | None:
    """The picture that the model got: (height, width, channels) bytes; None where it got none."""
    for name, kind in seen.dataset.fields.items():
        if kind.axes == ("height", "width", "channels") and kind.dtype == "float" and (
                name in seen.part.arrays):
            return as_pixels(np.asarray(seen.part.arrays[name][np.array([i])])[0])
    return None


def _tokens(seen: Seen, i: int) -> list[str]:
    """The tokens that the model got; [] where it got none or nobody knows what they are."""
    meaning = seen.dataset.meaning
    for name, kind in meaning.fields.items():
        if name in seen.part.arrays and kind.axes == ("time",) and kind.dtype == "int" and (
                name in meaning.labels and name not in seen.trained.training.data.targets()):
            row = np.asarray(seen.part.arrays[name][np.array([i])])[0]
            end = seen.part.lengths[name][i] if name in seen.part.lengths else len(row)
            names = meaning.names(name, int(row.max(initial=0)) + 1)
            return [names[token] for token in row[:end]]
    return []


def _names(labels: Sequence[str]) -> str:
    return escape(", ".join(map(str, labels))) or "nothing"
