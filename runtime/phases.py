"""Several networks trained in turns: a step in which each phase makes its own losses small.

A phase differentiates its losses by the parameters that it updates, and by nothing else; it has an
optimiser of its own, whose state is kept for these parameters only. Its forward pass is one of its
own, with random numbers of its own, through the model as the phases before it left it.

The batch statistics that a phase moves are those of the layers that it updates: what a
discriminator sees of a generator's pictures leaves the generator's norms as they are, and every
norm is moved once for each update of its own network.

The discriminator and generator of Goodfellow et al. 2014 (https://arxiv.org/abs/1406.2661,
algorithm 1) are two phases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from runtime import optim
from runtime.averaging import advance as averaging
from runtime.batch import Batch, Measured, Ratio, Rows
from runtime.optim_document import Run
from runtime.patterns import Factors, matches
from runtime.step import Advance, Arrays, PureModel, State, Step
from runtime.tasks.written import Written
from runtime.train_parts import Phase


@dataclass(frozen=True)
class Turn:
    """A phase that is ready to run.

    Attributes:
        phase: as the recipe has it.
        optimizer: makes its updates.
        number: which of the phases it is, from 0.
    """

    phase: Phase
    optimizer: optax.GradientTransformationExtraArgs
    number: int

    def updates(self, path: str) -> bool:
        """Whether it is about a parameter, or about a layer's statistics."""
        return any(matches(pattern, path) for pattern in self.phase.update)

    def own(self, arrays: Arrays) -> Arrays:
        """Those of some arrays by path that it is about."""
        return {path: array for path, array in arrays.items() if self.updates(path)}


def turns(phases: Sequence[Phase], run: Run, factors: Factors = ()) -> tuple[Turn, ...]:
    """The phases of a recipe, each with its optimiser.

    Args:
        phases: as the recipe has them.
        run: how long the run is, in steps.
        factors: what multiplies the learning rate of parameters by their path.
    """
    return tuple(
        Turn(phase, optim.build(phase.optimizer, phase.run(run),
                                phase.clip.calls if phase.clip else (), factors), number)
        for number, phase in enumerate(phases))


def first_memory(turns: Sequence[Turn], params: Arrays) -> tuple[Any, ...]:
    """What the optimisers remember before the first step, one after another."""
    return tuple(optim.first_memory(turn.optimizer, turn.own(params)) for turn in turns)


def phased_step(
    model: PureModel, task: Written, augment: Callable[[Batch, jax.Array], Batch],
    turns: Sequence[Turn], advance: Advance | None = None,
) -> Step:
    """A step in which every phase has its turn, as a pure function.

    Args:
        model: the model.
        task: has the losses.
        augment: changes a batch at random, once for all phases.
        turns: the phases.
        advance: moves the averaged parameters, where the recipe wants any.

    Returns:
        A function of the state, a batch, and the run's key. What it measures is for each loss
        what it was before the first update that makes it small, and for all else what it was at
        the beginning of the step.
    """

    def step(state: State, batch: Batch, key: jax.Array) -> tuple[State, Measured]:
        changing, dropping = jax.random.split(jax.random.fold_in(key, state.step))
        batch = augment(batch, changing)
        at, measured = state.step, {}
        for turn in turns:
            state, found = _turn(turn, model, task, state, batch, dropping)
            own = {name: found[name] for name in turn.phase.minimise}
            # A loss that an earlier phase has minimised was told then.
            done = {name for before in turns[:turn.number] for name in before.phase.minimise}
            measured |= {name: part for name, part in {**found, **own}.items()
                         if name not in measured or (name in own and name not in done)}
        parts = {name: _ratio(measured[name]) for name in task.parts if name in measured}
        measured["loss"] = task.total(parts, at)
        return _after(state, at + 1, advance), measured

    return step


def _turn(
    turn: Turn, model: PureModel, task: Written, state: State, batch: Batch, key: jax.Array,
) -> tuple[State, dict[str, Any]]:
    """All updates of a phase; the state after them, and what was measured before the first."""
    found: dict[str, Any] = {}
    for number in range(turn.phase.steps):
        # Each pass draws its own random numbers; the very first as a step without phases does.
        passes = turn.number + number * 256
        noise = jax.random.fold_in(key, passes) if passes else key
        state, measured = _update(turn, model, task, state, batch, noise)
        found = found or measured
    return state, found


def _update(
    turn: Turn, model: PureModel, task: Written, state: State, batch: Batch, key: jax.Array,
) -> tuple[State, dict[str, Any]]:
    """One update of a phase."""

    def loss(own: Arrays) -> tuple[jax.Array, tuple[Arrays, dict[str, Any]]]:
        now = batch._replace(step=state.step)
        outputs, rest = model.run(state.params | own, state.rest, now, training=True, key=key)
        measured = dict(task.measure(outputs, model.seen(now), training=True))
        total, weight = task.total(
            {name: _ratio(measured[name]) for name in turn.phase.minimise}, state.step)
        return total / jnp.where(weight > 0, weight, 1), (rest, measured)

    own = turn.own(state.params)
    (value, (rest, measured)), gradients = jax.value_and_grad(loss, has_aux=True)(own)
    due = state.step % turn.phase.every == turn.phase.every - 1
    memory = state.optimizer[turn.number]

    def updated() -> tuple[Arrays, Any, Arrays]:
        updates, after = turn.optimizer.update(gradients, memory, own, value=value)
        moved: Any = optax.apply_updates(own, updates)
        return moved, after, {path: rest[path] for path in kept}

    kept = [path for path in model.statistics if turn.updates(path)]
    before = own, memory, {path: state.rest[path] for path in kept}
    moved, after, statistics = updated() if turn.phase.every == 1 else (
        jax.tree.map(lambda new, old: jnp.where(due, new, old), updated(), before))
    memories = tuple(after if i == turn.number else m for i, m in enumerate(state.optimizer))
    return state._replace(params=state.params | moved, rest=state.rest | statistics,
                          optimizer=memories), measured


def _after(state: State, step: jax.Array, advance: Advance | None) -> State:
    """The state when all phases had their turn."""
    ema = state.ema
    if advance is not None and ema is not None:
        ema = advance(ema, state.params, step)
    return state._replace(step=step, ema=ema)


def advance_of(turns: Sequence[Turn], run: Run) -> Advance:
    """The function that moves the averages of the phases that have one.

    Parameters that no phase averages are taken as they are; one that several do, as the first of
    them does.
    """
    moving = [(turn, averaging(turn.phase.ema, run)) for turn in turns if turn.phase.ema]

    def advanced(averaged: Arrays, params: Arrays, step: jax.Array) -> Arrays:
        found = {path: array.astype(averaged[path].dtype) for path, array in params.items()}
        for turn, advance in reversed(moving):
            own = turn.own(averaged)
            found |= advance(own, {path: params[path] for path in own}, step)
        return found

    return advanced


def _ratio(found: Ratio | Rows) -> Ratio:
    assert isinstance(found, Ratio), "a loss is a ratio"
    return found
