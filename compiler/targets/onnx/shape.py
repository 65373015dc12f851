"""Operators of the family `shape`. Renaming axes costs nothing: the order says where they lie."""

from __future__ import annotations

from math import prod
from typing import assert_never

import numpy as np

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
from compiler.targets.onnx.builder import Builder, Size, Tensor, channels_first
from compiler.targets.onnx.extent import extend
from compiler.targets.onnx.layer import Layer, made
from compiler.targets.onnx.lengths import column, lengths_of, per_row, take_rows


def emit(
    op: ShapeOperator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder,
) -> Tensor | tuple[Tensor, ...]:
    """Add the nodes of an operator that rearranges."""
    (x,) = inputs
    match op:
        case Flatten():
            return layer.made(g.node("Flatten", _unfolded(g, g.filled(x)).name, axis=1))
        case Reshape():
            return _reshape(op, layer, x, g)
        case Transpose():
            stays = ("time", "time") in zip(op.axes, op.names or op.axes)
            x = x if stays else g.filled(x)
            names = dict(zip(op.axes, op.names or op.axes)) | {"batch": "batch"}
            order = tuple(names[axis] for axis in x.order)
            return layer.made(x.name, x.lengths if stays else None, order)
        case Pad() | Crop() | Slice() | Shift():
            return extend(op, layer, x, g)
        case Upsample():
            return _upsample(op, layer, x, g)
        case PixelShuffle():
            return _pixel_shuffle(op, layer, x, g)
        case Split():
            return _split(op, layer, x, g)
        case Select():
            return _select(op, layer, x, g)
        case _:
            assert_never(op)


def _unfolded(g: Builder, x: Tensor) -> Tensor:
    """The tensor in the order of its elements; where only channels are more than one, any is."""
    if all(x.type.size(axis) == 1 for axis in x.type.window_axes) and x.order[0] == "batch":
        return x
    return g.in_order(x)


def _reshape(op: Reshape, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    type = layer.outputs[0]
    stays = x.lengths is not None and x.type.axes[0] == "time" and type.axes[:1] == ("time",)
    before, after = (prod(s for s in t.shape[1:] if isinstance(s, int)) for t in (x.type, type))
    x = g.in_order(x if stays and before == after else g.filled(x))
    sizes = [0, *(s if isinstance(s, int) else -1 for s in type.shape)]
    name = g.reshaped(x.name, sizes)
    if not stays:
        return layer.made(name)
    lengths = x.lengths
    if before != after:
        elements = g.arithmetic("Add", g.arithmetic("Mul", x.lengths or "", before), after - 1)
        lengths = g.scalar(g.arithmetic("Div", elements, after))
    return layer.made(name, lengths)


def _upsample(op: Upsample, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    scales = op.scales(x.type)
    lengths = x.lengths
    if lengths is not None and "time" in scales:
        lengths = g.scalar(g.arithmetic("Mul", lengths, scales["time"]))
    if op.method == "bilinear":
        if x.lengths is not None and "time" in x.type.axes:
            # Past its end a row goes on as its last step, so that padding does not mix in.
            index = g.node("Min", g.counted(g.size(x, "time")),
                           g.node("Sub", column(g, x.lengths), g.ints(1)))
            x = take_rows(g, g.filled(x), index)
        return layer.made(_linear(g, g.arranged(x, channels_first(x.type)), scales), lengths,
                          channels_first(x.type))
    if x.type.dtype == "float" and x.rank <= 4:
        factors = np.array([scales.get(axis, 1) for axis in x.order], np.float32)
        name = g.node("Resize", x.name, "", g.constant(factors), mode="nearest",
                      coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        return layer.made(name, lengths, x.order)
    name = x.name
    for axis, scale in scales.items():
        name = _repeated(g, x, name, axis, scale, scales)
    return layer.made(name, lengths, x.order)


def _repeated(
    g: Builder, x: Tensor, name: str, axis: str, scale: int, scales: dict[str, int],
) -> str:
    """Each element `scale` times in a row along an axis; `name` holds `x`, axes before it done."""
    if scale == 1:
        return name
    dim = x.dim(axis)
    wide = g.node("Concat", *[g.node("Unsqueeze", name, g.ints(dim + 1))] * scale, axis=dim + 1)
    done = list(scales)[:list(scales).index(axis) + 1]
    sizes: list[Size] = [g.arithmetic("Mul", g.size(x, a), scales[a] if a in done else 1)
                         for a in x.order]
    return g.reshaped(wide, sizes)


def _linear(g: Builder, x: Tensor, scales: dict[str, int]) -> str:
    """Lines between the elements of one axis after the other."""
    name = x.name
    sizes: list[Size] = [g.size(x, axis) for axis in x.order]
    for axis, scale in scales.items():
        if scale == 1:
            continue
        dim = x.dim(axis)
        # One axis alone is all that every runtime interpolates along: (rows, 1, 1, size).
        flat = g.node("Transpose", name, perm=_last(x.rank, dim)) if dim < x.rank - 1 else name
        flat = g.reshaped(flat, [-1, 1, 1, sizes[dim]])
        factors = g.constant(np.array([1, 1, 1, scale], np.float32))
        flat = g.node("Resize", flat, "", factors, mode="linear",
                      coordinate_transformation_mode="half_pixel")
        sizes[dim] = g.arithmetic("Mul", sizes[dim], scale)
        back = [*sizes[:dim], *sizes[dim + 1:], sizes[dim]]
        name = g.reshaped(flat, back)
        if dim < x.rank - 1:
            name = g.node("Transpose", name, perm=np.argsort(_last(x.rank, dim)).tolist())
    return name


def _last(rank: int, dim: int) -> list[int]:
    """The permutation that brings a dimension to the end."""
    return [*(d for d in range(rank) if d != dim), dim]


def _pixel_shuffle(op: PixelShuffle, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    """`DepthToSpace` over two axes alike, else its reshapes written out."""
    factors = op.factors(x.type.window_axes)
    lengths = x.lengths
    if lengths is not None and "time" in x.type.axes:
        factor = factors[x.type.window_axes.index("time")]
        lengths = g.scalar(g.arithmetic("Mul", lengths, factor))
    x = g.arranged(x, channels_first(x.type))
    rank = len(factors)
    if rank == 2 and factors[0] == factors[1]:
        name = g.node("DepthToSpace", x.name, blocksize=factors[0], mode="CRD")
        return layer.made(name, lengths, x.order)
    batch, channels, *window = (g.size(x, axis) for axis in x.order)
    assert isinstance(channels, int)
    left = channels // prod(factors)
    parted = g.reshaped(x.name, [batch, left, *factors, *window])
    pairs = [d for i in range(rank) for d in (2 + rank + i, 2 + i)]
    turned = g.node("Transpose", parted, perm=(0, 1, *pairs))
    name = g.reshaped(turned, [batch, left, *(
        g.arithmetic("Mul", s, f) for s, f in zip(window, factors))])
    return layer.made(name, lengths, x.order)


def _split(op: Split, layer: Layer, x: Tensor, g: Builder) -> tuple[Tensor, ...]:
    sizes = op.pieces(x.type)
    names = (x.name,) if len(sizes) == 1 else g.nodes_of(
        "Split", (x.name, g.ints(*sizes)), len(sizes), axis=x.dim(op.axis))
    parts, start = [], 0
    for name, size, type in zip(names, sizes, layer.outputs):
        lengths = x.lengths
        if op.axis == "time" and lengths is not None:
            left = g.arithmetic("Max", g.arithmetic("Sub", lengths, start), 0)
            lengths = g.scalar(g.arithmetic("Min", left, size))
        parts.append(made(name, type, lengths, x.order))
        start += size
    return tuple(parts)


def _select(op: Select, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    order = tuple(a for a in x.order if a != op.axis)
    known = isinstance(x.type.size(op.axis), int) or op.place == -1
    if op.axis != "time" or (x.lengths is None and known):
        name = g.node("Gather", x.name, g.constant(np.int64(op.place)), axis=x.dim(op.axis))
        return layer.made(name, x.lengths, order)
    # One of the row's own steps; zeros where it is too short.
    lengths = lengths_of(g, x)
    index = g.arithmetic("Add", lengths, op.place) if op.place < 0 else g.node(
        "Expand", g.ints(op.place), g.node("Shape", lengths))
    index = g.scalar(index)
    taken = take_rows(g, x, column(g, index))
    name = g.node("Squeeze", taken.name, g.ints(1))
    real = g.node("And", g.node("Not", g.node("Less", index, g.ints(0))),
                  g.node("Less", index, lengths))
    order = tuple(a for a in taken.order if a != "time")
    zero = g.constant({"float": np.float32, "int": np.int64, "bool": np.bool_}[x.type.dtype](0))
    return layer.made(g.node("Where", per_row(g, real, len(order)), name, zero), None, order)
