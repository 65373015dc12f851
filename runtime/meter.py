"""Adds up what steps measure, without making them wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import jax
import numpy as np

from runtime.batch import Measured, Rows

# Steps whose figures may be on the way at once. An older step's figures are waited for, so that
# a loss that is no number is seen in time; as the device has long finished it, that takes nothing.
WINDOW = 24


class Meter:
    """Sums of ratios over the batches of an epoch, in float64 on the host; rows one after another.

    Steps run on while their figures are on the way: `add` starts the copy to the host and
    returns, `ready` takes in what has arrived, and `means` waits for the rest.

    Attributes:
        batches: how many batches were taken in.
        bad: the first of them, from 1, whose loss is not a number; None as long as all are.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Measured, int | None]] = []
        self._sums: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._rows: dict[str, list[np.ndarray]] = {}
        self.batches = 0
        self.bad: int | None = None

    @classmethod
    def restored(cls, saved: Mapping[str, np.ndarray], batches: int) -> Meter:
        """A meter that goes on from what `saved` gave.

        Args:
            saved: its arrays.
            batches: how many batches are in them.
        """
        meter = cls()
        meter.batches = batches
        for name, array in saved.items():
            figure, _, part = name.rpartition("/")
            if part == "total":
                meter._sums[figure] = (array, saved[f"{figure}/weight"])
            elif part == "rows":
                meter._rows[figure] = [array]
        return meter

    def saved(self) -> dict[str, np.ndarray]:
        """All that the meter knows, as arrays by name; waits for figures on the way."""
        self.means()
        sums = {f"{name}/{part}": np.asarray(array) for name, sums in self._sums.items()
                for part, array in zip(("total", "weight"), sums)}
        return sums | {f"{name}/rows": _joined(parts) for name, parts in self._rows.items()}

    def add(self, measured: Measured, count: int | None = None) -> None:
        """Take the figures of a batch, or of the first `count` of several, stacked."""
        for leaf in jax.tree.leaves(measured):
            leaf.copy_to_host_async()
        self._waiting.append((measured, count))
        if sum(count or 1 for _, count in self._waiting) > WINDOW:
            self._take(*self._waiting.pop(0))

    def ready(self) -> dict[str, np.ndarray]:
        """The means over the batches that are done by now; {} where none is."""
        while self._waiting and all(
                leaf.is_ready() for leaf in jax.tree.leaves(self._waiting[0][0])):
            self._take(*self._waiting.pop(0))
        return self._divided()

    def means(self) -> dict[str, np.ndarray]:
        """The means over all batches."""
        for measured, count in self._waiting:
            self._take(measured, count)
        self._waiting.clear()
        return self._divided()

    def _take(self, measured: Measured, count: int | None) -> None:
        if count is None:
            self._take_one(measured)
            return
        arrays = {name: (type(found), [np.asarray(part) for part in found])
                  for name, found in measured.items()}
        for number in range(count):
            self._take_one({name: kind(*(cast(jax.Array, part[number]) for part in parts))
                            for name, (kind, parts) in arrays.items()})

    def _take_one(self, measured: Measured) -> None:
        self.batches += 1
        # Where nothing that a recipe writes out counts in evaluation there is no loss.
        loss = measured.get("loss")
        if self.bad is None and loss and not np.isfinite(np.asarray(loss[0])).all():
            self.bad = self.batches
        for name, found in measured.items():
            if isinstance(found, Rows):
                kept = np.asarray(found.values)[np.asarray(found.rows)]
                self._rows.setdefault(name, []).append(kept)
                continue
            total, weight = self._sums.get(name, (np.float64(0), np.float64(0)))
            self._sums[name] = (total + np.asarray(found.total, np.float64),
                                weight + np.asarray(found.weight, np.float64))

    def _divided(self) -> dict[str, np.ndarray]:
        # A weight of 0 marks a count, or a mean of nothing.
        means = {name: total / np.where(weight > 0, weight, 1)
                 for name, (total, weight) in self._sums.items()}
        return means | {name: _joined(parts) for name, parts in self._rows.items()}


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Rows one after another, shorter ones filled up with -1 to the longest."""
    longest = np.max([part.shape[1:] for part in parts], axis=0).astype(int)
    return np.concatenate([
        np.pad(part, [(0, 0), *((0, most - size) for most, size in zip(longest, part.shape[1:]))],
               constant_values=-1) if part.shape[1:] != tuple(longest) else part
        for part in parts])
