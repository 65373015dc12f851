"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from compiler.diagnostics import SpecError
from runtime import averaging, evaluation, guard
from runtime.batch import Batch, Measured
from runtime.data.dataset import Dataset
from runtime.data.pipeline import DeviceArrays, batches_in, epoch_order
from runtime.dispatch import groups
from runtime.job import Job, Setup, set_up
from runtime.judge import Judge
from runtime.keeper import Keeper, Progress, state_of
from runtime.mesh import Placement
from runtime.meter import Meter
from runtime.report.listener import Beginning, Epoch, Listener, Result, stage
from runtime.report.memory import memory_in_use
from runtime.step import Arrays, State
from runtime.stopping import Stop, Stopped
from runtime.streams import fresh, stream_order
from runtime.tasks.task import Task
from runtime.timetable import shortened


def train(
    job: Job, dataset: Dataset, listeners: Sequence[Listener] = (), *,
    keeper: Keeper | None = None, stop: Stop | None = None, placement: Placement | None = None,
) -> Result:
    """Train a model, test it once, and leave the tested weights in it.

    Args:
        job: what to train.
        dataset: on what.
        listeners: who hears of it.
        keeper: saves the run, and knows whether it goes on from a checkpoint.
        stop: may ask the run to save and stop.
        placement: the devices; all there are where not given.

    Raises:
        SpecError: F0618 a part of the data is empty, F0803 the loss is no longer a number,
            F0820 a checkpoint cannot be written, F0821, F0822 or read.
        Stopped: the run was asked to stop, and has.
    """
    begun = time.monotonic()
    recipe = job.training.train
    keeper, stop = keeper or Keeper(recipe.checkpoint), stop or Stop()
    setup, state = set_up(job, dataset, placement or Placement.over(jax.devices()))
    task, steps, epochs = setup.task, setup.table.run.steps, setup.table.epochs
    parameters = sum(array.size for array in state.params.values())
    best = Judge(recipe.best, task) if recipe.best else None
    end = Judge(recipe.early_stop, task) if recipe.early_stop else None

    now, meter = Progress(), Meter()
    kept: tuple[Arrays, Arrays] | None = None
    if keeper.saved is not None:
        now, state, kept, meter = keeper.restore(state)
        begun -= now.seconds
    else:
        keeper.remember(now, state)

    def save() -> bool:
        now.seconds = time.monotonic() - begun
        return keeper.save(now, state, kept, meter)

    def pause() -> None:
        """Stop here, if somebody asked for it."""
        if stop.signal is not None:
            saved = save() and keeper.writes
            keeper.wait()
            raise Stopped(stop.signal, now.step, saved)

    def fail() -> NoReturn:
        """End the run: a loss, or a parameter after the last step, is not a number."""
        meter.means()  # an earlier step's figures may be on their way
        seen = now.step if meter.bad is None else now.step - now.position + meter.bad
        raise _not_finite(job, setup, keeper, state, seen)

    beginning = Beginning(
        job.name, parameters, {name: data.size for name, data in setup.parts.items()}, epochs,
        steps, setup.table.run.steps_per_epoch, setup.placement.described, now.step)
    for listener in listeners:
        listener.begin(beginning)

    compiled = False
    while now.epoch <= epochs and not (end and end.is_over(now)):
        started, before = time.monotonic(), now.step
        for batch, count in _calls(job, setup, now):
            if now.step == steps:
                break
            if compiled:
                state, measured = _made(setup, state, batch, count)
            else:
                with stage("compile", listeners):
                    state, measured = _made(setup, state, batch, count)
                started, before, compiled = time.monotonic(), now.step + (count or 1), True
            meter.add(measured, count)
            first, now.step = now.step + 1, now.step + (count or 1)
            now.position += count or 1
            if meter.bad is not None:
                fail()
            so_far = partial(_so_far, meter, task, dataset)
            for number in range(first, now.step + 1):
                for listener in listeners:
                    listener.step(number, so_far)
            if keeper.due(now) and not save():
                fail()
            pause()
        figures = task.finish(meter.means(), dataset)
        if meter.bad is not None:
            fail()
        elapsed = time.monotonic() - started
        size = setup.table.size(now.epoch)
        speed = (now.step - before) * size / elapsed if now.step > before else None
        # From here a longer run can go on: it must not know how this one ended.
        if now.step == steps and not save():
            fail()

        validation, raw = {}, {}
        last = now.epoch == epochs
        if setup.parts["validation"].size and (now.epoch % recipe.evaluate_every == 0 or last):
            judged = _judged(job, setup, state)
            validation = evaluate(job, setup, "validation", *judged, pause)
            if state.ema is not None:
                raw = evaluate(job, setup, "validation", state.params, state.rest, pause)
            if best and best.is_better(validation, now.best_epoch, now.best_score):
                now.best_epoch, now.best_score = now.epoch, best.score(validation)
                # The next step consumes the state: keep copies.
                kept = jax.tree.map(jnp.copy, judged)
            if end and end.is_better(validation, now.top_epoch, now.top_score):
                now.top_epoch, now.top_score = now.epoch, end.score(validation)
        told = Epoch(now.epoch, now.step, time.monotonic() - begun,
                     setup.rate(now.step - 1) if setup.rate else None, figures, validation, speed,
                     memory_in_use(), raw, weights=partial(_judged, job, setup, state))
        for listener in listeners:
            listener.epoch(told)
        now.epoch, now.position, meter = now.epoch + 1, 0, Meter()
        ends = end is not None and end.is_over(now)
        if (ends or keeper.due(now, epoch_is_over=True)) and not last and not save():
            fail()

    params, rest = kept or _judged(job, setup, state)
    with stage("test", listeners):
        details: dict[str, Any] = {}
        test, raw = evaluate(job, setup, "test", params, rest, pause, details), {}
        if state.ema is not None:
            raw = evaluate(job, setup, "test", state.params, state.rest, pause)
        # What is said of the validation part stands for the run where there is no test part.
        validation = evaluate(
            job, setup, "validation", params, rest, pause, None if test else details)
    keeper.wait()
    setup.model.put(job.model, params, rest)
    result = Result(test, now.epoch - 1, now.step, now.best_epoch or now.epoch - 1,
                    time.monotonic() - begun, parameters, recipe.seed,
                    task.baselines(dataset) if test else {}, raw, details, validation)
    for listener in listeners:
        listener.end(result)
    return result


def evaluate(
    job: Job, setup: Setup, part: str, params: Arrays, rest: Arrays,
    pause: Callable[[], None] = lambda: None, details: dict[str, Any] | None = None,
) -> dict[str, float]:
    """The figures of a part, every example once; {} where it is empty.

    Args:
        job: for the size of the batches.
        setup: the run.
        part: "train", "validation" or "test".
        params: the parameters to judge.
        rest: the model's other arrays.
        pause: called after each batch; it may raise.
        details: gets what the task has to say beyond figures.
    """
    data, recipe, place = setup.parts[part], job.training.train, setup.placement
    if not data.size:
        return {}
    size = recipe.evaluation_batch_size or recipe.batch_size
    meter = evaluation.measured(setup.model, setup.measure, params, rest, data, size, setup.key,
                     cut=place.cut, pause=pause)
    means = meter.means()
    if setup.search is not None:
        most = setup.task.searched if part == "validation" else None
        means |= evaluation.measured(
            setup.model, setup.search, params, rest, data, size, setup.key, cut=place.cut,
            pause=pause, most=most).means()
    if details is not None:
        details.update(setup.task.details(means, setup.dataset))
    return setup.task.finish(means, setup.dataset)


def _judged(job: Job, setup: Setup, state: State) -> tuple[Arrays, Arrays]:
    """The parameters that are evaluated and kept, and the other arrays that go with them."""
    average = job.training.train.average
    if average is None or state.ema is None:
        return state.params, state.rest
    params = {name: array.astype(state.params[name].dtype) for name, array in state.ema.items()}
    if not setup.model.statistics:
        return params, state.rest
    order = epoch_order(setup.dataset.train.size, job.training.train.seed, 1)
    seen = map(setup.placement.cut, setup.parts["train"].batches(order, setup.table.size(1)))
    return params, averaging.recomputed(
        setup.observe, params, state.rest, islice(seen, average.batches), setup.key,
        setup.model.statistics)


def _calls(job: Job, setup: Setup, now: Progress) -> Iterator[tuple[Batch, int | None]]:
    """What the calls from here to the end of the epoch get: a batch, or a stack of so many."""
    recipe, data = job.training.train, setup.parts["train"]
    if setup.several is None or not isinstance(data, DeviceArrays):
        yield from ((batch, None) for batch in _epoch(job, setup, now.epoch, now.position))
        return
    size, drop = setup.table.size(now.epoch), recipe.last_batch == "drop"
    every = recipe.checkpoint.every
    counts = groups(
        position=now.position, batches=batches_in(data.size, size, drop_last=drop), step=now.step,
        steps=setup.table.run.steps, most=job.steps_per_dispatch,
        every=int(every.amount) if every.unit == "step" else None)
    yield from data.stacks(epoch_order(data.size, recipe.seed, now.epoch), size, counts,
                           job.steps_per_dispatch, drop_last=drop, start=now.position)


def _made(
    setup: Setup, state: State, batch: Batch, count: int | None,
) -> tuple[State, Measured]:
    """The state after a call, and what it measured."""
    if setup.several is None or count is None:
        return setup.step(state, batch, setup.key)
    return setup.several(state, batch, count, setup.key)


def _epoch(job: Job, setup: Setup, epoch: int, position: int) -> Iterator[Batch]:
    """The batches of an epoch from a position on: a function of the seed and these two."""
    recipe, data, carries = job.training.train, setup.parts["train"], setup.model.carried
    size, length = setup.table.size(epoch), setup.table.length(epoch)
    order = stream_order(data.size, size) if carries else (
        epoch_order(data.size, recipe.seed, epoch))
    for batch in data.batches(
            order, size, drop_last=recipe.last_batch == "drop", start=position):
        if carries:
            batch = fresh(batch, begins=position == 0)
        if length is not None:
            batch = shortened(batch, setup.dataset.fields, job.inputs, length)
        position += 1
        yield setup.placement.cut(batch)


def _not_finite(
    job: Job, setup: Setup, keeper: Keeper, state: State, number: int,
) -> SpecError:
    """Go back to the last snapshot, look for the origin, and leave its weights in the model.

    Args:
        job: the job.
        setup: the run.
        keeper: has the snapshot.
        state: for its structure.
        number: the step whose loss was not a number.
    """
    assert keeper.last is not None, "a run begins with a snapshot"
    good = keeper.last.progress

    def again() -> Iterator[Batch]:
        epoch, position, done = good.epoch, good.position, good.step
        while done < number:
            for batch in _epoch(job, setup, epoch, position):
                if done == number:
                    return
                yield batch
                done += 1
            epoch, position = epoch + 1, 0

    start = state_of(keeper.last, state)
    setup.model.put(job.model, *jax.tree.map(jnp.copy, (start.params, start.rest)))
    origin = guard.find(start, again(), setup.step, setup.loss, setup.key)
    return guard.error(origin, number, good.step, keeper.writes)


def _so_far(meter: Meter, task: Task, dataset: Dataset) -> dict[str, float]:
    """The figures of the steps that are done by now."""
    means = meter.ready()
    return task.finish(means, dataset) if means else {}
