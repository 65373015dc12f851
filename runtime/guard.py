"""Where a number that is none first appeared.

The loop only sees that a loss is no number, some steps late. From the last snapshot the
steps are made again, one after another, and the first one that spoils the loss or the
parameters is made once more with every layer watched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from runtime.batch import Batch, Measured
from runtime.step import Loss, State

Step = Callable[[State, Batch, jax.Array], tuple[State, Measured]]


@dataclass(frozen=True)
class Origin:
    """Where it began.

    Attributes:
        step: the step, from 1.
        place: what of it, in words: "the output of `conv_1`".
    """

    step: int
    place: str


def find(
    state: State, batches: Iterable[Batch], step: Step, loss: Loss, key: jax.Array,
) -> Origin | None:
    """Make steps again until one goes wrong.

    Args:
        state: the state of the snapshot; it is consumed.
        batches: those that follow it, up to the step that was seen to be wrong.
        step: makes a step.
        loss: the loss that it makes small.
        key: the run's key.

    Returns:
        None where all went well this time.
    """
    for batch in batches:
        before = jax.tree.map(jnp.copy, state)
        state, measured = step(state, batch, key)
        if not (_finite(measured["loss"]) and _finite(state.params) and _finite(state.rest)):
            return Origin(int(before.step) + 1, _place(before, state, batch, loss, key))
    return None


def error(origin: Origin | None, seen: int, snapshot: int, on_disk: bool) -> SpecError:
    """The error that ends the run.

    Args:
        origin: where it began, if that was found.
        seen: the step whose loss was no number.
        snapshot: the step of the snapshot that the run went back to.
        on_disk: whether that is a checkpoint.
    """
    notes = [f"it first appeared in step {origin.step}, in {origin.place}"] if origin else [
        "it did not appear again when the steps were made once more"]
    if snapshot:
        notes.append(f"the {'checkpoint' if on_disk else 'state'} of step {snapshot}, before it, "
                     "is as it was")
    return SpecError([diagnostic(
        "F0803", f"the loss is no longer a number in step {seen}", notes=notes,
        help="lower the learning rate, warm it up, or cut gradients: `clip: {norm: 1.0}`")])


def _place(before: State, after: State, batch: Batch, loss: Loss, key: jax.Array) -> str:
    """What in a step was first not a number, in words."""
    for name, array in batch.arrays.items():
        if not _finite(array):
            fine = np.isfinite(np.asarray(array).reshape(len(array), -1)).all(1)
            wrong = len(array) - np.count_nonzero(fine)
            return f"the data: field `{name}`, {wrong} of {len(array)} rows of the batch"

    order: list[str] = []

    @jax.jit
    def watched(state: State, batch: Batch) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        def total(params: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
            outputs: dict[str, jax.Array] = {}

            def watch(path: str, arrays: Iterable[jax.Array]) -> None:
                order.append(path)
                outputs[path] = _all_finite(arrays)

            return loss(params, state, batch, key, watch)[0], outputs

        (value, outputs), gradients = jax.value_and_grad(total, has_aux=True)(state.params)
        outputs[""] = jnp.isfinite(value)
        return outputs, {name: _all_finite([g]) for name, g in gradients.items()}

    outputs, gradients = watched(before, batch)
    for path in order:
        if not outputs[path]:
            return f"the output of `{path}`"
    if not outputs[""]:
        return "the loss, of outputs that are numbers"
    # A gradient goes wrong from the loss backwards: the last layer was the first.
    wrong = [name for name, fine in gradients.items() if not fine]
    if wrong:
        return f"the gradient of `{max(wrong, key=lambda name: _rank(name, order))}`"
    for name, array in {**after.params, **after.rest}.items():
        if not _finite(array):
            return f"the update of `{name}`"
    return "a sum over the batch"


def _rank(parameter: str, order: list[str]) -> int:
    """Where in the order of the layers a parameter's layer stands."""
    return order.index(layer) if (layer := parameter.rpartition(".")[0]) in order else -1


def _all_finite(arrays: Iterable[jax.Array]) -> jax.Array:
    return jnp.array([jnp.isfinite(a).all() for a in arrays
                      if jnp.issubdtype(a.dtype, jnp.floating)]).all()


def _finite(tree: object) -> bool:
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)
