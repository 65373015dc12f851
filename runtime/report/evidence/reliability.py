"""Whether the probabilities of a classifier can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.data.dataset import Part
from runtime.report.chart import Line, chart
from runtime.report.evidence.seen import LOOKED_AT, Seen
from runtime.report.page import table
from runtime.tasks.calibration import binned, calibration, fitted_temperature
from runtime.tasks.classification import Classification
from runtime.tasks.naming import rows_of, softmax


def reliability(seen: Seen) -> str:
    """The reliability diagram with its bins, and what a temperature would make of it."""
    found = seen.details.get("calibration")
    if not found:
        return ""
    bins: Sequence[Mapping[str, Any]] = found["bins"]
    lines = [Line("as sure as right", [(0.0, 0.0), (1.0, 1.0)], "truth"),
             Line("the model", [(b["confidence"], b["accuracy"]) for b in bins], "model")]
    temperature, after = _scaled(seen)
    note = ""
    if after:
        lines.append(Line(f"at temperature {temperature:.2f}",
                          [(b["confidence"], b["accuracy"]) for b in after["bins"]], "other"))
        note = (f"Logits divided by {temperature:.3g}, the temperature that suits the validation "
                f"part best, would make it {100 * after['ece']:.2f} %; no answer changes by that. ")
    rows = [[f"{100 * b['from']:.0f}–{100 * b['to']:.0f} %", f"{b['examples']:,}",
             f"{100 * b['confidence']:.1f} %", f"{100 * b['accuracy']:.1f} %"] for b in bins]
    return (f'<h3>Calibration</h3><p class="dim">Expected calibration error '
            f"{100 * found['ece']:.2f} %: the mean distance between how sure the model is and how "
            f"often it is right. {note}Below the black line it is too sure.</p>"
            f'<div class="charts">{chart("how often it is right", lines, "how sure it is")}<div>'
            + table(["sure", "examples", "mean", "right"], rows, "<>>>") + "</div></div>")


def _scaled(seen: Seen) -> tuple[float, Mapping[str, Any] | None]:
    """A temperature fitted to the validation part, and the calibration of the report's with it."""
    validation, task = seen.dataset.validation, seen.trained.task
    # A loss of one's own, from Python, may mean anything by its logits.
    if not validation.size or not seen.dataset.test.size or not isinstance(task, Classification):
        return 1.0, None
    temperature = fitted_temperature(
        *_logits(seen, task, validation.take(np.arange(min(validation.size, LOOKED_AT)))))
    logits, labels = _logits(seen, task, seen.part)
    return temperature, calibration(binned(softmax(logits / temperature), labels))


def _logits(seen: Seen, task: Classification, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """The logits (examples, classes) and classes (examples,) of a part."""
    found = [rows_of(outputs[task.chosen(outputs)], batch)
             for outputs, batch in seen.trained.outputs(part, 256)]
    return np.concatenate(found), np.asarray(part.arrays[task.target][np.arange(part.size)])
