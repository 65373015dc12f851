"""The maximum of windows, with a gradient that is fast on a CPU.

A window's maximum is the maximum over its rows of their maxima, so axes are pooled one after
another: three comparisons and three more in place of nine. XLA's gradient looks for each window's
largest element again, one element after another on one thread. Here the backward pass finds
which tap of each window won, and the gradient of an input is the sum over the windows it may
have won: for each phase of the stride a sum of shifted arrays, as in
`compiler/lower/kernels/strided.py`.
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
# A longer window is left to XLA: the program would grow with each of its taps.
LONGEST = 16


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
    arguments = tuple(window), tuple(stride), tuple((a, b) for a, b in pads)
    if kernels == "reference" or max(window, default=1) > LONGEST:
        return plain(x, *arguments)
    with reverse_only():
        return _max_pool(x, *arguments)


def plain(x: Array, window: Sequence[int], stride: Sequence[int], pads: Sequence) -> Array:
    """XLA's."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *stride, 1),
                             [(0, 0), *pads, (0, 0)])


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x, window, stride, pads):
    def by_axes(x):
        return _stages(x, window, stride, pads)[-1]

    def by_xla(x):
        return plain(x, window, stride, pads)

    return lax.platform_dependent(x, cpu=by_axes, default=by_xla)


def _forward(x, window, stride, pads):
    return _max_pool(x, window, stride, pads), x


def _backward(window, stride, pads, x, gradient):
    def by_taps(x, gradient):
        # Pooled again rather than kept: it costs little, and the arrays are large.
        arrays = _stages(x, window, stride, pads)
        stages = zip(_axes(window, stride, pads), arrays)
        for (length, step, room), array in reversed(list(stages)):
            winner = _winner(array, length, step, room, gradient.shape[1:-1])
            gradient = _by_phases(
                gradient, winner, array.shape[1:-1], length, step, room)
        return gradient

    def by_xla(x, gradient):
        return jax.vjp(lambda x: plain(x, window, stride, pads), x)[1](gradient)[0]

    return (lax.platform_dependent(x, gradient, cpu=by_taps, default=by_xla),)


_max_pool.defvjp(_forward, _backward)


def _axes(window, stride, pads) -> list[tuple]:
    """Window, stride and pads of a pool over each axis alone, in their order.

    The last axis comes first: then the first of equal elements, counted by rows, still wins.
    """
    rank = len(window)
    one, none = (1,) * rank, ((0, 0),) * rank
    return [tuple((*idle[:i], own[i], *idle[i + 1:]) for idle, own in (
        (one, window), (one, stride), (none, pads)))
        for i in reversed(range(rank)) if (window[i], stride[i], pads[i]) != (1, 1, (0, 0))]


def _stages(x, window, stride, pads) -> list[Array]:
    """`x`, and what it is after each axis."""
    arrays = [x]
    for one in _axes(window, stride, pads):
        arrays.append(plain(arrays[-1], *one))
    return arrays


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
