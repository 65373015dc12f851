"""Averaged parameters, and the batch statistics that go with them.

The average follows the parameters after every step, by `optax.incremental_update`. Running
means and variances of batch norms belong to the parameters they were seen with, so that for
the averaged ones they are computed anew, as plain means over some training batches (Izmailov
et al. 2018, https://arxiv.org/abs/1803.05407, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import optax

from runtime.batch import Batch
from runtime.optim_document import Run
from runtime.step import Advance, Arrays, PureModel
from runtime.train_parts import Average


def decay_at(average: Average, start: int, step: jax.Array) -> jax.Array:
    """How much of the average a step keeps; 0 until it begins.

    Args:
        average: the recipe's setting.
        start: the steps before it begins.
        step: how many steps were made, this one included.
    """
    made = (step - start).astype(jnp.float32)
    decay = jnp.float32(average.decay)
    if average.warmup:
        decay = jnp.minimum(decay, (1 + made) / (10 + made))
    return jnp.where(made > 0, decay, 0.0)


def advance(average: Average, run: Run) -> Advance:
    """The function of the average, the new parameters and the number of steps to the average."""
    start = average.start.count(run)

    def advanced(averaged: Arrays, params: Arrays, step: jax.Array) -> Arrays:
        share = 1 - decay_at(average, start, step)
        return optax.incremental_update(params, averaged, share)  # type: ignore[return-value]

    return advanced


# Gives the model's other arrays after a batch in training.
Observe = Callable[[Arrays, Arrays, Batch, jax.Array], Arrays]


def observer(model: PureModel) -> Observe:
    """The jitted function that runs a batch as in training, and tells the statistics it left."""

    def observe(params: Arrays, rest: Arrays, batch: Batch, key: jax.Array) -> Arrays:
        _, after = model.run(params, rest, batch, training=True, key=key)
        return {name: after[name] for name in model.statistics}

    return jax.jit(observe)


def recomputed(
    observe: Observe, params: Arrays, rest: Arrays, batches: Iterable[Batch], key: jax.Array,
    statistics: Iterable[str],
) -> Arrays:
    """The model's other arrays with batch statistics that are plain means over batches.

    A batch norm moves its statistics by `momentum · before + (1 - momentum) · seen`, and what
    it has seen does not depend on them. From zero a batch leaves `(1 - momentum) · seen`, and
    a second run from something large tells the momentum, of norms that are used more than
    once too.

    Args:
        observe: from `observer`.
        params: the parameters to see the batches with.
        rest: the model's other arrays.
        batches: training batches.
        key: of dropout and the like.
        statistics: the paths in `rest` that are batch statistics.
    """
    names = list(statistics)
    total: Arrays = {}
    count = 0
    for number, batch in enumerate(batches):
        noise = jax.random.fold_in(key, number)
        if not count:
            # Frozen norms leave their statistics alone, and need them.
            after = observe(params, rest, batch, noise)
            names = [name for name in names if bool((after[name] != rest[name]).any())]
            zeros = {name: jnp.zeros_like(rest[name]) for name in names}
        seen = observe(params, rest | zeros, batch, noise)
        if not count:
            large = {name: 1e6 * (1 + jnp.abs(seen[name])) for name in names}
            kept = observe(params, rest | large, batch, noise)
            momentum = {name: (kept[name] - seen[name]) / large[name] for name in names}
        total = {name: total.get(name, 0) + seen[name] for name in names}
        count += 1
    if not count:
        return rest
    return rest | {name: total[name] / count / (1 - momentum[name]) for name in names}
