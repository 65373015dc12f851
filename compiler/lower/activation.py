"""Activations in JAX."""

from __future__ import annotations

from functools import reduce
from typing import assert_never

import jax
import jax.numpy as jnp

from compiler.lower.context import Context
from compiler.lower.kernels.relu import relu
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops.activation import (
    Abs,
    ActivationOperator,
    Cast,
    Clip,
    Elu,
    Exp,
    Gelu,
    HardSwish,
    Identity,
    LeakyRelu,
    LogSoftmax,
    Maxout,
    Prelu,
    Relu,
    Relu6,
    Scale,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    StopGradient,
    Tanh,
)


def apply(
    op: ActivationOperator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> Tensor:
    """Apply an activation to (batch, *axes); see `compiler.lower.layer.apply`."""
    (x,) = inputs
    array = x.array
    match op:
        case Relu():
            return x.with_array(relu(array) if context.kernels == "auto" else jax.nn.relu(array))
        case Relu6():
            return x.with_array(jax.nn.relu6(array))
        case LeakyRelu():
            return x.with_array(jax.nn.leaky_relu(array, op.slope))
        case Prelu():
            array = x.filled()
            slope = layer.get("slope", array.dtype)
            assert slope is not None
            return x.with_array(jnp.where(array > 0, array, slope * array))
        case Elu():
            return x.with_array(jax.nn.elu(array, op.alpha))
        case Gelu():
            return x.with_array(jax.nn.gelu(array, approximate=op.approximate))
        case Silu():
            return x.with_array(jax.nn.silu(array))
        case Sigmoid():
            return x.with_array(jax.nn.sigmoid(array))
        case Tanh():
            return x.with_array(jnp.tanh(array))
        case HardSwish():
            return x.with_array(jax.nn.hard_swish(array))
        case Softplus():
            return x.with_array(jax.nn.softplus(array))
        case Exp():
            return x.with_array(jnp.exp(array))
        case Softmax():
            return x.with_array(softmax(array, x.dim(op.axis), real_steps(x, op.axis)))
        case LogSoftmax():
            return x.with_array(_log_softmax(array, x.dim(op.axis), real_steps(x, op.axis)))
        case Maxout():
            pieces = [array[..., i::op.pieces] for i in range(op.pieces)]
            return x.with_array(reduce(jnp.maximum, pieces))
        case Abs():
            return x.with_array(jnp.abs(array))
        case Clip():
            return x.with_array(_clip(array, op.min, op.max))
        case Scale():
            scale = layer.get("scale", array.dtype)
            assert scale is not None
            return x.with_array(x.filled() * scale)
        case StopGradient():
            return x.with_array(jax.lax.stop_gradient(array))
        case Cast():
            return x.with_array(_cast(array, op.to, context))
        case Identity():
            return x
        case _:
            assert_never(op)


def real_steps(x: Tensor, axis: str) -> jax.Array | None:
    """The mask of real steps, where it is time that is normalised over."""
    return x.mask() if axis == "time" else None


def softmax(array: jax.Array, dim: int, mask: jax.Array | None = None) -> jax.Array:
    """Softmax along `dim` over what `mask` lets through; all 0 where it lets nothing through.

    Neither values nor gradients of what is masked matter, even where they are NaN.
    The sum is in float32 at least.
    """
    wide = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    if mask is None:
        return jax.nn.softmax(wide, axis=dim).astype(array.dtype)
    shifted = _shifted(wide, dim, mask)
    exp = jnp.where(mask, jnp.exp(shifted), 0)
    total = exp.sum(dim, keepdims=True)
    return (exp / jnp.where(total == 0, 1, total)).astype(array.dtype)


def _log_softmax(array: jax.Array, dim: int, mask: jax.Array | None) -> jax.Array:
    wide = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    if mask is None:
        return jax.nn.log_softmax(wide, axis=dim).astype(array.dtype)
    shifted = _shifted(wide, dim, mask)
    total = jnp.where(mask, jnp.exp(shifted), 0).sum(dim, keepdims=True)
    result = shifted - jnp.log(jnp.where(total == 0, 1, total))
    return jnp.where(mask, result, 0).astype(array.dtype)


def _shifted(array: jax.Array, dim: int, mask: jax.Array) -> jax.Array:
    """The array less its largest real value, so that exp cannot overflow; 0 where masked."""
    largest = jnp.max(array, axis=dim, keepdims=True, where=mask, initial=-jnp.inf)
    largest = jnp.where(jnp.isfinite(largest), jax.lax.stop_gradient(largest), 0)
    return jnp.where(mask, array, largest) - largest


def _clip(array: jax.Array, low: float | None, high: float | None) -> jax.Array:
    """Bounds in the array's own dtype, so that integers stay integers."""
    bounds = [None if b is None else jnp.asarray(b, array.dtype) for b in (low, high)]
    return jnp.clip(array, *bounds)


def _cast(array: jax.Array, to: str, context: Context) -> jax.Array:
    """Another kind of element; what is of that kind already keeps its width."""
    match to:
        case "float":
            floating = jnp.issubdtype(array.dtype, jnp.floating)
            return array if floating else array.astype(context.dtype or jnp.float32)
        case "int":
            integer = jnp.issubdtype(array.dtype, jnp.integer)
            return array if integer else array.astype(jnp.int32)
        case _:
            return array.astype(jnp.bool_)
