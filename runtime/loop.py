"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from compiler.lower.module import Model
from runtime import optim
from runtime.data.dataset import Dataset
from runtime.data.pipeline import batches_in, epoch_order, examples
from runtime.meter import Meter
from runtime.recipe import Training
from runtime.report.listener import Beginning, Epoch, Listener, Result, stage
from runtime.report.memory import memory_in_use
from runtime.step import Arrays, PureModel, State, augmentation, evaluation_step, train_step
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


def train(job: Job, dataset: Dataset, listeners: Sequence[Listener] = ()) -> Result:
    """Train a model, test it once, and leave the tested weights in it.

    Raises:
        SpecError: F0618 a part of the data is empty, F0803 the loss is no longer a number.
    """
    begun = time.monotonic()
    recipe, task = job.training.train, job.training.task.fitted(dataset)
    check_parts(dataset, job.training)

    drop_last = recipe.last_batch == "drop"
    per_epoch = batches_in(dataset.train.size, recipe.batch_size, drop_last=drop_last)
    steps = recipe.steps or per_epoch * (recipe.epochs or 0)
    epochs = -(-steps // per_epoch)
    run = optim.Run(steps, per_epoch)
    clip = recipe.clip.calls if recipe.clip else []
    optimizer = optim.build(recipe.optimizer, run, clip,
                            tuple(recipe.learning_rate_factors.items()))
    rate = optim.learning_rate(recipe.optimizer, run)

    model, params, rest = PureModel.split(job.model, job.inputs, dataset.normalise)
    state = State(params, rest, optimizer.init(params), jnp.zeros((), jnp.int32))
    key = jax.random.key(recipe.seed)
    augment = augmentation(job.training.data.augment, dataset.fields, job.inputs.values())
    step = train_step(model, task, optimizer, augment)
    measure = evaluation_step(model, task)
    seen = {"train": examples(dataset.train), "validation": examples(dataset.validation),
            "test": examples(dataset.test)}

    def evaluate(part: str, params: Arrays, rest: Arrays) -> dict[str, float]:
        """The figures of a part, every example once; {} where it is empty."""
        meter, data = Meter(), seen[part]
        if not data.size:
            return {}
        for batch in data.batches(np.arange(data.size),
                                  recipe.evaluation_batch_size or recipe.batch_size):
            meter.add(measure(params, rest, batch, key))
        return task.finish(meter.means(), dataset)

    parameters = sum(array.size for array in params.values())
    beginning = Beginning(job.name, parameters, {name: data.size for name, data in seen.items()},
                          epochs, steps, per_epoch, device())
    for listener in listeners:
        listener.begin(beginning)

    done = 0
    kept: tuple[int, float, Arrays, Arrays] | None = None
    for epoch in range(1, epochs + 1):
        meter = Meter()
        started, before = time.monotonic(), done
        order = epoch_order(dataset.train.size, recipe.seed, epoch)
        for batch in seen["train"].batches(order, recipe.batch_size, drop_last=drop_last):
            if done == steps:
                break
            if done:
                state, measured = step(state, batch, key)
            else:
                with stage("compile", listeners):
                    state, measured = step(state, batch, key)
                started, before = time.monotonic(), 1
            meter.add(measured)
            done += 1
            so_far = partial(_so_far, meter, task, dataset)
            for listener in listeners:
                listener.step(done, so_far)
        figures = task.finish(meter.means(), dataset)
        elapsed = time.monotonic() - started
        speed = (done - before) * recipe.batch_size / elapsed if done > before else None
        check_finite(figures, epoch)

        validation: dict[str, float] = {}
        if seen["validation"].size and (epoch % recipe.evaluate_every == 0 or epoch == epochs):
            validation = evaluate("validation", state.params, state.rest)
            score = validation[task.monitor] * (1 if task.better == "higher" else -1)
            if recipe.keep == "best" and (kept is None or score > kept[1]):
                # The next step consumes the state: keep copies.
                kept = (epoch, score, *jax.tree.map(jnp.copy, (state.params, state.rest)))
        told = Epoch(epoch, done, time.monotonic() - begun, rate(done - 1) if rate else None,
                     figures, validation, speed, memory_in_use())
        for listener in listeners:
            listener.epoch(told)

    best_epoch, _, params, rest = kept or (epochs, 0.0, state.params, state.rest)
    with stage("test", listeners):
        test = evaluate("test", params, rest)
    model.put(job.model, params, rest)
    result = Result(test, epochs, done, best_epoch, time.monotonic() - begun, parameters,
                    recipe.seed, task.baselines(dataset) if test else {})
    for listener in listeners:
        listener.end(result)
    return result


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


def check_finite(figures: dict[str, float], epoch: int) -> None:
    """Check that training has not run away.

    Raises:
        SpecError: F0803 the loss is not a number.
    """
    if not np.isfinite(figures["loss"]):
        raise SpecError([diagnostic(
            "F0803", f"the loss is no longer a number in epoch {epoch}",
            help="lower the learning rate, warm it up, or cut gradients: `clip: {norm: 1.0}`")])


def _so_far(meter: Meter, task: Task, dataset: Dataset) -> dict[str, float]:
    """The figures of the steps that are done by now."""
    means = meter.ready()
    return task.finish(means, dataset) if means else {}


def device() -> str:
    """"2 × cpu", "NVIDIA H100": what JAX runs on."""
    devices = jax.devices()
    count = f"{len(devices)} × " if len(devices) > 1 else ""
    return f"{count}{devices[0].device_kind}"
