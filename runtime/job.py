"""What a run is made of: its job, and all that stays the same while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from compiler.diagnostics import SpecError, diagnostic
from compiler.lower import carry
from compiler.lower.module import Model
from runtime import averaging, optim, phases
from runtime.accumulate import accumulating_step
from runtime.averaging import Observe
from runtime.batch import Batch
from runtime.data.dataset import Dataset
from runtime.data.pipeline import Examples, can_stack, examples
from runtime.dispatch import Several, several_steps
from runtime.evaluation import Measure, measurer, searcher
from runtime.mesh import Placement
from runtime.mixing import mixing
from runtime.recipe import Training
from runtime.step import (
    Loss,
    PureModel,
    State,
    Step,
    augmentation,
    one_step,
    training_loss,
)
from runtime.tasks.task import Task
from runtime.tasks.written import Written
from runtime.timetable import Timetable, timetable


@dataclass(frozen=True)
class Job:
    """All that the loop needs.

    Attributes:
        name: the recipe's name, for reports.
        training: the recipe's sections.
        model: the model with its initial weights; `train` leaves the trained ones in it.
        inputs: for each input of the model, the field of the data that it gets.
        steps_per_dispatch: how many steps a call may make.
    """

    name: str
    training: Training
    model: Model
    inputs: dict[str, str]
    steps_per_dispatch: int = 1


@dataclass(frozen=True)
class Setup:
    """What stays the same while a run goes on.

    Attributes:
        dataset: the data.
        task: what the outputs are compared with.
        table: what happens in which epoch.
        model: the model as a function of its arrays.
        loss: what is made small.
        step: makes a step.
        several: makes several in one call; None where every step is a call.
        measure: measures a batch.
        search: searches for a batch and measures that; None where the task searches nothing.
        observe: tells the batch statistics of a batch.
        rate: the learning rate by step, where there is one.
        parts: the data, ready to be cut into batches.
        key: all randomness comes from this and the number of the step.
        placement: the devices.
    """

    dataset: Dataset
    task: Task
    table: Timetable
    model: PureModel
    loss: Loss
    step: Step
    several: Several | None
    measure: Measure
    search: Measure | None
    observe: Observe
    rate: Callable[[int], float] | None
    parts: dict[str, Examples]
    key: jax.Array
    placement: Placement


def set_up(job: Job, dataset: Dataset, placement: Placement) -> tuple[Setup, State]:
    """All that a run needs, and its first state.

    Raises:
        SpecError: F0618 a part of the data is empty; F0611 several processes cannot share a
            model that carries its state across batches.
    """
    recipe, carries = job.training.train, carry.carries(job.model)
    table = timetable_of(job.training, dataset, carries=carries)
    task = job.training.goal.fitted(dataset).scheduled(table.run)
    if carries and placement.shard.count > 1:
        raise SpecError([diagnostic(
            "F0611", "a model that carries its state across batches is trained by one process",
            job.training.spans["train"],
            help="say `carry: within` in the model, or start one process only")])
    if carries:
        carry.begin(job.model, placement.rows_of(recipe.batch_size))
    model, params, rest = PureModel.split(job.model, job.inputs, dataset.normalise)
    carry.end(job.model)
    params, rest = placement.copied((params, rest))
    # In a narrow type the average would not move by a thousandth.
    ema = {n: jnp.array(p, jnp.promote_types(p.dtype, jnp.float32))
           for n, p in params.items()} if recipe.average else None
    changes = _changes(job, dataset)
    if recipe.sample_factor is not None:
        model = replace(model, sampling=optim.rate(recipe.sample_factor, table.run))
    loss = training_loss(model, task, changes)
    advance = averaging.advance(recipe.ema, table.run) if recipe.ema else None
    factors = tuple(recipe.learning_rate_factors.items())
    if recipe.phases:
        assert isinstance(task, Written), "phases are of losses that are written out"
        turns = phases.turns(recipe.phases, table.run, factors)
        memory = phases.first_memory(turns, params)
        if recipe.average and not recipe.ema:
            advance = phases.advance_of(turns, table.run)
        once = phases.phased_step(model, task, changes, turns, advance)
        step = jax.jit(once, donate_argnums=0)
    else:
        clip = recipe.clip.calls if recipe.clip else []
        optimizer = optim.build(recipe.optimizer, table.run, clip, factors)
        memory, once = optim.first_memory(optimizer, params), one_step(loss, optimizer, advance)
        step = jax.jit(once, donate_argnums=0) if recipe.accumulate == 1 else (
            accumulating_step(loss, optimizer, recipe.accumulate, advance))
    state = State(params, rest, memory, jnp.zeros((), jnp.int32), ema)
    shard = placement.shard
    parts = {"train": examples(dataset.train, shard), "test": examples(dataset.test, shard),
             "validation": examples(dataset.validation, shard)}
    together = job.steps_per_dispatch > 1 and not carries and recipe.accumulate == 1 and (
        placement.rows is None and not any(table.lengths) and can_stack(parts["train"]))
    several = several_steps(once, job.steps_per_dispatch) if together else None
    setup = Setup(
        dataset, task, table, model, loss, step, several,
        measurer(model, task, placement.readable), searcher(model, task, placement.readable),
        averaging.observer(model), optim.learning_rate(recipe.optimizer, table.run), parts,
        jax.random.key(recipe.seed), placement)
    return setup, placement.copied(state)


def _changes(job: Job, dataset: Dataset) -> Callable[[Batch, jax.Array], Batch]:
    """What happens to a training batch at random: augmentation, then mixing."""
    augment = augmentation(job.training.data.augment, dataset.fields, job.inputs.values())
    mix = job.training.train.mix
    if mix is None:
        return augment
    mixed = mixing(mix, {name: dataset.fields[name] for name in job.inputs.values()})

    def change(batch: Batch, key: jax.Array) -> Batch:
        first, second = jax.random.split(key)
        return mixed(augment(batch, first), second)

    return change


def timetable_of(training: Training, dataset: Dataset, *, carries: bool = False) -> Timetable:
    """What happens in which epoch.

    Args:
        training: the recipe's sections.
        dataset: the data.
        carries: whether the model carries states across batches, which then are all full.

    Raises:
        SpecError: F0618 a part of the data is empty.
    """
    check_parts(dataset, training, full=carries)
    recipe = training.train
    return timetable(recipe, dataset.train.size,
                     drop_last=carries or recipe.last_batch == "drop")


def check_parts(dataset: Dataset, training: Training, *, full: bool = False) -> None:
    """Check that every part that is asked for has examples.

    Args:
        dataset: the data.
        training: the recipe's sections.
        full: whether only full batches can be trained on, whatever `last_batch` says.

    Raises:
        SpecError: F0618 one has none.
    """
    data, recipe = training.data, training.train
    found = [diagnostic(
        "F0618", f"the {name} part of {data.title} has no examples", training.spans["data"],
        help="give it a larger fraction, or make the windows shorter")
        for name in ("train", "validation", "test")
        if data.has(name) and not getattr(dataset, name).size]
    full |= recipe.last_batch == "drop"
    if not found and full and dataset.train.size < recipe.batch_size:
        found = [diagnostic(
            "F0618", f"no batch of {recipe.batch_size} can be filled from {dataset.train.size} "
                     "examples", training.spans["train"],
            help="make `batch_size` smaller"
                 + (", or set `last_batch: keep`" if recipe.last_batch == "drop" else ""))]
    if found:
        raise SpecError(found)
