"""Boxes drawn on pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.report.svg import COLOURS, Svg

# How wide a picture is drawn at least, in pixels of the drawing, and how large its letters are.
WIDTH, LETTERS = 360, 13


def frame_of(arrays: Mapping[str, Any], i: int) -> np.ndarray:
    """How the picture of an example lies in the original; arrays from Python are their own."""
    if "frame" not in arrays:
        return np.array([1, 1, 0, 0], float)
    return np.asarray(arrays["frame"][np.array([i])], float)[0, :4]


def drawn(
    pixels: np.ndarray, objects: Sequence[Mapping[str, Any]], frame: np.ndarray,
    classes: Sequence[str],
) -> Svg:
    """A picture with boxes on it, a colour for each class.

    Args:
        pixels: (height, width, channels) bytes, the picture that the model got.
        objects: `label`, `box` in pixels of the original picture, `score` where there is one.
        frame: (4,) how the picture lies in the original, as the field `frame` tells it.
        classes: the names of all classes.
    """
    height, width = pixels.shape[:2]
    times = max(1, -(-WIDTH // width))
    drawing = Svg(width * times, height * times)
    drawing.picture(pixels, 0, 0, width * times, height * times)
    number = {name: i for i, name in enumerate(classes)}
    # The surest lie above the others.
    for one in reversed(objects):
        colour = COLOURS[number.get(one["label"], len(number)) % len(COLOURS)]
        left, top, right, bottom = (
            (np.array(one["box"]) * frame[[0, 1, 0, 1]] + frame[[2, 3, 2, 3]]) * times)
        drawing.box(left, top, right - left, bottom - top, colour,
                    opacity=0.5 if one.get("crowd") or one.get("difficult") else 1)
        words = one["label"] + (f" {one['score']:.2f}" if "score" in one else "")
        drawing.text(left + 1, top - 3 if top > LETTERS + 4 else top + LETTERS, words,
                     size=LETTERS, colour=colour, behind="#ffffff", bold=True)
    return drawing
