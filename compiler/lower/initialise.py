"""The initial value of a parameter, from its seed and its path alone.

NumPy draws the numbers: nothing is compiled, a layer's numbers do not depend on what
stands before it, and every machine draws the same ones.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import numpy as np

from compiler.ops.base import Init

# The standard deviation of a standard normal cut at two deviations.
TRUNCATED_STDDEV = 0.87962566103423978


def initial(init: Init, shape: tuple[int, ...], seed: int, path: str) -> np.ndarray:
    """The initial array of the parameter at `path`, float32.

    Kernels are (window…, in, out): fan_in is window · in, fan_out is window · out.

    Raises:
        KeyError: there is no initialiser of that name.
    """
    rng = np.random.default_rng([seed, zlib.crc32(path.encode())])
    draw = INITIALISERS[init.name]
    if init.blocks == 1:
        return draw(rng, shape, **init.arguments).astype(np.float32, copy=False)
    part = (*shape[:-1], shape[-1] // init.blocks)
    blocks = [draw(rng, part, **init.arguments) for _ in range(init.blocks)]
    return np.concatenate(blocks, axis=-1).astype(np.float32, copy=False)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a kernel (window…, in, out)."""
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def _normal(rng, shape, stddev=0.01, mean=0.0):
    array = rng.standard_normal(shape, dtype=np.float32)
    array *= np.float32(stddev)
    if mean:
        array += np.float32(mean)
    return array


def _uniform(rng, shape, minval=-0.05, maxval=0.05):
    return rng.random(shape, dtype=np.float32) * np.float32(maxval - minval) + np.float32(minval)


def _truncated_normal(rng, shape, stddev=0.01, mean=0.0):
    """A normal distribution cut at two deviations, scaled so that `stddev` is what is left."""
    array = rng.standard_normal(shape, dtype=np.float32)
    while (outside := np.abs(array) > 2).any():
        array[outside] = rng.standard_normal(int(outside.sum()), dtype=np.float32)
    return array * np.float32(stddev / TRUNCATED_STDDEV) + np.float32(mean)


def _scaled(rng, shape, mode: str, distribution: str, gain: float):
    """Variance scaling: gain² / fan, He et al. 2015, Glorot & Bengio 2010, LeCun 1998."""
    fan_in, fan_out = fans(shape)
    fan = {"in": fan_in, "out": fan_out, "average": (fan_in + fan_out) / 2}[mode]
    stddev = gain / math.sqrt(max(fan, 1))
    if distribution == "uniform":
        bound = math.sqrt(3) * stddev
        return _uniform(rng, shape, -bound, bound)
    if distribution == "truncated":
        return _truncated_normal(rng, shape, stddev)
    return _normal(rng, shape, stddev)


def _orthogonal(rng, shape, gain=1.0):
    """Rows or columns orthonormal (Saxe et al. 2014), by QR of a normal matrix in float64."""
    rows, columns = math.prod(shape[:-1]), shape[-1]
    matrix = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(matrix)
    q *= np.sign(np.diag(r))
    return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(np.float32)


def _identity(rng, shape, gain=1.0):
    """The identity map: 1 at the window's centre from channel i to channel i (Dirac)."""
    array = np.zeros(shape, np.float32)
    centre = tuple(s // 2 for s in shape[:-2])
    for i in range(min(shape[-2:])):
        array[(*centre, i, i)] = gain
    return array


INITIALISERS: dict[str, Callable[..., np.ndarray]] = {
    "zeros": lambda rng, shape: np.zeros(shape, np.float32),
    "ones": lambda rng, shape: np.ones(shape, np.float32),
    "constant": lambda rng, shape, value: np.full(shape, value, np.float32),
    "normal": _normal,
    "truncated_normal": _truncated_normal,
    "uniform": _uniform,
    "kaiming_normal": lambda rng, shape, fan="out", gain=math.sqrt(2): _scaled(
        rng, shape, fan, "normal", gain),
    "kaiming_uniform": lambda rng, shape, fan="out", gain=math.sqrt(2): _scaled(
        rng, shape, fan, "uniform", gain),
    "lecun_normal": lambda rng, shape, gain=1.0: _scaled(rng, shape, "in", "truncated", gain),
    "lecun_uniform": lambda rng, shape, gain=1.0: _scaled(rng, shape, "in", "uniform", gain),
    "glorot_normal": lambda rng, shape, gain=1.0: _scaled(rng, shape, "average", "truncated", gain),
    "glorot_uniform": lambda rng, shape, gain=1.0: _scaled(rng, shape, "average", "uniform", gain),
    "orthogonal": _orthogonal,
    "identity": _identity,
}
