"""Activations as ONNX's own nodes, or as the formula where opset 17 has none."""

from __future__ import annotations

from math import pi, sqrt
from typing import assert_never

import numpy as np

from compiler.ops.activation import (
    Abs,
    ActivationOperator,
    Cast,
    Clip,
    Elu,
    Exp,
    Gelu,
    HardSwish,
    Identity,
    LeakyRelu,
    LogSoftmax,
    Maxout,
    Prelu,
    Relu,
    Relu6,
    Scale,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    StopGradient,
    Tanh,
)
from compiler.targets.onnx.builder import DTYPES, Builder, Size, Tensor
from compiler.targets.onnx.layer import Layer

# What stands for minus infinity where a whole row may be masked: no NaN comes of it.
LOWEST = np.float32(-1e30)


def emit(op: ActivationOperator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    """Add an activation's nodes; its output lies in memory as its input does."""
    (x,) = inputs
    match op:
        case Relu():
            name = g.node("Relu", x.name)
        case Relu6():
            name = g.node("Clip", x.name, _float(g, 0), _float(g, 6))
        case LeakyRelu():
            name = g.node("LeakyRelu", x.name, alpha=op.slope)
        case Prelu():
            slope = g.per_channel(x, layer.name("slope"), layer.own("slope"))
            name = g.node("PRelu", x.name, slope)
        case Elu():
            name = g.node("Elu", x.name, alpha=op.alpha)
        case Gelu():
            name = _gelu(g, x.name, op.approximate)
        case Silu():
            name = g.node("Mul", x.name, g.node("Sigmoid", x.name))
        case Sigmoid():
            name = g.node("Sigmoid", x.name)
        case Tanh():
            name = g.node("Tanh", x.name)
        case HardSwish():
            name = g.node("HardSwish", x.name)
        case Softplus():
            name = g.node("Softplus", x.name)
        case Exp():
            name = g.node("Exp", x.name)
        case Softmax():
            name = softmax(g, x.name, x.dim(op.axis), g.real(x) if op.axis == "time" else None)
        case LogSoftmax():
            name = _log_softmax(g, x.name, x.dim(op.axis),
                                g.real(x) if op.axis == "time" else None)
        case Maxout():
            name = _maxout(g, x, op.pieces)
        case Abs():
            name = g.node("Abs", x.name)
        case Clip():
            bounds = ["" if b is None else g.constant(DTYPES[x.type.dtype](b))
                      for b in (op.min, op.max)]
            name = g.node("Clip", x.name, *bounds)
        case Scale():
            name = g.node("Mul", x.name, g.per_channel(
                x, layer.name("scale"), layer.own("scale")))
        case Cast():
            name = x.name if x.type.dtype == op.to else g.cast(x.name, op.to)
        case StopGradient() | Identity():
            name = x.name
        case _:
            assert_never(op)
    return layer.made(name, x.lengths, x.order)


def _float(g: Builder, value: float) -> str:
    return g.constant(np.float32(value))


def _gelu(g: Builder, x: str, approximate: bool) -> str:
    """x · Φ(x); opset 20 has a node for it, but few read that."""
    if approximate:
        cube = g.node("Mul", g.node("Mul", x, x), x)
        inner = g.node("Add", x, g.node("Mul", cube, _float(g, 0.044715)))
        bell = g.node("Tanh", g.node("Mul", inner, _float(g, sqrt(2 / pi))))
    else:
        bell = g.node("Erf", g.node("Mul", x, _float(g, sqrt(0.5))))
    return g.node("Mul", g.node("Mul", x, _float(g, 0.5)), g.node("Add", bell, _float(g, 1)))


def softmax(g: Builder, x: str, dim: int, mask: str | None = None) -> str:
    """Softmax over what `mask` lets through; all 0 where it lets nothing through."""
    if mask is None:
        return g.node("Softmax", x, axis=dim)
    shares = g.node("Softmax", g.node("Where", mask, x, g.constant(LOWEST)), axis=dim)
    return g.node("Where", mask, shares, _float(g, 0))


def _log_softmax(g: Builder, x: str, dim: int, mask: str | None) -> str:
    if mask is None:
        return g.node("LogSoftmax", x, axis=dim)
    logs = g.node("LogSoftmax", g.node("Where", mask, x, g.constant(LOWEST)), axis=dim)
    return g.node("Where", mask, logs, _float(g, 0))


def _maxout(g: Builder, x: Tensor, pieces: int) -> str:
    """Neighbouring channels as an axis of their own, of which the largest stays."""
    at, channels = x.dim("channels"), x.type.channels
    assert isinstance(channels, int)
    sizes: list[Size] = [g.size(x, a) for a in x.order]
    parted = g.reshaped(x.name, [*sizes[:at], channels // pieces, pieces, *sizes[at + 1:]])
    return g.node("ReduceMax", parted, axes=[at + 1], keepdims=0)
