"""Graph to graph: each pass is a file with `run(graph) -> graph`, pure and on its own.

`PIPELINE` is what a model is made with: the same results and the same parameters in both
phases. `EVALUATION` gives a graph for evaluation only, around the same parameters; those of
`INFERENCE` are made by `compiler/lower/fold.py` of those of the whole model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from compiler.graph import Graph
from compiler.passes import (
    common_subexpressions,
    constant_folding,
    dead_code,
    evaluation,
    fold_norm,
    identity_removal,
)

Pass = Callable[[Graph], Graph]

PIPELINE: tuple[Pass, ...] = (
    identity_removal.run,
    constant_folding.run,
    identity_removal.run,
    common_subexpressions.run,
    dead_code.run,
)

EVALUATION: tuple[Pass, ...] = (
    evaluation.run,
    identity_removal.run,
    constant_folding.run,
    identity_removal.run,
    common_subexpressions.run,
    partial(dead_code.run, parameters=True),
)

INFERENCE: tuple[Pass, ...] = (*EVALUATION, fold_norm.run)


def optimise(graph: Graph, passes: Sequence[Pass] = PIPELINE) -> Graph:
    """A graph after passes, in their order."""
    for run in passes:
        graph = run(graph)
    return graph
