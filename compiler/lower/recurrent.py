"""Recurrent layers as JAX: stacked and merged here, scanned by the kernels."""

from __future__ import annotations

from types import ModuleType
from typing import Any, assert_never

import jax
import jax.numpy as jnp

from compiler.lower import carry
from compiler.lower.context import Context
from compiler.lower.kernels import recurrent, recurrent_reference
from compiler.lower.kernels.recurrent_conv import conv_lstm, conv_lstm_cell
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops.recurrent import (
    ConvLstm,
    ConvLstmCell,
    Gru,
    GruCell,
    Lstm,
    LstmCell,
    RecurrentOperator,
    Rnn,
    RnnCell,
)

State = tuple[jax.Array, ...]
Weights = tuple[jax.Array, jax.Array, jax.Array | None, jax.Array | None]


def apply(
    op: RecurrentOperator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> tuple[Tensor, ...]:
    """Run a recurrent operator; padded steps change no result."""
    match op:
        case Rnn() | Lstm() | Gru():
            outputs = _layers(op, layer, inputs, context)
        case RnnCell() | LstmCell() | GruCell() | ConvLstmCell():
            return _one_step(op, layer, inputs, context)
        case ConvLstm():
            outputs = _conv_lstm(op, layer, inputs, context)
        case _:
            assert_never(op)
    return tuple(({op.return_: outputs[op.return_]} | outputs).values())


def _layers(
    op: Rnn | Lstm | Gru, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> dict[str, Tensor]:
    """sequence (batch, time, channels), last and state (batch, channels)."""
    x = inputs[0]
    array, dtype = x.array, x.array.dtype
    kernels = recurrent_reference if context.kernels == "reference" else recurrent
    key = context.rng() if context.training and op.drops else None
    first = _initial(op, layer, inputs)
    states: list[jax.Array] = []
    ends: list[jax.Array] = []
    for number in range(op.layers):
        if number > 0:
            array = _dropped(array, op.dropout, _key(key, number, "dropout"))
        sequences, ends = [], []
        for suffix in op.suffixes:
            place = len(states)
            state = first[place:place + len(op.state_sizes)] if first else None
            mask = _mask(op, array.shape[0], _key(key, number, suffix))
            sequence, *ended = _scan(
                op, kernels, layer, f"_{number}{suffix}", array, state, x.lengths,
                op.reverse or suffix == "_backward", mask)
            sequences.append(sequence)
            ends.append(ended[0].astype(dtype))
            states += ended
        array = _merge(op, sequences)
    last = _merge(op, ends)
    state = jnp.concatenate(states, axis=-1)
    _keep(layer, state)
    return {"sequence": Tensor(array, x.axes, x.lengths), "last": Tensor(last, ("channels",)),
            "state": Tensor(state.astype(dtype), ("channels",))}


def _scan(
    op: Rnn | Lstm | Gru, kernels: ModuleType, layer: Layer, name: str, x: jax.Array,
    state: State | None, lengths: jax.Array | None, reverse: bool, mask: jax.Array | None,
) -> tuple[jax.Array, ...]:
    """One layer in one direction: its sequence, and what it ends with."""
    weights = _weights(layer, name)
    more: dict[str, Any] = {"lengths": lengths, "reverse": reverse, "recurrent_mask": mask}
    more |= dict(zip(("h0", "c0"), state or ()))
    match op:
        case Rnn():
            return kernels.rnn(x, *weights, activation=op.activation, **more)
        case Lstm():
            return kernels.lstm(x, *weights, projection=layer.get(f"projection{name}"), **more)
        case Gru():
            return kernels.gru(x, *weights, reset=op.reset, **more)


def _weights(layer: Layer, name: str = "") -> Weights:
    """The kernels of the input and the state, and their biases where the layer has them."""
    kernel, recurrent_kernel = layer.get(f"kernel{name}"), layer.get(f"recurrent_kernel{name}")
    assert kernel is not None and recurrent_kernel is not None
    return kernel, recurrent_kernel, layer.get(f"bias{name}"), layer.get(f"recurrent_bias{name}")


def _one_step(
    op: RnnCell | LstmCell | GruCell | ConvLstmCell, layer: Layer, inputs: tuple[Tensor, ...],
    context: Context,
) -> tuple[Tensor, Tensor]:
    """output and state, both (batch, space…, channels)."""
    x, axes = inputs[0].array, inputs[0].axes
    kernel, recurrent_kernel, bias, _ = weights = _weights(layer)
    sizes = (op.filters, op.filters) if isinstance(op, ConvLstmCell) else op.state_sizes
    given = inputs[1].array if len(inputs) > 1 else None
    h, *c = _split(given, sizes, 1) or (jnp.zeros((*x.shape[:-1], n), x.dtype) for n in sizes)
    match op:
        case RnnCell():
            ended: State = (recurrent_reference.rnn_cell(x, *weights, h, op.activation),)
        case LstmCell():
            ended = recurrent_reference.lstm_cell(
                x, *weights, h, c[0], layer.get("projection"))
        case GruCell():
            ended = (recurrent_reference.gru_cell(x, *weights, h, op.reset),)
        case ConvLstmCell():
            ended = conv_lstm_cell(x, kernel, recurrent_kernel, bias, h, c[0], context.kernels)
        case _:
            assert_never(op)
    state = jnp.concatenate(ended, axis=-1)
    return Tensor(ended[0].astype(x.dtype), axes), Tensor(state.astype(x.dtype), axes)


def _conv_lstm(
    op: ConvLstm, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> dict[str, Tensor]:
    """sequence (batch, time, space…, filters); last and state without time."""
    x = inputs[0]
    kernel, recurrent_kernel, bias, _ = _weights(layer)
    given = inputs[1].array if len(inputs) > 1 else None
    state = _split(given, (op.filters, op.filters), 1)
    h0, c0 = (None, None) if state is None else (state[0], state[1])
    sequence, h, c = conv_lstm(
        x.array, kernel, recurrent_kernel, bias, h0, c0, x.lengths, context.kernels)
    dtype, axes = x.array.dtype, x.axes[1:]
    return {"sequence": Tensor(sequence, x.axes, x.lengths), "last": Tensor(h.astype(dtype), axes),
            "state": Tensor(jnp.concatenate([h, c], axis=-1).astype(dtype), axes)}


# -- states ------------------------------------------------------------------------------------


def _initial(op: Rnn | Lstm | Gru, layer: Layer, inputs: tuple[Tensor, ...]) -> State | None:
    """What the layers begin with: given, carried from the batch before, or None for zeros."""
    cells, rows = op.layers * len(op.suffixes), inputs[0].array.shape[0]
    if len(inputs) > 1:
        return _split(inputs[1].array, op.state_sizes, cells)
    variable = getattr(layer, carry.NAME, None)
    # A batch with another number of rows continues no text.
    if variable is None or len(variable[...]) != rows:
        return None
    return _split(jax.lax.stop_gradient(variable[...]), op.state_sizes, cells)


def _keep(layer: Layer, state: jax.Array) -> None:
    """Remember the state (batch, channels) for the next batch, where the layer has room for it."""
    variable = getattr(layer, carry.NAME, None)
    if variable is not None and variable[...].shape == state.shape:
        variable[...] = jax.lax.stop_gradient(state).astype(variable[...].dtype)


def _split(state: jax.Array | None, sizes: tuple[int, ...], cells: int) -> State | None:
    """A state (batch, …, channels) into what each cell carries; cells c are 0 if left out."""
    if state is None:
        return None
    if state.shape[-1] == cells * sum(sizes):
        return _cut(state, sizes * cells)
    outputs = _cut(state, sizes[:1] * cells)
    rest = tuple(jnp.zeros((*state.shape[:-1], n), state.dtype) for n in sizes[1:])
    return tuple(part for h in outputs for part in (h, *rest))


def _cut(array: jax.Array, sizes: tuple[int, ...]) -> State:
    ends = [sum(sizes[:i + 1]) for i in range(len(sizes) - 1)]
    return tuple(jnp.split(array, ends, axis=-1))


# -- directions and dropout --------------------------------------------------------------------


def _merge(op: Rnn | Lstm | Gru, arrays: list[jax.Array]) -> jax.Array:
    """The directions of a layer as one array."""
    return sum(arrays[1:], arrays[0]) if op.merge == "sum" else jnp.concatenate(arrays, axis=-1)


def _key(key: jax.Array | None, number: int, use: str) -> jax.Array | None:
    """A key for one use in one layer."""
    uses = ("", "_backward", "dropout")
    return None if key is None else jax.random.fold_in(key, number * len(uses) + uses.index(use))


def _dropped(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Dropout where there is a key: in training."""
    if key is None or rate == 0:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def _mask(op: Rnn | Lstm | Gru, rows: int, key: jax.Array | None) -> jax.Array | None:
    """The recurrent dropout of one direction, one mask (batch, state) for all steps."""
    rate = op.recurrent_dropout
    if key is None or rate == 0:
        return None
    kept = jax.random.bernoulli(key, 1 - rate, (rows, op.width))
    return kept.astype(jnp.float32) / (1 - rate)
