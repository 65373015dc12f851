"""The pure steps: from a state and a batch to the next state, or to figures.

The model is split into its structure and flat maps of its arrays, which are all that
passes through `jax.jit`: cheaper to call than `nnx.jit`, and nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from compiler.lower.carry import Carried
from compiler.lower.context import Watch
from compiler.lower.module import Model
from compiler.lower.tensor import Tensor
from compiler.types import TensorType
from runtime.batch import Batch, Measured
from runtime.data.augment import Augmentation
from runtime.data.augment.change import IMAGE, Move
from runtime.data.boxes import BOX_AXES
from runtime.data.dataset import Scale
from runtime.data.tokens import END, START
from runtime.tasks.task import Task

Arrays = dict[str, jax.Array]
NOTHING: Mapping[str, Scale] = MappingProxyType({})


class State(NamedTuple):
    """All that training changes; a pytree.

    Attributes:
        params: the trained parameters by path.
        rest: the model's other arrays by path: running statistics, frozen parameters.
        optimizer: optax's state.
        step: how many steps were made.
        ema: the averaged parameters by path; None where the recipe wants none.
    """

    params: Arrays
    rest: Arrays
    optimizer: Any
    step: jax.Array
    ema: Arrays | None = None


# Makes a step: of the state, which it consumes, a batch, and the run's key.
Step = Callable[[State, Batch, jax.Array], tuple[State, Measured]]
# The averaged parameters after a step: of those before, the new parameters, and the step.
Advance = Callable[[Arrays, Arrays, jax.Array], Arrays]


@dataclass(frozen=True)
class PureModel:
    """A model as a function of its arrays.

    Attributes:
        structure: the model without its arrays.
        inputs: for each input of the model, the field of the data that it gets.
        normalise: how fields are normalised on their way into the model.
        statistics: the paths of running batch statistics.
        carried: the paths of states that recurrent layers keep from batch to batch.
        sampling: what multiplies `sample` of the model's scans at each step; None for 1.
    """

    structure: nnx.GraphDef
    inputs: Mapping[str, str]
    normalise: Mapping[str, Scale] = field(default_factory=dict)
    statistics: frozenset[str] = frozenset()
    carried: frozenset[str] = frozenset()
    sampling: Callable[[jax.Array], jax.Array] | None = None

    @classmethod
    def split(
        cls, model: Model, inputs: Mapping[str, str], normalise: Mapping[str, Scale] = NOTHING,
    ) -> tuple[PureModel, Arrays, Arrays]:
        """A model's function, its trained parameters, and its other arrays."""
        structure, params, rest = nnx.split(model, nnx.Param, ...)
        statistics, carried = (frozenset(_flat(nnx.state(model, kind)))
                               for kind in (nnx.BatchStat, Carried))
        pure = cls(structure, inputs, normalise, statistics, carried)
        return pure, _flat(params), _flat(rest)

    def merge(self, params: Arrays, rest: Arrays) -> Model:
        """The module again, around the given arrays."""
        return nnx.merge(self.structure, _nested(params), _nested(rest))

    def put(self, model: Model, params: Arrays, rest: Arrays) -> None:
        """Put arrays into the module that they once came from, but for carried states."""
        lasting = {path: array for path, array in rest.items() if path not in self.carried}
        nnx.update(model, _nested(params | lasting))

    def run(
        self, params: Arrays, rest: Arrays, batch: Batch, *, training: bool,
        key: jax.Array | None, watch: Watch | None = None,
    ) -> tuple[dict[str, Tensor], Arrays]:
        """The outputs for a batch, and the other arrays as the pass left them.

        The batch knows the step of the run, where `sampling` follows it.
        """
        sampling = None if self.sampling is None or batch.step is None else (
            self.sampling(batch.step))
        if batch.fresh is not None:
            rest = rest | {name: jnp.where(batch.fresh[:, None], 0, rest[name])
                           for name in self.carried}
        model = self.merge(params, rest)
        outputs = model.run(
            {name: self._read(batch, field) for name, field in self.inputs.items()},
            {name: batch.lengths[field] for name, field in self.inputs.items()
             if field in batch.lengths},
            training=training, key=key, row_mask=batch.rows, watch=watch,
            sampling=sampling)
        return outputs, _flat(nnx.state(model, nnx.Not(nnx.Param)))

    def searched(
        self, params: Arrays, rest: Arrays, batch: Batch, *, key: jax.Array,
    ) -> dict[str, Tensor]:
        """What the model's scan that has `decode` finds for a batch, outside training.

        Returns:
            `search.symbols` (batch, beam, length) and `search.scores` (batch, beam), the best
            first; and what the scan's `outputs` name, `search.NAME` (batch, length, …), of the
            best.
        """
        model = self.merge(params, rest)
        found = model.decode(
            {name: self._read(batch, field) for name, field in self.inputs.items()},
            {name: batch.lengths[field] for name, field in self.inputs.items()
             if field in batch.lengths}, symbols={"start": START, "end": END}, key=key)
        return {"search.symbols": Tensor(found.all_tokens, ("beam", "time")),
                "search.scores": Tensor(found.all_scores, ("beam",)),
                **{f"search.{name}": Tensor(array, ("time", "channels"), found.lengths)
                   for name, array in found.outputs.items()}}

    def seen(self, batch: Batch) -> Batch:
        """A batch whose fields are as the model takes them: what its outputs are compared with."""
        if not self.normalise:
            return batch
        return batch._replace(arrays={field: self._read(batch, field) for field in batch.arrays})

    def _read(self, batch: Batch, field: str) -> jax.Array:
        """A field of a batch as the model takes it."""
        array, scale = batch.arrays[field], self.normalise.get(field)
        return array if scale is None else scale.normalised(array)


def _flat(state: Any) -> Arrays:
    return {".".join(map(str, path)): variable[...]
            for path, variable in nnx.to_flat_state(state)}


def _nested(arrays: Arrays) -> Any:
    return nnx.from_flat_state([(tuple(path.split(".")), array)
                                for path, array in arrays.items()])


class Loss(Protocol):
    """The loss of a training batch, as a function of what is trained."""

    def __call__(
        self, params: Arrays, state: State, batch: Batch, key: jax.Array,
        watch: Watch | None = None,
    ) -> tuple[jax.Array, tuple[Arrays, Measured]]:
        """The mean loss; the model's other arrays after it; all that was measured.

        Args:
            params: the trained parameters.
            state: the rest is from here, and the number of the step.
            batch: the examples, not yet augmented.
            key: the run's key.
            watch: is told what comes out of every layer.
        """
        ...


def training_loss(
    model: PureModel, task: Task, augment: Callable[[Batch, jax.Array], Batch],
) -> Loss:
    """What a step of training makes small.

    Args:
        model: the model.
        task: what its outputs are compared with.
        augment: changes a batch at random.
    """

    def loss(
        params: Arrays, state: State, batch: Batch, key: jax.Array, watch: Watch | None = None,
    ) -> tuple[jax.Array, tuple[Arrays, Measured]]:
        changing, dropping = jax.random.split(jax.random.fold_in(key, state.step))
        batch = augment(batch, changing)._replace(step=state.step)
        outputs, rest = model.run(
            params, state.rest, batch, training=True, key=dropping, watch=watch)
        measured = task.measure(outputs, model.seen(batch), training=True)
        total, weight = measured["loss"]
        return total / jnp.where(weight > 0, weight, 1), (rest, measured)

    return loss


def train_step(
    loss: Loss, optimizer: optax.GradientTransformationExtraArgs, advance: Advance | None = None,
) -> Step:
    """The jitted function that makes one step of training; see `one_step`."""
    return jax.jit(one_step(loss, optimizer, advance), donate_argnums=0)


def one_step(
    loss: Loss, optimizer: optax.GradientTransformationExtraArgs, advance: Advance | None = None,
) -> Step:
    """One step of training as a pure function.

    Args:
        loss: what to make small.
        optimizer: how.
        advance: moves the averaged parameters, where the recipe wants any.

    Returns:
        A function of the state, a batch, and the run's key.
    """

    def step(state: State, batch: Batch, key: jax.Array) -> tuple[State, Measured]:
        (value, (rest, measured)), gradients = jax.value_and_grad(loss, has_aux=True)(
            state.params, state, batch, key)
        state = state._replace(rest=rest)
        return updated(state, gradients, value, optimizer, advance), measured

    return step


def updated(
    state: State, gradients: Arrays, value: jax.Array,
    optimizer: optax.GradientTransformationExtraArgs, advance: Advance | None,
) -> State:
    """The state after the optimiser has seen the gradients of a loss of that value."""
    # Some optimisers set their step by the loss; the others pass it over.
    updates, memory = optimizer.update(gradients, state.optimizer, state.params, value=value)
    params: Any = optax.apply_updates(state.params, updates)
    step = state.step + 1
    ema = state.ema
    if advance is not None and ema is not None:
        ema = advance(ema, params, step)
    return State(params, state.rest, memory, step, ema)


def augmentation(
    changes: Sequence[Augmentation], fields: Mapping[str, TensorType], inputs: Collection[str],
) -> Callable[[Batch, jax.Array], Batch]:
    """The function that makes all changes of a list, each to every field that it takes.

    Args:
        changes: the list.
        fields: the types of all fields.
        inputs: those that the model gets. Of the others, the targets, only what has a place
            for each pixel and boxes are changed, and only by what moves pixels about.
    """
    boxes = [name for name, kind in fields.items() if kind.axes == BOX_AXES]
    picture = next((name for name in fields if name in inputs and fields[name].axes == IMAGE), "")

    def augment(batch: Batch, key: jax.Array) -> Batch:
        arrays = dict(batch.arrays)
        for number, change in enumerate(changes):
            own = jax.random.fold_in(key, number)
            for name, kind in fields.items():
                if change.takes(kind) and (name in inputs or change.moves):
                    arrays[name] = change.apply(arrays[name], own) if (
                        name not in batch.lengths) else change.apply_within(
                        arrays[name], batch.lengths[name], own)
            if picture and isinstance(change, Move):
                height, width = arrays[picture].shape[1:3]
                for name in boxes:
                    arrays[name] = change.apply_boxes(arrays[name], (height, width), own)
        return batch._replace(arrays=arrays)

    return augment
