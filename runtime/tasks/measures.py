"""Masked sums: the parts that losses and metrics are made of."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from runtime.batch import Batch, Ratio


class Penalties(NamedTuple):
    """What each place costs, and how much it weighs in the mean; both of one shape."""

    values: jax.Array
    weights: jax.Array


def cross_entropy(
    logits: jax.Array, labels: jax.Array, smoothing: float = 0.0,
    class_weights: jax.Array | None = None,
) -> Penalties:
    """The cross entropy of each place, in nats, computed in float32.

    With label smoothing the target gives `smoothing` of its weight to all classes alike
    (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, section 7). With class weights a
    place weighs what its label does, and every term of the smoothed target what its class
    does, as in PyTorch's `cross_entropy`.

    Args:
        logits: (..., classes).
        labels: (...) integers.
        smoothing: between 0 and 1.
        class_weights: (classes,), all 1 where None.

    Returns:
        (...) each.
    """
    logs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    picked = jnp.take_along_axis(logs, labels[..., None], axis=-1)[..., 0]
    if class_weights is None:
        weights = jnp.ones(picked.shape, jnp.float32)
        spread = logs.mean(axis=-1) if smoothing else 0.0
    else:
        weights = class_weights[labels]
        spread = (logs * class_weights).mean(axis=-1) if smoothing else 0.0
    return Penalties(-(1 - smoothing) * weights * picked - smoothing * spread, weights)


def binary_cross_entropy(
    logits: jax.Array, targets: jax.Array, positive: jax.Array | float = 1.0,
) -> jax.Array:
    """The cross entropy of yes-or-no targets, in nats, computed in float32.

    Args:
        logits: any shape.
        targets: likewise, between 0 and 1.
        positive: what a yes weighs, broadcast against the logits.
    """
    logits = logits.astype(jnp.float32)
    return -(positive * targets * jax.nn.log_sigmoid(logits)
             + (1 - targets) * jax.nn.log_sigmoid(-logits))


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """1 where the largest logit (..., classes) is the label's (...), else 0."""
    return (logits.argmax(axis=-1) == labels).astype(jnp.float32)


def among_best(logits: jax.Array, labels: jax.Array, count: int) -> jax.Array:
    """1 where the label (...) is among the `count` largest logits (..., classes), else 0.

    Of equal logits those of the lower classes count as larger, as in `argmax`.
    """
    own = jnp.take_along_axis(logits, labels[..., None], axis=-1)
    earlier = jnp.arange(logits.shape[-1]) < labels[..., None]
    better = (logits > own) | ((logits == own) & earlier)
    # Nothing is better than NaN, but a model that is lost knows nothing.
    known = jnp.isfinite(own[..., 0])
    return (known & (better.sum(axis=-1) < count)).astype(jnp.float32)


def confusion(predicted: jax.Array, labels: jax.Array, mask: jax.Array, classes: int) -> Ratio:
    """How often each class was taken for each: (classes, classes), a row for each true class.

    Args:
        predicted: (...) integers.
        labels: likewise.
        mask: likewise, True for what counts.
        classes: how many there are.
    """
    cells = jnp.where(mask, labels * classes + predicted, classes * classes)
    counts = jnp.bincount(cells.reshape(-1), length=classes * classes + 1)[:-1]
    return count(counts.reshape(classes, classes))


def hits(predicted: jax.Array, labels: jax.Array, mask: jax.Array, classes: int) -> Ratio:
    """For each class how often it was right, predicted, and true: (3, classes).

    Args:
        predicted: (...) integers.
        labels: likewise.
        mask: likewise, True for what counts.
        classes: how many there are.
    """
    def counted(which: jax.Array, where: jax.Array) -> jax.Array:
        places = jnp.where(where, which, classes).reshape(-1)
        return jnp.bincount(places, length=classes + 1)[:-1]

    return count(jnp.stack([counted(labels, mask & (predicted == labels)),
                            counted(predicted, mask), counted(labels, mask)]))


def count(counts: jax.Array) -> Ratio:
    """Whole numbers to be added up over batches, exactly."""
    return Ratio(counts.astype(jnp.int32), jnp.zeros((), jnp.float32))


def ratio(values: jax.Array, mask: jax.Array) -> Ratio:
    """The sum of the values that count, and their number.

    Args:
        values: any shape; what does not count may even be NaN.
        mask: True for what counts, broadcast against `values`.
    """
    mask = jnp.broadcast_to(mask, values.shape)
    return Ratio(jnp.where(mask, values, 0).sum(), mask.sum().astype(jnp.float32))


def weighted(penalties: Penalties, mask: jax.Array) -> Ratio:
    """The sum of the penalties that count, and of their weights."""
    mask = jnp.broadcast_to(mask, penalties.values.shape)
    return Ratio(jnp.where(mask, penalties.values, 0).sum(),
                 jnp.where(mask, penalties.weights, 0).sum())


def plus(first: Ratio, second: Ratio, factor: float) -> Ratio:
    """The mean `first` and `factor` times the mean `second`, as a ratio again."""
    weight = jnp.where(second.weight > 0, second.weight, 1)
    return Ratio(first.total + factor * second.total * first.weight / weight, first.weight)


def steps(rows: jax.Array, lengths: jax.Array | None, length: int) -> jax.Array:
    """Which steps count: (batch, length), False in rows and steps that only pad.

    Args:
        rows: (batch,) True for rows that count.
        lengths: (batch,) how many steps of each row are real; None for all.
        length: the number of steps in the array.
    """
    if lengths is None:
        return jnp.broadcast_to(rows[:, None], (len(rows), length))
    return rows[:, None] & (jnp.arange(length) < lengths[:, None])


def places(batch: Batch, field: str) -> jax.Array:
    """Which places of a field (batch, *axes) count, its first axis being time if it has lengths."""
    array = batch.arrays[field]
    mask = batch.rows
    if array.ndim > 1:
        mask = steps(batch.rows, batch.lengths.get(field), array.shape[1])
    return jnp.broadcast_to(mask.reshape(*mask.shape, *(1,) * (array.ndim - mask.ndim)),
                            array.shape)
