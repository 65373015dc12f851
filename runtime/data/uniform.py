"""Random numbers that are the same for ever, whatever version of NumPy is there.

NumPy promises that the raw output of a bit generator never changes; of the methods of
`numpy.random.Generator` it does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Uniform:
    """Draws from a seed, each further than the last."""

    def __init__(self, seed: int | Sequence[int]):
        """Begin at a seed, or at several numbers that make one."""
        self._bits = np.random.PCG64(seed)

    def unit(self, count: int) -> np.ndarray:
        """(count,) float64 from 0 to below 1."""
        return (self._bits.random_raw(count) >> np.uint64(11)) * 2.0**-53

    def between(self, low: float, high: float, count: int) -> np.ndarray:
        """(count,) float64 from `low` to `high`."""
        return low + (high - low) * self.unit(count)

    def whole(self, low: int, high: int, count: int) -> np.ndarray:
        """(count,) whole numbers from `low` to `high`, both among them."""
        return low + np.floor(self.unit(count) * (high - low + 1)).astype(int)

    def normal(self, count: int) -> np.ndarray:
        """(count,) float64 of the standard normal distribution (Box & Muller 1958)."""
        one, other = self.unit(count), self.unit(count)
        return np.sqrt(-2 * np.log(1 - one)) * np.cos(2 * np.pi * other)

    def order(self, count: int) -> np.ndarray:
        """The numbers below `count` in some order."""
        return np.argsort(self._bits.random_raw(count), kind="stable")
