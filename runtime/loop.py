"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from compiler.lower.module import Model
from runtime import guard, optim
from runtime.batch import Batch, Measured
from runtime.data.dataset import Dataset
from runtime.data.pipeline import Examples, batches_in, epoch_order, examples
from runtime.judge import Judge
from runtime.keeper import Keeper, Progress, state_of
from runtime.mesh import Placement
from runtime.meter import Meter
from runtime.recipe import Training
from runtime.report.listener import Beginning, Epoch, Listener, Result, stage
from runtime.report.memory import memory_in_use
from runtime.step import (
    Arrays,
    Loss,
    PureModel,
    State,
    augmentation,
    evaluation_step,
    train_step,
    training_loss,
)
from runtime.stopping import Stop, Stopped
from runtime.tasks.task import Task


@dataclass(frozen=True)
class Job:
    """All that the loop needs.

    Attributes:
        name: the recipe's name, for reports.
        training: the recipe's sections.
        model: the model with its initial weights; `train` leaves the trained ones in it.
        inputs: for each input of the model, the field of the data that it gets.
    """

    name: str
    training: Training
    model: Model
    inputs: dict[str, str]


@dataclass(frozen=True)
class Setup:
    """What stays the same while a run goes on.

    Attributes:
        dataset: the data.
        task: what the outputs are compared with.
        run: how long it is.
        epochs: likewise; the last may be cut short.
        model: the model as a function of its arrays.
        loss: what is made small.
        step: makes a step.
        measure: measures a batch.
        rate: the learning rate by step, where there is one.
        parts: the data, ready to be cut into batches.
        key: all randomness comes from this and the number of the step.
        placement: the devices.
    """

    dataset: Dataset
    task: Task
    run: optim.Run
    epochs: int
    model: PureModel
    loss: Loss
    step: guard.Step
    measure: Callable[[Arrays, Arrays, Batch, jax.Array], Measured]
    rate: Callable[[int], float] | None
    parts: dict[str, Examples]
    key: jax.Array
    placement: Placement


def set_up(job: Job, dataset: Dataset, placement: Placement) -> tuple[Setup, State]:
    """All that a run needs, and its first state.

    Raises:
        SpecError: F0618 a part of the data is empty.
    """
    recipe, task = job.training.train, job.training.task.fitted(dataset)
    run = length_of(job.training, dataset)
    clip = recipe.clip.calls if recipe.clip else []
    optimizer = optim.build(recipe.optimizer, run, clip,
                            tuple(recipe.learning_rate_factors.items()))

    model, params, rest = PureModel.split(job.model, job.inputs, dataset.normalise)
    params, rest = placement.copied((params, rest))
    state = State(params, rest, optimizer.init(params), jnp.zeros((), jnp.int32))
    augment = augmentation(job.training.data.augment, dataset.fields, job.inputs.values())
    loss = training_loss(model, task, augment)
    parts = {"train": examples(dataset.train), "validation": examples(dataset.validation),
             "test": examples(dataset.test)}
    setup = Setup(
        dataset, task, run, -(-run.steps // run.steps_per_epoch), model, loss,
        train_step(loss, optimizer), evaluation_step(model, task),
        optim.learning_rate(recipe.optimizer, run), parts, jax.random.key(recipe.seed), placement)
    return setup, placement.copied(state)


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
    setup, state = set_up(job, dataset, placement or Placement.over(jax.local_devices()))
    task, steps, epochs = setup.task, setup.run.steps, setup.epochs
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

    def fail(number: int) -> NoReturn:
        """End the run whose loss in a step was not a number."""
        raise _not_finite(job, setup, keeper, state, number)

    beginning = Beginning(
        job.name, parameters, {name: data.size for name, data in setup.parts.items()}, epochs,
        steps, setup.run.steps_per_epoch, setup.placement.described, now.step)
    for listener in listeners:
        listener.begin(beginning)

    compiled = False
    while now.epoch <= epochs and not (end and end.is_over(now)):
        started, before = time.monotonic(), now.step
        for batch in _epoch(job, setup, now.epoch, now.position):
            if now.step == steps:
                break
            if compiled:
                state, measured = setup.step(state, batch, setup.key)
            else:
                with stage("compile", listeners):
                    state, measured = setup.step(state, batch, setup.key)
                started, before, compiled = time.monotonic(), now.step + 1, True
            meter.add(measured)
            now.step += 1
            now.position += 1
            if meter.bad is not None:
                fail(now.step - now.position + meter.bad)
            so_far = partial(_so_far, meter, task, dataset)
            for listener in listeners:
                listener.step(now.step, so_far)
            if keeper.due(now) and not save():
                fail(now.step)
            pause()
        figures = task.finish(meter.means(), dataset)
        if meter.bad is not None:
            fail(now.step - now.position + meter.bad)
        elapsed = time.monotonic() - started
        speed = (now.step - before) * recipe.batch_size / elapsed if now.step > before else None
        # From here a longer run can go on: it must not know how this one ended.
        if now.step == steps and not save():
            fail(now.step)

        validation: dict[str, float] = {}
        last = now.epoch == epochs
        if setup.parts["validation"].size and (now.epoch % recipe.evaluate_every == 0 or last):
            validation = evaluate(job, setup, "validation", state.params, state.rest, pause)
            if best and best.is_better(validation, now.best_epoch, now.best_score):
                now.best_epoch, now.best_score = now.epoch, best.score(validation)
                # The next step consumes the state: keep copies.
                kept = jax.tree.map(jnp.copy, (state.params, state.rest))
            if end and end.is_better(validation, now.top_epoch, now.top_score):
                now.top_epoch, now.top_score = now.epoch, end.score(validation)
        told = Epoch(now.epoch, now.step, time.monotonic() - begun,
                     setup.rate(now.step - 1) if setup.rate else None, figures, validation, speed,
                     memory_in_use())
        for listener in listeners:
            listener.epoch(told)
        now.epoch, now.position, meter = now.epoch + 1, 0, Meter()
        ends = end is not None and end.is_over(now)
        if (ends or keeper.due(now, epoch_is_over=True)) and not last and not save():
            fail(now.step)

    params, rest = kept or (state.params, state.rest)
    with stage("test", listeners):
        test = evaluate(job, setup, "test", params, rest, pause)
    keeper.wait()
    setup.model.put(job.model, params, rest)
    result = Result(test, now.epoch - 1, now.step, now.best_epoch or now.epoch - 1,
                    time.monotonic() - begun, parameters, recipe.seed,
                    task.baselines(dataset) if test else {})
    for listener in listeners:
        listener.end(result)
    return result


def evaluate(
    job: Job, setup: Setup, part: str, params: Arrays, rest: Arrays,
    pause: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """The figures of a part, every example once; {} where it is empty.

    Args:
        job: for the size of the batches.
        setup: the run.
        part: "train", "validation" or "test".
        params: the parameters to judge.
        rest: the model's other arrays.
        pause: called after each batch; it may raise.
    """
    meter, data, recipe = Meter(), setup.parts[part], job.training.train
    if not data.size:
        return {}
    size = recipe.evaluation_batch_size or recipe.batch_size
    for batch in data.batches(np.arange(data.size), size):
        meter.add(setup.measure(params, rest, setup.placement.cut(batch), setup.key))
        pause()
    return setup.task.finish(meter.means(), setup.dataset)


def _epoch(job: Job, setup: Setup, epoch: int, position: int) -> Iterator[Batch]:
    """The batches of an epoch from a position on: a function of the seed and these two."""
    recipe = job.training.train
    order = epoch_order(setup.dataset.train.size, recipe.seed, epoch)
    for batch in setup.parts["train"].batches(
            order, recipe.batch_size, drop_last=recipe.last_batch == "drop", start=position):
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


def length_of(training: Training, dataset: Dataset) -> optim.Run:
    """How long a run is.

    Raises:
        SpecError: F0618 a part of the data is empty.
    """
    check_parts(dataset, training)
    recipe = training.train
    per_epoch = batches_in(dataset.train.size, recipe.batch_size,
                           drop_last=recipe.last_batch == "drop")
    return optim.Run(recipe.steps or per_epoch * (recipe.epochs or 0), per_epoch)


def check_parts(dataset: Dataset, training: Training) -> None:
    """Check that every part that is asked for has examples.

    Raises:
        SpecError: F0618 one has none.
    """
    data, recipe = training.data, training.train
    found = [diagnostic(
        "F0618", f"the {name} part of {data.title} has no examples", training.spans["data"],
        help="give it a larger fraction, or make the windows shorter")
        for name in ("train", "validation", "test")
        if data.has(name) and not getattr(dataset, name).size]
    if not found and recipe.last_batch == "drop" and dataset.train.size < recipe.batch_size:
        found = [diagnostic(
            "F0618", f"no batch of {recipe.batch_size} can be filled from {dataset.train.size} "
                     "examples", training.spans["train"],
            help="make `batch_size` smaller, or set `last_batch: keep`")]
    if found:
        raise SpecError(found)


def _so_far(meter: Meter, task: Task, dataset: Dataset) -> dict[str, float]:
    """The figures of the steps that are done by now."""
    means = meter.ready()
    return task.finish(means, dataset) if means else {}
