"""The convolution kernel, channels last, with a weight gradient that is fast on a CPU.

XLA computes the gradient of a convolution's kernel on a CPU as a convolution whose window
is as large as the image, at a tenth of the speed of the forward pass. Here it is a matrix
product for each tap of the kernel, or one product over all taps where the input has few
channels. On other platforms XLA's own is used. A 1×1 convolution is a matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax

# A kernel of more taps than this is left to XLA: the program would grow with each of them.
MOST_TAPS = 64
# Up to so many input channels the slices of all taps are multiplied at once: one product of
# taps · channels rows uses the machine better than many products of a few rows.
FEW_CHANNELS = 16

Pads = Sequence[tuple[int, int]]


def convolve(
    x: jax.Array, kernel: jax.Array, stride: Sequence[int], pads: Pads, dilation: Sequence[int],
    groups: int = 1, kernels: str = "auto",
) -> jax.Array:
    """A convolution over any number of axes.

    Args:
        x: (batch, window axes…, channels).
        kernel: (window…, channels / groups, filters), of the same dtype.
        stride, pads, dilation: for each window axis.
        groups: equal groups of channels that do not mix.
        kernels: "reference" for XLA's plain convolution and its own gradients.

    Returns:
        (batch, window axes…, filters), differentiable any number of times in reverse.
    """
    stride, dilation = tuple(stride), tuple(dilation)
    pads = tuple((before, after) for before, after in pads)
    taps = math.prod(kernel.shape[:-2])
    if kernels == "reference" or groups > 1 or taps > MOST_TAPS:
        return plain(x, kernel, stride, pads, dilation, groups)
    if taps == 1:
        return _pointwise(x, kernel, stride, pads)
    return _convolve(x, kernel, stride, pads, dilation)


def plain(
    x: jax.Array, kernel: jax.Array, stride: Sequence[int], pads: Pads, dilation: Sequence[int],
    groups: int = 1, spread: Sequence[int] | None = None,
) -> jax.Array:
    """XLA's convolution; `spread` puts zeros between the inputs (a transposed convolution)."""
    last = x.ndim - 1
    outer = (0, last, *range(1, last))
    numbers = lax.ConvDimensionNumbers(outer, (last, last - 1, *range(last - 1)), outer)
    return lax.conv_general_dilated(
        x, kernel, tuple(stride), tuple(pads), lhs_dilation=spread, rhs_dilation=tuple(dilation),
        dimension_numbers=numbers, feature_group_count=groups)


def _pointwise(x, kernel, stride, pads):
    """A window of one element: take every stride-th place and multiply."""
    if any(map(any, pads)):
        x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    if any(s > 1 for s in stride):
        x = x[(slice(None), *(slice(None, None, s) for s in stride))]
    return x @ kernel.reshape(kernel.shape[-2:])


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolve(x, kernel, stride, pads, dilation):
    return plain(x, kernel, stride, pads, dilation)


def _forward(x, kernel, stride, pads, dilation):
    return plain(x, kernel, stride, pads, dilation), (x, kernel)


def _backward(stride, pads, dilation, saved, gradient):
    x, kernel = saved
    _, of_input = jax.vjp(lambda x: plain(x, kernel, stride, pads, dilation), x)

    def by_products(x, gradient):
        return _kernel_gradient(x, gradient, kernel.shape, stride, pads, dilation)

    def by_xla(x, gradient):
        return jax.vjp(lambda k: plain(x, k, stride, pads, dilation), kernel)[1](gradient)[0]

    of_kernel = lax.platform_dependent(x, gradient, cpu=by_products, default=by_xla)
    return of_input(gradient)[0], of_kernel


_convolve.defvjp(_forward, _backward)


def _kernel_gradient(x, gradient, shape, stride, pads, dilation):
    """The gradient of a kernel (window…, channels, filters), summed in float32 at least.

    Tap t of the kernel meets the input at place · stride + t · dilation, so its gradient is
    the product of that slice of the padded input, transposed, with the output's gradient.
    """
    window, (channels, filters) = shape[:-2], shape[-2:]
    places = gradient.shape[1:-1]
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    slices = []
    for tap in product(*map(range, window)):
        start = [t * d for t, d in zip(tap, dilation)]
        stop = [b + (n - 1) * s + 1 for b, n, s in zip(start, places, stride)]
        piece = lax.slice(padded, (0, *start, 0), (x.shape[0], *stop, channels),
                          (1, *stride, 1))
        slices.append(piece.reshape(-1, channels))
    flat = gradient.reshape(-1, filters)
    wide = jnp.promote_types(x.dtype, jnp.float32)

    def times(a):
        """aᵀ · gradient, contracting batch and places."""
        return lax.dot_general(a, flat, (((0,), (0,)), ((), ())), preferred_element_type=wide)

    if channels <= FEW_CHANNELS:
        result = times(jnp.concatenate(slices, axis=1))
    else:
        result = jnp.stack([times(s) for s in slices])
    return result.reshape(shape).astype(x.dtype)
