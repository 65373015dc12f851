"""The gradient of a small window's kernel as one product, as nearly square as it can be.

Tap (i, j) sums gradient[h, w] · image[h + i, w + j] over all places. Columns of the image moved by
every j stand side by side as channels, and so do rows of the gradient moved by every i: their
product has the sums of all taps at once. For a 3×3 window that copies six arrays in place of
nine, and its sides are 3 · channels and 3 · filters, where a product for each tap has sides too
short for the machine. Pieces of the batch keep the copies in the cache, and memory small.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from compiler.lower.kernels.product import over_rows

# Elements of the two arrays that a piece is copied to: what a cache shared by two cores holds.
PIECE = 7 * 2**20


def kernel_gradient(
    x: jax.Array, gradient: jax.Array, window: Sequence[int], pads: Sequence[tuple[int, int]],
) -> jax.Array:
    """The gradient of the kernel (rows, columns, channels, filters) of a convolution of stride 1.

    Args:
        x: (batch, height, width, channels).
        gradient: (batch, places, places, filters) of the output.
        window: rows and columns of the kernel.
        pads: as of the convolution, with zeros.
    """
    copied = gradient.size * window[0] + x.size * window[1]
    step = max(1, len(x) // -(-copied // PIECE)) if copied else 1
    total, zero = None, x.dtype.type(0)
    for i in range(0, len(x), step):
        part = _of_piece(x[i:i + step], gradient[i:i + step], window, pads, zero)
        total = part if total is None else total + part
        # A zero that is known when this piece is summed: the next one's copies wait for it.
        zero = jnp.minimum(abs(total[0, 0, 0, 0]), 0).astype(x.dtype)
    shape = (*window, x.shape[-1], gradient.shape[-1])
    return jnp.zeros(shape, x.dtype) if total is None else total.astype(x.dtype)


def _of_piece(x, gradient, window, pads, zero):
    height, places = x.shape[1], gradient.shape[2]
    (above, _), (left, _) = pads
    images = jnp.concatenate(
        [_moved(x, 2, left - j, places, zero) for j in range(window[1])], -1)
    sums = jnp.concatenate(
        [_moved(gradient, 1, i - above, height, zero) for i in range(window[0])], -1)
    result = over_rows(images.reshape(-1, images.shape[-1]), sums.reshape(-1, sums.shape[-1]))
    result = result.reshape(window[1], x.shape[-1], window[0], gradient.shape[-1])
    return result.transpose(2, 0, 1, 3)


def _moved(array, axis, by, size, zero):
    """An array moved along an axis and cut or filled up with zeros to a size."""
    edges = [(0, 0, 0)] * array.ndim
    edges[axis] = (by, size - array.shape[axis] - by, 0)
    return lax.pad(array, zero, edges)
