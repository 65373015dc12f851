"""Which recipe a spec is, as a number: equal for equal recipes, however they are written."""

from __future__ import annotations

from typing import Any, cast

from pydantic import TypeAdapter

from compiler.graph import Graph
from compiler.program import Program
from compiler.targets.identity import content_hash, network_hash, said
from compiler.tree import Mapping, plain
from runtime.data import DataSource
from runtime.recipe import Training
from runtime.tasks.task import Task
from runtime.tasks.written import Written

SCHEME = "flaxspec recipe 1"
# What of `train` changes no weight.
_ASIDE = {"log", "checkpoint", "evaluation_batch_size"}


def recipe_hash(program: Program, graph: Graph, training: Training) -> str:
    """The sha256 of a recipe: of its network, and of its data, task and train.

    Values that repeat their default do not count, nor does what changes no weight: `log`,
    `checkpoint`, `evaluation_batch_size`. Paths of data and of weights to start from count as
    they are written; what is in those files does not, nor do runs that only judge.

    Args:
        program: the resolved spec.
        graph: its model.
        training: its sections.
    """
    return content_hash([
        SCHEME, network_hash(graph), _started_from(program), training.data.tag, _data(program),
        _goal(training),
        {key: value for key, value in said(training.train).items() if key not in _ASIDE}])


def _goal(training: Training) -> Task:
    """What is made small and measured, without the runs that the task names to judge by."""
    goal = training.goal
    if isinstance(goal, Written):
        own = goal.own
        return goal if own is None or not own.paths else goal.model_copy(
            update={"own": _without_runs(own)})
    return _without_runs(goal)


def _without_runs(task: Task) -> Task:
    return task.model_copy(update={path.partition(".")[0]: None for path in task.paths})


def _started_from(program: Program) -> str:
    """The nearest file with weights that a program or its model names, as it is written."""
    if program.weights is not None:
        return str(plain(cast(Mapping, program.tree["model"])["weights"]))
    return _started_from(program.model) if program.model else ""


def _data(program: Program) -> dict[str, Any]:
    """The fields of the data, paths as they are written and none that a data set brings along."""
    node = program.tree["data"]
    source = TypeAdapter(DataSource).validate_python(plain(node))
    own = node if isinstance(node, Mapping) else {}
    return {key: value for key, value in said(source).items()
            if key in own or key not in source.paths}
