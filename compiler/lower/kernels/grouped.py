"""Convolutions whose channels fall into groups that do not mix.

XLA's gradient of such a kernel on a CPU is a hundred times slower than its forward pass; here
it is a small matrix product for each tap and group. Where each channel is a group of its own
(depthwise, as in MobileNet) there is nothing to multiply as a matrix: the output is the sum
over the taps of a shifted input times a number for each channel, one loop over the output.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from compiler.lower.kernels.direct import plain, taps
from compiler.lower.kernels.reverse_only import reverse_only

Array = jax.Array


def convolve(
    x: Array, kernel: Array, stride: tuple, pads: tuple, dilation: tuple, groups: int,
) -> Array:
    """A convolution in groups; arguments as of `compiler.lower.kernels.convolution.convolve`.

    Raises:
        TypeError: it is differentiated forwards.
    """
    with reverse_only():
        return _convolve(x, kernel, stride, pads, dilation, groups)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _convolve(x, kernel, stride, pads, dilation, groups):
    def direct(x, kernel):
        return plain(x, kernel, stride, pads, dilation, groups)

    if not _depthwise(kernel, groups):
        return direct(x, kernel)
    return lax.platform_dependent(
        x, kernel, default=direct,
        cpu=lambda x, kernel: _by_channel(x, kernel, stride, pads, dilation))


def _forward(x, kernel, stride, pads, dilation, groups):
    return _convolve(x, kernel, stride, pads, dilation, groups), (x, kernel)


def _backward(stride, pads, dilation, groups, saved, gradient):
    x, kernel = saved

    def by_xla(x, kernel, gradient):
        def direct(x, kernel):
            return plain(x, kernel, stride, pads, dilation, groups)

        return jax.vjp(direct, x, kernel)[1](gradient)

    def by_taps(x, kernel, gradient):
        if _depthwise(kernel, groups):
            of_x = _input_gradient(x, kernel, gradient, stride, pads, dilation)
        else:
            of_x = jax.vjp(lambda x: plain(x, kernel, stride, pads, dilation, groups), x)[1](
                gradient)[0]
        return of_x, _kernel_gradient(x, kernel, gradient, stride, pads, dilation, groups)

    return lax.platform_dependent(x, kernel, gradient, cpu=by_taps, default=by_xla)


_convolve.defvjp(_forward, _backward)


def _depthwise(kernel, groups) -> bool:
    return kernel.shape[-2:] == (1, groups)


def _by_channel(x, kernel, stride, pads, dilation):
    """Each channel alone: the sum over the taps, in float32 at least."""
    window = kernel.shape[:-2]
    places = [max(0, (n + sum(p) - (k - 1) * d - 1) // s + 1) for n, p, k, d, s in zip(
        x.shape[1:-1], pads, window, dilation, stride)]
    wide = jnp.promote_types(x.dtype, jnp.float32)
    weights = kernel.reshape(-1, kernel.shape[-1]).astype(wide)
    pieces = taps(x, window, stride, pads, dilation, places)
    total = sum(piece.astype(wide) * weight for piece, weight in zip(pieces, weights))
    return jnp.asarray(total).astype(x.dtype)


def _input_gradient(x, kernel, gradient, stride, pads, dilation):
    """The gradient, spread out to the stride, meets the kernel upside down."""
    room = []
    for n, k, d, s, (before, _), places in zip(
            x.shape[1:-1], kernel.shape, dilation, stride, pads, gradient.shape[1:-1]):
        reach = (k - 1) * d
        room.append((reach - before, n + before - (places - 1) * s - 1, s - 1))
    spread = lax.pad(gradient, gradient.dtype.type(0), [(0, 0, 0), *room, (0, 0, 0)])
    rank = len(stride)
    return _by_channel(spread, lax.rev(kernel, tuple(range(rank))), (1,) * rank,
                       ((0, 0),) * rank, dilation)


def _kernel_gradient(x, kernel, gradient, stride, pads, dilation, groups):
    """For each tap and group the product of what the tap meets with the output's gradient."""
    *window, channels, filters = kernel.shape
    wide = jnp.promote_types(x.dtype, jnp.float32)
    pieces = taps(x, window, stride, pads, dilation, gradient.shape[1:-1])
    if _depthwise(kernel, groups):
        dims = tuple(range(x.ndim - 1))
        sums = [(piece.astype(wide) * gradient).sum(dims) for piece in pieces]
        return jnp.stack(sums).reshape(kernel.shape).astype(kernel.dtype)
    split = gradient.reshape(-1, groups, filters // groups)
    products = [jnp.einsum("ngc,ngf->cgf", piece.reshape(-1, groups, channels), split,
                           preferred_element_type=wide) for piece in pieces]
    return jnp.stack(products).reshape(kernel.shape).astype(kernel.dtype)
