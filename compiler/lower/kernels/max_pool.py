"""The maximum of windows, with a gradient that is fast on a CPU.

XLA's gradient looks for each window's largest element again, one element after another on one
thread. Here the forward pass notes which tap of the window won, and the gradient of each input
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
    y = plain(x, window, stride, pads)
    return y, (x, y)


def _backward(window, stride, pads, saved, gradient):
    x, y = saved

    def by_taps(x, y, gradient):
        winner = _winner(x, y, window, stride, pads)
        return _by_phases(gradient, winner, x.shape[1:-1], window, stride, pads)

    def by_xla(x, y, gradient):
        return jax.vjp(lambda x: plain(x, window, stride, pads), x)[1](gradient)[0]

    return (lax.platform_dependent(x, y, gradient, cpu=by_taps, default=by_xla),)


_max_pool.defvjp(_forward, _backward)


def _winner(x, y, window, stride, pads) -> Array:
    """The number of the first tap that equals the maximum, for each place; int8."""
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-jnp.inf)
    winner = jnp.full(y.shape, -1, jnp.int8)
    for number, tap in reversed(list(enumerate(product(*map(range, window))))):
        ends = [t + (n - 1) * s + 1 for t, n, s in zip(tap, y.shape[1:-1], stride)]
        piece = lax.slice(padded, (0, *tap, 0), (len(x), *ends, x.shape[-1]), (1, *stride, 1))
        winner = jnp.where(piece == y, jnp.int8(number), winner)
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
