"""From a recipe that is in order to a finished run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.diagnostics import Report, SpecError
from compiler.resolve import Program
from compiler.tree import Mapping as MapNode
from compiler.tree import plain
from runtime.data import anchored, anchored_start
from runtime.memory import too_small
from runtime.run import Prepared, load_data, plan_of
from runtime.tasks import anchored_task

if TYPE_CHECKING:
    from compiler.lower.module import Model
    from runtime.checkpoint import Saved
    from runtime.data.dataset import Dataset
    from runtime.mesh import Placement
    from runtime.optim_document import Run
    from runtime.report.listener import Listener, Result
    from runtime.resume import Spec
    from runtime.stopping import Stop

Facts = Mapping[str, Any]


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
    from runtime.folder import METRICS, writable
    from runtime.lock import alone
    from runtime.report.jsonl import JsonLines

    order = _Order(prepared, _self_contained(prepared.program), folder, command,
                   tuple(listeners), wish)
    if done := _done(order):
        return done
    with writable(folder), alone(folder):
        return _run(replace(order, listeners=(JsonLines(folder / METRICS), *listeners)))


@dataclass(frozen=True)
class _Order:
    """A run to be made.

    Attributes:
        prepared: the recipe.
        resolved: its document, which means the same wherever it lies.
        folder: the run's folder.
        command: what was asked for.
        listeners: who hears of it.
        wish: how to make it.
    """

    prepared: Prepared
    resolved: Program
    folder: Path
    command: str
    listeners: tuple[Listener, ...]
    wish: Wish


@dataclass(frozen=True)
class _Start:
    """What a run begins with.

    Attributes:
        spec: the files of its resolved spec.
        saved: the checkpoint that it goes on from; None where it begins afresh.
        placement: its devices.
    """

    spec: Spec
    saved: Saved | None
    placement: Placement


def _run(order: _Order) -> Result:
    """The steps of a run, one after another."""
    from runtime.report.listener import stage

    prepared, listeners = order.prepared, order.listeners
    for tracker in prepared.training.train.log:
        tracker.check()
    with stage("start", listeners) as note:
        start = _started(order)
        note.text = start.placement.described
    with stage("data", listeners) as note:
        dataset = load_data(prepared)
        note.text = dataset.described
    with stage("build", listeners) as note:
        model, note.text = _built(order, start, dataset)
    facts = _checked_facts(order, start, model, dataset)
    if order.wish.resume:
        with stage("resume", listeners) as note:
            note.text = _taken_up(order, start, facts)
    _write_circumstances(order, dataset)
    result = _trained(order, start, model, dataset, facts)
    _write_outcome(order, model, result)
    if order.wish.report:
        with stage("report", listeners):
            _write_report(order, model, dataset, result)
    return result


def _self_contained(program: Program) -> Program:
    """The program with the paths of its recipe as they are seen from anywhere."""
    own = {"data": anchored(program.tree["data"], program.directory),
           "train": anchored_start(program.tree["train"], program.directory, Report())}
    if "task" in program.tree:
        own["task"] = anchored_task(program.tree["task"], program.directory, Report())
    tree = MapNode(program.tree | own, program.tree.span, program.tree.key_spans)
    return replace(program, tree=tree)


def _done(order: _Order) -> Result | None:
    """What came of the run in the folder, if it is finished and no more is asked of it."""
    from runtime.folder import SUMMARY

    if not order.wish.resume or not (order.folder / SUMMARY).exists():
        return None
    from runtime.finished import finished
    from runtime.report.listener import stage
    from runtime.resume import spec_of

    done = finished(
        order.folder, spec_of(order.resolved), order.prepared.training.train,
        reschedule=order.wish.reschedule, report=order.wish.report)
    if done is None:
        return None
    with stage("resume", order.listeners) as note:
        note.text = done.note
    for listener in order.listeners:
        listener.end(done.result)
    return done.result


def _started(order: _Order) -> _Start:
    """Import what is slow to import, find the checkpoint, and choose the devices."""
    import runtime.loop  # noqa: F401 - JAX and all else, while the stage says so
    from runtime import checkpoint, resume
    from runtime.folder import write_spec
    from runtime.mesh import choose

    spec, wish = resume.spec_of(order.resolved), order.wish
    saved = checkpoint.latest(order.folder) if wish.resume else None
    if saved is not None:
        resume.check_spec(saved, spec, reschedule=wish.reschedule)
    placement = choose(wish.device, saved.facts["bits"]["devices"] if saved else None)
    if not wish.resume:
        write_spec(order.folder, order.resolved, order.command)
    return _Start(spec, saved, placement)


def _built(order: _Order, start: _Start, dataset: Dataset) -> tuple[Model, str]:
    """The model with its first weights, and where these are from, in words."""
    from compiler.lower.build import build_model, load_named_weights
    from compiler.passes import optimise
    from runtime.folder import START, write_json
    from runtime.starting import start_from

    prepared = order.prepared
    graph, recipe = optimise(prepared.graph), prepared.training.train
    model = build_model(graph, seed=recipe.seed, kernels=recipe.compile.kernels,
                        **recipe.precision.of_build)
    if start.saved is not None:  # whose weights are those of the checkpoint
        return model, _frozen_told(prepared)
    load_named_weights(model, graph, prepared.program.weights_file)
    told = []
    if began := start_from(model, graph, recipe):
        write_json(order.folder / START, began.as_json(recipe))
        told.append(began.told())
    if recipe.vectors is not None:
        from runtime.vectors import take_vectors

        told.append(take_vectors(model, graph, prepared.inputs, dataset.meaning,
                                 Path(recipe.vectors)).told())
    return model, "; ".join(filter(None, (*told, _frozen_told(prepared))))


def _frozen_told(prepared: Prepared) -> str:
    """"1,290 of 11,689,512 parameters are trained"; "" where all are."""
    if not prepared.training.train.freeze:
        return ""
    totals = plan_of(prepared).totals
    return f"{totals.trainable:,} of {totals.params:,} parameters are trained"


def _checked_facts(order: _Order, start: _Start, model: Model, dataset: Dataset) -> Facts:
    """What stands in a checkpoint beside its arrays: the spec, the run's length, its bits.

    Raises:
        SpecError: F0823 a run of this length would not have made the steps that are saved.
    """
    from compiler.lower.carry import carries
    from runtime.job import timetable_of
    from runtime.resume import bits, check_schedule

    training = order.prepared.training
    run: Run = timetable_of(training, dataset, carries=carries(model)).run
    if start.saved is not None:
        check_schedule(start.saved, training.train, run, reschedule=order.wish.reschedule)
    return {"spec": dict(start.spec), "run": asdict(run),
            "bits": bits(start.placement, training.train.compile.kernels,
                         _steps_per_dispatch(order.prepared, start))}


def _steps_per_dispatch(prepared: Prepared, start: _Start) -> int:
    """How many steps a call makes: as the recipe says, as the run was begun, or by a rule."""
    from runtime.dispatch import chosen

    asked = prepared.training.train.compile.steps_per_dispatch
    if isinstance(asked, int):
        return asked
    if start.saved is not None:
        return start.saved.facts["bits"].get("steps_per_dispatch", 1)
    return chosen(plan_of(prepared), on_processor=start.placement.devices[0].platform == "cpu")


def _taken_up(order: _Order, start: _Start, facts: Facts) -> str:
    """Make the folder what it was at the checkpoint; where and how the run goes on, in words."""
    from runtime import folder as files
    from runtime.resume import other_bits

    saved, folder = start.saved, order.folder
    files.begin_again(folder, saved.facts["lines"] if saved else 0)
    if saved is None or saved.facts["spec"] != start.spec:
        files.write_spec(folder, order.resolved, order.command)
    if saved is None:
        return f"{folder} has no checkpoint yet: the run starts afresh"
    others = other_bits(saved, facts["bits"])
    but = f", not to the bit: {', '.join(others)}" if others else ""
    return f"{folder} goes on from step {saved.step:,}{but}"


def _write_circumstances(order: _Order, dataset: Dataset) -> None:
    """Write what the run is made with, and what the model's inputs go through."""
    from runtime import folder as files
    from runtime import preprocessing
    from runtime.report.environment import environment

    files.write_json(order.folder / files.ENVIRONMENT, environment())
    preprocessing.write(order.folder / files.PREPROCESSING,
                        preprocessing.Preprocessing.of(dataset))


def _trained(
    order: _Order, start: _Start, model: Model, dataset: Dataset, facts: Facts,
) -> Result:
    """Train the model, with a keeper and trackers that are closed whatever happens."""
    from runtime.folder import METRICS
    from runtime.job import Job
    from runtime.keeper import Keeper
    from runtime.loop import train

    prepared, folder, name = order.prepared, order.folder, order.prepared.program.name
    training = prepared.training
    keeper = Keeper(training.train.checkpoint, folder, facts=facts, saved=start.saved,
                    history=folder / METRICS)
    trackers = [tracker.listener(folder, name, plain(order.resolved.tree))
                for tracker in training.train.log]
    try:
        with _short_memory_told(prepared):
            job = Job(name, training, model, prepared.inputs, facts["bits"]["steps_per_dispatch"])
            own = training.task.listeners(job, dataset, folder)
            return train(job, dataset, (*order.listeners, *trackers, *own), keeper=keeper,
                         stop=order.wish.stop, placement=start.placement)
    finally:
        keeper.close()
        for tracker in trackers:
            tracker.close()


@contextmanager
def _short_memory_told(prepared: Prepared) -> Iterator[None]:
    """Too little memory, as a diagnostic.

    Raises:
        SpecError: F0804.
    """
    import jax

    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        training = prepared.training
        raise SpecError([too_small(
            plan_of(prepared), training.train, training.spans["train"], str(error))]) from None


def _write_outcome(order: _Order, model: Model, result: Result) -> None:
    """Write the weights, then the summary: where it is, the run was finished."""
    from compiler.lower.weights import save_weights
    from runtime import folder as files

    save_weights(model, order.folder / files.WEIGHTS, {"name": order.prepared.program.name})
    metric = order.prepared.training.goal.monitor
    files.write_summary(order.folder, {**result.as_json(), "metric": metric})


def _write_report(order: _Order, model: Model, dataset: Dataset, result: Result) -> None:
    """Write report.html."""
    from runtime.preprocessing import Preprocessing
    from runtime.report.html import write_report
    from runtime.saved import Trained

    prepared, folder = order.prepared, order.folder
    trained = Trained(model, prepared.training, prepared.inputs, Preprocessing.of(dataset), folder)
    write_report(folder, prepared, plan_of(prepared), trained, dataset, result.details)
