"""From a spec to a finished run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.diagnostics import Label, Report, SpecError
from compiler.graph import Graph
from compiler.pipeline import Request, graph_of, make_program
from compiler.plan import Plan, make_plan, unknown_inputs
from compiler.program import Program
from compiler.source import Source
from compiler.tree import Mapping, Scalar, plain
from runtime.data import anchored
from runtime.memory import available, fitting_batch, too_small
from runtime.policies import AUTO
from runtime.recipe import Recipe, Training, check_training, read_training
from runtime.train_checks import check_judges, check_train

if TYPE_CHECKING:
    from runtime.checkpoint import Saved
    from runtime.data.dataset import Dataset
    from runtime.report.listener import Listener, Result
    from runtime.stopping import Stop

# Steps to plan for where neither the spec nor the data says how long a sequence is.
ASSUMED_LENGTH = 128


@dataclass(frozen=True)
class Prepared:
    """A recipe that was found to be in order.

    Attributes:
        program: the resolved document.
        graph: its model.
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
    program = make_program(Request(spec, variant, tuple(assignments), document=Recipe), report)
    training = read_training(program.document, program.tree, report, program.directory)
    graph = graph_of(program, report)
    inputs: dict[str, str] = {}
    if training is not None:
        outputs = {name: value.type for name, value in graph.outputs.items()}
        inputs = check_training(
            training, {v.name: v.type for v in graph.inputs}, outputs, report)
        check_judges(training, outputs, program.tree, report)
        if len(inputs) == len(graph.inputs):
            check_train(training, graph, inputs, report)
    report.check()
    assert training is not None, "no training and no error"
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
    """What training a prepared recipe costs, for one batch.

    Lengths that the spec leaves open are those of the data, or `ASSUMED_LENGTH`.
    """
    graph = prepared.graph
    if unknown := unknown_inputs(graph):
        fields = prepared.training.data.fields()
        sizes = [fields[prepared.inputs[name]].size("time") for name in unknown]
        known = [size for size in sizes if isinstance(size, int)]
        graph = graph_of(prepared.program, Report(), length=max(known, default=ASSUMED_LENGTH))
    return make_plan(graph, training=True, batch=prepared.training.train.batch_size)


@dataclass(frozen=True)
class Wish:
    """How a run is to be made, besides what its recipe says.

    Attributes:
        resume: go on from the last checkpoint in the folder.
        reschedule: go on though the schedule was another one.
        device: what to compute on, as `--device` says it.
        stop: may ask the run to save and stop.
        report: write report.html.
    """

    resume: bool = False
    reschedule: bool = False
    device: str = ""
    stop: Stop | None = None
    report: bool = True


def execute(
    prepared: Prepared, folder: Path, command: str, listeners: Sequence[Listener] = (),
    wish: Wish = Wish(),
) -> Result:
    """Train a prepared recipe and fill its folder.

    Args:
        prepared: the recipe.
        folder: an empty folder, or that of the run to go on with.
        command: what was asked for, to stand above the spec in the folder.
        listeners: who else hears of the run.
        wish: how to make it.

    Raises:
        SpecError: the run came to nothing; the folder has what happened until then. F0825
            another process is at work there; nothing was changed.
        Stopped: it was asked to stop, and has.
    """
    from runtime.folder import writable
    from runtime.lock import alone

    resolved = _self_contained(prepared.program)
    if wish.resume and (done := _done(prepared, resolved, folder, listeners, wish)):
        return done
    with writable(folder), alone(folder):
        return _execute(prepared, resolved, folder, command, listeners, wish)


def _self_contained(program: Program) -> Program:
    """The program with the paths of its data as they are seen from anywhere."""
    data = anchored(program.tree["data"], program.directory)
    tree = Mapping(program.tree | {"data": data}, program.tree.span, program.tree.key_spans)
    return replace(program, tree=tree)


def _done(
    prepared: Prepared, resolved: Program, folder: Path, listeners: Sequence[Listener], wish: Wish,
) -> Result | None:
    """What came of the run in a folder, if it is finished and no more is asked of it."""
    from runtime.folder import SUMMARY

    if not (folder / SUMMARY).exists():
        return None
    from runtime.finished import finished
    from runtime.report.listener import stage
    from runtime.resume import spec_of

    done = finished(folder, spec_of(resolved), prepared.training.train,
                    reschedule=wish.reschedule, report=wish.report)
    if done is None:
        return None
    with stage("resume", listeners) as note:
        note.text = done.note
    for listener in listeners:
        listener.end(done.result)
    return done.result


def _execute(
    prepared: Prepared, resolved: Program, folder: Path, command: str,
    listeners: Sequence[Listener], wish: Wish,
) -> Result:
    from runtime import folder as files
    from runtime import resume
    from runtime.report.jsonl import JsonLines
    from runtime.report.listener import stage

    program, training = prepared.program, prepared.training
    for tracker in training.train.log:
        tracker.check()
    listeners = (JsonLines(folder / files.METRICS), *listeners)
    with stage("start", listeners) as note:
        import jax

        from compiler.lower.build import build_model, load_named_weights
        from compiler.lower.carry import carries
        from compiler.lower.weights import save_weights
        from compiler.passes import optimise
        from runtime import checkpoint, preprocessing
        from runtime.keeper import Keeper
        from runtime.loop import Job, timetable_of, train
        from runtime.mesh import choose
        from runtime.report.environment import environment

        spec = resume.spec_of(resolved)
        saved = checkpoint.latest(folder) if wish.resume else None
        if saved is not None:
            resume.check_spec(saved, spec, reschedule=wish.reschedule)
        placement = choose(wish.device, saved.facts["bits"]["devices"] if saved else None)
        if not wish.resume:
            files.write_spec(folder, resolved, command)
        note.text = placement.described
    with stage("data", listeners) as note:
        dataset = load_data(prepared)
        note.text = dataset.described
    with stage("build", listeners):
        graph = optimise(prepared.graph)
        recipe = training.train
        model = build_model(graph, seed=recipe.seed, kernels=recipe.compile.kernels,
                            **recipe.precision.of_build)
        load_named_weights(model, graph, program.weights_file)

    run = timetable_of(training, dataset, carries=carries(model)).run
    bits = resume.bits(placement, recipe.compile.kernels)
    if saved is not None:
        resume.check_schedule(saved, training.train, run, reschedule=wish.reschedule)
    if wish.resume:  # from here on its folder changes
        with stage("resume", listeners) as note:
            note.text = _taken_up(folder, saved, bits)
            files.begin_again(folder, saved.facts["lines"] if saved else 0)
            if saved is None or saved.facts["spec"] != spec:
                files.write_spec(folder, resolved, command)
    files.write_json(folder / files.ENVIRONMENT, environment())
    preprocessing.write(folder / files.PREPROCESSING, preprocessing.Preprocessing.of(dataset))
    facts = {"spec": dict(spec), "run": asdict(run), "bits": bits}
    keeper = Keeper(training.train.checkpoint, folder, facts=facts, saved=saved,
                    history=folder / files.METRICS)
    job = Job(program.name, training, model, prepared.inputs)
    trackers = [tracker.listener(folder, program.name, plain(resolved.tree))
                for tracker in training.train.log]
    try:
        result = train(job, dataset, (*listeners, *trackers), keeper=keeper, stop=wish.stop,
                       placement=placement)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise SpecError([too_small(
            plan_of(prepared), training.train, training.spans["train"], str(error))]) from None
    finally:
        keeper.close()
        for tracker in trackers:
            tracker.close()
    save_weights(model, folder / files.WEIGHTS, {"name": program.name})
    files.write_summary(folder, result.as_json())
    if not wish.report:
        return result
    with stage("report", listeners):
        from runtime.report.html import write_report
        from runtime.saved import Trained

        known = preprocessing.Preprocessing.of(dataset)
        trained = Trained(model, training, prepared.inputs, known, folder)
        details = result.details
        if not dataset.test.size and dataset.validation.size:
            details = trained.evaluate(dataset.validation)[1]
        write_report(folder, prepared, plan_of(prepared), trained, dataset, details)
    return result


def _taken_up(folder: Path, saved: Saved | None, bits: dict[str, Any]) -> str:
    """Where a run goes on, and under which other circumstances, in words."""
    from runtime.resume import other_bits

    if saved is None:
        return f"{folder} has no checkpoint yet: the run starts afresh"
    others = other_bits(saved, bits)
    but = f", not to the bit: {', '.join(others)}" if others else ""
    return f"{folder} goes on from step {saved.step:,}{but}"
