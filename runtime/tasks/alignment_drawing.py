"""A sound as it is heard: its spectrogram, and below it when the model says which unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from runtime.data.transcripts import BEGINS
from runtime.report.paint import heat
from runtime.report.svg import COLOURS, Svg
from runtime.tasks.ctc import BLANK
from runtime.tasks.ctc_search import aligned
from runtime.tasks.drawing import Drawing, nothing_to_draw

if TYPE_CHECKING:
    from runtime.data.dataset import Part
    from runtime.saved import Trained
    from runtime.tasks.speech_recognition import SpeechRecognition

# Pixels of a second, the bounds of a drawing's width, and the heights of what stands in it.
SECOND, NARROWEST, WIDEST = 500, 420, 3000
EDGE, HEAD, SPECTRUM, LETTERS, CURVES, FOOT = 12, 30, 150, 24, 60, 24
# Of a sound whose rate nobody tells, so many windows are shown.
WINDOWS = 400
# The quietest that is shown, in nats below the loudest.
DEPTH = 9.0


def alignments(task: SpeechRecognition, trained: Trained, part: Part) -> Iterator[Drawing]:
    """A drawing for each example of a part.

    Raises:
        SpecError: F0690 the model is not given a sound.
    """
    field = next((name for name, kind in trained.wanted.items() if kind.axes[:1] == ("time",)
                  and kind.dtype == "float"), None)
    if field is None:
        raise nothing_to_draw(task, "the model takes neither samples nor a spectrogram")
    rate = getattr(trained.training.data, "sampled", None)
    number = 0
    for outputs, batch in trained.outputs(part, 16):
        output = outputs[task.chosen(outputs)]
        logits = np.asarray(output.array, np.float64)
        said = np.asarray(task.decoded(output))
        names = trained.preprocessing.meaning.names(task.target, logits.shape[-1])
        frames = np.full(len(logits), logits.shape[1]) if output.lengths is None else (
            np.asarray(output.lengths))
        for row in np.flatnonzero(np.asarray(batch.rows)):
            array = np.asarray(part.arrays[field][np.array([number])])[0]
            length = part.lengths[field][number] if field in part.lengths else len(array)
            logs = logits[row, :frames[row]]
            logs = logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)
            units = said[row][said[row] >= 0]
            yield drawn(array[:length], logs, units, names, rate)
            number += 1


def drawn(
    sound: np.ndarray, logs: np.ndarray, units: np.ndarray, names: Sequence[str],
    rate: int | None,
) -> Drawing:
    """The drawing of one sound.

    Args:
        sound: (samples, 1), or a spectrogram (steps, bands, 1).
        logs: (frames, classes) logarithms of probabilities.
        units: the classes that are said.
        names: what all classes are called.
        rate: samples a second; None where nobody knows.
    """
    seconds = len(sound) / rate if rate and sound.ndim == 2 else None
    wish = 2 * NARROWEST if seconds is None else seconds * SECOND
    width = float(np.clip(wish, NARROWEST, WIDEST))
    svg = Svg(width + 2 * EDGE, HEAD + SPECTRUM + LETTERS + CURVES + FOOT)
    text = "".join(names[int(i)] for i in units).replace(BEGINS, " ").strip()
    svg.text(EDGE, HEAD - 10, text or "(nothing)", size=15, bold=True)
    spectrum = _spectrogram(sound, rate)
    loudest = spectrum.max(initial=-100)
    svg.picture(heat(spectrum.T[::-1], max(loudest - DEPTH, spectrum.min(initial=0)), loudest),
                EDGE, HEAD, width, SPECTRUM)
    each = width / max(len(logs), 1)
    base = HEAD + SPECTRUM + LETTERS + CURVES
    # How sure it is of each unit at each frame; the blank is what is left.
    for frame, row in enumerate(np.exp(logs)):
        best = int(row.argmax())
        if best != BLANK:
            svg.box(EDGE + frame * each, base - row[best] * CURVES, max(each - 0.5, 0.5),
                    row[best] * CURVES, _colour(best), fill=_colour(best), thickness=0,
                    opacity=0.75)
    svg.line([(EDGE, base), (EDGE + width, base)], thickness=1)
    for unit, (first, last) in zip(units.tolist(), aligned(logs, units)):
        x, middle = EDGE + first * each, EDGE + (first + last) / 2 * each
        svg.line([(middle, HEAD), (middle, HEAD + SPECTRUM)], "#ffffff", 0.8, dashed=True,
                 opacity=0.7)
        svg.line([(x, HEAD + SPECTRUM + 2), (EDGE + last * each, HEAD + SPECTRUM + 2)],
                 _colour(unit), 4)
        name = names[int(unit)].replace(BEGINS, "").replace(" ", "␣")
        svg.text(middle, HEAD + SPECTRUM + LETTERS - 5, name, anchor="middle",
                 colour=_colour(unit), bold=True)
    if seconds is not None:
        step = 0.1 if seconds < 1 else 0.5 if seconds < 6 else 1.0
        for tick in np.arange(0, seconds, step):
            svg.text(EDGE + tick / seconds * width, base + 15, f"{tick:.1f} s", size=10,
                     anchor="start" if not tick else "middle")
    return Drawing(".svg", svg.document())


def _colour(unit: int) -> str:
    return COLOURS[(unit - 1) % len(COLOURS)]


def _spectrogram(sound: np.ndarray, rate: int | None) -> np.ndarray:
    """What a sound holds of low and high frequencies, step by step: (steps, bands)."""
    from runtime.data.dataset import FULL_SCALE
    from runtime.data.mel import log_mel

    if sound.ndim == 3:
        return sound[..., 0]
    samples = sound[:, 0].astype(np.float64) / FULL_SCALE.get(sound.dtype.name, 1.0)
    if rate is None:
        hop = max(len(samples) // WINDOWS, 1)
        return log_mel(samples, 1, 32, 4 * hop, hop)
    return log_mel(samples, rate, 48, 0.032, 0.005)
