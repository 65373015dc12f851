"""Normalisations as JAX. Padded steps never count in a mean or a variance."""

from __future__ import annotations

from typing import assert_never

import jax
import jax.numpy as jnp
from jax import lax

from compiler.lower.context import Context
from compiler.lower.kernels.batch_norm import batch_norm, moments, plain
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops.normalisation import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    Norm,
    NormalisationOperator,
    Normalise,
    RMSNorm,
)


def apply(
    op: NormalisationOperator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> Tensor:
    """Run a normalisation, in float32 at least; the result has the input's width."""
    (x,) = inputs
    array = x.filled(0)
    wide = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    match op:
        case BatchNorm():
            result = _batch_norm(op, layer, x, wide, context)
        case LayerNorm():
            result = _layer_norm(op, layer, x, wide)
        case GroupNorm():
            result = _group_norm(op, layer, x, wide, op.groups)
        case InstanceNorm():
            result = _group_norm(op, layer, x, wide, wide.shape[-1])
        case RMSNorm():
            square = jnp.square(wide).mean(-1, keepdims=True)
            result = _affine(layer, wide * lax.rsqrt(square + op.epsilon))
        case LocalResponseNorm():
            result = _local_response(op, wide)
        case Normalise():
            mean, deviation = (jnp.asarray(v, wide.dtype) for v in (op.mean, op.deviation))
            result = (wide - mean) / deviation
        case _:
            assert_never(op)
    return x.with_array(result.astype(array.dtype))


def _batch_norm(
    op: BatchNorm, layer: Layer, x: Tensor, array: jax.Array, context: Context,
) -> jax.Array:
    """Normalise by the batch's statistics and keep a running mean of them, or use that."""
    if not context.training or context.frozen:
        mean, var = layer.get("mean", array.dtype), layer.get("var", array.dtype)
        assert mean is not None and var is not None
        return _normalised(op, layer, array, mean, var)

    mask = x.mask()
    if context.row_mask is not None:
        rows = context.row_mask.reshape(-1, *(1,) * (array.ndim - 1))
        mask = rows if mask is None else mask & rows
    scale, bias = (layer.get(name, array.dtype) for name in ("scale", "bias"))
    scale = jnp.ones(array.shape[-1], array.dtype) if scale is None else scale
    bias = jnp.zeros(array.shape[-1], array.dtype) if bias is None else bias
    normalise = plain if context.kernels == "reference" else batch_norm
    result, mean, var, count = normalise(array, scale, bias, mask, op.epsilon)
    unbiased = var * (count / jnp.maximum(count - 1, 1))
    for name, now in (("mean", mean), ("var", unbiased)):
        running = getattr(layer, name)
        before = running[...]
        after = op.momentum * before + (1 - op.momentum) * lax.stop_gradient(now)
        # Not `running[...] =`, which asks JAX for what a traced array does not know: 7 ms each.
        running.set_value(jnp.where(count > 0, after.astype(before.dtype), before))
    return result


def _layer_norm(op: LayerNorm, layer: Layer, x: Tensor, array: jax.Array) -> jax.Array:
    dims = tuple(x.dim(a) for a in x.axes if a in op.axes)
    mean, var, _ = moments(array, dims, x.mask() if "time" in op.axes else None)
    shape = [n if d in dims else 1 for d, n in enumerate(array.shape)]
    return _normalised(op, layer, array, mean, var, shape)


def _group_norm(
    op: GroupNorm | InstanceNorm, layer: Layer, x: Tensor, array: jax.Array, groups: int,
) -> jax.Array:
    split = array.reshape(*array.shape[:-1], groups, -1)
    mask = x.mask()
    dims = (*range(1, array.ndim - 1), array.ndim)
    mean, var, _ = moments(split, dims, None if mask is None else mask[..., None])
    normal = (split - mean) * lax.rsqrt(var + op.epsilon)
    return _affine(layer, normal.reshape(array.shape))


def _normalised(
    op: Norm, layer: Layer, array: jax.Array, mean: jax.Array, var: jax.Array,
    shape: list[int] | None = None,
) -> jax.Array:
    return _affine(layer, (array - mean) * lax.rsqrt(var + op.epsilon), shape)


def _affine(layer: Layer, array: jax.Array, shape: list[int] | None = None) -> jax.Array:
    """Multiplied by the scale and shifted by the bias, reshaped to `shape`, if there are any."""
    for name, act in (("scale", jnp.multiply), ("bias", jnp.add)):
        parameter = layer.get(name, array.dtype)
        if parameter is not None:
            array = act(array, parameter if shape is None else parameter.reshape(shape))
    return array


def _local_response(op: LocalResponseNorm, array: jax.Array) -> jax.Array:
    window = (1,) * (array.ndim - 1) + (op.size,)
    pads = [(0, 0)] * (array.ndim - 1) + [(op.size // 2, (op.size - 1) // 2)]
    squares = lax.reduce_window(jnp.square(array), 0.0, lax.add, window, (1,) * array.ndim, pads)
    return array * (op.k + op.alpha / op.size * squares) ** -op.beta
