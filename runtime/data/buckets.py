"""Batches of rows of about the same length, in a bounded number of shapes.

Every shape of a batch is compiled once. A batch is cut to the smallest of a few lengths that
holds its longest row, so that there are never more shapes than lengths; what is cut away is
padding, which nothing ever looks at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

# How many batches' worth of examples are sorted by length together, in training as in
# evaluation: enough that neighbours are alike, few enough that epochs differ.
POOL = 50


def chosen(lengths: np.ndarray, count: int, longest: int) -> tuple[int, ...]:
    """At most `count` lengths, each needed by about as many rows; the last is `longest`.

    Args:
        lengths: (rows,) of the training part.
        count: how many lengths there may be.
        longest: no row of any part is longer.
    """
    shares = np.arange(1, count) / count
    wanted = np.quantile(lengths, shares, method="higher") if len(lengths) else []
    # Multiples of eight: neighbouring lengths share a shape.
    rounded = {int(-(-int(length) // 8) * 8) for length in wanted}
    return (*sorted(length for length in rounded if length < longest), longest)


def sorted_in_pools(order: np.ndarray, lengths: np.ndarray, batch_size: int) -> np.ndarray:
    """An order of examples in which those of a batch are about equally long.

    The batches' own order stays as random as the given one, and the last examples, which
    may not fill a batch, stay the last.

    Args:
        order: (examples,), each once.
        lengths: (examples,) of all examples.
        batch_size: how many make a batch.
    """
    full = len(order) // batch_size * batch_size
    pieces = []
    for start in range(0, full, batch_size * POOL):
        pool = order[start:min(start + batch_size * POOL, full)]
        places = np.argsort(lengths[pool], kind="stable").reshape(-1, batch_size)
        # Batches follow each other as their shortest rows did.
        pieces.append(pool[places[np.argsort(places[:, 0])].reshape(-1)])
    return np.concatenate([*pieces, order[full:]])


def longest_row(lengths: Iterable[np.ndarray], size: int) -> np.ndarray:
    """The length of each example's longest field: (size,)."""
    return np.max([np.zeros(size, np.int64), *lengths], axis=0)


def fitting(buckets: Sequence[int], length: int) -> int:
    """The smallest of some lengths, in order, that holds `length`; the last, if none does."""
    return next((bucket for bucket in buckets if bucket >= length), buckets[-1])
