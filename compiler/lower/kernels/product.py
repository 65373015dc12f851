"""A matrix product of rows, with gradients in the order that is fast on a CPU.

The gradient of the matrix is a product of two tall matrices, summed over their rows. XLA reads
the first of them transposed, piece by piece: the narrower that one is, the less it costs. Rows
with several dimensions would even be written out transposed first, so they are flattened here.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from compiler.lower.kernels.reverse_only import reverse_only

Array = jax.Array


def product(x: Array, matrix: Array) -> Array:
    """Rows times a matrix.

    Args:
        x: (…, channels).
        matrix: (channels, filters), of the same dtype.

    Returns:
        (…, filters).

    Raises:
        TypeError: it is differentiated forwards.
    """
    with reverse_only():
        return _product(x.reshape(-1, x.shape[-1]), matrix).reshape(*x.shape[:-1], -1)


def over_rows(a: Array, b: Array) -> Array:
    """aᵀ · b for (rows, m) and (rows, n): (m, n), summed in float32 at least."""
    if a.shape[1] <= b.shape[1]:
        return _over_rows(a, b)
    # XLA would undo the exchange, were it not for the barrier.
    return lax.optimization_barrier(_over_rows(b, a)).T


def _over_rows(a, b):
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return lax.dot_general(a, b, (((0,), (0,)), ((), ())), preferred_element_type=wide)


@jax.custom_vjp
def _product(x, matrix):
    return x @ matrix


def _forward(x, matrix):
    return x @ matrix, (x, matrix)


def _backward(saved, gradient):
    x, matrix = saved
    return gradient @ matrix.T, over_rows(x, gradient).astype(matrix.dtype)


_product.defvjp(_forward, _backward)
