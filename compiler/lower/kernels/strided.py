"""The input's gradient of a strided convolution, without multiplying by zeros.

The usual form spreads the output's gradient out with zeros between its places and convolves
that: with stride 2 three of four products are with nothing. But the places of the input fall
into phases by their remainder, and each phase meets only every stride-th tap of the kernel:
one small convolution of stride 1 for each phase, whose results interleave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
# (input, kernel, pads) -> output, a convolution of stride 1.
Convolve = Callable[[Array, Array, Sequence[tuple[int, int]]], Array]


def input_gradient(
    gradient: Array, kernel: Array, size: Sequence[int], stride: Sequence[int],
    pads: Sequence[tuple[int, int]], convolve: Convolve,
) -> Array:
    """The gradient of a convolution's input.

    Tap t of the kernel joins output o to input i = o · stride + t - pad. So in phase r, the
    inputs q · stride + r - pad, stand the sums over u of gradient[q - u] · kernel[r + u · stride].

    Args:
        gradient: (batch, window axes…, filters) of the output.
        kernel: (window…, channels, filters).
        size: of the input's window axes.
        stride, pads: of the convolution; it is not dilated.
        convolve: computes one of stride 1.

    Returns:
        (batch, window axes…, channels).
    """
    rank = len(size)
    counts = [-(-(n + before) // s) for n, (before, _), s in zip(size, pads, stride)]
    back = jnp.swapaxes(lax.rev(kernel, tuple(range(rank))), -1, -2)
    phases = []
    for phase in product(*map(range, stride)):
        # Counted from the end, for the kernel is reversed.
        taps = tuple(slice((k - 1 - r) % s, k - r, s) if r < k else slice(0, 0)
                     for r, s, k in zip(phase, stride, kernel.shape))
        part = back[taps]
        if 0 in part.shape:
            phases.append(jnp.zeros((len(gradient), *counts, back.shape[-1]), gradient.dtype))
            continue
        room = [(u - 1, q - n) for u, q, n in zip(part.shape, counts, gradient.shape[1:-1])]
        phases.append(convolve(gradient, part, room))
    return interleaved(phases, stride, counts, size, pads)


def interleaved(
    phases: list[Array], stride: Sequence[int], counts: list[int], size: Sequence[int],
    pads: Sequence[tuple[int, int]],
) -> Array:
    """The phases (batch, counts…, channels), the last axis's fastest, as one array of `size`."""
    rank, batch, channels = len(size), phases[0].shape[0], phases[0].shape[-1]
    for axis in reversed(range(rank)):
        s = stride[axis]
        phases = [jnp.stack(phases[i:i + s], axis=axis + 2).reshape(
            batch, *_grown(phases[i].shape[1:-1], axis, s), channels)
            for i in range(0, len(phases), s)]
    (whole,) = phases
    starts = [before for before, _ in pads]
    return whole[(slice(None), *(slice(b, b + n) for b, n in zip(starts, size)))]


def _grown(shape: tuple[int, ...], axis: int, times: int) -> tuple[int, ...]:
    return (*shape[:axis], shape[axis] * times, *shape[axis + 1:])
