"""From a spec to a recipe that is in order, and its data; no JAX until the data is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.diagnostics import Label, Report, SpecError
from compiler.graph import Graph
from compiler.pipeline import graph_of, make_program
from compiler.plan import Plan, make_plan, unknown_inputs
from compiler.program import Program
from compiler.source import Source
from compiler.tree import Mapping, Scalar
from runtime.asking import request
from runtime.freezing import frozen
from runtime.memory import available, fitting_batch
from runtime.policies import AUTO
from runtime.recipe import Training, check_training, read_training
from runtime.train_checks import check_recipe

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset

# Steps to plan for where neither the spec nor the data says how long a sequence is.
ASSUMED_LENGTH = 128


@dataclass(frozen=True)
class Prepared:
    """A recipe that was found to be in order.

    Attributes:
        program: the resolved document.
        graph: its model, with what the recipe freezes.
        training: its `data`, `task` and `train`.
        inputs: for each input of the model, the field of the data that it gets.
        auto: whether its batch size was chosen to fit the memory.
    """

    program: Program
    graph: Graph
    training: Training
    inputs: dict[str, str]
    auto: bool = False


def prepare(
    spec: str | Path | Source, report: Report, *, variant: str = "",
    assignments: Sequence[str] = (), memory: Callable[[], int] = available,
) -> Prepared:
    """Check a recipe and its model against each other; no data is read and JAX not imported.

    Args:
        spec: a path, a name from the zoo, or the text itself.
        report: where warnings, and the errors that are raised, go.
        variant: one of the spec's variants.
        assignments: the texts of `--set`.
        memory: gives the bytes that `batch_size: auto` may fill.

    Raises:
        SpecError: with every error found.
    """
    program = make_program(request(spec, variant, assignments), report)
    training = read_training(program.document, program.tree, report, program.directory)
    graph = graph_of(program, report)
    inputs: dict[str, str] = {}
    if training is not None:
        inputs = check_recipe(training, graph, program.tree, report)
    report.check()
    assert training is not None, "no training and no error"
    graph = frozen(graph, training.train.freeze)
    prepared = Prepared(program, graph, training, inputs)
    if not _wants_auto(program):
        return prepared
    size = fitting_batch(plan_of(prepared), training.train, memory())
    chosen = prepare(spec, Report(), variant=variant,
                     assignments=(*assignments, f"train.batch_size={size}"))
    return replace(chosen, auto=True)


def _wants_auto(program: Program) -> bool:
    """Whether a recipe leaves its batch size to the memory."""
    train = program.tree.get("train")
    size = train.get("batch_size") if isinstance(train, Mapping) else None
    return isinstance(size, Scalar) and size.value == AUTO


def load_data(prepared: Prepared) -> Dataset:
    """Read a recipe's data and check it against the model, in what only the data could tell.

    Raises:
        SpecError: F0630 and following: a file is missing or holds something else; F0614, F0617:
            the data does not fit the model, with what both have.
    """
    training = prepared.training
    try:
        dataset = training.data.load()
    except SpecError as error:
        # What has no place in a file of data is shown where the recipe names it.
        label = Label(training.spans["data"])
        raise SpecError([d if d.labels else replace(d, labels=(label,))
                         for d in error.diagnostics]) from None
    if dataset.fields != training.data.fields():
        report = Report()
        check_training(
            training, {v.name: v.type for v in prepared.graph.inputs},
            {name: value.type for name, value in prepared.graph.outputs.items()}, report,
            dataset.fields)
        report.check()
    return dataset


def plan_of(prepared: Prepared) -> Plan:
    """What training a prepared recipe costs, for one batch of `sized_graph`."""
    return make_plan(sized_graph(prepared), training=True,
                     batch=prepared.training.train.batch_size)


def sized_graph(prepared: Prepared) -> Graph:
    """The model with a size for each length.

    Lengths that the spec leaves open are those of the data, or `ASSUMED_LENGTH`.
    """
    graph = prepared.graph
    if unknown := unknown_inputs(graph):
        fields = prepared.training.data.fields()
        sizes = [fields[prepared.inputs[name]].size("time") for name in unknown]
        known = [size for size in sizes if isinstance(size, int)]
        graph = graph_of(prepared.program, Report(), length=max(known, default=ASSUMED_LENGTH))
        graph = frozen(graph, prepared.training.train.freeze)
    return graph
