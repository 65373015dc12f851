"""Measuring a part of a data set: every example exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.sharding import Sharding

from runtime.batch import Batch, Measured
from runtime.data.pipeline import Examples
from runtime.meter import Meter
from runtime.step import Arrays, PureModel
from runtime.streams import fresh, rested, stream_batches
from runtime.tasks.task import Task

# Measures a batch, and gives the states that the model carries on to the next.
Measure = Callable[[Arrays, Arrays, Batch, jax.Array], tuple[Measured, Arrays]]


def measurer(model: PureModel, task: Task, readable: Sharding | None = None) -> Measure:
    """The jitted function that measures a batch.

    Args:
        model: the model.
        task: what is measured.
        readable: how the figures are laid out, where it matters.

    Returns:
        A function of the parameters, the other arrays, a batch, and a key for models that
        draw random numbers outside training too.
    """

    def measure(
        params: Arrays, rest: Arrays, batch: Batch, key: jax.Array,
    ) -> tuple[Measured, Arrays]:
        outputs, after = task.outputs(model, params, rest, batch, key=key)
        return (task.measure(outputs, model.seen(batch), training=False),
                {name: after[name] for name in model.carried})

    return jax.jit(measure, out_shardings=None if readable is None else (readable, None))


def searcher(model: PureModel, task: Task, readable: Sharding | None = None) -> Measure | None:
    """The jitted function that searches for a batch, and measures what is found.

    Args:
        model: the model.
        task: what is measured; None is given back where it searches nothing.
        readable: how the figures are laid out, where it matters.
    """
    if not task.searched:
        return None

    def measure(
        params: Arrays, rest: Arrays, batch: Batch, key: jax.Array,
    ) -> tuple[Measured, Arrays]:
        return task.measure_search(model.searched(params, rest, batch, key=key), batch), {}

    return jax.jit(measure, out_shardings=None if readable is None else (readable, None))


def measured(
    model: PureModel, measure: Measure, params: Arrays, rest: Arrays, part: Examples, size: int,
    key: jax.Array, *, cut: Callable[[Batch], Batch] = lambda batch: batch,
    pause: Callable[[], None] = lambda: None, most: int | None = None,
) -> Meter:
    """What was measured on all examples of a part.

    Args:
        model: the model.
        measure: from `measurer`.
        params: the parameters to judge.
        rest: the model's other arrays.
        part: the examples.
        size: how many make a batch; models that carry states read in streams instead.
        key: of random numbers.
        cut: lays a batch out over the devices.
        pause: called after each batch; it may raise.
        most: how many examples are enough, taken from all over the part; None for all.
    """
    meter = Meter()
    for number, batch in enumerate(map(cut, batches(model, part, size, most))):
        own = jax.random.fold_in(key, number) if number else key  # other numbers in each batch
        found, carried = measure(params, rested(model, rest, len(batch.rows)), batch, own)
        rest = rest | carried
        meter.add(found)
        pause()
    return meter


def batches(
    model: PureModel, part: Examples, size: int, most: int | None = None,
) -> Iterator[Batch]:
    """The batches of a part, every example once, in the order the model wants."""
    if not model.carried:
        count = part.size if most is None else min(most, part.size)
        chosen = np.linspace(0, part.size, count, endpoint=False).astype(int)
        yield from part.batches(chosen, min(size, max(count, 1)) if most is not None else size)
        return
    for number, picked in enumerate(stream_batches(part.size)):
        yield fresh(part.batch(*picked), begins=number == 0)
