"""What a step works on: a batch of examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax


class Mixing(NamedTuple):
    """How the rows of a batch were mixed with others (mixup, CutMix).

    Attributes:
        partner: (batch,) the row that each row was mixed with.
        share: (batch,) how much of each row is still its own, between 0 and 1.
    """

    partner: jax.Array
    share: jax.Array


class Batch(NamedTuple):
    """Examples by field; a pytree.

    Attributes:
        arrays: for each field, (batch, *axes).
        lengths: for fields whose rows are not all full, (batch,) integers.
        rows: (batch,) False for rows that only fill up the last batch: they count nowhere.
        mixing: how rows were mixed with others; None where they are what they were.
        fresh: (batch,) True for rows that begin a new text, where states are carried from one
            batch to the next; else None.
        step: how many steps of training were made before; None outside training.
    """

    arrays: dict[str, jax.Array]
    lengths: dict[str, jax.Array]
    rows: jax.Array
    mixing: Mixing | None = None
    fresh: jax.Array | None = None
    step: jax.Array | None = None


class Ratio(NamedTuple):
    """A mean that is not divided yet, so that batches can be added up exactly.

    Attributes:
        total: the sum over what counts; a scalar, or (channels,) for one mean each.
        weight: how much counts: the number of rows, tokens or values; 0 for a plain count,
            which is added up and never divided.
    """

    total: jax.Array
    weight: jax.Array


class Rows(NamedTuple):
    """Values kept example by example, for figures that no sums can make, such as AUROC.

    Attributes:
        values: (batch, *axes). Axes of another size in another batch are filled up with -1.
        rows: (batch,) False for rows that do not count.
    """

    values: jax.Array
    rows: jax.Array


# What a task measures on a batch, by name; its `loss` is a ratio.
Measured = Mapping[str, Ratio | Rows]
