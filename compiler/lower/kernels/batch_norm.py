"""Normalisation by the batch's statistics, with a gradient that reads each tensor few times.

A batch norm does little arithmetic and moves whole tensors, so what counts on a CPU is how
often each is read. Derived by rule, its gradient holds a tensor for each step of the variance.
Here the sums of each direction are of one tensor, c = x - m with m the mean of one row, and the
gradient is one formula (Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, section 3):

    s = Σc / n,    var = Σc² / n - s²,    Σ dy·(x - mean) = Σ dy·c - s · Σdy
    dx = scale · r · (dy - Σdy / n - (c - s) · r² · Σ dy·(x - mean) / n),    r = 1 / √(var + ε)
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from compiler.lower.kernels.reverse_only import reverse_only

Array = jax.Array


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

    # The mean stays in two parts: as one number it would lose those digits again.
    centred = _written(mask, x - origin)
    shift = centred.sum(dims) / divisor
    var = jnp.maximum(jnp.square(centred).sum(dims) / divisor - jnp.square(shift), 0)
    y = _kept(mask, (centred - shift) * (scale * lax.rsqrt(var + epsilon)) + bias)
    return (y, origin + shift, var, count), (centred, scale, mask, shift, var, divisor)


def _backward(epsilon, saved, gradients):
    gradient = gradients[0]
    centred, scale, mask, shift, var, divisor = saved
    inverse = lax.rsqrt(var + epsilon)
    of_bias = _total(mask, gradient)
    moment = _total(mask, gradient * centred) - shift * of_bias
    slope = jnp.square(inverse) * moment / divisor
    of_x = scale * inverse * (gradient - of_bias / divisor - (centred - shift) * slope)
    return _kept(mask, of_x), inverse * moment, of_bias, None


_with_gradient.defvjp(_forward, _backward)


def _origin(x: Array, mask: Array | None) -> Array:
    """The mean of one row, that with the most real elements.

    Counted from it, sums far from zero keep their last digits, and one pass has both of them.
    """
    dims = tuple(range(x.ndim - 1))
    if mask is None:
        return x[:1].mean(dims)
    number = jnp.argmax(mask.sum(dims[1:], keepdims=True))
    # Not a dynamic slice: for that a batch cut among devices would be gathered on each of them.
    real, row = (jnp.take(a, number[None], 0, mode="clip") for a in (mask, x))
    places = math.prod(row.shape[:-1]) // real.size
    return jnp.where(real, row, 0).sum(dims) / jnp.maximum(real.sum() * places, 1)


def _kept(mask: Array | None, x: Array) -> Array:
    return x if mask is None else jnp.where(mask, x, 0)


def _written(mask: Array | None, x: Array) -> Array:
    """Its real elements as a tensor of its own, which XLA on a CPU does not compute again.

    A choice whose condition is as large as `x` reads two tensors (see `relu.py`), so the input can
    go when this is written: else XLA keeps both until the backward pass. The condition is the mask.
    """
    always = (x == x) | (x != x)
    return jnp.where(always if mask is None else mask & always, x, 0)


def _total(mask: Array | None, x: Array) -> Array:
    """The sum of a channel's real elements.

    What the mask does not depend on is summed before it chooses: a choice between elements keeps
    a reduction on a CPU from being one loop over its input, and a whole tensor is written for it.
    """
    dims = tuple(range(x.ndim - 1))
    if mask is None:
        return x.sum(dims)
    inner = tuple(d for d in dims if mask.shape[d] == 1)
    return jnp.where(mask, x.sum(inner, keepdims=True), 0).sum(dims)
