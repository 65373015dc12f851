"""Inputs as a person knows them: pictures, words."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from compiler.types import TensorType
from runtime.data.dataset import Meaning, Part
from runtime.report.png import as_pixels


def image_in(part: Part, fields: Mapping[str, TensorType], i: int) -> np.ndarray | None:
    """The picture that a model gets: (height, width, channels) bytes; None for none.

    Args:
        part: examples.
        fields: the types of their fields.
        i: the number of the example.
    """
    for name, kind in fields.items():
        if kind.axes == ("height", "width", "channels") and kind.dtype == "float" and (
                name in part.arrays):
            return as_pixels(np.asarray(part.arrays[name][np.array([i])])[0])
    return None


def tokens_in(part: Part, meaning: Meaning, targets: Collection[str], i: int) -> list[str]:
    """The tokens that a model gets; [] where it gets none or nobody knows what they are.

    Args:
        part: examples.
        meaning: what their numbers mean.
        targets: the fields that are there to be predicted.
        i: the number of the example.
    """
    for name, kind in meaning.fields.items():
        if name in part.arrays and kind.axes == ("time",) and kind.dtype == "int" and (
                name in meaning.labels and name not in targets):
            row = np.asarray(part.arrays[name][np.array([i])])[0]
            end = part.lengths[name][i] if name in part.lengths else len(row)
            names = meaning.names(name, int(row.max(initial=0)) + 1)
            return [names[token] for token in row[:end]]
    return []
