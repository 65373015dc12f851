"""Pad, crop, slice and shift. Along time each row is treated by its own length."""

from __future__ import annotations

from typing import assert_never

import numpy as np

from compiler.ops.extent import Crop, Pad, Range, Shift, Slice, sides
from compiler.targets.onnx.builder import DTYPES, Builder, Size, Tensor
from compiler.targets.onnx.layer import Layer
from compiler.targets.onnx.lengths import column, take_rows, where_any

MODES = {"zeros": "constant", "reflect": "reflect", "edge": "edge"}
END = np.iinfo(np.int64).max


def extend(
    op: Pad | Crop | Slice | Shift, layer: Layer, x: Tensor, g: Builder,
) -> Tensor:
    """Add the nodes of one of these operators."""
    match op:
        case Pad():
            pads = {axis: sides(value) for axis, value in op.chosen(x.type).items()}
            x = _pad(g, x, pads, op.mode)
        case Crop():
            x = _crop(g, x, op.cuts(x.type))
        case Slice():
            for axis, part in op.chosen(x.type).items():
                x = _slice(g, x, axis, part)
        case Shift():
            for axis, by in op.chosen(x.type).items():
                x = _shift(g, x, axis, by, op.fill)
        case _:
            assert_never(op)
    return layer.made(x.name, x.lengths, x.order)


def _renamed(x: Tensor, name: str, lengths: str | None) -> Tensor:
    return Tensor(name, x.type, x.order, lengths)


def padded(
    g: Builder, x: Tensor, pads: dict[str, tuple[int, int]], mode: str = "constant",
    value: float = 0,
) -> str:
    """A `Pad` node over some axes."""
    starts, ends = zip(*(pads.get(axis, (0, 0)) for axis in x.order))
    return g.node("Pad", x.name, g.ints(*starts, *ends),
                  g.constant(DTYPES[x.type.dtype](value)) if mode == "constant" else "", mode=mode)


def _pad(g: Builder, x: Tensor, pads: dict[str, tuple[int, int]], mode: str) -> Tensor:
    if x.lengths is not None and "time" in pads:
        x = _pad_rows(g, x, *pads["time"], mode)
        pads = {axis: p for axis, p in pads.items() if axis != "time"}
    if not any(map(any, pads.values())):
        return x
    return _renamed(x, padded(g, x, pads, MODES[mode]), x.lengths)


def _pad_rows(g: Builder, x: Tensor, before: int, after: int, mode: str) -> Tensor:
    """Pad time at the end of each row."""
    assert x.lengths is not None
    longer = g.arithmetic("Add", x.lengths, before + after)
    if mode == "zeros":
        x = g.filled(x)
        name = padded(g, x, {"time": (before, after)})
        return _renamed(x, name, g.scalar(longer))
    last = column(g, g.node("Max", g.node("Sub", x.lengths, g.ints(1)), g.ints(0)))
    steps = g.arithmetic("Add", g.size(x, "time"), before + after)
    index = g.node("Sub", g.counted(steps), g.ints(before))
    if mode == "edge":
        index = g.node("Min", g.node("Max", index, g.ints(0)), last)
    else:
        twice = g.node("Mul", last, g.ints(2))
        around = g.node("Mod", g.node("Abs", index), g.node("Max", twice, g.ints(1)))
        index = g.node("Min", around, g.node("Sub", twice, around))
    taken = take_rows(g, x, index)
    return _renamed(taken, taken.name, where_any(g, x.lengths, longer))


def _cut(g: Builder, x: Tensor, axis: str, start: int, stop: int, step: int = 1) -> str:
    return g.node("Slice", x.name, g.ints(start), g.ints(stop), g.ints(x.dim(axis)), g.ints(step))


def _crop(g: Builder, x: Tensor, cuts: dict[str, tuple[int, int]]) -> Tensor:
    for axis, (before, after) in cuts.items():
        lengths = x.lengths
        if axis == "time" and lengths is not None:
            left = g.arithmetic("Sub", lengths, before + after)
            lengths = g.scalar(g.arithmetic("Max", left, 0))
        if before or after:
            x = _renamed(x, _cut(g, x, axis, before, -after if after else END), lengths)
    return x


def _slice(g: Builder, x: Tensor, axis: str, part: Range) -> Tensor:
    start, stop = part.start or 0, END if part.stop is None else part.stop
    if axis != "time" or x.lengths is None:
        return _renamed(x, _cut(g, x, axis, start, stop, part.step), x.lengths)
    first = _bound(g, start, x.lengths)
    last = x.lengths if part.stop is None else _bound(g, stop, x.lengths)
    left = g.arithmetic("Add", g.node("Sub", last, first), part.step - 1)
    lengths = g.scalar(g.arithmetic("Div", g.arithmetic("Max", left, 0), part.step))
    if start >= 0:
        # All rows start at one step; where each ends is told by its length. Counted from the
        # end, the stop of a batch whose longest row is shorter than its time leaves too much.
        return _renamed(x, _cut(g, x, axis, start, stop, part.step), lengths)
    room = -start if part.stop is None else max(stop - start, 0)
    steps: Size = -(-room // part.step)
    steps = g.arithmetic("Min", steps, g.size(x, "time"))
    offsets = g.arithmetic("Mul", g.counted(steps), part.step)
    index = g.node("Add", column(g, g.scalar(first)), g.scalar(offsets))
    taken = take_rows(g, x, index)
    return _renamed(taken, taken.name, lengths)


def _bound(g: Builder, value: int, lengths: str) -> str:
    """A bound of a Python slice in each row."""
    if value >= 0:
        return g.node("Min", lengths, g.ints(value))
    return g.node("Max", g.node("Add", lengths, g.ints(value)), g.ints(0))


def _shift(g: Builder, x: Tensor, axis: str, by: int, fill: float) -> Tensor:
    """Padded on one side, cut on the other."""
    if by == 0:
        return x
    # Filled padding shifts back into a row's end as what comes in there.
    x = g.filled(x, fill) if axis == "time" else x
    wide = _renamed(x, padded(g, x, {axis: (max(by, 0), max(-by, 0))}, value=fill), x.lengths)
    return _renamed(x, _cut(g, wide, axis, max(-by, 0), -by if by > 0 else END), x.lengths)
