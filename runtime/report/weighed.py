"""Where a classifier looked, and which words weighed: over pictures, in texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import jax
import numpy as np

from runtime.attribution import Asked, class_maps, map_layer, word_layer, word_weights
from runtime.data.dataset import Part
from runtime.report.inputs import image_in, tokens_in
from runtime.report.page import page
from runtime.report.paint import (
    around,
    as_rgb,
    beside,
    bounds,
    enlarged,
    heat,
    laid_over,
    stretched,
)
from runtime.report.png import png
from runtime.saved import Trained
from runtime.tasks.drawing import Drawing, nothing_to_draw

# Examples at once: gradients take more memory than predictions.
BATCH = 32
# The shorter side of a drawn picture has at least so many pixels.
LEAST = 224
# How much of a picture its map hides where the model looked, and where it did not.
STRONG, WEAK = 0.65, 0.25


def drawings(
    trained: Trained, part: Part, said: Sequence[Mapping[str, Any]],
) -> Iterator[Drawing | None]:
    """For each example its picture beside its class-activation map, or its text in colours.

    Args:
        trained: a classifier.
        part: the examples.
        said: what it says of each.

    Raises:
        SpecError: F0690 the model takes neither, or not by the layers that maps are made of.
    """
    kinds = [kind.axes for kind in trained.wanted.values()]
    if ("height", "width", "channels") in kinds:
        for i, found in enumerate(maps(trained, part)):
            image = image_in(part, trained.wanted, i)
            yield None if image is None else Drawing(".png", png(looked_at(image, found)))
    elif ("time",) in kinds:
        for i, found in enumerate(weights(trained, part)):
            words = words_of(trained, part, i)
            yield Drawing(".html", text_page(part.called(i), words, found, said[i])) if (
                words) else None
    else:
        raise nothing_to_draw(trained.task, "of inputs, only pictures and texts are drawn")


def maps(trained: Trained, part: Part) -> Iterator[np.ndarray]:
    """The class-activation map (rows, columns) of each example, for the class that is said.

    Raises:
        SpecError: F0690 no layer of the model has a map.
    """
    path = map_layer(trained.model.graph, _output(trained))
    if path is None:
        raise nothing_to_draw(trained.task, "no layer before its output has a map of places")
    return _each(trained, part, class_maps(trained, path))


def weights(trained: Trained, part: Part) -> Iterator[np.ndarray]:
    """How much each word (time,) of each example speaks for the class that is said.

    Raises:
        SpecError: F0690 the model has no vectors of words.
    """
    path = word_layer(trained.model.graph)
    if path is None:
        raise nothing_to_draw(trained.task, "its model has no `embed` that its words go through")
    return _each(trained, part, word_weights(trained, path))


def _output(trained: Trained) -> str:
    return trained.task.chosen(trained.model.graph.outputs)


def _each(trained: Trained, part: Part, asked: Asked) -> Iterator[np.ndarray]:
    """What is asked of each example, for the class that is said of it."""
    for outputs, batch in trained.outputs(part, BATCH):
        classes = outputs[_output(trained)].array.argmax(axis=-1)
        yield from np.asarray(jax.device_get(asked(batch, classes)))[np.asarray(batch.rows)]


def words_of(trained: Trained, part: Part, i: int) -> list[str]:
    """The words of an example; [] where nobody knows what its numbers stand for."""
    return tokens_in(part, trained.preprocessing.meaning, trained.training.data.targets(), i)


def looked_at(image: np.ndarray, found: np.ndarray, least: int = LEAST) -> np.ndarray:
    """A picture, and beside it the same under its map: bytes (height, width, 3).

    Args:
        image: (height, width, channels) bytes.
        found: (rows, columns) of any size, not below 0; bright where it is large.
        least: pixels of the shorter side of each.
    """
    picture = enlarged(as_rgb(image), least)
    shares = stretched(found, *picture.shape[:2])
    shares = shares / max(bounds(shares)[1], np.finfo(np.float32).tiny)
    return beside([picture, laid_over(picture, heat(shares, 0, 1),
                                      WEAK + (STRONG - WEAK) * shares)])


def coloured_words(words: Sequence[str], found: np.ndarray, *, spaced: bool = True) -> str:
    """A text as HTML whose words stand on red where they speak for the class, else on blue.

    Args:
        words: its words.
        found: (time,) what each weighs; what is beyond the words counts for nothing.
        spaced: whether there is a space between words; characters have none.
    """
    values = np.nan_to_num(np.asarray(found, float)[:len(words)])
    colours = around(values)
    spans = (f'<span style="background:rgb({r},{g},{b});color:{_ink(r, g, b)};padding:1px 2px;'
             f'border-radius:3px" title="{value:+.3g}">{escape(word)}</span>'
             for word, value, (r, g, b) in zip(words, values, colours.tolist()))
    return (" " if spaced else "").join(spans)


def _ink(red: int, green: int, blue: int) -> str:
    """The colour of letters that are read on another colour."""
    return "#fff" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else "#1c2430"


def text_page(
    name: str, words: Sequence[str], found: np.ndarray, said: Mapping[str, Any],
) -> bytes:
    """A page with a text in colours, and what the model says of it.

    Args:
        name: what the text is called.
        words: its words.
        found: (time,) what each weighs.
        said: the prediction.
    """
    odds = "".join(f"<li>{escape(str(label))} {100 * share:.1f} %</li>"
                   for label, share in list(said.get("probabilities", {}).items())[:5])
    body = (f'<p style="font-size:18px;line-height:1.9">'
            f"{coloured_words(words, found, spaced=not characters(words))}</p>"
            f'<p class="dim">Red words speak for “{escape(str(said["label"]))}”, blue ones '
            f"against it; the stronger, the more. Their weights (shown under the pointer) are "
            f"integrated gradients.</p><ul>{odds}</ul>")
    head = f"<h1>{escape(str(said['label']))}</h1><p class=\"dim\">{escape(name)}</p>"
    return page(str(said["label"]), head, [("text", "What weighed", body)]).encode(
        "utf-8", "backslashreplace")


def characters(words: Sequence[str]) -> bool:
    """Whether what a model takes are characters and not words."""
    return all(len(word) == 1 for word in words) and len(words) > 1
