"""Contiguous streams of text, for recurrent layers that carry their state across batches.

A text cut into chunks is laid out as several streams that are read side by side: row r of
each batch goes on where row r of the batch before ended. This is truncated back-propagation
through time: the state crosses the border of a chunk, the gradient does not.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from runtime.batch import Batch
from runtime.step import Arrays, PureModel

# Evaluation reads a part in so many streams whatever the batch size is, so that its figures
# do not depend on it: where a stream begins there is no state to go on from.
EVALUATION_STREAMS = 8


def stream_order(size: int, streams: int) -> np.ndarray:
    """The order in which training reads `size` chunks that follow each other.

    Returns:
        (steps · streams,) in batches of `streams`. The size % streams chunks at the end that
        would make one stream longer than the others are left out.
    """
    steps = size // streams
    return np.arange(steps * streams).reshape(streams, steps).T.reshape(-1)


def stream_batches(size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The batches in which evaluation reads `size` chunks, every one exactly once.

    Yields:
        indices (streams,) and rows (streams,), False where a stream is over.
    """
    streams = min(EVALUATION_STREAMS, size)
    lengths = np.full(streams, size // streams)
    lengths[: size % streams] += 1
    starts = np.cumsum(lengths) - lengths
    for step in range(lengths.max(initial=0)):
        rows = step < lengths
        yield np.where(rows, starts + step, 0).astype(np.int32), rows


def fresh(batch: Batch, *, begins: bool) -> Batch:
    """A batch that says whether its rows begin new texts or go on with those before."""
    return batch._replace(fresh=jnp.full(len(batch.rows), begins))


def rested(model: PureModel, rest: Arrays, rows: int) -> Arrays:
    """The model's other arrays with room for the carried states of so many rows.

    States of another number of rows belong to other texts: zeros take their place.
    """
    room = {name: jnp.zeros((rows, *rest[name].shape[1:]), rest[name].dtype)
            for name in model.carried if len(rest[name]) != rows}
    return rest | room
