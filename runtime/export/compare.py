"""The written file beside the compiled model: the same inputs, how far the outputs are apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from compiler.diagnostics import SpecError
from compiler.graph import Value
from compiler.ops.base import ShapeError
from runtime.data.pipeline import examples
from runtime.export.subject import LENGTHS, Subject

# Random batches: how many examples, and the steps of an open length. Two of each, so that a
# size that was written down in place of a free one is found.
BATCHES, STEPS, LONGEST = (2, 3), (19, 26), 1024
REAL = 16  # examples of the run's own data
TOLERANCE = 1e-4
SMALLEST = 1e-30  # what an output of zeros is measured by

Feed = dict[str, np.ndarray]
# The written file as a function of arrays by name.
Run = Callable[[Feed], Mapping[str, np.ndarray]]


class Inputs(NamedTuple):
    """What both are run on: a description, and arrays by input name, lengths among them."""

    what: str
    arrays: Feed


@dataclass(frozen=True)
class Error:
    """How far an output is from the compiled model's.

    Attributes:
        what: what both were run on.
        output: the output.
        largest: the largest difference at a real step.
        scale: the compiled model's largest number there.
    """

    what: str
    output: str
    largest: float
    scale: float

    @property
    def relative(self) -> float:
        return self.largest / max(self.scale, SMALLEST)


def compared(subject: Subject, run: Run) -> Iterator[Error]:
    """The errors on random inputs of two sizes, and on examples of the run's own data.

    Args:
        subject: what was written.
        run: runs what was written.
    """
    compiled = jax.jit(subject.outputs)
    for inputs in (*random_inputs(subject), *own_examples(subject)):
        arrays = {n: a for n, a in inputs.arrays.items() if not n.endswith(LENGTHS)}
        lengths = {n.removesuffix(LENGTHS): a for n, a in inputs.arrays.items()
                   if n.endswith(LENGTHS)}
        expected = compiled(_narrow(arrays), lengths)
        found = run(inputs.arrays)
        for name, (array, rows) in expected.items():
            yield _error(inputs.what, name, subject, np.asarray(array), rows, found)


def _narrow(arrays: Feed) -> Feed:
    """Whole numbers as JAX has them."""
    return {n: a.astype(np.int32) if a.dtype == np.int64 else a for n, a in arrays.items()}


def _error(
    what: str, name: str, subject: Subject, expected: np.ndarray, rows: Any,
    found: Mapping[str, np.ndarray],
) -> Error:
    """The largest difference where a step is real."""
    array = np.asarray(found[name])
    if array.shape != expected.shape:
        return Error(f"{what}: shape {array.shape}, compiled {expected.shape}", name,
                     float("inf"), 1.0)
    a, b = array.astype(np.float64), expected.astype(np.float64)
    if rows is not None:
        axes = subject.graph.outputs[name].type.axes
        steps = np.arange(expected.shape[axes.index("time") + 1]) < np.asarray(rows)[:, None]
        shape = [n if d in (0, axes.index("time") + 1) else 1
                 for d, n in enumerate(expected.shape)]
        real = np.broadcast_to(steps.reshape(shape), expected.shape)
        a, b = a[real], b[real]
    with np.errstate(invalid="ignore"):
        apart = np.where(a == b, 0.0, np.abs(a - b))
    largest = float(apart.max(initial=0)) if np.isfinite(apart).all() else float("inf")
    return Error(what, name, largest, float(np.abs(b).max(initial=0)))


def random_inputs(subject: Subject) -> Iterator[Inputs]:
    """Two batches of random inputs of different sizes."""
    is_open = any(isinstance(v.type.length, str) for v in subject.graph.inputs)
    for seed, (batch, steps) in enumerate(zip(BATCHES, STEPS)):
        while not _fits(subject, feed := random_feed(subject, batch, steps, seed)):
            steps *= 2
        what = f"{batch} random examples" + (f" of {steps} steps" if is_open else "")
        yield Inputs(what, feed)


def _fits(subject: Subject, feed: Feed) -> bool:
    """Whether a batch is long enough for every window, found without computing anything."""
    arrays = {n: a for n, a in feed.items() if not n.endswith(LENGTHS)}
    try:
        jax.eval_shape(subject.outputs, _narrow(arrays), {})
    except ShapeError:
        longest = max((a.shape[v.type.axes.index("time") + 1] for v in subject.graph.inputs
                       if isinstance(v.type.length, str) for a in [arrays[v.name]]), default=0)
        if not 0 < longest < LONGEST:
            raise
        return False
    return True


def random_feed(subject: Subject, batch: int, steps: int, seed: int) -> Feed:
    """Random arrays for every input: normal numbers, indices of the vocabulary, lengths."""
    rng = np.random.default_rng(seed)
    feed: Feed = {}
    for value in subject.graph.inputs:
        shape = (batch, *(s if isinstance(s, int) else steps for s in value.type.shape))
        feed[value.name] = _random(value, shape, rng, subject)
        if value.name in subject.lengths:
            long = shape[value.type.axes.index("time") + 1]
            lengths = rng.integers(max(1, long // 2), long + 1, batch)
            lengths[0] = long
            feed[value.name + LENGTHS] = lengths.astype(np.int64)
    return feed


def _random(
    value: Value, shape: tuple[int, ...], rng: np.random.Generator, subject: Subject,
) -> np.ndarray:
    kind = value.type.dtype
    if kind == "int":
        return rng.integers(0, value.type.vocabulary or 2, shape).astype(np.int64)
    numbers = rng.standard_normal(shape)
    if kind == "bool":
        return numbers > 0
    scale = subject.normalise.get(value.name)
    if scale is not None:  # numbers as the data has them
        numbers = numbers * np.asarray(scale.deviation) + np.asarray(scale.mean)
    return numbers.astype(np.float32)


def own_examples(subject: Subject) -> Iterator[Inputs]:
    """A few examples of the run's validation part, or of another that has some."""
    trained = subject.trained
    if trained is None:
        return
    try:
        dataset = trained.training.data.load()
    except SpecError:
        return  # the data is somewhere else; the command says that nothing of it was compared
    name, part = next(((n, p) for n, p in (
        ("validation", dataset.validation), ("test", dataset.test), ("training", dataset.train))
        if p.size), ("", None))
    if part is None:
        return
    count = min(REAL, part.size)
    part = replace(part.take(np.arange(count)), buckets=())
    (batch,) = examples(part).batches(np.arange(count), count)
    feed: Feed = {}
    for value in subject.graph.inputs:
        own = trained.inputs[value.name]
        array = np.asarray(batch.arrays[own])
        if value.name not in subject.normalise and own in trained.preprocessing.normalise:
            array = np.asarray(trained.preprocessing.normalise[own].normalised(array))
        feed[value.name] = array.astype(np.int64) if array.dtype.kind == "i" else array
        if value.name in subject.lengths:
            full = np.full(count, array.shape[1])
            feed[value.name + LENGTHS] = np.asarray(
                batch.lengths.get(own, full)).astype(np.int64)
    yield Inputs(f"{count} {name} example{'s' if count > 1 else ''}", feed)
