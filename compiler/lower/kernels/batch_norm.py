"""Normalisation by the batch's statistics, with a gradient that reads each tensor few times.

A batch norm does little arithmetic and moves whole tensors, so what counts on a CPU is how
often each is read. Derived by rule, its gradient holds a tensor for each step of the variance.
Written out it is one reduction for the sums over the output's gradient and one formula
(Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, section 3):

    dx = scale · r · (dy - Σdy / n - (x - mean) · r² · Σ dy·(x - mean) / n),    r = 1 / √(var + ε)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from compiler.lower.kernels.reverse_only import reverse_only

Array = jax.Array
Sums = tuple[Array, Array]


def batch_norm(
    x: Array, scale: Array, bias: Array, mask: Array | None, epsilon: float,
) -> tuple[Array, Array, Array, Array]:
    """Bring every channel to mean 0 and variance 1, then scale and shift it.

    Args:
        x: (batch, axes…, channels), float32 or wider.
        scale, bias: (channels,).
        mask: True at real elements, with 1 for the dimensions that it does not depend on; None
            where all are real. The others do not count, and are 0 in the result.
        epsilon: added to the variance.

    Returns:
        The result, shaped as `x`; mean and biased variance (channels,), and how many elements
        of a channel they are of: constants for derivatives.

    Raises:
        TypeError: it is differentiated forwards.
    """
    with reverse_only():
        return _batch_norm(x, scale, bias, mask, epsilon)


def plain(
    x: Array, scale: Array, bias: Array, mask: Array | None, epsilon: float,
) -> tuple[Array, Array, Array, Array]:
    """The same as plain operations, whose gradient JAX derives."""
    dims = tuple(range(x.ndim - 1))
    origin = lax.stop_gradient(_origin(x, mask))
    x = _kept(mask, x - origin)
    mean, var, count = moments(x, dims, mask)
    y = _kept(mask, (x - mean) * lax.rsqrt(var + epsilon) * scale + bias)
    return y, mean.reshape(-1) + origin, var.reshape(-1), count.reshape(())


def moments(
    array: jax.Array, dims: tuple[int, ...], mask: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean, biased variance and number of the real elements over some dimensions, kept as 1.

    The variance is the mean of squared differences, not the difference of two large means.

    Args:
        array: zero where the mask is False.
        dims: the dimensions reduced.
        mask: True at real elements, with 1 for the dimensions it does not depend on.
    """
    if mask is None:
        count = jnp.asarray(math.prod(array.shape[d] for d in dims), array.dtype)
        mean = array.mean(dims, keepdims=True)
        return mean, jnp.square(array - mean).mean(dims, keepdims=True), count
    others = math.prod(array.shape[d] for d in dims if mask.shape[d] == 1)
    count = mask.sum(dims, keepdims=True, dtype=array.dtype) * others
    divisor = jnp.maximum(count, 1)
    mean = array.sum(dims, keepdims=True) / divisor
    squares = jnp.where(mask, jnp.square(array - mean), 0)
    return mean, squares.sum(dims, keepdims=True) / divisor, count


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _with_gradient(x, scale, bias, mask, epsilon):
    return _forward(x, scale, bias, mask, epsilon)[0]


# Within a step this compiles nothing by itself: JAX traces each shape, and its gradient, once.
_batch_norm = jax.jit(_with_gradient, static_argnums=4)


def _forward(x, scale, bias, mask, epsilon):
    dims = tuple(range(x.ndim - 1))
    places = math.prod(x.shape[:-1])
    count = jnp.asarray(places, x.dtype) if mask is None else (
        mask.sum(dtype=x.dtype) * (places // mask.size))
    divisor = jnp.maximum(count, 1)
    origin = _origin(x, mask)

    def total(real, x):
        return _kept(real, x - origin).sum(dims)

    # The mean stays in two parts: as one number it would lose those digits again.
    shift = _by_rows(mask, total, x) / divisor

    def squares(real, x):
        return jnp.square(_kept(real, x - origin - shift)).sum(dims)

    var = _by_rows(mask, squares, x) / divisor
    y = _kept(mask, (x - origin - shift) * (scale * lax.rsqrt(var + epsilon)) + bias)
    return (y, origin + shift, var, count), (x, scale, mask, origin, shift, var, divisor)


def _backward(epsilon, saved, gradients):
    gradient = gradients[0]
    x, scale, mask, origin, shift, var, divisor = saved
    dims = tuple(range(x.ndim - 1))
    inverse = lax.rsqrt(var + epsilon)

    def sums(real, x, gradient) -> Sums:
        gradient = _kept(real, gradient)
        return gradient.sum(dims), (gradient * _kept(real, x - origin - shift)).sum(dims)

    of_bias, moment = _by_rows(mask, sums, x, gradient)
    slope = jnp.square(inverse) * moment / divisor
    of_x = scale * inverse * (gradient - of_bias / divisor - (x - origin - shift) * slope)
    return _kept(mask, of_x), inverse * moment, of_bias, None


_with_gradient.defvjp(_forward, _backward)


def _origin(x: Array, mask: Array | None) -> Array:
    """The mean of one row: counted from it, sums far from zero keep their last digits."""
    return _kept(None if mask is None else mask[:1], x[:1]).mean(tuple(range(x.ndim - 1)))


def _kept(mask: Array | None, x: Array) -> Array:
    return x if mask is None else jnp.where(mask, x, 0)


def _by_rows(mask: Array | None, reduce: Callable, *arrays: Array):
    """`reduce(mask, *arrays)`, on a CPU without the mask where all rows are real: in most batches.

    A choice between elements keeps a reduction from being one loop over its input there, so a
    whole tensor is written for it. Where steps are masked, some nearly always are.
    """
    if mask is None or mask.size > len(mask):
        return reduce(mask, *arrays)

    def choose(mask, *arrays):
        return lax.cond(mask.all(), partial(reduce, None), partial(reduce, mask), *arrays)

    return lax.platform_dependent(mask, *arrays, cpu=choose, default=reduce)
