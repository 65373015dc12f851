"""Operators of the family `shape` in JAX."""

from __future__ import annotations

from math import prod
from typing import assert_never

import jax
import jax.numpy as jnp

from compiler.lower.context import Context
from compiler.lower.extent import extend, take_rows
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops.extent import Crop, Pad, Shift, Slice
from compiler.ops.shape import (
    Flatten,
    PixelShuffle,
    Reshape,
    Select,
    ShapeOperator,
    Split,
    Transpose,
    Upsample,
)
from compiler.types import TensorType


def apply(
    op: ShapeOperator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> Tensor | tuple[Tensor, ...]:
    """Rearrange (batch, *axes); see `compiler.lower.layer.apply`."""
    (x,) = inputs
    match op:
        case Flatten():
            return Tensor(x.filled().reshape(x.array.shape[0], -1), ("channels",))
        case Reshape():
            return _reshape(x, op.shape, op.names())
        case Transpose():
            return _transpose(x, op.axes, op.names or op.axes)
        case Pad() | Crop() | Slice() | Shift():
            return extend(op, x)
        case Upsample():
            type = TensorType(x.axes, x.array.shape[1:])
            return _upsample(x, op.scales(type), op.method)
        case PixelShuffle():
            return _pixel_shuffle(x, op.factors(x.window_axes))
        case Split():
            type = TensorType(x.axes, x.array.shape[1:])
            return _split(x, op.axis, op.pieces(type))
        case Select():
            return _select(x, op.axis, op.place)
        case _:
            assert_never(op)


def _reshape(x: Tensor, shape: tuple[int, ...], axes: tuple[str, ...]) -> Tensor:
    rest = prod(s for s in shape if s != -1)
    open_size = prod(x.array.shape[1:]) // rest
    full = (x.array.shape[0], *(open_size if s == -1 else s for s in shape))
    if x.lengths is None:
        return Tensor(x.array.reshape(full), axes)
    if x.axes[0] != "time" or axes[:1] != ("time",):
        return Tensor(x.filled().reshape(full), axes)
    # A row's real elements are the first ones before and after.
    before, after = prod(x.array.shape[2:]), prod(full[2:])
    array = x.array if before == after else x.filled()
    return Tensor(array.reshape(full), axes, -(-(x.lengths * before) // after))


def _transpose(x: Tensor, axes: tuple[str, ...], names: tuple[str, ...]) -> Tensor:
    stays = ("time", "time") in zip(axes, names)
    array = x.array if stays else x.filled()
    return Tensor(array.transpose(0, *(x.dim(a) for a in axes)), names,
                  x.lengths if stays else None)


def _upsample(x: Tensor, scales: dict[str, int], method: str) -> Tensor:
    lengths = None if x.lengths is None else x.lengths * scales.get("time", 1)
    array = x.array
    if method == "nearest":
        for axis, scale in scales.items():
            array = _repeat(array, x.dim(axis), scale)
        return Tensor(array, x.axes, lengths)
    if x.lengths is not None and "time" in x.axes:
        # Past its end a row goes on as its last step, so that padding does not mix in.
        steps = jnp.arange(array.shape[x.dim("time")])
        array = take_rows(Tensor(x.filled(), x.axes), jnp.minimum(steps, x.lengths[:, None] - 1))
    shape = list(array.shape)
    for axis, scale in scales.items():
        shape[x.dim(axis)] *= scale
    return Tensor(jax.image.resize(array, shape, "linear"), x.axes, lengths)


def _repeat(array: jax.Array, dim: int, times: int) -> jax.Array:
    """Each element `times` times in a row along `dim`."""
    if times == 1:
        return array
    shape = array.shape
    wide = jnp.broadcast_to(jnp.expand_dims(array, dim + 1),
                            (*shape[:dim + 1], times, *shape[dim + 1:]))
    return wide.reshape(*shape[:dim], shape[dim] * times, *shape[dim + 1:])


def _pixel_shuffle(x: Tensor, factors: tuple[int, ...]) -> Tensor:
    """(batch, *window, channels · Πf) to (batch, *(window · f), channels)."""
    batch, *window, channels = x.array.shape
    rank = len(window)
    parted = x.array.reshape(batch, *window, channels // prod(factors), *factors)
    pairs = [d for i in range(rank) for d in (1 + i, rank + 2 + i)]
    array = parted.transpose(0, *pairs, rank + 1)
    array = array.reshape(batch, *(s * f for s, f in zip(window, factors)), -1)
    factor = dict(zip(x.window_axes, factors)).get("time", 1)
    return Tensor(array, x.axes, None if x.lengths is None else x.lengths * factor)


def _split(x: Tensor, axis: str, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
    parts, start = [], 0
    for size in sizes:
        array = jax.lax.slice_in_dim(x.array, start, start + size, axis=x.dim(axis))
        lengths = x.lengths
        if axis == "time" and lengths is not None:
            lengths = jnp.clip(lengths - start, 0, size)
        parts.append(Tensor(array, x.axes, lengths))
        start += size
    return tuple(parts)


def _select(x: Tensor, axis: str, place: int) -> Tensor:
    axes = tuple(a for a in x.axes if a != axis)
    if axis != "time":
        return Tensor(jnp.take(x.array, place, axis=x.dim(axis)), axes, x.lengths)
    steps = x.array.shape[x.dim("time")]
    lengths = x.lengths if x.lengths is not None else jnp.full(x.array.shape[0], steps)
    index = place if place >= 0 else lengths + place
    index = jnp.broadcast_to(index, (x.array.shape[0],))
    taken = take_rows(x, index[:, None]).squeeze(x.dim("time"))
    real = (index >= 0) & (index < lengths)
    return Tensor(jnp.where(real.reshape(-1, *(1,) * (taken.ndim - 1)), taken, 0), axes)
