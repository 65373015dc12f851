"""The maximum of windows, with a gradient that is fast on a CPU.

XLA's gradient looks for each window's largest element again, one element after another on one
thread. Here the backward pass finds which tap of each window won, and the gradient of an input
is the sum over the windows it may have won: for each phase of the stride a sum of shifted
arrays, as in `compiler/lower/kernels/strided.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax

from compiler.lower.kernels.reverse_only import reverse_only
from compiler.lower.kernels.strided import interleaved

Array = jax.Array
# A window of more taps than this is left to XLA: the program would grow with each of them.
MOST_TAPS = 16


def max_pool(
    x: Array, window: Sequence[int], stride: Sequence[int], pads: Sequence[tuple[int, int]],
    kernels: str = "auto",
) -> Array:
    """The largest element of every window; of equal ones the first has the gradient.

    Args:
        x: (batch, window axes…, channels), floats.
        window, stride, pads: for each window axis; padding never wins.
        kernels: "reference" for XLA's own gradient.

    Returns:
        (batch, window axes…, channels).

    Raises:
        TypeError: it is differentiated forwards.
    """
    taps = 1
    for size in window:
        taps *= size
    arguments = tuple(window), tuple(stride), tuple((a, b) for a, b in pads)
    if kernels == "reference" or taps > MOST_TAPS:
        return plain(x, *arguments)
    with reverse_only():
        return _max_pool(x, *arguments)


def plain(x: Array, window: Sequence[int], stride: Sequence[int], pads: Sequence) -> Array:
    """XLA's."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *stride, 1),
                             [(0, 0), *pads, (0, 0)])


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x, window, stride, pads):
    return plain(x, window, stride, pads)


def _forward(x, window, stride, pads):
    return plain(x, window, stride, pads), x


def _backward(window, stride, pads, x, gradient):
    def by_taps(x, gradient):
        winner = _winner(x, window, stride, pads, gradient.shape[1:-1])
        return _by_phases(gradient, winner, x.shape[1:-1], window, stride, pads)

    def by_xla(x, gradient):
        return jax.vjp(lambda x: plain(x, window, stride, pads), x)[1](gradient)[0]

    return (lax.platform_dependent(x, gradient, cpu=by_taps, default=by_xla),)


_max_pool.defvjp(_forward, _backward)


def _winner(x, window, stride, pads, places) -> Array:
    """The number of the first tap with the largest element, for each place; int8.

    Taps are compared with one another, not with the maximum of the forward pass: a compiler may
    compute `x` a second time for this one, and round it otherwise.
    """
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-jnp.inf)
    best = winner = None
    for number, tap in enumerate(product(*map(range, window))):
        ends = [t + (n - 1) * s + 1 for t, n, s in zip(tap, places, stride)]
        piece = lax.slice(padded, (0, *tap, 0), (len(x), *ends, x.shape[-1]), (1, *stride, 1))
        if best is None or winner is None:
            best, winner = piece, jnp.zeros(piece.shape, jnp.int8)
            continue
        larger = piece > best
        best = jnp.where(larger, piece, best)
        winner = jnp.where(larger, jnp.int8(number), winner)
    assert winner is not None
    return winner


def _by_phases(gradient, winner, size, window, stride, pads) -> Array:
    """Each input's sum over the windows that it won, (batch, size…, channels)."""
    places = gradient.shape[1:-1]
    counts = [-(-(n + before) // s) for n, (before, _), s in zip(size, pads, stride)]
    numbers = {tap: number for number, tap in enumerate(product(*map(range, window)))}
    phases = []
    for phase in product(*map(range, stride)):
        total = jnp.zeros((len(gradient), *counts, gradient.shape[-1]), gradient.dtype)
        shifts = [range(-(-(k - r) // s)) for k, r, s in zip(window, phase, stride)]
        for shift in product(*shifts):
            tap = tuple(r + u * s for r, u, s in zip(phase, shift, stride))
            won = jnp.where(winner == numbers[tap], gradient, 0)
            # Place q of the phase meets window q - shift; lax.pad cuts where it is negative.
            room = [(u, q - n - u, 0) for u, q, n in zip(shift, counts, places)]
            total = total + lax.pad(won, jnp.zeros((), won.dtype),
                                    [(0, 0, 0), *room, (0, 0, 0)])
        phases.append(total)
    return interleaved(phases, stride, counts, size, pads)
