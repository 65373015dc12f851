"""A body stepped through time: one `lax.scan`, compiled once however long the sequence is.

The body's parameters are the same at every step and stay outside the loop. Behind a row's end
its states stand still, and its results are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from compiler.graph import Graph, Scan
from compiler.lower.context import Context
from compiler.lower.tensor import Tensor

if TYPE_CHECKING:
    from compiler.lower.module import GraphModule

Arrays = dict[str, jax.Array]


def run_scan(
    scan: Scan, module: GraphModule, inputs: tuple[Tensor, ...], outputs: Mapping[str, object],
    context: Context, remat: bool = False,
) -> dict[str, Tensor]:
    """Step a body through its sequences.

    Args:
        scan: what to do.
        module: the body.
        inputs: the sequences (batch, time, …), what the states begin with, what stays the same.
        outputs: the names of the node's outputs.
        context: the run. Each step draws its own randomness.
        remat: compute each step again in the backward pass instead of keeping its activations.

    Returns:
        Sequences (batch, time, …) with the lengths of the rows, and ends (batch, …).
    """
    graph = scan.graph
    given = given_inputs(graph, inputs)
    sequences = {name: given[name] for name in scan.over}
    rows, steps = _extent(next(iter(sequences.values())))
    lengths = _lengths(sequences)
    states = initial_states(scan, given, rows, context)
    fixed = {name: x for name, x in given.items() if name not in (*scan.over, *scan.carry)}
    own = replace(context, watch=None)
    chooses = scan.sample > 0 and context.training
    rate = scan.sample if context.sampling is None else scan.sample * context.sampling

    def step(
        carried: tuple[Arrays, jax.Array | None], at: tuple[jax.Array, Arrays],
    ) -> tuple[tuple[Arrays, jax.Array | None], Arrays]:
        before, chosen = carried
        number, now = at
        key = None if own.key is None else jax.random.fold_in(own.key, number)
        if chosen is not None:
            assert key is not None
            now = now | {scan.over[0]: _sampled(now[scan.over[0]], chosen, number, key, rate)}
        results = run_body(scan, module, now, before, fixed, replace(own, key=key))
        after = {name: results[f"next.{name}"].array.astype(before[name].dtype)
                 for name in scan.carry}
        made = {name: x.array for name, x in results.items() if not name.startswith("next.")}
        if lengths is not None:
            real = number < lengths
            after = {name: _where(real, after[name], before[name]) for name in scan.carry}
            made = {name: _where(real, array, jnp.zeros_like(array))
                    for name, array in made.items()}
        if chosen is not None:
            chosen = _choice(results["output"].array).astype(chosen.dtype)
        return (after, chosen), made

    if remat:
        step = jax.checkpoint(step)  # type: ignore[assignment]
    first = sequences[scan.over[0]].array
    chosen = jnp.zeros(first.shape[:1], first.dtype) if chooses else None
    if chooses:
        own.rng()  # says what is missing where there is no key
    elements = {name: jnp.moveaxis(x.filled(), x.dim("time"), 0) for name, x in sequences.items()}
    (ends, _), made = jax.lax.scan(step, (states, chosen), (jnp.arange(steps), elements))
    found: dict[str, Tensor] = {}
    for name in outputs:
        source = scan.source(name)
        axes = graph.outputs[source].type.axes
        if name in scan.carry:
            found[name] = Tensor(ends[name], axes)
        elif scan.is_sequence(name):
            found[name] = Tensor(jnp.moveaxis(made[source], 0, 1), ("time", *axes), lengths)
        else:
            found[name] = Tensor(_last(made[source], lengths), axes)
    return found


def run_body(
    scan: Scan, module: GraphModule, now: Arrays, states: Arrays, fixed: Mapping[str, Tensor],
    context: Context,
) -> dict[str, Tensor]:
    """One step: what the body makes of a step of each sequence, its states and the rest."""
    arrays = now | states
    given = tuple(Tensor(arrays[v.name], v.type.axes) if v.name in arrays else fixed[v.name]
                  for v in scan.graph.inputs)
    return module.execute(given, context)


def given_inputs(graph: Graph, inputs: tuple[Tensor | None, ...]) -> dict[str, Tensor]:
    """The inputs of a scan by the names that its body has for them; those that are there."""
    return {v.name: x for v, x in zip(graph.inputs, inputs) if x is not None}


def initial_states(
    scan: Scan, given: Mapping[str, Tensor], rows: int, context: Context,
) -> Arrays:
    """What the states begin with, (batch, …) each."""
    types = {v.name: v.type for v in scan.graph.inputs}
    states = {name: given[name].array for name in scan.carry if name not in scan.zeros}
    for name in scan.zeros:
        sizes = [size for size in types[name].shape if isinstance(size, int)]
        states[name] = jnp.zeros((rows, *sizes), context.dtype or jnp.float32)
    return states


def _extent(x: Tensor) -> tuple[int, int]:
    """Rows and steps."""
    return x.array.shape[0], x.array.shape[x.dim("time")]


def _lengths(sequences: Mapping[str, Tensor]) -> jax.Array | None:
    """(batch,) the steps that are real in all sequences; None where every row is full."""
    known = [x.lengths for x in sequences.values() if x.lengths is not None]
    return reduce(jnp.minimum, known) if known else None


def _where(real: jax.Array, yes: jax.Array, no: jax.Array) -> jax.Array:
    """Row by row, `real` being (batch,)."""
    return jnp.where(real.reshape(-1, *(1,) * (yes.ndim - 1)), yes, no)


def _last(array: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """Each row's last real step of (time, batch, …); 0 for an empty row, whose steps all are."""
    if lengths is None:
        return array[-1]
    index = jnp.maximum(lengths - 1, 0).reshape(1, -1, *(1,) * (array.ndim - 2))
    return jnp.take_along_axis(array, index, axis=0)[0]


# -- scheduled sampling (Bengio et al. 2015) -----------------------------------------------------


def _choice(scores: jax.Array) -> jax.Array:
    """The symbol with the best score; nothing is learned through the choice."""
    return jnp.argmax(jax.lax.stop_gradient(scores), axis=-1)


def _sampled(
    given: jax.Array, chosen: jax.Array, number: jax.Array, key: jax.Array,
    rate: float | jax.Array,
) -> jax.Array:
    """The symbols (batch,) that a step sees: some rows' own last choice; the first are given."""
    own = jax.random.bernoulli(jax.random.fold_in(key, 0x5CA1), rate, given.shape)
    return jnp.where(own & (number > 0), chosen, given)
