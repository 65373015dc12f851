"""From a part of a data set to batches: order, filling up, and the way to the device.

A batch is a function of the seed, the epoch and its number in the epoch and of nothing else, so
that these three are all that a checkpoint needs to go on where it stopped. Reading ahead is
grain's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np

from runtime.batch import Batch
from runtime.data.buckets import fitting, longest_row, sorted_in_pools
from runtime.data.dataset import FULL_SCALE, Part

# A part that takes no more than this, in bytes, lies on the device as a whole.
ON_DEVICE = 2**29
# How many batches are read ahead from a part that does not, by how many threads.
AHEAD, THREADS = 4, 2

Picked = tuple[np.ndarray, np.ndarray]


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch sees the examples (size,); every one once."""
    # NumPy promises that the raw numbers of PCG64 never change; of `permutation` it does not.
    return np.argsort(np.random.PCG64([seed, epoch]).random_raw(size), kind="stable")


def batches_in(size: int, batch_size: int, *, drop_last: bool = False) -> int:
    """How many batches cover `size` examples."""
    return size // batch_size if drop_last else -(-size // batch_size)


@dataclass(frozen=True)
class BatchIndices(Sequence[Picked]):
    """The examples of each batch, in order; a sequence that is worked out as it is read.

    Every batch is full, so that one compiled step serves them all: what the last one
    lacks is filled up with the first example, marked as not counting. A batch is indices (batch,)
    and rows (batch,), False for those that only fill up.

    Attributes:
        order: the examples (size,).
        batch_size: how many make a batch.
        drop_last: whether the examples that do not fill a batch are left out.
    """

    order: np.ndarray
    batch_size: int
    drop_last: bool = False

    def __len__(self) -> int:
        return batches_in(len(self.order), self.batch_size, drop_last=self.drop_last)

    def __getitem__(self, number: Any) -> Any:
        if number >= len(self):
            raise IndexError(number)
        indices = self.order[number * self.batch_size:(number + 1) * self.batch_size]
        missing = self.batch_size - len(indices)
        return (np.pad(indices, (0, missing)).astype(np.int32),
                np.arange(self.batch_size) < len(indices))


@dataclass(frozen=True)
class Shard:
    """The rows of every batch that this process gathers.

    All processes follow the same order; each takes its stretch of every batch. Where the batch
    cannot be parted equally, rows that do not count fill it up.

    Attributes:
        index: this process's number.
        count: how many there are.
    """

    index: int = 0
    count: int = 1

    def of(self, picked: Picked) -> Picked:
        """Its stretch of a batch."""
        indices, rows = picked
        missing = -len(rows) % self.count
        size = (len(rows) + missing) // self.count
        mine = slice(self.index * size, (self.index + 1) * size)
        return np.pad(indices, (0, missing))[mine], np.pad(rows, (0, missing))[mine]


WHOLE = Shard()


class _Lengths:
    """The lengths that a part's batches are cut to, where its rows are of different ones."""

    def __init__(self, part: Part):
        self._buckets, self.fields = part.buckets, tuple(sorted(part.lengths))
        self._lengths = longest_row(part.lengths.values(), part.size)

    def order(self, order: np.ndarray, batch_size: int) -> np.ndarray:
        """An order in which the examples of a batch are about equally long."""
        return sorted_in_pools(order, self._lengths, batch_size) if self._buckets else order

    def of(self, picked: Picked) -> int | None:
        """The length of a batch; None for that of the arrays."""
        if not self._buckets:
            return None
        indices, rows = picked
        return fitting(self._buckets, int(self._lengths[indices[rows]].max(initial=1)))


class DeviceArrays:
    """A part of a data set that lies on the device as a whole, for data that fits there."""

    def __init__(self, part: Part, shard: Shard = WHOLE):
        self.size, self._shard, self._timed = part.size, shard, _Lengths(part)
        self.buckets = part.buckets
        self._arrays = {name: jnp.asarray(array[:]) for name, array in part.arrays.items()}
        self._lengths = {name: jnp.asarray(lengths) for name, lengths in part.lengths.items()}

    def batch(
        self, indices: np.ndarray, rows: np.ndarray, length: int | None = None,
    ) -> Batch:
        """The examples at `indices` (batch,), of which those count that `rows` marks.

        Args:
            indices: the examples.
            rows: (batch,) which of them count.
            length: what fields of rows of different lengths are cut to.
        """
        cut = () if length is None else self._timed.fields
        return _gather(self._arrays, self._lengths, indices, rows, cut, length)

    def batches(
        self, order: np.ndarray, batch_size: int, *, drop_last: bool = False,
        start: int = 0,
    ) -> Iterator[Batch]:
        """The batches of an epoch.

        Args:
            order: the order of the examples.
            batch_size: how many make a batch.
            drop_last: whether the examples that do not fill a batch are left out.
            start: the number of the batch to begin with, counted from 0.
        """
        order = self._timed.order(order, batch_size)
        picked = BatchIndices(order, batch_size, drop_last)
        for number in range(start, len(picked)):
            whole = picked[number]
            yield self.batch(*self._shard.of(whole), self._timed.of(whole))

    def stacks(
        self, order: np.ndarray, batch_size: int, counts: Iterable[int], most: int, *,
        drop_last: bool = False, start: int = 0,
    ) -> Iterator[tuple[Batch, int]]:
        """The batches of an epoch, several at once, where all have the same shape.

        Args:
            order, batch_size, drop_last, start: as in `batches`.
            counts: how many batches are in each stack.
            most: how many every stack has room for; copies of the last one fill it up.

        Yields:
            Arrays (most, batch, …), and how many of them are batches.
        """
        picked = BatchIndices(order, batch_size, drop_last)
        for count in counts:
            taken = [self._shard.of(picked[n]) for n in range(start, start + count)]
            indices, rows = zip(*taken, *[taken[-1]] * (most - count), strict=True)
            yield self.batch(np.stack(indices), np.stack(rows)), count
            start += count


class HostArrays:
    """A part of a data set that is too large for the device, or not even in memory.

    Batches are gathered by threads while the device works on those before.
    """

    def __init__(self, part: Part, shard: Shard = WHOLE):
        self.size, self._part, self._shard = part.size, part, shard
        self._timed = _Lengths(part)

    def batch(self, indices: np.ndarray, rows: np.ndarray) -> Batch:
        """The examples at `indices` (batch,), of which those count that `rows` marks."""
        return _unpacked(self._gathered((indices, rows), None))

    def batches(
        self, order: np.ndarray, batch_size: int, *, drop_last: bool = False,
        start: int = 0,
    ) -> Iterator[Batch]:
        """The batches of an epoch; see `DeviceArrays.batches`."""
        order = self._timed.order(order, batch_size)
        picked = BatchIndices(order, batch_size, drop_last)
        options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=AHEAD)

        def gathered(whole: Picked) -> tuple[Any, Any, np.ndarray]:
            return self._gathered(self._shard.of(whole), self._timed.of(whole))

        ahead = grain.MapDataset.source(picked)[start:].map(gathered)
        for batch in ahead.to_iter_dataset(options):
            yield _unpacked(batch)

    def _gathered(self, picked: Picked, length: int | None) -> tuple[Any, Any, np.ndarray]:
        """A batch's arrays, lengths and rows as they lie in memory or on disk."""
        indices, rows = picked
        part = self._part
        cut = () if length is None else self._timed.fields
        return ({name: array[indices][:, :length] if name in cut else array[indices]
                 for name, array in part.arrays.items()},
                {name: lengths[indices] for name, lengths in part.lengths.items()}, rows)


Examples = DeviceArrays | HostArrays


def can_stack(part: Examples) -> bool:
    """Whether its batches lie on the device and all have the same shape."""
    return isinstance(part, DeviceArrays) and not part.buckets


def examples(part: Part, shard: Shard = WHOLE, on_device: int = ON_DEVICE) -> Examples:
    """A part, where it is best kept.

    Args:
        part: the part.
        shard: the rows of each batch to gather.
        on_device: how large a part may be that lies on the device, in bytes.
    """
    arrays = list(part.arrays.values())
    fits = all(isinstance(array, np.ndarray) for array in arrays) and (
        sum(array.nbytes for array in arrays) <= on_device)
    return DeviceArrays(part, shard) if fits else HostArrays(part, shard)


@partial(jax.jit, static_argnames=("cut", "length"))
def _gather(
    arrays: dict[str, jax.Array], lengths: dict[str, jax.Array], indices: jax.Array,
    rows: jax.Array, cut: tuple[str, ...] = (), length: int | None = None,
) -> Batch:
    def take(array: jax.Array) -> jax.Array:
        return _fractions(jnp.take(array, indices, axis=0))

    shorter = {name: array[:, :length] if name in cut else array
               for name, array in arrays.items()}
    return Batch(jax.tree.map(take, shorter), jax.tree.map(take, lengths), rows)


@jax.jit
def _unpacked(batch: Any) -> Batch:
    """A batch from the host, on the device, as the model and its augmentation take it."""
    arrays, lengths, rows = batch
    return Batch(jax.tree.map(_fractions, arrays), lengths, rows)


def _fractions(array: jax.Array) -> jax.Array:
    """Integers that stand for fractions of their full scale as these fractions."""
    scale = FULL_SCALE.get(array.dtype.name)
    return array if scale is None else array.astype(jnp.float32) / scale
