"""From a part of a data set to batches: order, filling up, and the way to the device."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from runtime.batch import Batch
from runtime.data.dataset import Part


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """The order (size,) in which an epoch sees the examples; every one once."""
    return np.random.default_rng([seed, epoch]).permutation(size)


def batches_in(size: int, batch_size: int, *, drop_last: bool = False) -> int:
    """How many batches cover `size` examples."""
    return size // batch_size if drop_last else -(-size // batch_size)


def batch_indices(
    order: np.ndarray, batch_size: int, *, drop_last: bool = False,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The examples of each batch, in order.

    Every batch is full, so that one compiled step serves them all: what the last one
    lacks is filled up with the first example, marked as not counting.

    Yields:
        indices (batch,) and rows (batch,), False for those that only fill up.
    """
    for number in range(batches_in(len(order), batch_size, drop_last=drop_last)):
        indices = order[number * batch_size:(number + 1) * batch_size]
        missing = batch_size - len(indices)
        yield (np.concatenate([indices, np.zeros(missing, indices.dtype)]).astype(np.int32),
               np.arange(batch_size) < len(indices))


class DeviceArrays:
    """A part of a data set that lies on the device as a whole, for data that fits there."""

    def __init__(self, part: Part):
        self.size = part.size
        self._arrays = {name: jnp.asarray(array) for name, array in part.arrays.items()}
        self._lengths = {name: jnp.asarray(lengths) for name, lengths in part.lengths.items()}

    def batch(self, indices: np.ndarray, rows: np.ndarray) -> Batch:
        """The examples at `indices` (batch,), of which those count that `rows` marks."""
        return _gather(self._arrays, self._lengths, indices, rows)

    def batches(
        self, order: np.ndarray, batch_size: int, *, drop_last: bool = False,
    ) -> Iterator[Batch]:
        """The batches of an epoch."""
        for indices, rows in batch_indices(order, batch_size, drop_last=drop_last):
            yield self.batch(indices, rows)


@jax.jit
def _gather(
    arrays: dict[str, jax.Array], lengths: dict[str, jax.Array], indices: jax.Array,
    rows: jax.Array,
) -> Batch:
    def take(array: jax.Array) -> jax.Array:
        return jnp.take(array, indices, axis=0)

    return Batch(jax.tree.map(take, arrays), jax.tree.map(take, lengths), rows)
