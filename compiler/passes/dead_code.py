"""Layers whose results nothing needs are taken out.

1. The outputs of a graph are needed, and what needed layers read.
2. A layer with parameters stays, with what it reads, so that a model has the same parameters
   before and after; with `parameters` it goes too, unless another layer borrows from it.
"""

from __future__ import annotations

from compiler.graph import Graph
from compiler.passes.rewrite import is_tied, owns, rewrite, tied_paths, with_nodes


def run(graph: Graph, parameters: bool = False) -> Graph:
    """The graph without layers that nothing needs.

    Args:
        graph: the graph.
        parameters: take out layers with parameters too.
    """
    tied = tied_paths(graph)

    def without_dead(graph: Graph) -> Graph:
        needed = {id(v) for v in graph.outputs.values()}
        kept = []
        for node in reversed(graph.nodes):
            read = any(id(v) in needed for v in node.outputs.values())
            if read or (owns(node) and (not parameters or is_tied(node, tied))):
                needed.update(id(v) for v in node.inputs)
                kept.append(node)
        return graph if len(kept) == len(graph.nodes) else with_nodes(graph, reversed(kept))

    return rewrite(graph, without_dead)
