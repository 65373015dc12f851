"""Two operators in a row that do what one can do become that one.

1. Only fields change: parameters and their shapes stay.
2. Both exist always. The first one stays too, for other readers; if there are none,
   `dead_code` takes it out.
3. Lengths come out the same: what would make padded steps real, or real ones padded, stays.
"""

from __future__ import annotations

from dataclasses import replace

from compiler.graph import Graph, Node
from compiler.ops.activation import Cast, Clip
from compiler.ops.base import Operator
from compiler.ops.convolution import Conv
from compiler.ops.extent import Pad, sides
from compiler.ops.normalisation import Normalise
from compiler.ops.shape import Flatten, Reshape, Transpose
from compiler.passes.rewrite import rewrite, with_nodes
from compiler.types import TensorType


def run(graph: Graph) -> Graph:
    """The graph with chains of such operators shortened."""
    return rewrite(graph, _shortened)


def _shortened(graph: Graph) -> Graph:
    makers: dict[int, Node] = {}
    nodes = []
    for node in graph.nodes:
        while (one := _joined(makers, node)) is not None:
            node = one
        nodes.append(node)
        makers |= {id(v): node for v in node.outputs.values()}
    same = all(a is b for a, b in zip(nodes, graph.nodes))
    return graph if same else with_nodes(graph, nodes)


def _joined(makers: dict[int, Node], node: Node) -> Node | None:
    """A node that does what it and the one before it do, or None."""
    if not isinstance(node.operation, Operator) or len(node.inputs) != 1:
        return None
    before = makers.get(id(node.inputs[0]))
    if before is None or not isinstance(before.operation, Operator):
        return None
    if len(node.outputs) != 1:  # an LSTM, a split
        return None
    if not before.during == node.during == "always" or len(before.inputs) != 1:
        return None
    x, (y,) = before.inputs[0].type, (v.type for v in node.outputs.values())
    op = join(before.operation, node.operation, x, node.inputs[0].type, y)
    return None if op is None else replace(node, operation=op, inputs=before.inputs)


def join(
    first: Operator, second: Operator, x: TensorType, between: TensorType, y: TensorType,
) -> Operator | None:
    """One operator from `x` to `y` in place of two with `between` between them, or None."""
    match first, second:
        case Clip(), Clip():
            return Clip(min=_within(first.min, second, low=True),
                        max=_within(first.max, second, low=False))
        case Cast(), Cast():
            exact = x.dtype == "bool" or (x.dtype == "int" and second.to == "bool")
            return Cast(to=second.to) if exact else None
        case Normalise(), Normalise():
            return _normalise(first, second)
        case Reshape() | Flatten(), Flatten():
            return Flatten()
        case Flatten() | Reshape(), Reshape():
            return _reshape(x, between, y)
        case Transpose(), Transpose():
            return _transpose(first, second)
        case Pad(), Conv():
            return _padded(first, second, x, between)
        case _:
            return None


def _within(bound: float | None, outer: Clip, low: bool) -> float | None:
    """The inner clip's bound, itself clipped by the outer one."""
    if bound is None:
        return outer.min if low else outer.max
    if outer.min is not None:
        bound = max(bound, outer.min)
    return bound if outer.max is None else min(bound, outer.max)


def _normalise(first: Normalise, second: Normalise) -> Normalise:
    """((x - m) / d - n) / e is (x - (m + n d)) / (d e)."""
    fields = (first.mean, first.deviation, second.mean, second.deviation)
    channels = max(len(f) if isinstance(f, tuple) else 1 for f in fields)
    m, d, n, e = (f if isinstance(f, tuple) else (f,) * channels for f in fields)
    mean = tuple(a + b * c for a, b, c in zip(m, n, d))
    deviation = tuple(a * b for a, b in zip(d, e))
    per_channel = any(isinstance(f, tuple) for f in fields)
    return Normalise(mean=mean if per_channel else mean[0],
                     deviation=deviation if per_channel else deviation[0])


def _reshape(x: TensorType, between: TensorType, y: TensorType) -> Reshape | None:
    """Straight to `y`, unless lengths would come out another way."""
    if "time" in x.axes:
        leads = all(t.axes[:1] == ("time",) for t in (x, between, y))
        if not leads or between.length not in (x.length, y.length):
            return None
    shape = tuple(-1 if isinstance(s, str) else s for s in y.shape)
    return Reshape(shape=shape, axes=y.axes)


def _transpose(first: Transpose, second: Transpose) -> Transpose | None:
    """The axes of the first in the order of the second."""
    middle = first.names or first.axes
    axes = tuple(first.axes[middle.index(name)] for name in second.axes)
    names = second.names or second.axes
    if ("time", "time") in zip(axes, names) and ("time", "time") not in zip(first.axes, middle):
        return None  # the first one ends the rows' lengths, and so must the result
    return Transpose(axes=axes, names=None if names == axes else names)


def _padded(pad: Pad, conv: Conv, x: TensorType, between: TensorType) -> Conv | None:
    """Zeros around space as the convolution's own padding."""
    chosen = pad.chosen(x)
    if pad.mode != "zeros" or {"time", "channels"} & set(chosen):
        return None
    inner = conv.geometry(between)
    outer = [sides(chosen.get(axis, 0)) for axis in inner.axes]
    padding = tuple((a + c, b + d) for (a, b), (c, d) in zip(inner.pads, outer))
    return conv.model_copy(update={"padding": padding})
