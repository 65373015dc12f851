"""A batch norm in evaluation is multiplied into the layer before it.

1. The layer is a `conv`, `conv_transpose` or `dense` whose output only the norm reads.
2. Kernel and statistics are theirs alone: not shared, not borrowed, not standardised.
3. Both exist always: after the pass `evaluation`, not in a graph that will be trained.

The layer then has a bias; `Node.transform` tells how its arrays come of the old ones, and
`compiler/lower/fold.py` makes them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from compiler.graph import FoldedNorm, Graph, Node, Value
from compiler.ops.base import Operator
from compiler.ops.convolution import Conv, ConvTranspose
from compiler.ops.dense import Dense
from compiler.ops.normalisation import BatchNorm
from compiler.passes.rewrite import is_tied, reading, rewrite, tied_paths, with_nodes


def run(graph: Graph) -> Graph:
    """The graph with norms folded into the layers before them; for inference only."""
    tied = tied_paths(graph)

    def folded(graph: Graph) -> Graph:
        readers = Counter(id(v) for node in graph.nodes for v in node.inputs)
        readers.update(id(v) for v in graph.outputs.values())
        uses = Counter(node.weights for node in graph.nodes)
        makers = {id(v): node for node in graph.nodes for v in node.outputs.values()}
        swapped: dict[int, Value] = {}
        merged: dict[str, Node] = {}
        for norm in graph.nodes:
            layer = makers.get(id(norm.inputs[0])) if norm.inputs else None
            if layer is None or readers[id(norm.inputs[0])] != 1:
                continue
            alone = uses[layer.weights] == uses[norm.weights] == 1
            if alone and not is_tied(layer, tied) and _fits(layer, norm):
                merged[layer.path] = _merge(layer, norm)
                (gone,), (stays,) = norm.outputs.values(), layer.outputs.values()
                swapped[id(gone)] = stays
        if not merged:
            return graph
        nodes = [merged.get(n.path, n) for n in graph.nodes
                 if not any(id(v) in swapped for v in n.outputs.values())]
        return with_nodes(graph, (reading(n, swapped) for n in nodes), swapped)

    return rewrite(graph, folded)


def _fits(layer: Node, norm: Node) -> bool:
    if not isinstance(norm.operation, BatchNorm) or layer.transform is not None:
        return False
    if not layer.during == norm.during == "always":
        return False
    match layer.operation:
        case Conv(standardise=standardise):
            return not standardise
        case ConvTranspose():
            return True
        case Dense(tie=tie):
            return tie is None
        case _:
            return False


def _merge(layer: Node, norm: Node) -> Node:
    op, batch_norm = layer.operation, norm.operation
    assert isinstance(op, Conv | ConvTranspose | Dense) and isinstance(batch_norm, BatchNorm)
    transform = FoldedNorm(layer.weights, norm.weights, op.bias, batch_norm.scale,
                           batch_norm.bias, batch_norm.epsilon)
    with_bias: Operator = op.model_copy(update={"bias": True})
    return replace(layer, operation=with_bias, transform=transform)
