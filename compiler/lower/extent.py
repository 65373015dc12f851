"""Pad, crop, slice and shift in JAX. Along time each row is treated by its own length."""

from __future__ import annotations

from typing import assert_never

import jax
import jax.numpy as jnp

from compiler.lower.tensor import Tensor
from compiler.ops.extent import Crop, Pad, Range, Shift, Slice, sides
from compiler.types import TensorType

NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "edge": "edge"}


def extend(op: Pad | Crop | Slice | Shift, x: Tensor) -> Tensor:
    """Apply one of these operators to (batch, *axes)."""
    type = TensorType(x.axes, x.array.shape[1:])
    match op:
        case Pad():
            pads = {axis: sides(value) for axis, value in op.chosen(type).items()}
            return _pad(x, pads, op.mode)
        case Crop():
            return _crop(x, op.cuts(type))
        case Slice():
            for axis, part in op.chosen(type).items():
                x = _slice(x, axis, part)
            return x
        case Shift():
            for axis, by in op.chosen(type).items():
                x = _shift(x, axis, by, op.fill)
            return x
        case _:
            assert_never(op)


def take_rows(x: Tensor, index: jax.Array) -> jax.Array:
    """Steps of each row by its own indices.

    Args:
        x: (batch, *axes) with a time axis.
        index: (batch, steps); what is out of range takes the nearest step.

    Returns:
        The array (batch, *axes) with `steps` steps.
    """
    dim = x.dim("time")
    index = jnp.clip(index, 0, x.array.shape[dim] - 1)
    shape = [1] * x.array.ndim
    shape[0], shape[dim] = index.shape
    return jnp.take_along_axis(x.array, index.reshape(shape), axis=dim)


def _pad(x: Tensor, pads: dict[str, tuple[int, int]], mode: str) -> Tensor:
    if x.lengths is not None and "time" in pads:
        x = _pad_rows(x, *pads["time"], mode)
        pads = {axis: p for axis, p in pads.items() if axis != "time"}
    widths = [(0, 0), *(pads.get(axis, (0, 0)) for axis in x.axes)]
    return x.with_array(jnp.pad(x.array, widths, mode=NUMPY_MODES[mode]))


def _pad_rows(x: Tensor, before: int, after: int, mode: str) -> Tensor:
    """Pad time at the end of each row."""
    assert x.lengths is not None
    dim = x.dim("time")
    longer = x.lengths + before + after
    if mode == "zeros":
        widths = [(0, 0)] * x.array.ndim
        widths[dim] = (before, after)
        return Tensor(jnp.pad(x.filled(), widths), x.axes, longer)
    last = jnp.maximum(x.lengths - 1, 0)[:, None]
    index = jnp.arange(x.array.shape[dim] + before + after) - before
    if mode == "edge":
        index = jnp.clip(index, 0, last)
    else:
        around = jnp.abs(index) % jnp.maximum(2 * last, 1)
        index = jnp.minimum(around, 2 * last - around)
    return Tensor(take_rows(x, index), x.axes, jnp.where(x.lengths > 0, longer, 0))


def _crop(x: Tensor, cuts: dict[str, tuple[int, int]]) -> Tensor:
    lengths = x.lengths
    index = [slice(None)]
    for axis, size in zip(x.axes, x.array.shape[1:]):
        before, after = cuts.get(axis, (0, 0))
        if axis == "time" and lengths is not None:
            lengths = jnp.maximum(lengths - before - after, 0)
        index.append(slice(before, max(size - after, before)))
    return Tensor(x.array[tuple(index)], x.axes, lengths)


def _slice(x: Tensor, axis: str, part: Range) -> Tensor:
    dim = x.dim(axis)
    cut = slice(part.start, part.stop, part.step)
    if axis != "time" or x.lengths is None:
        return x.with_array(x.array[(slice(None),) * dim + (cut,)])
    start = _bound(part.start or 0, x.lengths)
    stop = x.lengths if part.stop is None else _bound(part.stop, x.lengths)
    lengths = jnp.maximum(-(-(stop - start) // part.step), 0)
    steps = len(range(*cut.indices(x.array.shape[dim])))
    if (part.start or 0) >= 0:
        # All rows start at one step: one cut of the whole batch, where each ends by its length.
        array = x.array[(slice(None),) * dim + (slice(part.start, None, part.step),)]
        return Tensor(jax.lax.slice_in_dim(array, 0, steps, axis=dim), x.axes, lengths)
    index = start[:, None] + part.step * jnp.arange(steps)
    return Tensor(take_rows(x, index), x.axes, lengths)


def _bound(value: int, lengths: jax.Array) -> jax.Array:
    """A bound of a Python slice in each row."""
    return jnp.minimum(value, lengths) if value >= 0 else jnp.maximum(lengths + value, 0)


def _shift(x: Tensor, axis: str, by: int, fill: float) -> Tensor:
    dim = x.dim(axis)
    # Filled padding shifts back into a row's end as what comes in there.
    array = x.filled(fill) if axis == "time" else x.array
    size = array.shape[dim]
    by = max(min(by, size), -size)
    kept = jax.lax.slice_in_dim(array, max(-by, 0), size - max(by, 0), axis=dim)
    widths = [(0, 0)] * array.ndim
    widths[dim] = (max(by, 0), max(-by, 0))
    return x.with_array(jnp.pad(kept, widths, constant_values=jnp.asarray(fill, array.dtype)))
