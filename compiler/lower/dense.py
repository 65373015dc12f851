"""Dense layers, embeddings and one-hot vectors as JAX."""

from __future__ import annotations

from typing import assert_never

import jax
import jax.numpy as jnp

from compiler.lower.context import Context
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops.axes import axes_of
from compiler.ops.dense import Dense, DenseOperator, Embed, Learned, OneHot


def apply(
    op: DenseOperator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> Tensor:
    """Run a dense layer, a look-up or a learned tensor; padded steps count as zeros."""
    (x,) = inputs
    match op:
        case Dense():
            return x.with_array(_dense(op, layer, x, context))
        case Embed():
            table = layer.get("embedding", context.dtype)
            assert table is not None
            # An index outside the vocabulary gives NaN: a wrong vocabulary is seen at once.
            array = jnp.take(table, x.filled(0), axis=0, mode="fill")
            return Tensor(array, (*x.axes, "channels"), x.lengths)
        case OneHot():
            assert op.classes is not None, "one_hot was not settled"
            array = jax.nn.one_hot(x.array, op.classes, dtype=context.dtype or jnp.float32)
            return Tensor(array, (*x.axes, "channels"), x.lengths)
        case Learned():
            value = layer.get("value", context.dtype)
            assert value is not None
            array = jnp.broadcast_to(value, (x.array.shape[0], *op.shape))
            return Tensor(array, axes_of(op.shape, op.axes, op.word))
        case _:
            assert_never(op)


def _dense(op: Dense, layer: Layer, x: Tensor, context: Context) -> jax.Array:
    """(batch, …, in) -> (batch, …, units)."""
    array = x.filled(0)
    kernel = layer.get("kernel", array.dtype)
    if op.tie is not None:
        (table,) = context.tied
        kernel = table.astype(array.dtype).T
    assert kernel is not None
    array = array @ kernel
    bias = layer.get("bias", array.dtype)
    return array if bias is None else array + bias
