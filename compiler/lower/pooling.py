"""Pools as JAX. Padded steps never win, and never count."""

from __future__ import annotations

import math
from itertools import product
from typing import assert_never

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from compiler.lower.context import Context
from compiler.lower.kernels.max_pool import max_pool
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.lower.windows import type_of, window_lengths
from compiler.ops.pooling import (
    AdaptiveAveragePool,
    AveragePool,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    Pool,
    PoolingOperator,
)
from compiler.ops.windows import Geometry


def apply(
    op: PoolingOperator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> Tensor:
    """Run a pool."""
    (x,) = inputs
    match op:
        case MaxPool():
            return _max_pool(op, x, context.kernels)
        case AveragePool():
            return _average_pool(op, x)
        case GlobalAveragePool():
            return mean_over(x, op.axes(x.axes))
        case GlobalMaxPool():
            return max_over(x, op.axes(x.axes))
        case AdaptiveAveragePool():
            return _adaptive(op, x)
        case Pool(how="mean"):
            return mean_over(x, (op.over,))
        case Pool(how="max"):
            return max_over(x, (op.over,))
        case Pool():
            return last_step(x)
        case _:
            assert_never(op)


# ---- windows


def _fitted(op: MaxPool | AveragePool, x: Tensor) -> tuple[Geometry, list[int], list]:
    """The window on `x`, how many places it has, and the pads with what `ceil` adds behind."""
    arrived = type_of(x)
    geometry = op.geometry(arrived)
    pooled = geometry.output(arrived, "window")  # A batch may be shorter than the window.
    places, pads = [], []
    for i, axis in enumerate(geometry.axes):
        size, count = x.array.shape[x.dim(axis)], pooled.shape[i]
        assert not isinstance(count, str)  # it may be a symbol of JAX's, where a model is exported
        before, after = geometry.pads[i]
        if geometry.ceil:
            end = (count - 1) * geometry.stride[i] + geometry.reach[i]
            after = max(after, end - size - before)
        places.append(count)
        pads.append((before, after))
    return geometry, places, pads


def _max_pool(op: MaxPool, x: Tensor, kernels: str) -> Tensor:
    geometry, places, pads = _fitted(op, x)
    lengths = window_lengths(x.lengths, geometry)
    channels = [(0, 0)] if "channels" in x.axes else []
    array = x.filled(-jnp.inf)
    if any(d > 1 for d in geometry.dilation):
        padded = jnp.pad(array, [(0, 0), *pads, *channels], constant_values=-jnp.inf)
        return Tensor(_largest_tap(padded, geometry, places), x.axes, lengths)
    # The kernel has channels behind its window, if only one.
    array = array if channels else array[..., None]
    pooled = max_pool(array, geometry.window, geometry.stride, pads, kernels)
    return Tensor(pooled if channels else pooled[..., 0], x.axes, lengths)


def _largest_tap(padded: jax.Array, geometry: Geometry, places: list[int]) -> jax.Array:
    """The maximum over a dilated window, whose gradient XLA does not know; the first wins."""
    best = None
    for tap in product(*map(range, geometry.window)):
        starts = [t * d for t, d in zip(tap, geometry.dilation)]
        piece = padded[(slice(None), *(slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(
            starts, places, geometry.stride)))]
        best = piece if best is None else jnp.where(piece > best, piece, best)
    assert best is not None
    return best


def _average_pool(op: AveragePool, x: Tensor) -> Tensor:
    geometry, places, pads = _fitted(op, x)
    channels = [(0, 0)] if "channels" in x.axes else []
    one = (1,) * len(channels)
    sums = lax.reduce_window(
        _wide(x.filled(0)), 0.0, lax.add, (1, *geometry.window, *one),
        (1, *geometry.stride, *one), [(0, 0), *pads, *channels])
    counts = _counts(op, x, geometry, places)
    mean = sums / counts.reshape(*counts.shape, *one)
    return Tensor(mean.astype(x.array.dtype), x.axes, window_lengths(x.lengths, geometry))


def _counts(op: AveragePool, x: Tensor, geometry: Geometry, places: list[int]):
    """How many places each window averages: (1 or batch, window axes…).

    The overhang of `ceil` never counts, padding does if the field says so. On a time axis
    each row ends at its own length.
    """
    counts = np.ones((1,) * (len(places) + 1))
    for i, axis in enumerate(geometry.axes):
        size = x.array.shape[x.dim(axis)]
        if axis == "time" and x.lengths is not None:
            size = x.lengths[:, None]
        start = np.arange(places[i]) * geometry.stride[i] - geometry.pads[i][0]
        end = start + geometry.window[i]
        if op.count_padding:
            count = jnp.minimum(end, size + geometry.pads[i][1]) - start
        else:
            count = jnp.minimum(end, size) - np.maximum(start, 0)
        shape = [1] * (len(places) + 1)
        shape[0], shape[i + 1] = (count.shape[0] if count.ndim == 2 else 1), places[i]
        counts = counts * jnp.maximum(count, 1).reshape(shape)
    return jnp.asarray(counts, jnp.promote_types(x.array.dtype, jnp.float32))


# ---- whole axes


def mean_over(x: Tensor, axes: tuple[str, ...]) -> Tensor:
    """The mean of the real steps over some axes; 0 for an empty row."""
    dims = tuple(x.dim(a) for a in axes)
    total = _wide(x.filled(0)).sum(dims)
    count = jnp.asarray(math.prod(x.array.shape[d] for d in dims), total.dtype)
    if "time" in axes and x.lengths is not None:
        others = math.prod(x.array.shape[x.dim(a)] for a in axes if a != "time")
        count = jnp.maximum(x.lengths, 1).astype(total.dtype) * others
        count = count.reshape(-1, *(1,) * (total.ndim - 1))
    return _reduced(x, axes, (total / count).astype(x.array.dtype))


def max_over(x: Tensor, axes: tuple[str, ...]) -> Tensor:
    """The largest of the real steps over some axes; 0 for an empty row."""
    largest = x.filled(-jnp.inf).max(tuple(x.dim(a) for a in axes))
    if "time" in axes:
        largest = _zero_where_empty(largest, x.lengths)
    return _reduced(x, axes, largest)


def last_step(x: Tensor) -> Tensor:
    """Each row's last real step; 0 for an empty row."""
    dim = x.dim("time")
    if x.lengths is None:
        last = lax.index_in_dim(x.array, -1, dim, keepdims=False)
    else:
        index = jnp.maximum(x.lengths - 1, 0).reshape(-1, *(1,) * (x.array.ndim - 1))
        last = jnp.take_along_axis(x.array, index, dim).squeeze(dim)
        last = _zero_where_empty(last, x.lengths)
    return _reduced(x, ("time",), last)


def _zero_where_empty(array: jax.Array, lengths: jax.Array | None) -> jax.Array:
    if lengths is None:
        return array
    return jnp.where((lengths > 0).reshape(-1, *(1,) * (array.ndim - 1)), array, 0)


def _reduced(x: Tensor, axes: tuple[str, ...], array: jax.Array) -> Tensor:
    kept = tuple(a for a in x.axes if a not in axes)
    return Tensor(array, kept, x.lengths if "time" in kept else None)


# ---- bins


def _adaptive(op: AdaptiveAveragePool, x: Tensor) -> Tensor:
    """One product for each axis with the matrix (size, bins) of what each bin averages."""
    array = _wide(x.filled(0))
    for axis, bins in op.bins(type_of(x)).items():
        size = x.array.shape[x.dim(axis)]
        real = x.lengths if axis == "time" and x.lengths is not None else np.asarray([size])
        weights = jnp.asarray(_bin_weights(size, real, bins), array.dtype)
        moved = jnp.moveaxis(array, x.dim(axis), -1)
        flat = moved.reshape(moved.shape[0], -1, size)
        pooled = jnp.matmul(flat, weights, precision=lax.Precision.HIGHEST)
        array = jnp.moveaxis(pooled.reshape(*moved.shape[:-1], bins), -1, x.dim(axis))
    # Every row fills all bins, however long it was.
    return Tensor(array.astype(x.array.dtype), x.axes, None if "time" in x.axes else x.lengths)


def _bin_weights(size: int, real, bins: int):
    """(rows, size, bins): the weight of each place in each bin, for rows of `real` places."""
    bin, place = np.arange(bins), np.arange(size)[:, None]
    start = bin * real[:, None, None] // bins
    end = -(-(bin + 1) * real[:, None, None] // bins)
    inside = (place >= start) & (place < end)
    return inside / (end - start).clip(1)


def _wide(array: jax.Array) -> jax.Array:
    """In float32 at least, for sums."""
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))
