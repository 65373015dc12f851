"""What is left of a graph in evaluation: for inference and export.

1. The flow passes layers of training where it would; their heads and outputs are gone.
2. Noise that is for training only is gone, and so is `stop_gradient`.
3. What exists in evaluation only now exists always.
"""

from __future__ import annotations

from dataclasses import replace

from compiler.graph import Call, Graph, Node, Value, active
from compiler.ops.activation import StopGradient
from compiler.ops.noise import TrainingNoise
from compiler.passes.rewrite import reading, rewrite, with_nodes


def run(graph: Graph) -> Graph:
    """The graph of evaluation; it must not be trained."""
    return rewrite(graph, _in_evaluation)


def _in_evaluation(graph: Graph) -> Graph:
    swapped: dict[int, Value] = {}
    nodes: list[Node] = []
    for old in graph.nodes:
        node = _always(reading(old, swapped))
        first = next(iter(node.outputs.values()), None)
        if first is None:
            continue  # a call of which nothing is left
        passes = isinstance(node.operation, TrainingNoise | StopGradient)
        if passes or not active(old.during, training=False):
            # Of a head, whose types differ, this is read by what goes too.
            swapped[id(first)] = node.inputs[0]
        else:
            nodes.append(node)
    changed = len(nodes) < len(graph.nodes) or any(a is not b for a, b in zip(nodes, graph.nodes))
    if not changed and not graph.phases:
        return graph
    outputs = {name: v for name, v in graph.outputs.items()
               if active(graph.phases.get(name, "always"), training=False)}
    return with_nodes(replace(graph, outputs=outputs, phases={}), nodes, swapped)


def _always(node: Node) -> Node:
    """A node that runs always, with the outputs that its graph still has."""
    if node.during != "always":
        node = replace(node, during="always")
    if not isinstance(node.operation, Call):
        return node
    made = node.operation.graph.outputs
    if all(name in made for name in node.outputs):
        return node
    return replace(node, outputs={name: v for name, v in node.outputs.items() if name in made})
