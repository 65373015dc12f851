"""What the textbooks say of networks, measured on one: gradients through time, reach, dead units.

Everything is asked of a model in evaluation, of its main output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from compiler.graph import Graph, walk
from compiler.lower.context import Watch, replacing
from compiler.lower.tensor import Tensor
from compiler.ops.base import Operator
from compiler.plan import Plan, Reach

# Runs a model on arrays by input, telling what comes out of each layer.
Runs = Callable[[Mapping[str, jax.Array], Watch | None], dict[str, Tensor]]

RECTIFIERS = frozenset({"relu", "relu6"})
# What a saturated value of each operator looks like: below the first, or above the second.
LIMITS = {"tanh": (-0.95, 0.95), "sigmoid": (0.05, 0.95), "rnn": (-0.95, 0.95),
          "gru": (-0.95, 0.95), "lstm": (-0.95, 0.95)}
# Luo et al. 2016 count the places whose share of the gradient is within two deviations of a
# Gaussian's centre: 1 - 95.45 %.
COUNTED = 1 - 0.9545
PLANE = ("height", "width")


@dataclass(frozen=True)
class Subject:
    """A model and examples to probe it with.

    Attributes:
        name: what it is called.
        graph: the model's graph, as it runs.
        plan: what it costs, at the lengths of the examples.
        run: runs it, in evaluation.
        arrays: (examples, *axes) by input.
        lengths: (examples,) real steps by input, where not all are.
        trained: whether its weights are trained ones.
    """

    name: str
    graph: Graph
    plan: Plan
    run: Runs
    arrays: Mapping[str, np.ndarray]
    lengths: Mapping[str, np.ndarray] = field(default_factory=dict)
    trained: bool = False


@dataclass(frozen=True)
class Backward:
    """How much of the gradient arrives at earlier steps (Pascanu, Mikolov & Bengio 2013).

    Attributes:
        norms: (steps,) the mean norm of the gradient of the last output with respect to what
            the model read so many steps before it; the first is of the last step.
        factor: what a step multiplies it with, by a line through the logarithms; 0 where nothing
            arrives from the second step on.
    """

    norms: np.ndarray
    factor: float


@dataclass(frozen=True)
class Field:
    """Which places of an input the middle of a layer hangs on (Luo, Li, Urtasun & Zemel 2016).

    Attributes:
        layer: the path of the layer.
        input: the input.
        map: (height, width) or (time,) mean absolute gradient, its largest value 1.
        reach: how many places it could hang on, along each axis.
        effective: as many, by those whose gradient is more than 4.55 % of the largest: a side of
            a square of their area.
    """

    layer: str
    input: str
    map: np.ndarray
    reach: tuple[int, ...]
    effective: float


@dataclass(frozen=True)
class Share:
    """How much of a layer is out of action.

    Attributes:
        layer: its path.
        word: its operator.
        share: of its units that never answered, or of its values that are at a limit.
        count: how many units, or values, there were.
    """

    layer: str
    word: str
    share: float
    count: int


@dataclass(frozen=True)
class Findings:
    """All that was measured; None and () where a model has no such thing."""

    backward: Backward | None
    field: Field | None
    dead: Sequence[Share]
    saturated: Sequence[Share]


def probe(subject: Subject, seed: int = 0) -> Findings:
    """Measure everything that applies to a model.

    Args:
        subject: the model and the examples.
        seed: of the directions that outputs are summed along.
    """
    dead, saturated = activity(subject)
    return Findings(backward(subject, seed), effective_field(subject, seed), dead, saturated)


# ----------------------------------------------------------------------- gradients through time


def backward(subject: Subject, seed: int = 0) -> Backward | None:
    """The gradient's norm by distance to the last step; None for a model that reads no sequence.

    The output is summed along a random direction, for each example another one; a sequence of
    outputs counts with its last real step. Words are taken as their vectors.
    """
    source = _source(subject)
    if source is None:
        return None
    name, path = source
    run, arrays = subject.run, {n: jnp.asarray(a) for n, a in subject.arrays.items()}
    shape = arrays[name].shape if path is None else _shape_of(subject, arrays, path)
    count, steps = shape[:2]
    given = subject.lengths.get(name)
    lengths = np.full(count, steps) if given is None else np.asarray(given)
    key = jax.random.key(seed)

    def summed(shift: jax.Array) -> jax.Array:
        def shifted(array: jax.Array) -> jax.Array:
            return array + shift.astype(array.dtype)

        outputs = (run(arrays | {name: arrays[name] + shift}, None) if path is None else
                   run(arrays, replacing(path, shifted)))
        said = outputs["output"]
        found = said.array.astype(jnp.float32)
        if "time" in said.axes:
            last = jnp.minimum(lengths, found.shape[1]) - 1
            found = found[jnp.arange(count), last]
        return (found * jax.random.normal(key, found.shape)).sum()

    slopes = jax.jit(jax.grad(summed))(jnp.zeros(shape, jnp.float32))
    norms = np.asarray(jnp.sqrt(jnp.square(slopes).sum(axis=tuple(range(2, slopes.ndim)))),
                       np.float64)  # (examples, time)
    behind = lengths[:, None] - 1 - np.arange(steps)  # how far before the end
    means = np.array([norms[behind == d].mean() for d in range(steps) if (behind == d).any()])
    return Backward(means, _factor(means))


def _factor(norms: np.ndarray) -> float:
    """What each step multiplies the norms with: the slope of a line through their logarithms."""
    there = np.flatnonzero(norms > 0)
    if len(there) < 2:
        return 0.0
    return float(np.exp(np.polyfit(there, np.log(norms[there]), 1)[0]))


def _source(subject: Subject) -> tuple[str, str | None] | None:
    """(an input, the layer that makes a sequence of it; None where it is one), or None."""
    given = [v for v in subject.graph.inputs if v.name in subject.arrays]
    for value in given:
        if "time" in value.type.axes and value.type.dtype == "float":
            return value.name, None
    for path, node in walk(subject.graph):
        first = next(iter(node.outputs.values())).type
        if (isinstance(node.operation, Operator) and "time" in first.axes
                and first.dtype == "float"):
            named = next((v.name for v in given if "time" in v.type.axes), given[0].name)
            return named, path
    return None


def _shape_of(subject: Subject, arrays: Mapping[str, jax.Array], path: str) -> tuple[int, ...]:
    """The shape of what comes out of a layer."""
    shapes: list[tuple[int, ...]] = []

    def watch(found: str, given: Iterable[jax.Array]) -> None:
        if found == path:
            shapes.append(next(iter(given)).shape)

    jax.eval_shape(lambda: subject.run(arrays, watch)["output"].array)
    return shapes[0]


# ------------------------------------------------------------------------ effective reach


def effective_field(subject: Subject, seed: int = 0) -> Field | None:
    """What the middle of the last layer with a bounded reach hangs on; None where none has one.

    The channels there are summed with random signs, for each example others.
    """
    for row in reversed(subject.plan.rows):
        found = _bounded(row.reaches, row.output.axes)
        if found is not None and row.runs:
            break
    else:
        return None
    name, axes, reaches = found
    value = next(v for v in subject.graph.inputs if v.name == name)
    if value.type.dtype != "float":
        return None
    arrays = {n: jnp.asarray(a) for n, a in subject.arrays.items()}
    key = jax.random.key(seed)

    def summed(given: jax.Array) -> jax.Array:
        kept: list[jax.Array] = []

        def watch(path: str, out: Iterable[jax.Array]) -> None:
            if path == row.path:
                kept.append(next(iter(out)))

        subject.run(arrays | {name: given}, watch)
        whole = kept[0].astype(jnp.float32)
        places = [size // 2 for size in whole.shape[1:1 + len(axes)]]
        middle = whole[(slice(None), *places)]
        return (middle * jax.random.rademacher(key, middle.shape, jnp.float32)).sum()

    slopes = jax.jit(jax.grad(summed))(arrays[name].astype(jnp.float32))
    slopes = jnp.abs(slopes).reshape(*slopes.shape[:1 + len(axes)], -1).sum(-1).mean(0)
    seen = np.asarray(slopes, np.float64)
    seen = seen / max(float(seen.max(initial=0)), 1e-300)
    area = int((seen > COUNTED).sum())
    sizes = tuple(min(reach.size or 0, size) for reach, size in zip(reaches, seen.shape))
    return Field(row.path, name, seen, sizes, float(area ** (1 / len(axes))))


def _bounded(
    reaches: Mapping[tuple[str, str], Reach], output: Sequence[str],
) -> tuple[str, tuple[str, ...], list[Reach]] | None:
    """(input, axes, reach) where a layer sees a bounded part, larger than one place."""
    for axes in (PLANE, ("time",)):
        if not set(axes) <= set(output):
            continue
        for name in dict.fromkeys(name for name, _ in reaches):
            found = [reaches.get((name, axis)) for axis in axes]
            known = [reach for reach in found if reach is not None and reach.size]
            if len(known) == len(axes) and any((reach.size or 0) > 1 for reach in known):
                return name, axes, known
    return None


# ---------------------------------------------------------------------- dead and saturated units


def activity(subject: Subject) -> tuple[list[Share], list[Share]]:
    """(units that never answer, values at a limit), by layer.

    A unit is a channel of a rectifier; it is dead where it is 0 in every example and place.
    """
    words = {path: node.operation.word for path, node in walk(subject.graph)
             if isinstance(node.operation, Operator)
             and node.operation.word in RECTIFIERS | LIMITS.keys()}

    @jax.jit
    def looked(arrays: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        seen: dict[str, jax.Array] = {}

        def watch(path: str, out: Iterable[jax.Array]) -> None:
            if path in words:
                first = next(iter(out))
                if words[path] in RECTIFIERS:
                    seen[path] = (first > 0).any(axis=tuple(range(first.ndim - 1)))
                else:
                    low, high = LIMITS[words[path]]
                    seen[path] = jnp.stack([((first < low) | (first > high)).mean(),
                                            jnp.float32(first.size)])

        subject.run(arrays, watch)
        return seen

    found = looked({n: jnp.asarray(a) for n, a in subject.arrays.items()})
    dead, saturated = [], []
    for path, values in found.items():
        if words[path] in RECTIFIERS:
            dead.append(Share(path, words[path], 1 - float(values.mean()), values.size))
        else:
            saturated.append(Share(path, words[path], float(values[0]), int(values[1])))
    order = {path: i for i, path in enumerate(words)}
    return (sorted(dead, key=lambda s: order[s.layer]),
            sorted(saturated, key=lambda s: order[s.layer]))
