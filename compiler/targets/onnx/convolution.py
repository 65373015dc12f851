"""Convolutions as `Conv` and `ConvTranspose`; padded steps of their input count as zeros."""

from __future__ import annotations

from typing import assert_never

import numpy as np

from compiler.ops.convolution import Conv, ConvolutionOperator, ConvTranspose
from compiler.ops.windows import Geometry
from compiler.targets.onnx.builder import Builder, Tensor, channels_first
from compiler.targets.onnx.layer import Layer
from compiler.targets.onnx.lengths import where_any, window_lengths

# As in compiler/lower/convolution.py.
STANDARDISE_EPSILON = 1e-10


def emit(op: ConvolutionOperator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    """Add a convolution's nodes."""
    (x,) = inputs
    match op:
        case Conv():
            return _conv(op, layer, x, g)
        case ConvTranspose():
            return _conv_transpose(op, layer, x, g)
        case _:
            assert_never(op)


def _conv(op: Conv, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    geometry = op.geometry(x.type)
    channels = x.type.channels
    assert isinstance(channels, int)
    kernel = layer.own("kernel")
    if op.standardise:
        kernel = standardised(kernel)
    x = g.arranged(g.filled(x), channels_first(x.type))
    name = convolved(g, x.name, geometry, g.weight(layer.name("kernel"), out_in_window(kernel)),
                     _bias(layer, g), op.groups_on(channels))
    return layer.made(name, window_lengths(g, x.lengths, geometry), x.order)


def convolved(
    g: Builder, x: str, geometry: Geometry, kernel: str, bias: str = "", groups: int = 1,
) -> str:
    """A `Conv` node over (batch, channels, window…)."""
    starts, ends = zip(*geometry.pads)
    return g.node("Conv", x, kernel, *([bias] if bias else []), kernel_shape=geometry.window,
                  strides=geometry.stride, pads=(*starts, *ends), dilations=geometry.dilation,
                  group=groups)


def out_in_window(kernel: np.ndarray) -> np.ndarray:
    """(window…, in, out) as (out, in, window…)."""
    rank = kernel.ndim - 2
    return kernel.transpose(rank + 1, rank, *range(rank))


def standardised(kernel: np.ndarray) -> np.ndarray:
    """A kernel (window…, in, out) with mean 0 and variance 1 for each output channel."""
    axes = tuple(range(kernel.ndim - 1))
    centred = kernel.astype(np.float64) - kernel.mean(axes, dtype=np.float64)
    scaled = centred / np.sqrt(np.square(centred).mean(axes) + STANDARDISE_EPSILON)
    return scaled.astype(np.float32)


def _conv_transpose(op: ConvTranspose, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    geometry = op.geometry(x.type)
    kernel = layer.own("kernel")
    rank = len(geometry.axes)
    *window, shared, filters = kernel.shape
    # (window…, in / groups, groups · out) as (groups · in / groups, out, window…).
    parted = kernel.reshape(*window, shared, op.groups, filters // op.groups)
    parted = parted.transpose(rank + 1, rank, rank + 2, *range(rank))
    weight = g.weight(layer.name("kernel"), parted.reshape(-1, filters // op.groups, *window))
    x = g.arranged(g.filled(x), channels_first(x.type))
    starts = [before for before, _ in geometry.pads]
    ends = [max(after, 0) for _, after in geometry.pads]
    more = [max(-after, 0) for _, after in geometry.pads]
    inside = all(m < max(s, d) for m, s, d in zip(more, geometry.stride, geometry.dilation))
    bias = _bias(layer, g)
    attributes = {"kernel_shape": geometry.window, "strides": geometry.stride,
                  "pads": (*starts, *ends), "dilations": geometry.dilation, "group": op.groups}
    if inside:
        name = g.node("ConvTranspose", x.name, weight, *([bias] if bias else []),
                      **attributes, **({"output_padding": more} if any(more) else {}))
    else:
        # More places than a stride: they hold the bias and nothing else.
        name = g.node("ConvTranspose", x.name, weight, **attributes)
        name = g.node("Pad", name, g.ints(*(0,) * (rank + 4), *more))
        if bias:
            name = g.node("Add", name, g.reshaped(bias, (-1, *(1,) * rank)))
    lengths = x.lengths
    if lengths is not None and "time" in geometry.axes:
        i = geometry.axes.index("time")
        grown = g.arithmetic("Mul", lengths, geometry.stride[i])
        shift = geometry.reach[i] - sum(geometry.pads[i]) - geometry.stride[i]
        lengths = where_any(g, lengths, g.arithmetic("Add", grown, shift))
    return layer.made(name, lengths, x.order)


def _bias(layer: Layer, g: Builder) -> str:
    bias = layer.get("bias")
    return "" if bias is None else g.weight(layer.name("bias"), bias)
