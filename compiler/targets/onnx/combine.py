"""Joins: axes are aligned by name, lengths are brought together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import numpy as np

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
from compiler.targets.onnx.builder import Builder, Size, Tensor
from compiler.targets.onnx.layer import Layer
from compiler.targets.onnx.lengths import column, take_rows
from compiler.types import AXES

# What arithmetic means for truth values.
LOGIC = {"Add": "Or", "Mul": "And", "Max": "Or"}


def emit(op: CombineOperator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    """Add a join's nodes."""
    match op:
        case Add():
            return _elementwise("Add", layer, inputs, g)
        case Subtract():
            return _elementwise("Sub", layer, inputs, g)
        case Multiply():
            return _elementwise("Mul", layer, inputs, g)
        case Average():
            joined = _elementwise("Add", layer, inputs, g)
            if len(inputs) == 1:
                return joined
            name = g.node("Div", joined.name, g.constant(np.float32(len(inputs))))
            return layer.made(name, joined.lengths, joined.order)
        case Maximum():
            return _elementwise("Max", layer, inputs, g)
        case Concat():
            return _concat(op, layer, inputs, g)
        case Stack():
            return _stack(op, layer, inputs, g)
        case Matmul():
            return _matmul(op, layer, inputs[0], inputs[1], g)
        case _:
            assert_never(op)


def aligned(g: Builder, inputs: Sequence[Tensor], dtype: str) -> tuple[tuple[str, ...], list[str]]:
    """One order for all inputs, and their values in it, of size 1 where an axis is missing.

    The order is that of the input with the most axes, so that a gate follows its image.
    """
    axes = [a for a in AXES if any(a in x.order for x in inputs)]
    widest = max(inputs, key=lambda x: x.rank)
    order = (*widest.order, *(a for a in axes if a not in widest.order))
    names = []
    for x in inputs:
        name = g.arranged(x, [a for a in order if a in x.order]).name
        if x.type.dtype != dtype:
            name = g.cast(name, dtype)
        missing = [i for i, a in enumerate(order) if a not in x.order]
        names.append(g.node("Unsqueeze", name, g.ints(*missing)) if missing else name)
    return order, names


def shortest(g: Builder, inputs: Sequence[Tensor]) -> str | None:
    """The lengths of a join: a step is real where it is real in every input.

    An input whose one step stretches over the others' time has no say.
    """
    timed = [x for x in inputs if "time" in x.type.axes]
    if any(x.type.length != 1 for x in timed):
        timed = [x for x in timed if x.type.length != 1]
    known = list(dict.fromkeys(x.lengths for x in timed if x.lengths is not None))
    return g.node("Min", *known) if len(known) > 1 else next(iter(known), None)


def _elementwise(kind: str, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    dtype = layer.outputs[0].dtype
    order, names = aligned(g, inputs, dtype)
    if dtype == "bool":
        kind = LOGIC[kind]
    name = names[0]
    for other in names[1:]:
        name = g.node(kind, name, other)
    return layer.made(name, shortest(g, inputs), order)


def _stretched(
    g: Builder, inputs: Sequence[Tensor], order: tuple[str, ...], names: list[str], apart: str = "",
) -> list[str]:
    """Values stretched to the largest size of every axis but one."""
    def has(x: Tensor, axis: str) -> bool:
        return axis == "batch" or (axis in x.order and x.type.size(axis) != 1)

    wide = {axis: next((g.size(x, axis) for x in inputs if has(x, axis)), 1) for axis in order}
    stretched = []
    for x, name in zip(inputs, names):
        if all(has(x, a) or wide[a] == 1 or a == apart for a in order):
            stretched.append(name)
            continue
        sizes: list[Size] = [g.size(x, a) if a == apart and a in x.order else 1 if a == apart
                             else wide[a] for a in order]
        stretched.append(g.node("Expand", name, g.shape(sizes)))
    return stretched


def _concat(op: Concat, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    if len(inputs) == 1:
        return inputs[0]
    order, names = aligned(g, inputs, layer.outputs[0].dtype)
    names = _stretched(g, inputs, order, names, op.axis)
    joined = g.node("Concat", *names, axis=order.index(op.axis))
    if op.axis != "time":
        return layer.made(joined, shortest(g, inputs), order)
    return _packed(layer, layer.made(joined, None, order), inputs, g)


def _packed(layer: Layer, joined: Tensor, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    """Move each row's real steps together, over the padding that stands between the parts."""
    sizes = [g.size(x, "time") for x in inputs]
    if all(x.lengths is None for x in inputs[:-1]):
        last = inputs[-1].lengths
        if last is None:
            return joined
        before: Size = 0
        for size in sizes[:-1]:
            before = g.arithmetic("Add", before, size)
        return layer.made(joined.name, g.scalar(g.arithmetic("Add", last, before)), joined.order)
    batch = g.measured(joined.name, joined.dim("batch"))
    to = g.counted(g.size(joined, "time"))
    source = g.node("Expand", g.constant(np.int64(0)), g.shape([batch, g.size(joined, "time")]))
    start: Size = 0
    end = g.node("Expand", g.constant(np.int64(0)), g.shape([batch, 1]))
    for x, size in zip(inputs, sizes):
        here = g.node("Add", g.node("Sub", to, end), g.scalar(start))
        source = g.node("Where", g.node("Less", to, end), source, here)
        start = g.arithmetic("Add", start, size)
        more = g.scalar(size) if x.lengths is None else column(g, x.lengths)
        end = g.node("Add", end, more)
    taken = take_rows(g, joined, source)
    return layer.made(taken.name, g.node("Squeeze", end, g.ints(1)), taken.order)


def _stack(op: Stack, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    order, names = aligned(g, inputs, layer.outputs[0].dtype)
    names = _stretched(g, inputs, order, names)
    # Channels stand last, any other new axis stands before all but the batch.
    at = len(order) if op.axis == "channels" else order.index("batch") + 1
    parts = [g.node("Unsqueeze", name, g.ints(at)) for name in names]
    lengths = shortest(g, inputs) if "time" in order else None
    return layer.made(g.node("Concat", *parts, axis=at), lengths,
                      (*order[:at], op.axis, *order[at:]))


def _matmul(op: Matmul, layer: Layer, a: Tensor, b: Tensor, g: Builder) -> Tensor:
    """Sum the channels of `a` over `axis` of `b`, whose padded steps are zeros."""
    columns = op.columns(b.type.axes)
    shared = [x for x in b.type.axes if x not in (op.axis, columns)]
    rows = [x for x in a.type.window_axes if x not in shared]
    left = g.arranged(a, ("batch", *shared, *rows, "channels"))
    right = g.arranged(g.filled(b), ("batch", *shared, op.axis, columns))
    outside: list[Size] = [g.size(left, x) for x in ("batch", *shared)]
    name = left.name
    if len(rows) != 1:
        name = g.reshaped(name, [*outside, -1, g.size(left, "channels")])
    product = g.node("MatMul", name, right.name)
    if len(rows) != 1:
        product = g.reshaped(product, [
            *outside, *(g.size(left, x) for x in rows), g.size(right, columns)])
    in_step = "time" in b.type.axes and "time" not in (op.axis, columns)
    lengths = shortest(g, (a, b)) if in_step else a.lengths
    return layer.made(product, lengths, ("batch", *shared, *rows, "channels"))
