"""Of layers that compute the same of the same tensors, the first stays.

1. Equal fields, equal inputs, equal phase, `freeze` and `remat`.
2. No parameters, or the same ones under one `weights` key.
3. Nothing random, in any phase, and nothing that each use updates: running statistics, and
   states that recurrent layers carry across batches.
"""

from __future__ import annotations

from collections.abc import Hashable

from compiler.graph import Call, Each, Graph, Node, Scan, Value, subgraph
from compiler.ops.base import Operator
from compiler.passes.rewrite import owns, parameters, reading, rewrite, with_nodes


def run(graph: Graph) -> Graph:
    """The graph with each thing computed once."""
    return rewrite(graph, _once)


def _once(graph: Graph) -> Graph:
    swapped: dict[int, Value] = {}
    first: dict[Hashable, Node] = {}
    nodes = []
    for node in graph.nodes:
        node = reading(node, swapped)
        found = first.setdefault(_key(node), node) if _repeatable(node) else node
        if found is node:
            nodes.append(node)
        else:
            swapped |= {id(v): found.outputs[name] for name, v in node.outputs.items()}
    return with_nodes(graph, nodes, swapped) if swapped else graph


def _key(node: Node) -> Hashable:
    """Equal for nodes that compute the same."""
    match node.operation:
        case Call(graph=inner, weights_file=file):
            what = ("call", id(inner), file)
        case Each(axis=axis, graph=inner):
            what = ("each", axis, id(inner))
        case Scan() as scan:
            what = ("scan", id(scan))  # two with equal bodies are rare: each stays
        case op:
            what = ("operator", type(op), repr(op))  # a user's operator may not be hashable
    return (what, tuple(map(id, node.inputs)), tuple(node.outputs), node.during, node.freeze,
            node.remat, tuple(sorted(node.ties.items())), node.transform,
            node.weights if owns(node) else None)


def _repeatable(node: Node) -> bool:
    """Whether a node gives the same every time, and leaves nothing behind."""
    inner = subgraph(node)
    if inner is not None:
        return all(map(_repeatable, inner.nodes))
    op = node.operation
    assert isinstance(op, Operator)
    carries = getattr(op, "carry", "within") == "across"
    statistics = any(p.statistic for p in parameters(node).values())
    return op.random == "never" and not carries and not statistics
