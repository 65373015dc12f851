"""Convolutions as JAX."""

from __future__ import annotations

from typing import assert_never

import jax
import jax.numpy as jnp
from jax import lax

from compiler.lower.context import Context
from compiler.lower.kernels.convolution import convolve, plain
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.lower.windows import type_of, window_lengths
from compiler.ops.convolution import Conv, ConvolutionOperator, ConvTranspose

# The smallest variance a standardised kernel is divided by, as in BiT (Kolesnikov et al. 2020).
STANDARDISE_EPSILON = 1e-10


def apply(
    op: ConvolutionOperator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> Tensor:
    """Run a convolution; padded steps of its input count as zeros."""
    (x,) = inputs
    match op:
        case Conv():
            return _conv(op, layer, x, context)
        case ConvTranspose():
            return _conv_transpose(op, layer, x)
        case _:
            assert_never(op)


def _conv(op: Conv, layer: Layer, x: Tensor, context: Context) -> Tensor:
    arrived = type_of(x)
    geometry = op.geometry(arrived)
    geometry.output(arrived, "kernel")  # A batch may be shorter than the window.
    kernel = layer.get("kernel")
    assert kernel is not None
    if op.standardise:
        kernel = standardised(kernel)
    groups = op.groups_on(x.array.shape[-1])
    array = convolve(x.filled(0), kernel.astype(x.array.dtype), geometry.stride, geometry.pads,
                     geometry.dilation, groups, context.kernels)
    return Tensor(_with_bias(array, layer), x.axes, window_lengths(x.lengths, geometry))


def _conv_transpose(op: ConvTranspose, layer: Layer, x: Tensor) -> Tensor:
    geometry = op.geometry(type_of(x))
    kernel = layer.get("kernel", x.array.dtype)
    assert kernel is not None
    rank = len(geometry.axes)
    pads = [(r - 1 - before, r - 1 - after)
            for r, (before, after) in zip(geometry.reach, geometry.pads)]
    array = plain(x.filled(0), lax.rev(kernel, tuple(range(rank))), (1,) * rank, pads,
                  geometry.dilation, op.groups, spread=geometry.stride)
    lengths = x.lengths
    if lengths is not None and "time" in geometry.axes:
        i = geometry.axes.index("time")
        grown = (lengths - 1) * geometry.stride[i] + geometry.reach[i] - sum(geometry.pads[i])
        lengths = jnp.where(lengths > 0, jnp.maximum(grown, 0), 0)
    return Tensor(_with_bias(array, layer), x.axes, lengths)


def standardised(kernel: jax.Array) -> jax.Array:
    """A kernel (window…, in, out) with mean 0 and variance 1 for each output channel."""
    axes = tuple(range(kernel.ndim - 1))
    centred = kernel - kernel.mean(axes)
    return centred * lax.rsqrt(jnp.square(centred).mean(axes) + STANDARDISE_EPSILON)


def _with_bias(array: jax.Array, layer: Layer) -> jax.Array:
    bias = layer.get("bias", array.dtype)
    return array if bias is None else array + bias
