"""Adds up what steps measure, without making them wait."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import numpy as np

from runtime.batch import Ratio


class Meter:
    """Sums of ratios over the batches of an epoch, in float64 on the host.

    Steps run on while their figures are on the way: `add` starts the copy to the host and
    returns, `ready` takes in what has arrived, and `means` waits for the rest.
    """

    def __init__(self) -> None:
        self._waiting: list[Mapping[str, Ratio]] = []
        self._sums: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.batches = 0

    def add(self, measured: Mapping[str, Ratio]) -> None:
        """Take the figures of a batch."""
        for leaf in jax.tree.leaves(measured):
            leaf.copy_to_host_async()
        self._waiting.append(measured)

    def ready(self) -> dict[str, np.ndarray]:
        """The means over the batches that are done by now; {} where none is."""
        while self._waiting and all(leaf.is_ready() for leaf in jax.tree.leaves(self._waiting[0])):
            self._take(self._waiting.pop(0))
        return self._divided()

    def means(self) -> dict[str, np.ndarray]:
        """The means over all batches."""
        for measured in self._waiting:
            self._take(measured)
        self._waiting.clear()
        return self._divided()

    def _take(self, measured: Mapping[str, Ratio]) -> None:
        self.batches += 1
        for name, (total, weight) in measured.items():
            sums = self._sums.get(name, (np.float64(0), np.float64(0)))
            self._sums[name] = (sums[0] + np.asarray(total, np.float64),
                                sums[1] + np.asarray(weight, np.float64))

    def _divided(self) -> dict[str, np.ndarray]:
        return {name: total / np.maximum(weight, 1)
                for name, (total, weight) in self._sums.items()}
