"""What a step works on: a batch of examples."""

from __future__ import annotations

from typing import NamedTuple

import jax


class Batch(NamedTuple):
    """Examples by field; a pytree.

    Attributes:
        arrays: for each field, (batch, *axes).
        lengths: for fields whose rows are not all full, (batch,) integers.
        rows: (batch,) False for rows that only fill up the last batch: they count nowhere.
    """

    arrays: dict[str, jax.Array]
    lengths: dict[str, jax.Array]
    rows: jax.Array


class Ratio(NamedTuple):
    """A mean that is not divided yet, so that batches can be added up exactly.

    Attributes:
        total: the sum over what counts; a scalar, or (channels,) for one mean each.
        weight: how much counts: the number of rows, tokens or values.
    """

    total: jax.Array
    weight: jax.Array
