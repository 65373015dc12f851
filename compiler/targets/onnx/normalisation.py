"""Normalisations. Padded steps never count in a mean or a variance."""

from __future__ import annotations

from typing import assert_never

import numpy as np

from compiler.ops.normalisation import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    NormalisationOperator,
    Normalise,
    RMSNorm,
)
from compiler.targets.onnx.builder import Builder, Tensor, channels_first
from compiler.targets.onnx.layer import Layer


def emit(op: NormalisationOperator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    """Add the nodes of a normalisation in evaluation."""
    (x,) = inputs
    match op:
        case BatchNorm():
            return _batch_norm(op, layer, x, g)
        case LayerNorm():
            return _layer_norm(op, layer, x, g)
        case GroupNorm():
            return _group_norm(op, layer, x, g, op.groups)
        case InstanceNorm():
            return _instance_norm(op, layer, x, g)
        case RMSNorm():
            square = g.node("ReduceMean", g.node("Mul", x.name, x.name),
                            axes=[x.dim("channels")], keepdims=1)
            divisor = g.node("Sqrt", g.node("Add", square, g.constant(np.float32(op.epsilon))))
            return _affine(layer, g, x, g.node("Div", x.name, divisor))
        case LocalResponseNorm():
            return _local_response(op, layer, x, g)
        case Normalise():
            behind = x.rank - 1 - x.dim("channels") if "channels" in x.order else 0
            name = x.name
            for kind, value in (("Sub", op.mean), ("Div", op.deviation)):
                array = np.asarray(value, np.float32)
                array = array.reshape(-1, *(1,) * behind) if array.ndim else array
                name = g.node(kind, name, g.constant(array))
            return layer.made(name, x.lengths, x.order)
        case _:
            assert_never(op)


def _affine(layer: Layer, g: Builder, x: Tensor, name: str) -> Tensor:
    """Normalised numbers in the order of `x`, scaled and shifted for each channel."""
    for parameter, kind in (("scale", "Mul"), ("bias", "Add")):
        array = layer.get(parameter)
        if array is not None:
            name = g.node(kind, name, g.per_channel(x, layer.name(parameter), array))
    return layer.made(name, x.lengths, x.order)


def _batch_norm(op: BatchNorm, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    x = g.arranged(x, channels_first(x.type))
    mean, var = layer.own("mean"), layer.own("var")
    arrays = {"scale": np.ones_like(mean), "bias": np.zeros_like(mean)}
    names = []
    for parameter, neutral in arrays.items():
        array = layer.get(parameter)
        names.append(g.constant(neutral) if array is None
                     else g.weight(layer.name(parameter), array))
    names += [g.weight(layer.name("mean"), mean), g.weight(layer.name("var"), var)]
    name = g.node("BatchNormalization", x.name, *names, epsilon=op.epsilon)
    return layer.made(name, x.lengths, x.order)


def _layer_norm(op: LayerNorm, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    inside = tuple(a for a in x.type.axes if a in op.axes)
    x = g.arranged(x, (*(a for a in x.order if a not in inside), *inside))
    sizes = [s for a, s in zip(x.type.axes, x.type.shape) if a in inside and isinstance(s, int)]
    scale, bias = layer.get("scale"), layer.get("bias")
    if "time" in inside and x.lengths is not None:
        normal = _masked(g, x, tuple(x.dim(a) for a in inside), op.epsilon)
        for kind, parameter, array in (("Mul", "scale", scale), ("Add", "bias", bias)):
            if array is not None:
                normal = g.node(kind, normal, g.weight(layer.name(parameter), array))
        return layer.made(normal, x.lengths, x.order)
    names = [g.constant(np.ones(sizes, np.float32)) if scale is None
             else g.weight(layer.name("scale"), scale)]
    names += [] if bias is None else [g.weight(layer.name("bias"), bias)]
    name = g.node("LayerNormalization", x.name, *names, axis=-len(inside), epsilon=op.epsilon)
    return layer.made(name, x.lengths, x.order)


def _group_norm(op: GroupNorm, layer: Layer, x: Tensor, g: Builder, groups: int) -> Tensor:
    """`InstanceNormalization` of the groups, which opset 17 has in place of a group norm."""
    x = g.arranged(x, channels_first(x.type))
    channels = x.type.channels
    assert isinstance(channels, int)
    sizes = [g.size(x, a) for a in x.order]
    if x.lengths is not None and "time" in x.type.axes:
        parted = g.reshaped(x.name, [0, groups, channels // groups, *(
            s if isinstance(s, int) else -1 for s in sizes[2:])])
        wide = Tensor(parted, x.type, ("batch", "channels", "part", *x.order[2:]), x.lengths)
        normal = _masked(g, wide, tuple(range(2, wide.rank)), op.epsilon)
    else:
        parted = g.reshaped(x.name, [0, groups, -1])
        ones = g.constant(np.ones(groups, np.float32))
        normal = g.node("InstanceNormalization", parted, ones,
                        g.constant(np.zeros(groups, np.float32)), epsilon=op.epsilon)
    return _affine(layer, g, x, g.reshaped(normal, sizes))


def _instance_norm(op: InstanceNorm, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    x = g.arranged(x, channels_first(x.type))
    if x.lengths is not None and "time" in x.type.axes:
        return _affine(layer, g, x, _masked(g, x, tuple(range(2, x.rank)), op.epsilon))
    channels = x.type.channels
    assert isinstance(channels, int)
    names = []
    for parameter, neutral in (("scale", np.ones), ("bias", np.zeros)):
        array = layer.get(parameter)
        names.append(g.constant(neutral(channels, np.float32)) if array is None
                     else g.weight(layer.name(parameter), array))
    name = g.node("InstanceNormalization", x.name, *names, epsilon=op.epsilon)
    return layer.made(name, x.lengths, x.order)


def _masked(g: Builder, x: Tensor, dims: tuple[int, ...], epsilon: float) -> str:
    """Mean 0 and variance 1 over some dimensions, of the real steps only."""
    mask = g.real(x)
    assert mask is not None
    count = g.node("ReduceSum", g.node("Expand", g.cast(mask, "float"), g.node("Shape", x.name)),
                   g.ints(*dims), keepdims=1)
    count = g.node("Max", count, g.constant(np.float32(1)))
    array = g.filled(x).name
    mean = g.node("Div", g.node("ReduceSum", array, g.ints(*dims), keepdims=1), count)
    centred = g.node("Sub", array, mean)
    square = g.node("Where", mask, g.node("Mul", centred, centred), g.constant(np.float32(0)))
    var = g.node("Div", g.node("ReduceSum", square, g.ints(*dims), keepdims=1), count)
    return g.node("Div", centred, g.node("Sqrt", g.node(
        "Add", var, g.constant(np.float32(epsilon)))))


def _local_response(op: LocalResponseNorm, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    """`LRN`; where its neighbourhood is another, a mean over the channels."""
    x = g.arranged(x, channels_first(x.type))
    if op.size % 2 == 1 and x.rank == 4:
        name = g.node("LRN", x.name, size=op.size, alpha=op.alpha, beta=op.beta, bias=op.k)
        return layer.made(name, x.lengths, x.order)
    channels = x.type.channels
    squares = g.reshaped(g.node("Mul", x.name, x.name), [0, 1, channels or 0, -1])
    mean = g.node("AveragePool", squares, kernel_shape=(op.size, 1), strides=(1, 1),
                  pads=(op.size // 2, 0, (op.size - 1) // 2, 0), count_include_pad=1)
    mean = g.reshaped(mean, [g.size(x, a) for a in x.order])
    base = g.node("Add", g.node("Mul", mean, g.constant(np.float32(op.alpha))),
                  g.constant(np.float32(op.k)))
    name = g.node("Mul", x.name, g.node("Pow", base, g.constant(np.float32(-op.beta))))
    return layer.made(name, x.lengths, x.order)
