"""Winograd's minimal filtering F(2×2, 3×3): 16 products in place of 36 for each tile.

Lavin & Gray 2016, https://arxiv.org/abs/1509.09308. An image is cut into tiles of 4×4 that
overlap by two; tiles and kernels are transformed by small matrices of 0, ±1 and ±1/2, and a
convolution becomes 16 matrix products over all tiles, one for each place in a tile. The sums
that the transforms make cost about a bit of float32's accuracy; larger tiles, which save more,
cost several.

All functions are for stride 1 and channels last, and are ordinary JAX: differentiable, though
`compiler/lower/kernels/convolution.py` puts them together to a layer with gradients of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import jax
import jax.numpy as jnp
from jax import lax

from compiler.lower.kernels.product import over_rows

Array = jax.Array
Matrix = tuple[tuple[float, ...], ...]

# The side of a tile's output, and of its input.
OUT, IN = 2, 4
INPUT: Matrix = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
KERNEL: Matrix = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
OUTPUT: Matrix = ((1, 1, 1, 0), (0, 1, -1, -1))


def convolve(x: Array, kernel: Array, pads: Sequence[tuple[int, int]]) -> Array:
    """A convolution of stride 1.

    Args:
        x: (batch, height, width, channels).
        kernel: (3, 3, channels, filters).
        pads: of height and width, with zeros.

    Returns:
        (batch, height, width, filters).
    """
    return _multiplied(x, _transformed(kernel), pads, 0)


def input_gradient(
    gradient: Array, kernel: Array, pads: Sequence[tuple[int, int]],
) -> Array:
    """The gradient of the input of `convolve`, of its output's gradient.

    It is a convolution with the kernel upside down, from filters to channels. Neither is done to
    the kernel itself, which XLA would read against its layout for each of sixteen arrays: upside
    down, the first and the last of a transformed kernel's places change theirs.

    Args:
        gradient: (batch, height, width, filters) of the output.
        kernel: (3, 3, channels, filters).
        pads: as of the convolution, 2 at most.

    Returns:
        (batch, height, width, channels).
    """
    order = (3, 1, 2, 0)
    kernels = _transformed(kernel)
    return _multiplied(gradient, [[kernels[i][j] for j in order] for i in order],
                       [(2 - before, 2 - after) for before, after in pads], 1)


def kernel_gradient(x: Array, gradient: Array, pads: Sequence[tuple[int, int]]) -> Array:
    """The gradient of the kernel (3, 3, channels, filters), of `convolve`'s output's gradient.

    Args:
        x: (batch, height, width, channels).
        gradient: (batch, height, width, filters) of the output.
        pads: as of the convolution.
    """
    size = gradient.shape[1:3]
    even = ((0, 0), *((0, -n % OUT) for n in size), (0, 0))
    gradient = jnp.pad(gradient, even) if any(n % OUT for n in size) else gradient
    places = [[gradient[:, i::OUT, j::OUT] for j in range(OUT)] for i in range(OUT)]
    outputs = _grid(_transposed(OUTPUT), places)
    tiles = _input_tiles(x, pads)
    products = [[over_rows(_rows(t), _rows(g)) for t, g in zip(*pair)]
                for pair in zip(tiles, outputs)]
    return jnp.stack([jnp.stack(row) for row in _grid(_transposed(KERNEL), products)])


def _transformed(kernel: Array) -> list[list[Array]]:
    """For each place in a tile (channels, filters)."""
    return _grid(KERNEL, [[kernel[i, j] for j in range(3)] for i in range(3)])


def _multiplied(
    x: Array, kernels: list[list[Array]], pads: Sequence[tuple[int, int]], axis: int,
) -> Array:
    """The convolution with transformed kernels, whose `axis` meets the input's channels."""
    size = _size(x, pads)
    tiles = _input_tiles(x, pads)
    products = [[lax.dot_general(_rows(t), k, (((1,), (axis,)), ((), ()))) for t, k in zip(*pair)]
                for pair in zip(tiles, kernels)]
    count, filters = tiles[0][0].shape[:3], kernels[0][0].shape[1 - axis]
    outputs = _grid(OUTPUT, [[p.reshape(*count, filters) for p in row] for row in products])
    # (batch, rows, columns, filters) for each place in a tile, to rows and columns of places.
    rows = [jnp.stack(row, axis=3) for row in outputs]
    y = jnp.stack(rows, axis=2).reshape(count[0], OUT * count[1], OUT * count[2], filters)
    return y[:, :size[0], :size[1]]


def _input_tiles(x: Array, pads: Sequence[tuple[int, int]]) -> list[list[Array]]:
    """For each place in a transformed tile (batch, rows of tiles, columns of tiles, channels)."""
    more = [(before, after + -n % OUT) for (before, after), n in zip(pads, _size(x, pads))]
    x = jnp.pad(x, ((0, 0), *more, (0, 0)))
    ends = [n - IN + 1 for n in x.shape[1:3]]
    return _grid(INPUT, [[x[:, i:i + ends[0]:OUT, j:j + ends[1]:OUT] for j in range(IN)]
                         for i in range(IN)])


def _size(x: Array, pads: Sequence[tuple[int, int]]) -> list[int]:
    """Height and width of the output."""
    return [n + before + after - 2 for n, (before, after) in zip(x.shape[1:3], pads)]


def _grid(matrix: Matrix, places: list[list[Array]]) -> list[list[Array]]:
    """matrix · places · matrixᵀ, for a square of arrays of one shape."""
    columns = [[_sum(weights, column) for weights in matrix] for column in zip(*places)]
    return [[_sum(weights, row) for weights in matrix] for row in zip(*columns)]


def _sum(weights: Sequence[float], arrays: Sequence[Array]) -> Array:
    """The weighted sum of arrays; what has weight 0 is left out."""
    terms = [a if w == 1 else -a if w == -1 else a * w
             for w, a in zip(weights, arrays) if w]
    return reduce(lax.add, terms)


def _transposed(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix))


def _rows(array: Array) -> Array:
    """(…, channels) as rows (all, channels)."""
    return array.reshape(-1, array.shape[-1])
