"""XLA's own convolution, channels last, and what each tap of a kernel meets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import jax
from jax import lax

Pads = Sequence[tuple[int, int]]


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


def taps(
    x: jax.Array, window: Sequence[int], stride: Sequence[int], pads: Pads,
    dilation: Sequence[int], places: Sequence[int],
) -> list[jax.Array]:
    """What each tap of a kernel meets of the padded input, (batch, places…, channels) each.

    Tap t of the kernel meets the input at place · stride + t · dilation.
    """
    padded = lax.pad(x, x.dtype.type(0), [(0, 0, 0), *((a, b, 0) for a, b in pads), (0, 0, 0)])
    pieces = []
    for tap in product(*map(range, window)):
        start = [t * d for t, d in zip(tap, dilation)]
        stop = [b + (n - 1) * s + 1 for b, n, s in zip(start, places, stride)]
        pieces.append(lax.slice(padded, (0, *start, 0), (len(x), *stop, x.shape[-1]),
                                (1, *stride, 1)))
    return pieces
