"""What passes share: each distinct graph is changed once, wherever it is called from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from compiler.graph import Graph, Node, Region, Value, graphs, subgraph
from compiler.ops.base import Operator, Parameter


def rewrite(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """Change a graph and all that it calls, callees first.

    Args:
        graph: the graph; it stays as it is.
        change: makes a new graph of one whose calls are changed already, or gives it back.

    Returns:
        The changed graph; the same object where nothing changed anywhere.
    """
    done: dict[int, Graph] = {}
    for old in graphs(graph):
        nodes = tuple(_calling(node, done) for node in old.nodes)
        same = all(a is b for a, b in zip(nodes, old.nodes))
        done[id(old)] = change(old if same else with_nodes(old, nodes))
    return done[id(graph)]


def _calling(node: Node, done: Mapping[int, Graph]) -> Node:
    """A node that calls the changed graph."""
    if not isinstance(node.operation, Region):
        return node
    new = done[id(node.operation.graph)]
    if new is node.operation.graph:
        return node
    return replace(node, operation=replace(node.operation, graph=new))


def with_nodes(
    graph: Graph, nodes: Iterable[Node], swapped: Mapping[int, Value] | None = None,
) -> Graph:
    """A graph with other nodes.

    Args:
        graph: the graph before.
        nodes: its nodes now.
        swapped: by the id of a value that is gone, the one that takes its place.
    """
    nodes = tuple(nodes)
    outputs = {name: (swapped or {}).get(id(v), v) for name, v in graph.outputs.items()}
    layers = sum(1 + (inner.instances if (inner := subgraph(n)) else 0) for n in nodes)
    return replace(graph, nodes=nodes, outputs=outputs, instances=layers)


def reading(node: Node, swapped: Mapping[int, Value]) -> Node:
    """A node that reads the values that took the place of its inputs."""
    if not any(id(v) in swapped for v in node.inputs):
        return node
    return replace(node, inputs=tuple(swapped.get(id(v), v) for v in node.inputs))


def parameters(node: Node) -> Mapping[str, Parameter]:
    """What an operator's node owns; nothing for a call, whose graph's nodes own theirs."""
    if not isinstance(node.operation, Operator):
        return {}
    return node.operation.parameters(*(v.type for v in node.inputs))


def owns(node: Node) -> bool:
    """Whether a node, or anything that it calls, has parameters or statistics."""
    inner = subgraph(node)
    return bool(parameters(node)) if inner is None else any(map(owns, inner.nodes))


def tied_paths(graph: Graph) -> set[str]:
    """The paths that any layer under a graph borrows a parameter from, as they are written."""
    return {path for g in graphs(graph) for node in g.nodes for path, _ in node.ties.values()}


def is_tied(node: Node, paths: set[str]) -> bool:
    """Whether a borrowed parameter may be this node's, or one's inside it.

    Paths are relative to the borrower's graph; a node that could be meant from any is tied.
    """
    last = node.weights.rpartition(".")[2]
    return any(last in path.split(".") for path in paths)
