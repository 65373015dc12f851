"""Attention as products and a softmax. Padded steps of the memory get no weight."""

from __future__ import annotations

from math import sqrt
from typing import assert_never

import numpy as np

from compiler.ops.attention import (
    Attention,
    AttentionOperator,
    MultiHeadAttention,
    PositionalEncoding,
)
from compiler.targets.onnx.activation import softmax
from compiler.targets.onnx.builder import Builder, Tensor
from compiler.targets.onnx.layer import Layer, made
from compiler.targets.onnx.lengths import column


def emit(
    op: AttentionOperator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder,
) -> Tensor | tuple[Tensor, ...]:
    """Add the nodes of an attention, or of an encoding of positions."""
    match op:
        case Attention():
            return _attention(op, layer, inputs[0], inputs[1], g)
        case MultiHeadAttention():
            return _multi_head(op, layer, inputs[0], inputs[-1], g)
        case PositionalEncoding():
            return _positions(op, layer, inputs[0], g)
        case _:
            assert_never(op)


def _rows(g: Builder, x: Tensor) -> str:
    """(batch, places, channels)."""
    x = g.in_order(x)
    if x.rank == 3:
        return x.name
    return g.reshaped(x.name, [0, -1, g.size(x, "channels")] if x.rank > 3 else [
        0, 1, g.size(x, "channels")])


def _real(g: Builder, x: Tensor) -> str | None:
    """(batch, places), True at real steps; None where all are."""
    if x.lengths is None or "time" not in x.type.axes:
        return None
    if x.rank == 3:
        return g.node("Less", g.counted(g.size(x, "time")), column(g, x.lengths))
    x = g.in_order(x)
    mask = g.real(x)
    assert mask is not None
    sizes = [1 if a == "channels" else g.size(x, a) for a in x.order]
    return g.reshaped(g.node("Expand", mask, g.shape(sizes)), [g.size(x, "batch"), -1])


def _as_query(g: Builder, layer: Layer, query: Tensor, rows: str, output: int = 0) -> Tensor:
    """(batch, places, channels) back under the axes of the query."""
    type = layer.outputs[output]
    query = g.in_order(query)
    if query.rank != 3:
        rows = g.reshaped(rows, [*(g.size(query, a) for a in query.order[:-1]),
                                 type.channels if isinstance(type.channels, int) else -1])
    return made(rows, type, query.lengths)


def _attention(
    op: Attention, layer: Layer, query: Tensor, memory: Tensor, g: Builder,
) -> Tensor | tuple[Tensor, ...]:
    def weight(name: str) -> str:
        return g.weight(layer.name(name), layer.own(name))

    q, m = _rows(g, query), _rows(g, g.filled(memory))
    if op.score == "additive":
        hidden = g.node("Tanh", g.node(
            "Add", g.node("Unsqueeze", g.node("MatMul", q, weight("query_kernel")), g.ints(2)),
            g.node("Unsqueeze", g.node("MatMul", m, weight("memory_kernel")), g.ints(1))))
        scores = g.node("Squeeze", g.node("MatMul", hidden, weight("score_kernel")), g.ints(3))
    else:
        seen = g.node("MatMul", q, weight("kernel")) if op.score == "general" else q
        scores = g.node("MatMul", seen, g.node("Transpose", m, perm=(0, 2, 1)))
    if op.scaled:
        channels = query.type.channels
        assert isinstance(channels, int)
        scores = g.node("Div", scores, g.constant(np.float32(sqrt(channels))))
    real = _real(g, memory)
    shares = softmax(g, scores, 2, None if real is None else g.node(
        "Unsqueeze", real, g.ints(1)))
    seen = _as_query(g, layer, query, g.node("MatMul", shares, m))
    if len(layer.outputs) == 1:
        return seen
    return seen, _as_query(g, layer, query, shares, 1)


def _multi_head(
    op: MultiHeadAttention, layer: Layer, query: Tensor, memory: Tensor, g: Builder,
) -> Tensor:
    rows, seen = _rows(g, query), _rows(g, g.filled(memory))
    width = op.width(query.type)
    size = width // op.heads

    def project(x: str, name: str) -> str:
        product = g.node("MatMul", x, g.weight(
            layer.name(f"{name}_kernel"), layer.own(f"{name}_kernel")))
        return product if not op.bias else g.node("Add", product, g.weight(
            layer.name(f"{name}_bias"), layer.own(f"{name}_bias")))

    def heads(x: str, perm: tuple[int, ...] = (0, 2, 1, 3)) -> str:
        return g.node("Transpose", g.reshaped(x, (0, 0, op.heads, size)), perm=perm)

    q = g.node("Div", heads(project(rows, "query")), g.constant(np.float32(sqrt(size))))
    k, v = heads(project(seen, "key"), (0, 2, 3, 1)), heads(project(seen, "value"))
    shares = softmax(g, g.node("MatMul", q, k), 3, _visible(op, query, memory, g))
    mixed = g.node("Transpose", g.node("MatMul", shares, v), perm=(0, 2, 1, 3))
    return _as_query(g, layer, query, project(g.reshaped(mixed, (0, 0, width)), "output"))


def _visible(op: MultiHeadAttention, query: Tensor, memory: Tensor, g: Builder) -> str | None:
    """What each query may look at: (batch or 1, 1, queries or 1, seen); None for everything."""
    real = _real(g, memory)
    mask = None if real is None else g.node("Unsqueeze", real, g.ints(1, 2))
    if not op.causal:
        return mask
    to = g.node("Unsqueeze", g.counted(g.size(query, "time")), g.ints(1))
    before = g.node("Not", g.node("Less", to, g.counted(g.size(memory, "time"))))
    return before if mask is None else g.node("And", mask, before)


def _positions(op: PositionalEncoding, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    steps, channels = g.size(x, "time"), x.type.channels
    assert isinstance(channels, int)
    if op.kind == "learned":
        table = g.weight(layer.name("embedding"), layer.own("embedding"))
        rows = g.node("Slice", table, g.ints(0), g.scalar(steps), g.ints(0))
    else:
        rows = _sinusoids(g, steps, channels)
    # (steps, channels) beside the tensor, whatever its order.
    order = [a for a in x.order if a in ("time", "channels")]
    if order == ["channels", "time"]:
        rows = g.node("Transpose", rows, perm=(1, 0))
    missing = [i for i, a in enumerate(x.order) if a not in order]
    rows = g.node("Unsqueeze", rows, g.ints(*missing))
    return layer.made(g.node("Add", x.name, rows), x.lengths, x.order)


def _sinusoids(g: Builder, steps: int | str, channels: int) -> str:
    """The encoding of Vaswani et al. 2017: (steps, channels), worked out in float64."""
    even = np.arange(0, channels, 2)
    divisors = 10000 ** (even / channels)
    if isinstance(steps, int):
        angles = np.arange(steps)[:, None] / divisors
        both = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(steps, -1)
        return g.constant(both[:, :channels].astype(np.float32))
    to = g.node("Cast", g.node("Unsqueeze", g.counted(steps), g.ints(1)), to=11)
    angles = g.node("Div", to, g.constant(divisors, np.float64))
    both = [g.node("Unsqueeze", g.cast(g.node(kind, angles), "float"), g.ints(2))
            for kind in ("Sin", "Cos")]
    table = g.reshaped(g.node("Concat", *both, axis=2), (0, -1))
    return g.node("Slice", table, g.ints(0), g.ints(channels), g.ints(1))
