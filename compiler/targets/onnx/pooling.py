"""Pools as ONNX's own nodes. Padded steps never win, and never count."""

from __future__ import annotations

import math
from typing import assert_never

import numpy as np

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
from compiler.targets.onnx.builder import Builder, Size, Tensor, channels_first
from compiler.targets.onnx.layer import Layer
from compiler.targets.onnx.lengths import column, per_row, places, take_rows, window_lengths
from compiler.types import TensorType


def emit(op: PoolingOperator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    """Add a pool's nodes."""
    (x,) = inputs
    match op:
        case MaxPool():
            return _max_pool(op, layer, x, g)
        case AveragePool():
            return _average_pool(op, layer, x, g)
        case GlobalAveragePool():
            return mean_over(g, x, op.axes(x.type.axes), layer)
        case GlobalMaxPool():
            return max_over(g, x, op.axes(x.type.axes), layer)
        case AdaptiveAveragePool():
            return _adaptive(op, layer, x, g)
        case Pool(how="mean"):
            return mean_over(g, x, (op.over,), layer)
        case Pool(how="max"):
            return max_over(g, x, (op.over,), layer)
        case Pool():
            return _last_step(g, x, layer)
        case _:
            assert_never(op)


# ---- windows


def _with_channels(g: Builder, x: Tensor) -> Tensor:
    """The tensor with its channels second, one where it has none."""
    if "channels" in x.type.axes:
        return g.arranged(x, channels_first(x.type))
    x = g.arranged(x, channels_first(x.type))
    type = TensorType((*x.type.axes, "channels"), (*x.type.shape, 1))
    return Tensor(g.node("Unsqueeze", x.name, g.ints(1)), type, channels_first(type), x.lengths)


def _pooled(g: Builder, layer: Layer, name: str, lengths: str | None) -> Tensor:
    """What comes out of a node over (batch, channels, …), its channels gone where they were added.
    """
    order = channels_first(layer.outputs[0])
    if "channels" not in layer.outputs[0].axes:
        name = g.node("Squeeze", name, g.ints(1))
    return layer.made(name, lengths, order)


def _overhang(g: Builder, x: Tensor, geometry: Geometry) -> list[Size]:
    """What `ceil` adds behind each axis, beyond its padding."""
    found: list[Size] = []
    for i, axis in enumerate(geometry.axes):
        if not geometry.ceil:
            found.append(0)
            continue
        size = g.size(x, axis)
        count = places(g, size, geometry, i)
        end = g.arithmetic("Mul", g.arithmetic("Sub", count, 1), geometry.stride[i])
        end = g.arithmetic("Add", end, geometry.reach[i] - sum(geometry.pads[i]))
        found.append(g.arithmetic("Max", g.arithmetic("Sub", end, size), 0))
    return found


def _attributes(geometry: Geometry, overhang: list[Size]) -> dict[str, tuple[int, ...]] | None:
    """Window, strides and pads of a node that needs no padding before; None where it does."""
    if not all(isinstance(o, int) for o in overhang):
        return None
    starts = [before for before, _ in geometry.pads]
    ends = [after + o for (_, after), o in zip(geometry.pads, overhang)]  # type: ignore[operator]
    if any(max(s, e) >= k for s, e, k in zip(starts, ends, geometry.window)):
        return None  # a dilated window may have more padding than elements
    return {"kernel_shape": geometry.window, "strides": geometry.stride,
            "pads": (*starts, *ends)}


def _padded(g: Builder, x: str, geometry: Geometry, overhang: list[Size], value: float) -> str:
    """(batch, channels, …) with its padding in place."""
    starts = [before for before, _ in geometry.pads]
    ends = [g.arithmetic("Add", o, after) for (_, after), o in zip(geometry.pads, overhang)]
    return g.node("Pad", x, g.shape([0, 0, *starts, 0, 0, *ends]), g.constant(np.float32(value)))


def _max_pool(op: MaxPool, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    geometry = op.geometry(x.type)
    lengths = window_lengths(g, x.lengths, geometry)
    x = _with_channels(g, g.filled(x, -math.inf))
    overhang = _overhang(g, x, geometry)
    attributes, name = _attributes(geometry, overhang), x.name
    if attributes is None:
        name = _padded(g, name, geometry, overhang, -math.inf)
        attributes = {"kernel_shape": geometry.window, "strides": geometry.stride}
    if any(d > 1 for d in geometry.dilation):
        attributes["dilations"] = geometry.dilation
    return _pooled(g, layer, g.node("MaxPool", name, **attributes), lengths)


def _average_pool(op: AveragePool, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    geometry = op.geometry(x.type)
    lengths = window_lengths(g, x.lengths, geometry)
    own_end = x.lengths is not None and "time" in geometry.axes
    real = g.real(x) if own_end else None
    x, before = _with_channels(g, g.filled(x)), x
    overhang = _overhang(g, x, geometry)
    attributes = _attributes(geometry, overhang)
    counted = op.count_padding and any(o != 0 for o in overhang)
    if attributes is not None and not own_end and not counted:
        name = g.node("AveragePool", x.name, **attributes,
                      count_include_pad=int(op.count_padding))
        return _pooled(g, layer, name, lengths)
    # The mean of what counts: that of everything over that of ones where something counts.
    window = {"kernel_shape": geometry.window, "strides": geometry.stride}
    sums = g.node("AveragePool", _padded(g, x.name, geometry, overhang, 0), **window)
    shares = g.node("AveragePool", _countable(op, g, x, before, real, geometry, overhang), **window)
    least = g.constant(np.float32(1 / geometry.taps))
    return _pooled(g, layer, g.node("Div", sums, g.node("Max", shares, least)), lengths)


def _countable(
    op: AveragePool, g: Builder, x: Tensor, before: Tensor, real: str | None, geometry: Geometry,
    overhang: list[Size],
) -> str:
    """1 where something counts, 0 elsewhere: (batch or 1, 1, …) with the padding in place."""
    sizes = [g.size(x, axis) for axis in geometry.axes]
    edges: list[tuple[Size, Size]] = list(geometry.pads)
    if real is None:
        inside = g.node("Expand", g.constant(np.float32(1)), g.shape([1, 1, *sizes]))
    else:
        # Each row ends at its own length, behind which its padding begins.
        at = geometry.axes.index("time")
        lengths = column(g, before.lengths or "")
        steps = g.counted(sizes[at])
        if op.count_padding:
            wide = g.arithmetic("Add", sizes[at], sum(geometry.pads[at]))
            steps = g.counted(wide)
            lengths = g.node("Add", lengths, g.ints(sum(geometry.pads[at])))
            edges[at], sizes[at] = (0, 0), wide
        row = g.cast(g.node("Less", steps, lengths), "float")
        others = [d + 2 for d in range(len(sizes)) if d != at]
        row = g.node("Unsqueeze", row, g.ints(1, *others))
        inside = g.node("Expand", row, g.shape([1, 1, *sizes]))
    fill = float(op.count_padding)
    starts, ends = zip(*edges)
    counted = g.node("Pad", inside, g.shape([0, 0, *starts, 0, 0, *ends]),
                     g.constant(np.float32(fill)))
    return g.node("Pad", counted, g.shape([*(0,) * (len(sizes) + 4), *overhang]),
                  g.constant(np.float32(0)))


# ---- whole axes


def mean_over(g: Builder, x: Tensor, axes: tuple[str, ...], layer: Layer) -> Tensor:
    """The mean of the real steps over some axes; 0 for an empty row."""
    left = tuple(a for a in x.order if a not in axes)
    lengths = None if "time" in axes else x.lengths
    if "time" not in axes or x.lengths is None:
        if x.order == channels_first(x.type) and left == ("batch", "channels"):
            name = g.node("Flatten", g.node("GlobalAveragePool", x.name), axis=1)
        else:
            name = g.node("ReduceMean", x.name, axes=[x.dim(a) for a in axes], keepdims=0)
        return layer.made(name, lengths, left)
    x = g.arranged(g.filled(x), ("batch", *(a for a in x.order if a != "batch")))
    left = ("batch", *(a for a in left if a != "batch"))
    total = g.node("ReduceSum", x.name, g.ints(*(x.dim(a) for a in axes)), keepdims=0)
    count: Size = g.arithmetic("Max", x.lengths or "", 1)
    for axis in axes:
        if axis != "time":
            count = g.arithmetic("Mul", count, g.size(x, axis))
    count = per_row(g, g.cast(g.scalar(count), "float"), len(left))
    return layer.made(g.node("Div", total, count), None, left)


def max_over(g: Builder, x: Tensor, axes: tuple[str, ...], layer: Layer) -> Tensor:
    """The largest of the real steps over some axes; 0 for an empty row."""
    lengths = x.lengths
    if "time" not in axes or lengths is None:
        left = tuple(a for a in x.order if a not in axes)
        if x.order == channels_first(x.type) and left == ("batch", "channels"):
            name = g.node("Flatten", g.node("GlobalMaxPool", x.name), axis=1)
        else:
            name = g.node("ReduceMax", x.name, axes=[x.dim(a) for a in axes], keepdims=0)
        return layer.made(name, lengths, left)
    x = g.arranged(g.filled(x, -math.inf), ("batch", *(a for a in x.order if a != "batch")))
    left = tuple(a for a in x.order if a not in axes)
    name = g.node("ReduceMax", x.name, axes=[x.dim(a) for a in axes], keepdims=0)
    return layer.made(_zero_where_empty(g, name, lengths, len(left)), None, left)


def _zero_where_empty(g: Builder, name: str, lengths: str, rank: int) -> str:
    some = per_row(g, g.node("Greater", lengths, g.ints(0)), rank)
    return g.node("Where", some, name, g.constant(np.float32(0)))


def _last_step(g: Builder, x: Tensor, layer: Layer) -> Tensor:
    """Each row's last real step; 0 for an empty row."""
    if x.lengths is None:
        name = g.node("Gather", x.name, g.constant(np.int64(-1)), axis=x.dim("time"))
        return layer.made(name, None, tuple(a for a in x.order if a != "time"))
    index = g.node("Sub", column(g, x.lengths), g.ints(1))
    taken = take_rows(g, x, index)
    name = g.node("Squeeze", taken.name, g.ints(1))
    order = tuple(a for a in taken.order if a != "time")
    return layer.made(_zero_where_empty(g, name, x.lengths, len(order)), None, order)


# ---- bins


def _adaptive(op: AdaptiveAveragePool, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    """One `AveragePool` where the bins are equal, else a product for each axis."""
    bins = op.bins(x.type)
    own_end = x.lengths is not None and "time" in bins
    x = g.filled(x)
    whole = [(n, b) for a, b in bins.items() if isinstance(n := x.type.size(a), int) and n % b == 0]
    if len(whole) == len(bins) and not own_end:
        x = _with_channels(g, x)
        window = [n // b for n, b in whole]
        name = x.name if max(window) == 1 else g.node(
            "AveragePool", x.name, kernel_shape=window, strides=window)
        return _pooled(g, layer, name, None if "time" in bins else x.lengths)
    for axis, count in bins.items():
        size = g.size(x, axis)
        order = ("batch", *(a for a in x.order if a not in (axis, "batch")), axis)
        x = g.arranged(x, order)
        if axis == "time" and x.lengths is not None:
            weights = _bin_weights(g, size, column(g, x.lengths), count)
            if x.rank > 3:
                weights = g.node("Unsqueeze", weights, g.ints(*range(1, x.rank - 2)))
        elif isinstance(size, int):
            weights = g.constant(bin_weights(size, count))
        else:
            weights = g.node("Squeeze", _bin_weights(g, size, g.node(
                "Unsqueeze", size, g.ints(0)), count), g.ints(0))
        rank_two = x.rank == 2
        name = g.node("Unsqueeze", x.name, g.ints(1)) if rank_two else x.name
        name = g.node("MatMul", name, weights)
        name = g.node("Squeeze", name, g.ints(1)) if rank_two else name
        x = Tensor(name, x.type.resized(**{axis: count}), order,
                   None if axis == "time" else x.lengths)
    return layer.made(x.name, x.lengths, x.order)


def bin_weights(size: int, bins: int) -> np.ndarray:
    """(size, bins): the weight of each place in each bin."""
    bin, place = np.arange(bins), np.arange(size)[:, None]
    start, end = bin * size // bins, -(-(bin + 1) * size // bins)
    inside = (place >= start) & (place < end)
    return (inside / (end - start).clip(1)).astype(np.float32)


def _bin_weights(g: Builder, size: Size, real: str, bins: int) -> str:
    """(rows, size, bins) of rows of `real` (rows, 1) places, worked out when the model runs."""
    bin = np.arange(bins, dtype=np.int64)
    start = g.node("Div", g.node("Mul", real, g.constant(bin)), g.ints(bins))
    end = g.node("Div", g.node("Add", g.node("Mul", real, g.constant(bin + 1)), g.ints(bins - 1)),
                 g.ints(bins))
    width = g.cast(g.node("Max", g.node("Sub", end, start), g.ints(1)), "float")
    place = g.node("Unsqueeze", g.counted(size), g.ints(1))
    start, end, width = (g.node("Unsqueeze", v, g.ints(1)) for v in (start, end, width))
    inside = g.node("And", g.node("Not", g.node("Less", place, start)),
                    g.node("Less", place, end))
    return g.node("Div", g.cast(inside, "float"), width)
