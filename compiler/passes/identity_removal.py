"""Layers that change nothing are taken out; their readers read what they read.

1. A layer changes nothing only if its output has exactly the type of its input.
2. Outputs of a graph keep their names; they then name the value before.
3. The phase does not matter: in the other phase, the flow passes the layer anyway.
"""

from __future__ import annotations

from compiler.graph import Graph, Node, Value
from compiler.ops.activation import Cast, Clip, Identity
from compiler.ops.base import Operator
from compiler.ops.combine import Add, Average, Concat, Maximum, Multiply
from compiler.ops.noise import Dropout, DropPath, GaussianNoise, SpatialDropout
from compiler.ops.normalisation import Normalise
from compiler.ops.shape import (
    Crop,
    Flatten,
    Pad,
    PixelShuffle,
    Reshape,
    Shift,
    Slice,
    Split,
    Transpose,
    Upsample,
)
from compiler.passes.rewrite import reading, rewrite, with_nodes
from compiler.types import SPACE_AXES, TensorType


def run(graph: Graph) -> Graph:
    """The graph without layers that do nothing."""
    return rewrite(graph, _without_identities)


def _without_identities(graph: Graph) -> Graph:
    swapped: dict[int, Value] = {}
    nodes = []
    for node in graph.nodes:
        node = reading(node, swapped)
        if _does_nothing(node):
            (output,) = node.outputs.values()
            swapped[id(output)] = node.inputs[0]
        else:
            nodes.append(node)
    return with_nodes(graph, nodes, swapped) if swapped else graph


def _does_nothing(node: Node) -> bool:
    if not isinstance(node.operation, Operator) or len(node.outputs) != 1:
        return False
    (output,) = node.outputs.values()
    if output.type != node.inputs[0].type:
        return False
    return _keeps_elements(node.operation, output.type, len(node.inputs))


def _keeps_elements(op: Operator, x: TensorType, inputs: int) -> bool:
    """Whether an operator gives back its input, once its type is known to stay."""
    match op:
        case Identity() | Flatten() | Cast():
            return True  # of the same type: the same elements in the same order
        case Reshape():
            return "time" not in x.axes[1:]  # elsewhere it ends the rows' lengths
        case Slice() | Crop() | Pad() | Upsample() | PixelShuffle() | Split():
            return True  # of the same size: all of the elements and no others
        case Transpose():
            return op.names is None or op.names == op.axes
        case Shift():
            return not any((op.time, op.channels, *(getattr(op, a) for a in SPACE_AXES)))
        case Clip():
            return op.min is None and op.max is None
        case Dropout() | SpatialDropout() | DropPath():
            return op.rate == 0
        case GaussianNoise():
            return op.stddev == 0
        case Normalise():
            return set(_numbers(op.mean)) == {0} and set(_numbers(op.deviation)) == {1}
        case Add() | Multiply() | Average() | Maximum() | Concat():
            return inputs == 1
        case _:
            return False


def _numbers(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)
