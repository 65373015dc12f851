"""Masked sums: the parts that losses and metrics are made of."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from runtime.batch import Ratio


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float = 0.0) -> jax.Array:
    """The cross entropy of each example, in nats, computed in float32.

    With label smoothing the target gives `smoothing` of its weight to all classes alike
    (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, section 7).

    Args:
        logits: (..., classes).
        labels: (...) integers.
        smoothing: between 0 and 1.

    Returns:
        (...).
    """
    logs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    picked = jnp.take_along_axis(logs, labels[..., None], axis=-1)[..., 0]
    if not smoothing:
        return -picked
    return -(1 - smoothing) * picked - smoothing * logs.mean(axis=-1)


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """1 where the largest logit (..., classes) is the label's (...), else 0."""
    return (logits.argmax(axis=-1) == labels).astype(jnp.float32)


def ratio(values: jax.Array, mask: jax.Array) -> Ratio:
    """The sum of the values that count, and their number.

    Args:
        values: any shape; what does not count may even be NaN.
        mask: True for what counts, broadcast against `values`.
    """
    mask = jnp.broadcast_to(mask, values.shape)
    return Ratio(jnp.where(mask, values, 0).sum(), mask.sum().astype(jnp.float32))


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
