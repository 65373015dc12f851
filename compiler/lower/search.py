"""Decoding: a scan chooses what it steps through, the best sequence first.

One program of fixed shape, which stops when every sequence has ended. A beam of 1 takes the best
symbol of each step. With a wider one, all sequences so far are continued by every symbol; the
best of these go on, those that have ended as they are. They are ranked by their score,
log P / ((5 + n) / 6)^alpha for n symbols (Wu et al. 2016), the end counted. A sequence that
reaches the limit is as long as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import ValidationError

from compiler.graph import Call, Graph, Node, Scan, active
from compiler.lower.context import Context
from compiler.lower.module import GraphModule, Model, part_of, run_node
from compiler.lower.scan import Arrays, given_inputs, initial_states, run_body, run_scan
from compiler.lower.tensor import Tensor
from compiler.ops.search import Search


@partial(jax.tree_util.register_dataclass, data_fields=[
    "tokens", "lengths", "ended", "scores", "all_tokens", "all_lengths", "all_ended", "all_scores",
    "outputs"], meta_fields=[])
@dataclass(frozen=True)
class Decoded:
    """What a search found; the beam's sequences are in the order of their scores.

    Attributes:
        tokens: (batch, length) the best sequence, 0 behind its end.
        lengths: (batch,) its symbols, the end among them.
        ended: (batch,) whether it came to an end, rather than to the limit.
        scores: (batch,) log P / ((5 + n) / 6)^alpha.
        all_tokens: (batch, beam, length).
        all_lengths: (batch, beam).
        all_ended: (batch, beam).
        all_scores: (batch, beam); -inf where there are fewer sequences than the beam is wide.
        outputs: what the scan's `outputs` name, for the best sequence: (batch, length, …) each.
    """

    tokens: jax.Array
    lengths: jax.Array
    ended: jax.Array
    scores: jax.Array
    all_tokens: jax.Array
    all_lengths: jax.Array
    all_ended: jax.Array
    all_scores: jax.Array
    outputs: dict[str, jax.Array]


@dataclass(frozen=True)
class _Ready:
    """A scan that can begin: what it is, its body, and what it is given beside its sequence."""

    node: Node
    scan: Scan
    module: GraphModule
    inputs: tuple[Tensor | None, ...]
    context: Context


def settled(graph: Graph, changes: Mapping[str, Any], symbols: Mapping[str, int]) -> Search:
    """How to search a model's scan, with what the caller wants otherwise.

    Raises:
        ValueError: no scan has `decode`, a value is not one that it takes, or a symbol has no
            number.
    """
    found = decoding(graph)
    if found is None:
        raise ValueError("no `scan` of this model has `decode`")
    numbers: dict[str, Any] = {}
    for name in ("start", "end"):
        symbol = changes.get(name, getattr(found, name))
        if isinstance(symbol, str) and symbol not in symbols:
            known = f"those known are {', '.join(symbols)}" if symbols else "none are known"
            raise ValueError(
                f"`{name}: {symbol}` of `decode` is a symbol without a number: {known}")
        numbers[name] = symbols[symbol] if isinstance(symbol, str) else symbol
    try:
        return Search(**found.model_dump() | dict(changes) | numbers)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"decode: {first['loc'][0]}: {first['msg']}") from None


def decode(
    model: Model, inputs: Mapping[str, Any], lengths: Mapping[str, Any] | None, search: Search,
    context: Context,
) -> Decoded:
    """Search with the model's scan that has `decode`; one program, compiled once for each shape.

    Args:
        model: the model; it is run in evaluation.
        inputs: arrays (batch, *axes) by input name, without what the scan steps through.
        lengths: (batch,) real steps of each row by input name.
        search: how to; `start` and `end` are numbers.
        context: the run.

    Raises:
        TypeError: an input that is needed is missing, or one is unknown.
        ValueError: nothing tells how many sequences to decode.
    """
    if unknown := set(inputs) - {v.name for v in model.graph.inputs}:
        raise TypeError(f"the model has no input {', '.join(sorted(unknown))}")
    names = tuple(v.name for v in model.graph.inputs if v.name in inputs)
    tensors = model.tensors(inputs, lengths, only=names)
    graphdef, state = nnx.split(model)
    return _decode(graphdef, state, tensors, context.key, names, search, context.dtype,
                   context.kernels)


@partial(jax.jit, static_argnums=(0, 4, 5, 6, 7))
def _decode(
    graphdef: Any, state: Any, tensors: tuple[Tensor, ...], key: jax.Array | None,
    names: tuple[str, ...], search: Search, dtype: Any, kernels: str,
) -> Decoded:
    model = nnx.merge(graphdef, state)
    graph = model.graph
    given = dict(zip(names, tensors))
    ready = _found(model, tuple(given.get(v.name) for v in graph.inputs),
                   Context(False, key, dtype=dtype, kernels=kernels))
    if ready is None:
        missing = [v.name for v in graph.inputs if v.name not in given]
        raise TypeError(f"decoding needs more inputs; not given: {', '.join(missing)}")
    return _searched(ready, search)


def decoding(graph: Graph) -> Search | None:
    """How the first scan that decodes does so, in a graph or in a block that it uses."""
    for node in graph.nodes:
        match node.operation:
            case Scan(decode=search) if search is not None:
                return search
            case Call(graph=inner) if (found := decoding(inner)) is not None:
                return found
    return None


def _found(
    module: GraphModule, inputs: tuple[Tensor | None, ...], context: Context,
) -> _Ready | None:
    """Run a graph as far as its scan; what hangs on inputs that are not there is left out."""
    graph = module.graph
    values = {id(v): x for v, x in zip(graph.inputs, inputs) if x is not None}
    for node in graph.nodes:
        given = tuple(values.get(id(v)) for v in node.inputs)
        if not active(node.during, training=False):
            first = next(iter(node.outputs.values()))
            if given[0] is not None and first.type == node.inputs[0].type:
                values[id(first)] = given[0]
            continue
        operation = node.operation
        if isinstance(operation, Scan) and operation.decode is not None:
            if all(x is not None for x in given[len(operation.over):]):
                return _Ready(node, operation, part_of(module, node.weights), given,
                              context.at(node.path))
            continue
        if isinstance(operation, Call) and decoding(operation.graph) is not None:
            return _found(part_of(module, node.weights), given, context.at(node.path))
        known = tuple(x for x in given if x is not None)
        if len(known) == len(given):
            results = run_node(module, node, known, context)
            values |= {id(v): results[name] for name, v in node.outputs.items() if name in results}
    return None


def _searched(ready: _Ready, search: Search) -> Decoded:
    """Search, and run the scan once more along the best sequence for what else it gives."""
    scan, graph = ready.scan, ready.scan.graph
    given = given_inputs(graph, ready.inputs)
    fixed = {name: x for name, x in given.items() if name not in (*scan.over, *scan.carry)}
    others = [*fixed.values(), *(given[name] for name in scan.carry if name in given)]
    if not others:
        raise ValueError("nothing tells how many sequences to decode: the scan reads no tensor "
                         "but what it steps through")
    rows = others[0].array.shape[0]
    states = initial_states(scan, given, rows, ready.context)
    tokens, lengths, ended, scores = beam_search(
        lambda last, states, fixed: _step(ready, last, states, fixed), states, fixed, rows,
        _vocabulary(scan), search)
    best = tokens[:, 0]
    outputs: dict[str, jax.Array] = {}
    taps = [n for n in ready.node.outputs if n != "output" and scan.is_sequence(n)]
    if taps:
        first = jnp.full_like(best[:, :1], _number(search.start))
        seen = jnp.concatenate([first, best[:, :-1]], 1)
        again = (Tensor(seen, ("time",), lengths[:, 0]), *ready.inputs[1:])
        results = run_scan(replace(scan, sample=0.0), ready.module,
                           tuple(x for x in again if x is not None), dict.fromkeys(taps),
                           ready.context)
        outputs = {name: x.array for name, x in results.items()}
    return Decoded(best, lengths[:, 0], ended[:, 0], scores[:, 0], tokens, lengths, ended, scores,
                   outputs)


def _step(
    ready: _Ready, last: jax.Array, states: Arrays, fixed: Mapping[str, Tensor],
) -> tuple[jax.Array, Arrays]:
    """(scores, states) of one step after the symbols `last`."""
    scan = ready.scan
    results = run_body(scan, ready.module, {scan.over[0]: last}, states, fixed,
                       replace(ready.context, watch=None))
    after = {name: results[f"next.{name}"].array.astype(states[name].dtype) for name in scan.carry}
    return results["output"].array, after


def _vocabulary(scan: Scan) -> int:
    size = scan.graph.outputs["output"].type.channels
    assert isinstance(size, int)
    return size


def _number(symbol: int | str) -> int:
    """A symbol's number: `settled` has replaced names."""
    assert isinstance(symbol, int), symbol
    return symbol


# -- the search itself ---------------------------------------------------------------------------


@partial(jax.tree_util.register_dataclass,
         data_fields=["number", "tokens", "lengths", "ended", "log", "last", "states"],
         meta_fields=[])
@dataclass(frozen=True)
class _Beam:
    """The sequences so far: (batch, beam, …) each, but `last` and `states` (batch · beam, …)."""

    number: jax.Array
    tokens: jax.Array
    lengths: jax.Array
    ended: jax.Array
    log: jax.Array
    last: jax.Array
    states: Arrays


def beam_search(
    step: Any, states: Arrays, fixed: Mapping[str, Tensor], rows: int, vocabulary: int,
    search: Search,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The best sequences that a step function makes.

    Args:
        step: (last symbols (n,), states, what stays the same) -> (scores (n, vocabulary), states).
        states: what the first step begins with, (batch, …) each.
        fixed: what stays the same, (batch, …) each.
        rows: the batch.
        vocabulary: how many symbols there are.
        search: how to.

    Returns:
        tokens (batch, beam, length), lengths (batch, beam), ended (batch, beam),
        scores (batch, beam).
    """
    width, limit = search.beam, search.length
    fixed = {name: Tensor(jnp.repeat(x.array, width, 0), x.axes,
                          None if x.lengths is None else jnp.repeat(x.lengths, width, 0))
             for name, x in fixed.items()}
    states = {name: jnp.repeat(array, width, 0) for name, array in states.items()}
    probe = jax.eval_shape(step, jnp.zeros(rows * width, jnp.int32), states, fixed)[0]
    dtype = jnp.promote_types(probe.dtype, jnp.float32)
    least = jnp.array(-jnp.inf, dtype)
    # One sequence to begin with: equal ones would fill the beam with each other.
    first = jnp.where(jnp.arange(width) == 0, jnp.zeros((), dtype), least)
    begin = _Beam(
        jnp.zeros((), jnp.int32), jnp.zeros((rows, width, limit), jnp.int32),
        jnp.zeros((rows, width), jnp.int32), jnp.zeros((rows, width), bool),
        jnp.broadcast_to(first, (rows, width)),
        jnp.full(rows * width, _number(search.start), jnp.int32), states)

    def goes_on(beam: _Beam) -> jax.Array:
        return (beam.number < limit) & ~jnp.all(beam.ended | jnp.isneginf(beam.log))

    def onward(beam: _Beam) -> _Beam:
        scores, after = step(beam.last, beam.states, fixed)
        scores = jax.nn.log_softmax(scores.astype(dtype)).reshape(rows, width, vocabulary)
        # What has ended goes on as itself, and once.
        alone = jnp.where(jnp.arange(vocabulary) == search.end, 0, least)
        log = beam.log[..., None] + jnp.where(beam.ended[..., None], alone, scores)
        lengths = jnp.where(beam.ended, beam.lengths, beam.number + 1)
        ranked = log / _penalty(lengths, search.alpha, dtype)[..., None]
        _, index = jax.lax.top_k(ranked.reshape(rows, -1), width)
        parent, symbol = index // vocabulary, (index % vocabulary).astype(jnp.int32)

        def chosen(array: jax.Array) -> jax.Array:
            at = parent.reshape(rows, width, *(1,) * (array.ndim - 2))
            return jnp.take_along_axis(array, at, axis=1)

        def of_rows(array: jax.Array) -> jax.Array:
            inner = array.reshape(rows, width, *array.shape[1:])
            return chosen(inner).reshape(array.shape)

        had_ended = chosen(beam.ended)
        tokens = chosen(beam.tokens).at[:, :, beam.number].set(jnp.where(had_ended, 0, symbol))
        return _Beam(
            beam.number + 1, tokens, chosen(lengths), had_ended | (symbol == search.end),
            jnp.take_along_axis(log.reshape(rows, -1), index, axis=1), symbol.reshape(-1),
            {name: of_rows(array) for name, array in after.items()})

    beam = jax.lax.while_loop(goes_on, onward, begin)
    scores = beam.log / _penalty(jnp.maximum(beam.lengths, 1), search.alpha, dtype)
    return beam.tokens, beam.lengths, beam.ended, scores


def _penalty(lengths: jax.Array, alpha: float, dtype: Any) -> jax.Array:
    """((5 + n) / 6)^alpha."""
    return ((5 + lengths.astype(dtype)) / 6) ** alpha
