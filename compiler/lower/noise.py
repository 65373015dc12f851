"""Random operators in JAX."""

from __future__ import annotations

from typing import assert_never

import jax
import jax.numpy as jnp

from compiler.lower.context import Context
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops.axes import axes_of
from compiler.ops.noise import (
    Dropout,
    DropPath,
    GaussianNoise,
    NoiseOperator,
    Random,
    SpatialDropout,
)


def apply(
    op: NoiseOperator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> Tensor:
    """Disturb (batch, *axes), or make random numbers; see `compiler.lower.layer.apply`."""
    (x,) = inputs
    shape = x.array.shape
    match op:
        case Dropout():
            return x.with_array(drop(x.array, op.rate, shape, context))
        case SpatialDropout():
            kept = (1,) * (len(shape) - 2) + shape[-1:] if "channels" in x.axes else shape[1:]
            return x.with_array(drop(x.array, op.rate, (shape[0], *kept), context))
        case DropPath():
            kept = (shape[0], *(1,) * (len(shape) - 1))
            return x.with_array(drop(x.array, op.rate, kept, context))
        case GaussianNoise():
            if not context.training or op.stddev == 0:
                return x
            noise = op.stddev * jax.random.normal(context.rng(), shape, jnp.float32)
            return x.with_array(x.array + noise.astype(x.array.dtype))
        case Random():
            return _random(op, x, context)
        case _:
            assert_never(op)


def drop(array: jax.Array, rate: float, shape: tuple[int, ...], context: Context) -> jax.Array:
    """Dropout with a mask of `shape`, which stretches over `array`; nothing in evaluation."""
    if not context.training or rate == 0:
        return array
    kept = jax.random.bernoulli(context.rng(), 1 - rate, shape)
    return jnp.where(kept, array / (1 - rate), 0)


def _random(op: Random, x: Tensor, context: Context) -> Tensor:
    """The same numbers whatever the precision: drawn in float32, rounded then."""
    draw = jax.random.normal if op.distribution == "normal" else jax.random.uniform
    floating = jnp.issubdtype(x.array.dtype, jnp.floating)
    dtype = x.array.dtype if floating else context.dtype or jnp.float32
    if op.shape is None:
        return x.with_array(draw(context.rng(), x.array.shape, jnp.float32).astype(dtype))
    numbers = draw(context.rng(), (x.array.shape[0], *op.shape), jnp.float32).astype(dtype)
    return Tensor(numbers, axes_of(op.shape, op.axes, op.word))
