"""A step whose batch is worked through in pieces, for models that are too large for it at once.

The gradient is that of the whole batch: the sums over the pieces, divided once at the end by
what counts in all of them. Each piece is a call of its own rather than a turn of a scan, so
that only one is in memory, and convolutions do not slow down as they do within a scan on CPU.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from runtime.batch import Batch, Measured
from runtime.step import Advance, Arrays, Loss, State, Step, updated


class Sums(NamedTuple):
    """What the pieces add up to.

    Attributes:
        gradients: of the sum of the loss, not of its mean.
        measured: totals and weights.
    """

    gradients: Arrays
    measured: Measured


def accumulating_step(
    loss: Loss, optimizer: optax.GradientTransformationExtraArgs, pieces: int,
    advance: Advance | None = None,
) -> Step:
    """The function that makes one step of training, piece by piece.

    Args:
        loss: what to make small.
        optimizer: how.
        pieces: how many there are.
        advance: moves the averaged parameters, where the recipe wants any.

    Returns:
        A function of the state (which it consumes), a batch, and the run's key.
    """

    def piece(state: State, batch: Batch, number: jax.Array, key: jax.Array) -> tuple[Arrays, Sums]:
        (_, (rest, measured)), gradients = jax.value_and_grad(loss, has_aux=True)(
            state.params, state, cut(batch, number, pieces), jax.random.fold_in(key, number))
        weight = measured["loss"][1]
        return rest, Sums(jax.tree.map(lambda g: g * weight.astype(g.dtype), gradients), measured)

    first = jax.jit(piece)

    @partial(jax.jit, donate_argnums=1)
    def further(
        state: State, before: Sums, batch: Batch, number: jax.Array, key: jax.Array,
    ) -> tuple[Arrays, Sums]:
        rest, found = piece(state, batch, number, key)
        return rest, jax.tree.map(jnp.add, before, found)

    @partial(jax.jit, donate_argnums=0)
    def finish(state: State, sums: Sums) -> tuple[State, Measured]:
        total, weight = sums.measured["loss"]
        weight = jnp.where(weight > 0, weight, 1)
        gradients = jax.tree.map(lambda g: g / weight.astype(g.dtype), sums.gradients)
        return updated(state, gradients, total / weight, optimizer, advance), sums.measured

    def step(state: State, batch: Batch, key: jax.Array) -> tuple[State, Measured]:
        rest, sums = first(state, batch, jnp.int32(0), key)
        for number in range(1, pieces):
            rest, sums = further(state._replace(rest=rest), sums, batch, jnp.int32(number), key)
        return finish(state._replace(rest=rest), sums)

    return step


def cut(batch: Batch, number: jax.Array, pieces: int) -> Batch:
    """A piece of a batch: every row whose number leaves the remainder `number`.

    Neighbours go to different pieces, so that each device has a part of every piece. Where the
    pieces would not be equal, rows that do not count fill them up.
    """
    missing = -len(batch.rows) % pieces

    def rows(array: jax.Array) -> jax.Array:
        if missing:
            array = jnp.concatenate([array, jnp.repeat(array[:1], missing, axis=0)])
        split = array.reshape(-1, pieces, *array.shape[1:])
        return jax.lax.dynamic_index_in_dim(split, number, axis=1, keepdims=False)

    size, taken = len(batch.rows), jax.tree.map(rows, batch)
    # Row r of the batch is row r // pieces of its piece.
    places = jnp.arange((size + missing) // pieces) * pieces + number
    return taken._replace(rows=taken.rows & (places < size))
