"""Where a decoder looked: for each token of a translation how much at each token of the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime.report.svg import INK, Svg
from runtime.tasks.drawing import Drawing, nothing_to_draw

if TYPE_CHECKING:
    from runtime.data.dataset import Part
    from runtime.saved import Trained
    from runtime.tasks.translation import Translation

# A place of the map, in pixels, and a letter of the tokens at its edges.
PLACE, LETTER = 22, 7.5
FULL = (30, 90, 160)  # the colour of a place that was looked at alone


@dataclass(frozen=True)
class Alignment:
    """A translation and where each of its tokens came from.

    Attributes:
        source: the tokens of the text.
        target: those of the translation, its end among them.
        weights: (target, source), each row adding up to 1.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    weights: np.ndarray


def drawings(task: Translation, trained: Trained, part: Part) -> Iterator[Drawing]:
    """A map for each example.

    Raises:
        SpecError: F0690 the decoder does not tell where it looks.
    """
    for found in alignments(task, trained, part):
        yield Drawing(".svg", drawn(found).document())


def alignments(task: Translation, trained: Trained, part: Part) -> Iterator[Alignment]:
    """Where the decoder looked, for each example.

    Raises:
        SpecError: F0690 it does not tell.
    """
    from runtime.saved import BATCH

    key, meaning = f"search.{task.attention}", trained.preprocessing.meaning
    field = next(iter(trained.inputs.values()))
    for outputs, batch in trained.outputs(part, BATCH):
        if key not in outputs:
            raise nothing_to_draw(task, (
                f"the decoder has no output `{task.attention}` that tells where it looks: give its "
                f"`scan` one, `outputs: {{{task.attention}: look.weights}}`, `look` being the name "
                "of its `attention`"))
        rows = np.flatnonzero(np.asarray(batch.rows))
        symbols = np.asarray(outputs["search.symbols"].array)[:, 0]
        weights = np.asarray(outputs[key].array, np.float64)
        texts, ends = np.asarray(batch.arrays[field]), np.asarray(batch.lengths[field])
        for row in rows:
            said = _until_end(symbols[row])
            yield Alignment(
                _named(meaning.names(field, int(texts[row].max()) + 1), texts[row][:ends[row]]),
                _named(meaning.names(task.target, int(max(said, default=0)) + 1), said),
                weights[row, :len(said), :ends[row]])


def drawn(found: Alignment) -> Svg:
    """The map: the text from left to right, the translation from top to bottom."""
    left, top = (14 + LETTER * max((len(word) for word in words), default=1)
                 for words in (found.target, found.source))
    wide, high = PLACE * len(found.source), PLACE * len(found.target)
    drawing = Svg(left + wide + 14, top + high + 14)
    for i, word in enumerate(found.source):
        drawing.text(left + PLACE * (i + 0.7), top - 6, word, size=12, turned=-90)
    for i, word in enumerate(found.target):
        drawing.text(left - 6, top + PLACE * (i + 0.7), word, size=12, anchor="end")
    if wide and high:
        share = np.clip(found.weights, 0, 1)[..., None]
        pixels = 255 * (1 - share) + np.array(FULL) * share
        drawing.picture(np.round(pixels).astype(np.uint8), left, top, wide, high)
        drawing.box(left, top, wide, high, INK, thickness=1)
    return drawing


def _named(names: Sequence[str], ids: Any) -> tuple[str, ...]:
    """What tokens are called, white space so that it is seen."""
    return tuple(names[i].replace(" ", "␣").replace("\n", "↵") for i in map(int, ids))


def _until_end(ids: np.ndarray) -> list[int]:
    """The tokens up to the end mark, which is one of them."""
    from runtime.data.tokens import END

    kept: list[int] = []
    for i in map(int, ids):
        if i < 0 or (kept and kept[-1] == END):
            break
        kept.append(i)
    return kept
