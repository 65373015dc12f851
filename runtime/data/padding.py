"""Rows of different lengths as one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def padded(
    rows: Sequence[Sequence[int]], length: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Integers with zeros behind them, and how many of each row are real.

    A row without any is a single zero that counts, since no layer can read nothing.

    Args:
        rows: integers each.
        length: the length of the array; that of the longest row if None.

    Returns:
        (rows, length) int32, and (rows,) int32 from 1 on.
    """
    lengths = np.array([max(len(row), 1) for row in rows], np.int32)
    longest = int(lengths.max(initial=1)) if length is None else length
    array = np.zeros((len(rows), longest), np.int32)
    for at, row in enumerate(rows):
        array[at, :len(row)] = row
    return array, lengths
