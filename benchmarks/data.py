"""The batch that every peer trains on, and the weights that every peer begins with."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.rows import Row

MOMENTUM = 0.9


class Work(NamedTuple):
    """A row's batch.

    Attributes:
        x: (batch, *input), float32, or int32 tokens.
        y: (batch,) labels, or (batch, time) for a language model, int32.
        lengths: (batch,) int32, or None.
    """

    x: np.ndarray
    y: np.ndarray
    lengths: np.ndarray | None


def batch(row: Row) -> Work:
    """The same numbers on every call, in every process."""
    rng = np.random.default_rng(0)
    shape = (row.batch, *row.input)
    lengths = None
    if row.lengths:
        lengths = rng.integers(row.input[0] // 2, row.input[0] + 1, row.batch).astype(np.int32)
    if row.tokens:
        tokens = rng.integers(0, row.classes, (row.batch, row.input[0] + 1)).astype(np.int32)
        return Work(tokens[:, :-1].copy(), tokens[:, 1:].copy(), lengths)
    x = rng.standard_normal(shape).astype(np.float32)
    return Work(x, rng.integers(0, row.classes, row.batch).astype(np.int32), lengths)


class Weights:
    """Arrays in the order of the layers, taken one after another by kind."""

    def __init__(self, path: Path):
        """Read what `flaxspec_peer.py` wrote."""
        with np.load(path) as file:
            self._left: list[tuple[str, np.ndarray]] = [
                (name.split("|")[1], file[name]) for name in sorted(file.files)]

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """The next array, which must have this shape."""
        name, array = self._left.pop(0)
        if array.shape != tuple(shape):
            raise ValueError(f"{name} is {array.shape}, the peer's is {tuple(shape)}")
        return array

    def done(self) -> None:
        """Check that nothing is left."""
        if self._left:
            raise ValueError(f"the peer has no place for {[name for name, _ in self._left]}")
