"""Layers that training leaves as they are, by patterns of their paths. No JAX is needed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from compiler.diagnostics import Report, nearest
from compiler.graph import Call, Each, Graph, Node, Scan, subgraph
from compiler.ops.base import Operator
from compiler.program import Program
from compiler.source import Span
from compiler.tree import Mapping, Scalar
from compiler.tree import Sequence as SequenceNode
from runtime.patterns import matches, parameter_paths


def frozen(graph: Graph, patterns: Sequence[str], prefix: str = "") -> Graph:
    """The graph with `freeze` at every layer and call that a pattern speaks of.

    Their batch statistics stay as they are, too. A block that is used several times is one graph;
    where only some of its uses have frozen layers, these get one of their own.
    """
    if not patterns:
        return graph
    nodes = tuple(_frozen(node, patterns, f"{prefix}{node.weights}") for node in graph.nodes)
    same = all(new is old for new, old in zip(nodes, graph.nodes))
    return graph if same else replace(graph, nodes=nodes)


def _frozen(node: Node, patterns: Sequence[str], path: str) -> Node:
    if any(matches(pattern, path) for pattern in patterns):
        return replace(node, freeze=True)
    match node.operation:
        case Call(graph=inner) | Each(graph=inner) | Scan(graph=inner) as operation:
            changed = frozen(inner, patterns, f"{path}.")
            return node if changed is inner else replace(
                node, operation=replace(operation, graph=changed))
        case _:
            return node


def patterns_of(program: Program) -> tuple[str, ...]:
    """What a recipe freezes, of one whose `train` need not be in order otherwise."""
    train = program.tree.get("train")
    listed = train.get("freeze") if isinstance(train, Mapping) else None
    items = listed if isinstance(listed, SequenceNode) else ()
    return tuple(item.value for item in items
                 if isinstance(item, Scalar) and isinstance(item.value, str))


def array_paths(graph: Graph, prefix: str = "") -> Iterator[str]:
    """The paths of all arrays of a model, frozen ones and statistics too."""
    for node in graph.nodes:
        path, inner = f"{prefix}{node.weights}.", subgraph(node)
        if inner is not None:
            yield from array_paths(inner, path)
        elif isinstance(node.operation, Operator):
            yield from (path + name
                        for name in node.operation.parameters(*(v.type for v in node.inputs)))


def drawn_anew(graph: Graph, patterns: Sequence[str]) -> frozenset[str]:
    """The paths of the arrays that `replace` speaks of."""
    return frozenset(path for path in array_paths(graph)
                     if any(matches(pattern, path) for pattern in patterns))


def check_freezing(
    freeze: Sequence[str], replace: Sequence[str], graph: Graph, report: Report,
    span: Span | None,
) -> None:
    """Report patterns that speak of nothing, and a model that has nothing to learn.

    Args:
        freeze: the patterns of layers that stay as they are.
        replace: the patterns of what is drawn anew.
        graph: the model.
        report: where errors go.
        span: where the recipe has them.
    """
    arrays = list(dict.fromkeys(array_paths(graph)))
    owners = dict.fromkeys(path.rpartition(".")[0] for path in arrays)
    steps = list(dict.fromkeys(".".join(path.split(".")[:n]) for path in owners
                               for n in range(1, path.count(".") + 2)))
    for word, patterns, paths in (("freeze", freeze, list(owners)), ("replace", replace, arrays)):
        for pattern in patterns:
            if any(matches(pattern, path) for path in paths):
                continue
            is_part = any(matches(pattern, path) for path in arrays)
            report.error(
                "F0620", f"`{pattern}` in `{word}` matches "
                + ("no whole layer" if is_part else "no layer with parameters"), span,
                nearest(pattern, steps),
                notes=[f"the first of {len(owners)} layers with parameters: "
                       f"{', '.join(list(owners)[:4])}"],
                help="`freeze` speaks of layers, not of single parameters" if is_part else
                     "`stem` is all that is in `stem`, `stage*` has a star for a part of a path")
    if freeze and not any(True for _ in parameter_paths(frozen(graph, freeze))):
        report.error("F0886", "`freeze` leaves nothing to train", span,
                     help="leave a layer out, such as the head")
