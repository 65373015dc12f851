"""A model of one step, rolled forward over a horizon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from compiler.lower.tensor import Tensor

if TYPE_CHECKING:
    from runtime.batch import Batch
    from runtime.step import Arrays, PureModel
    from runtime.tasks.forecasting import Forecasting


def rolled(
    task: Forecasting, model: PureModel, params: Arrays, rest: Arrays, batch: Batch, *,
    key: jax.Array,
) -> tuple[dict[str, Tensor], Arrays]:
    """The steps to come, each told from those told before it: one `lax.scan` of static shapes.

    Args:
        task: names the fields.
        model: tells one step.
        params: its trained parameters.
        rest: its other arrays.
        batch: the past; with what is known of the steps to come, in as many as are told.
        key: of random numbers.
    """
    past = batch.arrays[task.past]
    known = batch.arrays.get(task.known)

    def step(seen: jax.Array, ahead: jax.Array) -> tuple[jax.Array, jax.Array]:
        now = batch._replace(arrays={**batch.arrays, task.past: seen})
        outputs, _ = model.run(params, rest, now, training=False, key=key)
        said = outputs[task.chosen(outputs)].array.reshape(len(seen), -1).astype(seen.dtype)
        row = jnp.concatenate([said, ahead], axis=-1)
        return jnp.concatenate([seen[:, 1:], row[:, None]], axis=1), said

    beside = jnp.zeros((task.horizon, len(past), 0), past.dtype) if known is None else (
        jnp.moveaxis(known, 1, 0).astype(past.dtype))
    _, told = jax.lax.scan(step, past, beside)
    outputs, _ = model.run(params, rest, batch, training=False, key=key)
    name = task.chosen(outputs)
    return {**outputs, name: Tensor(jnp.moveaxis(told, 0, 1), ("time", "channels"))}, rest
