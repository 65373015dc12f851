"""Several steps of training in one call, for models whose steps are shorter than the call.

The steps are the turns of one loop whose end is not known when it is compiled. So one program
makes any number of steps, and what a step computes does not depend on how steps are grouped:
a run that was interrupted goes on in other groups, with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp

from compiler.plan import Plan
from runtime.batch import Batch, Measured
from runtime.step import State, Step

# Steps in a call where the recipe leaves it open: what a call costs is divided by this.
STEPS = 16
# Multiply-accumulates of a forward pass above which a step takes longer than its call, and runs
# on several threads, as elementwise work within a loop does not on a processor.
FEW_MACS = 5e6
# Layers that XLA computes more slowly in a loop than outside one, on a processor.
NOT_IN_LOOPS = ("conv", "pool")

# Makes the first `count` steps of a stack of batches: of the state, which it consumes, batches
# (most, batch, …), the count, and the run's key; figures are stacked likewise.
Several = Callable[[State, Batch, int, jax.Array], tuple[State, Measured]]


def chosen(plan: Plan, *, on_processor: bool) -> int:
    """How many steps a call makes where the recipe leaves it open: a rule of the model alone.

    Args:
        plan: what training the model costs, for one batch.
        on_processor: rather than on a GPU or TPU.
    """
    if plan.totals.macs * plan.batch > FEW_MACS:
        return 1
    loops = not on_processor or not any(
        row.runs and word in row.operation.word for row in plan.rows for word in NOT_IN_LOOPS)
    return STEPS if loops else 1


def several_steps(step: Step, most: int) -> Several:
    """The function that makes up to `most` steps in one call.

    Args:
        step: makes one step; not jitted.
        most: how many batches it is given, of which it may be told to leave the last ones.
    """

    @partial(jax.jit, donate_argnums=0)
    def several(
        state: State, batches: Batch, count: jax.Array, key: jax.Array,
    ) -> tuple[State, Measured]:
        def one(state: State, number: jax.Array | int) -> tuple[State, Measured]:
            batch = jax.tree.map(lambda all: all[number], batches)
            return step(state, batch, key)

        def turn(number: jax.Array, done: tuple[State, Measured]) -> tuple[State, Measured]:
            state, measured = one(done[0], number)
            return state, jax.tree.map(lambda all, new: all.at[number].set(new), done[1], measured)

        _, shapes = jax.eval_shape(partial(one, number=0), state)
        room = jax.tree.map(lambda s: jnp.zeros((most, *s.shape), s.dtype), shapes)
        return jax.lax.fori_loop(0, count, turn, (state, room))

    return several


def groups(
    *, position: int, batches: int, step: int, steps: int, most: int, every: int | None = None,
) -> Iterator[int]:
    """How many steps each call makes, from here to the end of an epoch.

    Args:
        position: how many of the epoch's batches are done.
        batches: how many it has.
        step: how many steps were made in the run.
        steps: how many it makes in all.
        most: how many a call makes at most.
        every: after how many steps a checkpoint is due, which no call passes over.
    """
    left = min(batches - position, steps - step)
    while left > 0:
        count = min(most, left, every - step % every if every else most)
        yield count
        step, left = step + count, left - count
