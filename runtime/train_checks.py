"""What in `train` has to suit the model and the data; no JAX is needed to tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.diagnostics import Report, nearest
from compiler.graph import Graph, Scan, walk
from compiler.ops.recurrent import Layers
from compiler.source import Span
from compiler.tree import Mapping as MapNode
from compiler.tree import Node
from compiler.types import TensorType
from runtime.data.tokens import END, START
from runtime.freezing import check_freezing, frozen
from runtime.mixing import check_mix
from runtime.patterns import check_patterns
from runtime.phase_checks import check_phases
from runtime.recipe import Training, check_training
from runtime.tasks.labelling import Labelling
from runtime.tasks.language_modelling import LanguageModelling


def check_recipe(
    training: Training, graph: Graph, tree: MapNode, report: Report,
) -> dict[str, str]:
    """Check a recipe's sections against its model: all that needs no data to tell.

    Args:
        training: the sections.
        graph: the model.
        tree: the recipe, for the places.
        report: where errors go.

    Returns:
        For each input of the model the field of the data that it gets.
    """
    outputs = {name: value.type for name, value in graph.outputs.items()}
    inputs = check_training(
        training, {v.name: v.type for v in graph.inputs}, outputs, report, phases=graph.phases)
    check_judges(training, outputs, tree, report)
    _check_marks(training, report)
    _check_search(training, graph, report)
    if len(inputs) == len(graph.inputs):
        check_train(training, graph, inputs, report)
    return inputs


def _check_marks(training: Training, report: Report) -> None:
    """Report places without a class that the data marks and the task would take for one."""
    task = training.task
    if not isinstance(task, Labelling):
        return
    mark = training.data.marks().get(task.target)
    if mark is not None and mark != task.ignored:
        report.error(
            "F0611", f"in `{task.target}` of {training.data.title} {mark} marks places without a "
                     "class, and the task does not leave them out", training.spans["task"],
            help=f"say `task: {{{task.word}: {{ignore: {mark}}}}}`"
            if "ignore" in type(task).model_fields else "take `ignore` away")


def _check_search(training: Training, graph: Graph, report: Report) -> None:
    """Report a model that cannot be searched, where the task needs that, or not with its marks."""
    if not training.goal.searched:
        return
    span = training.spans.get("task")
    search = next((node.operation.decode for _, node in walk(graph)
                   if isinstance(node.operation, Scan) and node.operation.decode), None)
    if search is None:
        report.error(
            "F0662", f"{training.task.word} searches for the best text, and no `scan` of the "
                     "model says how", span,
            help="add `decode: {beam: 5, start: 1, end: 2, length: 60}` to the decoder's `scan`")
        return
    for name, mark in (("start", START), ("end", END)):
        if getattr(search, name) not in (name, mark):
            report.error(
                "F0662", f"texts {name} with the symbol {mark}, and the model's `decode` says "
                         f"`{name}: {getattr(search, name)}`", span,
                help=f"say `{name}: {mark}` there")


def check_train(
    training: Training, graph: Graph, inputs: Mapping[str, str], report: Report,
) -> None:
    """Report what in `train` does not suit the model or the data.

    Args:
        training: the recipe's sections.
        graph: the model.
        inputs: for each input of the model the field of the data that it gets.
        report: where errors go.
    """
    train, span, fields = training.train, training.spans["train"], training.data.fields()
    check_freezing(train.freeze, train.replace, graph, report, span)
    check_patterns(train.learning_rate_factors, frozen(graph, train.freeze), report, span)
    if train.sample_factor is not None and not any(
            isinstance(node.operation, Scan) and node.operation.sample for _, node in walk(graph)):
        report.error("F0611", "`sample_factor` multiplies `sample` of a `scan`, and none of the "
                     "model has it", span,
                     help="say in the scan how often a step sees its own choice: `sample: 0.25`")
    if train.phases:
        check_phases(training, frozen(graph, train.freeze), report)
    if train.mix is not None:
        check_mix(train.mix, training.goal, {n: fields[n] for n in inputs.values()}, report, span)
    if train.sequence_length_changes.values:
        _check_lengths({v.name: v.type for v in graph.inputs}, training, report)
    if carrying := next(_carrying(graph), None):
        _check_carry(carrying, training, report)


def check_judges(
    training: Training, outputs: Mapping[str, TensorType], tree: MapNode, report: Report,
) -> None:
    """Report figures that `keep` and `early_stop` judge by and the task does not give.

    Args:
        training: the recipe's sections.
        outputs: the model's outputs, the main one first.
        tree: the recipe, for the places.
        report: where errors go.
    """
    task, train = training.goal, training.train
    for name, measure in (("keep", train.best), ("early_stop", train.early_stop)):
        if measure is None:
            continue
        span = place_of(tree, "train", name, "metric")
        if check_figure(measure.metric, training, outputs, report, span) and (
                measure.resolved(task.monitor, task.ways) is None):
            report.error("F0611", f"`{name}` does not say which way {measure.metric} is better",
                         span, help="add `mode: higher` or `mode: lower`")


def check_figure(
    name: str | None, training: Training, outputs: Mapping[str, TensorType], report: Report,
    span: Span | None,
) -> bool:
    """Whether the validation part has a figure; reports where not.

    Args:
        name: the figure; None for the one that the task is judged by.
        training: the recipe's sections.
        outputs: the model's outputs, the main one first.
        report: where errors go.
        span: where it is named.
    """
    # The parts of a loss made of several functions, from Python, are known only there.
    if name is None or name.startswith("loss/"):
        return True
    goal = training.goal
    known = goal.figures(outputs)
    if name in known:
        return True
    of = "of this recipe" if training.written else f"of {goal.word}"
    report.error("F0611", f"`{name}` is not a figure {of}", span,
                 nearest(name, known), notes=[f"its figures: {', '.join(known)}"],
                 help=f"say `metric: {goal.monitor}`, or another of them")
    return False


def place_of(tree: MapNode, *keys: str) -> Span | None:
    """Where the value behind some keys stands, or that of the last of them there is."""
    node: Node = tree
    span = None
    for key in keys:
        if not isinstance(node, MapNode) or key not in node:
            break
        node = node[key]
        span = node.span
    return span


def _check_lengths(
    inputs: Mapping[str, TensorType], training: Training, report: Report,
) -> None:
    timed = {name: kind.length for name, kind in inputs.items() if kind.length is not None}
    span = training.spans["train"]
    if not timed:
        report.error("F0611", "`sequence_length_changes` shortens sequences, and the model has no "
                              "input over time", span, help="take it away")
    for name, length in timed.items():
        if isinstance(length, int):
            report.error("F0611", f"the model's input `{name}` has {length} steps, always: its "
                                  "sequences cannot be shortened", span,
                         help=f"declare `{name}` with `length: any`, or take "
                              "`sequence_length_changes` away")


def _check_carry(layer: str, training: Training, report: Report) -> None:
    train, span = training.train, training.spans["train"]
    if not isinstance(training.task, LanguageModelling):
        report.error("F0611", f"`{layer}` carries its state across batches, but the examples of "
                              f"{training.task.word} do not go on from one to the next", span,
                     help="say `carry: within` in the model")
    for word, given in (("phases", bool(train.phases)),
                        ("accumulate", train.accumulate > 1),
                        ("batch_size_changes", bool(train.batch_size_changes.values)),
                        ("sequence_length_changes", bool(train.sequence_length_changes.values))):
        if given:
            report.error("F0611", f"`{word}` does not go with `{layer}`, which carries its state "
                                  "across batches", span,
                         notes=["each row of a batch goes on where that row of the batch before "
                                "ended"],
                         help=f"take `{word}` away, or say `carry: within` in the model")


def _carrying(graph: Graph) -> Iterator[str]:
    """The paths of layers that carry their state across batches."""
    for path, node in walk(graph):
        if isinstance(node.operation, Layers) and node.operation.carry == "across":
            yield path
