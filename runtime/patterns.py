"""Patterns of paths, to speak of several parameters at once.

`stem` is everything under the layer `stem`; `stage1.*.conv_1` has a star for one step of a
path, or a part of one (`stage*`); two stars stand for any number of steps: `**.bias` are all
biases. No JAX is needed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from compiler.diagnostics import Report, nearest
from compiler.graph import Graph, subgraph
from compiler.ops.base import Operator
from compiler.source import Span

# Patterns and the factors that they stand for, in the order of the document.
Factors = Sequence[tuple[str, float]]


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = []
    for step in pattern.split("."):
        if step == "**":
            parts.append(r"(?:[^.]+\.)*")
        else:
            parts.append(re.escape(step).replace(r"\*", "[^.]*") + r"\.")
    # Every step is read with the dot behind it.
    return re.compile("".join(parts))


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern speaks of a parameter: of its path, or of a layer that it is in."""
    return _expression(pattern).match(f"{path}.") is not None


def factor_of(path: str, factors: Factors) -> float:
    """What the last pattern that matches a path stands for; 1 where none does."""
    return next((factor for pattern, factor in reversed(factors) if matches(pattern, path)), 1.0)


def parameter_paths(graph: Graph, prefix: str = "") -> Iterator[str]:
    """The paths of a model's parameters that are trained; shared ones may come twice."""
    for node in graph.nodes:
        inner, path = subgraph(node), f"{prefix}{node.weights}."
        if node.freeze:
            continue
        if inner is not None:
            yield from parameter_paths(inner, path)
        elif isinstance(node.operation, Operator):
            parameters = node.operation.parameters(*(v.type for v in node.inputs))
            yield from (path + name for name, p in parameters.items() if not p.statistic)


def check_patterns(
    factors: Mapping[str, float], graph: Graph, report: Report, span: Span | None,
) -> None:
    """Report patterns that speak of no parameter.

    Args:
        factors: by pattern.
        graph: the model.
        report: where errors go.
        span: where the recipe has them.
    """
    if not factors:
        return
    paths = list(dict.fromkeys(parameter_paths(graph)))
    layers = dict.fromkeys(".".join(path.split(".")[:n]) for path in paths
                           for n in range(1, path.count(".") + 2))
    for pattern in factors:
        if not any(matches(pattern, path) for path in paths):
            report.error("F0620", f"`{pattern}` matches no parameter", span,
                         nearest(pattern, list(layers)),
                         notes=[f"the first of {len(paths)} parameters: {', '.join(paths[:4])}"],
                         help="`stem` is all that is in the layer `stem`, `stage*.conv_1` has a "
                              "star for a part of a path, `**.bias` are all biases")
