"""Joins in JAX: axes are aligned by name, lengths are brought together."""

from __future__ import annotations

from functools import reduce
from typing import assert_never

import jax
import jax.numpy as jnp

from compiler.lower.context import Context
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops.combine import (
    Add,
    Average,
    CombineOperator,
    Concat,
    Matmul,
    Maximum,
    Multiply,
    Stack,
    Subtract,
)
from compiler.types import AXES


def apply(
    op: CombineOperator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> Tensor:
    """Join tensors (batch, *axes); see `compiler.lower.layer.apply`."""
    match op:
        case Add():
            return _elementwise(jnp.add, inputs)
        case Subtract():
            return _elementwise(jnp.subtract, inputs)
        case Multiply():
            # Padding is filled: the gradient of a gate sums over time, and 0 · NaN is NaN.
            return _elementwise(jnp.multiply, tuple(x.with_array(x.filled()) for x in inputs))
        case Average():
            joined = _elementwise(jnp.add, inputs)
            return joined.with_array(joined.array / len(inputs))
        case Maximum():
            return _elementwise(jnp.maximum, inputs)
        case Concat():
            return concat(inputs, op.axis)
        case Stack():
            return _stack(inputs, op.axis)
        case Matmul():
            return _matmul(inputs[0], inputs[1], op.axis, op.columns(inputs[1].axes))
        case _:
            assert_never(op)


def align(inputs: tuple[Tensor, ...]) -> tuple[tuple[str, ...], list[jax.Array]]:
    """The axes of all inputs together, and the arrays with those, size 1 where missing."""
    axes = tuple(a for a in AXES if any(a in x.axes for x in inputs))
    arrays = []
    for x in inputs:
        order = [a for a in axes if a in x.axes]
        array = x.array.transpose(0, *(x.dim(a) for a in order))
        missing = [i for i, a in enumerate(axes, 1) if a not in x.axes]
        arrays.append(jnp.expand_dims(array, missing))
    return axes, arrays


def shortest(inputs: tuple[Tensor, ...]) -> jax.Array | None:
    """The lengths of a join: a step is real where it is real in every input.

    An input whose one step stretches over the others' time has no say.
    """
    steps = [x.array.shape[x.dim("time")] if "time" in x.axes else 1 for x in inputs]
    known = [x.lengths for x, n in zip(inputs, steps)
             if x.lengths is not None and "time" in x.axes and n == max(steps)]
    return reduce(jnp.minimum, known) if known else None


def _elementwise(function, inputs: tuple[Tensor, ...]) -> Tensor:
    axes, arrays = align(inputs)
    return Tensor(reduce(function, arrays), axes, shortest(inputs))


def concat(inputs: tuple[Tensor, ...], axis: str) -> Tensor:
    """Lay tensors behind one another along `axis`, broadcasting the other axes."""
    if len(inputs) == 1:
        return inputs[0]
    axes, arrays = align(inputs)
    dim = axes.index(axis) + 1
    common = jnp.broadcast_shapes(*((*a.shape[:dim], 1, *a.shape[dim + 1:]) for a in arrays))
    arrays = [jnp.broadcast_to(a, (*common[:dim], a.shape[dim], *common[dim + 1:]))
              for a in arrays]
    joined = jnp.concatenate(arrays, axis=dim)
    if axis != "time":
        return Tensor(joined, axes, shortest(inputs))
    sizes = [a.shape[dim] for a in arrays]
    return _packed(joined, axes, sizes, [x.lengths for x in inputs])


def _packed(
    joined: jax.Array, axes: tuple[str, ...], sizes: list[int], lengths: list[jax.Array | None],
) -> Tensor:
    """Move each row's real steps together, over the padding that stands between the parts."""
    if all(n is None for n in lengths[:-1]):
        last = lengths[-1]
        return Tensor(joined, axes, None if last is None else last + sum(sizes[:-1]))
    batch, steps = joined.shape[0], sum(sizes)
    to = jnp.arange(steps)
    source = jnp.zeros((batch, steps), jnp.int32)
    start, end = 0, jnp.zeros((batch, 1), jnp.int32)
    for size, n in zip(sizes, lengths):
        here = to - end + start
        source = jnp.where(to >= end, here, source)
        start, end = start + size, end + (size if n is None else n[:, None])
    index = jnp.clip(source, 0, steps - 1)
    packed = jnp.take_along_axis(
        joined, index.reshape(batch, *_placed(steps, axes.index("time") + 1, joined.ndim)),
        axis=axes.index("time") + 1)
    return Tensor(packed, axes, end[:, 0])


def _placed(size: int, dim: int, rank: int) -> tuple[int, ...]:
    """The shape, without the batch, of what has a size on one axis only."""
    return tuple(size if d == dim else 1 for d in range(1, rank))


def _stack(inputs: tuple[Tensor, ...], axis: str) -> Tensor:
    axes, arrays = align(inputs)
    together = tuple(a for a in AXES if a in (*axes, axis))
    arrays = jnp.broadcast_arrays(*arrays)
    lengths = shortest(inputs) if "time" in axes else None
    return Tensor(jnp.stack(arrays, axis=together.index(axis) + 1), together, lengths)


def _matmul(a: Tensor, b: Tensor, axis: str, columns: str) -> Tensor:
    """Sum the channels of `a` over `axis` of `b`; see `compiler.ops.combine.Matmul`."""
    left = a.filled()
    if b.lengths is not None and axis == "time":
        # What meets a padded step of b is taken out of both, so that NaN there cannot pass.
        real = jnp.arange(left.shape[-1]) < b.lengths[:, None]
        left = jnp.where(real.reshape(len(real), *(1,) * (left.ndim - 2), -1), left, 0)
    letters = {name: chr(ord("a") + i) for i, name in enumerate(("batch", *AXES))}
    summed, column = "y", "z"
    rows = "".join(letters[x] for x in a.window_axes)
    other = "".join(summed if x == axis else column if x == columns else letters[x] for x in b.axes)
    product = jnp.einsum(f"a{rows}{summed},a{other}->a{rows}{column}", left, b.filled())
    in_step = "time" in b.axes and "time" not in (axis, columns)
    lengths = shortest((a, b)) if in_step else a.lengths
    return Tensor(product, (*a.window_axes, "channels"), lengths)
