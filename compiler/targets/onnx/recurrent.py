"""Recurrent layers as `LSTM`, `GRU` and `RNN` nodes; what these lack as a `Scan` of a cell."""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np

from compiler.ops.cells import Cell
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
from compiler.targets.onnx.builder import Builder, Tensor
from compiler.targets.onnx.cells import conv_lstm, lstm_steps, one_conv_step, one_step
from compiler.targets.onnx.layer import Layer, made

# The order of ONNX's gates in terms of ours: i, o, f, c of i, f, g, o; z, r, h of r, z, n.
GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
NODES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def emit(
    op: RecurrentOperator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder,
) -> tuple[Tensor, ...]:
    """Add a recurrent operator's nodes; padded steps change no result."""
    match op:
        case Rnn() | Lstm() | Gru():
            outputs = _layers(op, layer, inputs, g)
        case RnnCell() | LstmCell() | GruCell():
            return one_step(op, layer, inputs, g)
        case ConvLstmCell():
            return one_conv_step(op, layer, inputs, g)
        case ConvLstm():
            outputs = conv_lstm(op, layer, inputs, g)
        case _:
            assert_never(op)
    return tuple(({op.return_: outputs[op.return_]} | outputs).values())


def _layers(
    op: Rnn | Lstm | Gru, layer: Layer, inputs: tuple[Tensor, ...], g: Builder,
) -> dict[str, Tensor]:
    """sequence (time, batch, channels), last and state (batch, channels)."""
    x = g.arranged(inputs[0], ("time", "batch", "channels"))
    first = states_given(op, inputs[1:], g)
    name = x.name
    states: list[str] = []
    ends: list[str] = []
    for number in range(op.layers):
        cells = [first[len(states) + i * len(op.state_sizes):][:len(op.state_sizes)]
                 for i in range(len(op.suffixes))]
        name, ends, ended = _one_layer(op, layer, number, name, x, cells, g)
        states += ended
    types = dict(zip(op.outputs(*(i.type for i in inputs)), layer.outputs))
    last = ends[0] if len(ends) == 1 else (
        g.node("Add", *ends) if op.merge == "sum" else g.node("Concat", *ends, axis=1))
    return {"sequence": made(name, types["sequence"], x.lengths, x.order),
            "last": made(last, types["last"]),
            "state": made(g.node("Concat", *states, axis=1), types["state"])}


def _one_layer(
    op: Rnn | Lstm | Gru, layer: Layer, number: int, x: str, first: Tensor,
    cells: list[list[str]], g: Builder,
) -> tuple[str, list[str], list[str]]:
    """One layer in its directions.

    Args:
        op: the operator.
        layer: its arrays.
        number: which of its layers.
        x: what it reads: (time, batch, channels).
        first: the operator's input, for the lengths.
        cells: for each direction what it begins with: h (and c); "" for zeros, [] likewise.
        g: the graph.

    Returns:
        The sequence (time, batch, channels); for each direction its last h (batch, channels);
        all that the directions ended with.
    """
    names = [f"_{number}{suffix}" for suffix in op.suffixes]
    if isinstance(op, Lstm) and op.projection:
        return _projected(op, layer, names, x, first, cells, g)
    kind, directions = NODES[op.word], len(names)
    kernel, recurrent, bias = (_stacked(op, layer, names, g, what)
                               for what in ("kernel", "recurrent_kernel", "bias"))
    lengths = "" if first.lengths is None else g.once(
        ("int32", first.lengths), lambda: g.node("Cast", first.lengths or "", to=6))
    given = [_stacked_states([cell[i] for cell in cells if cell], g)
             for i in range(len(op.state_sizes))]
    attributes: dict[str, Any] = {"hidden_size": op.units, "direction": (
        "bidirectional" if directions == 2 else "reverse" if op.reverse else "forward")}
    if isinstance(op, Gru):
        attributes["linear_before_reset"] = int(op.reset == "after")
    if isinstance(op, Rnn):
        attributes["activations"] = [op.activation.capitalize()] * directions
    arguments = [x, kernel, recurrent, bias, lengths, *given]
    while arguments[-1] == "":
        arguments.pop()
    count = 1 + len(op.state_sizes)
    sequence, *ended = g.nodes_of(kind, arguments, count, **attributes)
    by_state = [_by_direction(name, directions, g) for name in ended]
    if first.lengths is not None:
        by_state = _kept(by_state, cells, first.lengths, g)
    if directions == 1:
        merged = g.node("Squeeze", sequence, g.ints(1))
    elif op.merge == "sum":
        merged = g.node("ReduceSum", sequence, g.ints(1), keepdims=0)
    else:
        turned = g.node("Transpose", sequence, perm=(0, 2, 1, 3))
        merged = g.reshaped(turned, (0, 0, 2 * op.units))
    return merged, by_state[0], [part for parts in zip(*by_state) for part in parts]


def _stacked(op: Cell, layer: Layer, names: list[str], g: Builder, what: str) -> str:
    """A parameter of all directions as ONNX has it: (directions, gates · units, …).

    A `bias` is both biases, one behind the other; "" where there are none.
    """
    arrays = []
    for name in names:
        if what != "bias":
            arrays.append(regated(layer.own(f"{what}{name}"), op).T)
        elif op.biases:
            one, other = layer.own(f"bias{name}"), layer.get(f"recurrent_bias{name}")
            both = (one, np.zeros_like(one) if other is None else other)
            arrays.append(np.concatenate([regated(b, op) for b in both]))
    return g.weight(layer.name(f"{what}{names[0]}"), np.stack(arrays)) if arrays else ""


def regated(array: np.ndarray, op: Cell) -> np.ndarray:
    """An array (…, gates · units) with its gates in ONNX's order."""
    gates = np.split(array, op.gates, axis=-1)
    return np.concatenate([gates[i] for i in GATES[op.word]], axis=-1)


def _stacked_states(parts: list[str], g: Builder) -> str:
    """States (batch, units) of each direction as (directions, batch, units)."""
    if not parts or parts[0] == "":
        return ""
    wide = [g.node("Unsqueeze", part, g.ints(0)) for part in parts]
    return wide[0] if len(wide) == 1 else g.node("Concat", *wide, axis=0)


def _by_direction(name: str, directions: int, g: Builder) -> list[str]:
    """(directions, batch, units) as (batch, units) of each."""
    if directions == 1:
        return [g.node("Squeeze", name, g.ints(0))]
    return [g.node("Gather", name, g.constant(np.int64(i)), axis=0) for i in range(directions)]


def _kept(
    by_state: list[list[str]], cells: list[list[str]], lengths: str, g: Builder,
) -> list[list[str]]:
    """In rows without steps what the layer began with."""
    some = g.once(("some", lengths), lambda: g.node(
        "Unsqueeze", g.node("Greater", lengths, g.ints(0)), g.ints(1)))
    return [[part if not cell or cell[i] == "" else g.node("Where", some, part, cell[i])
             for part, cell in zip(parts, cells)] for i, parts in enumerate(by_state)]


def _projected(
    op: Lstm, layer: Layer, names: list[str], x: str, first: Tensor, cells: list[list[str]],
    g: Builder,
) -> tuple[str, list[str], list[str]]:
    """A layer whose output is projected, which ONNX's `LSTM` cannot do."""
    sequences, ends, states = [], [], []
    for name, cell in zip(names, cells):
        backward = op.reverse or name.endswith("_backward")
        sequence, h, c = lstm_steps(op, layer, name, x, first, cell, backward, g)
        sequences.append(sequence)
        ends.append(h)
        states += [h, c]
    if len(sequences) == 1:
        return sequences[0], ends, states
    merged = (g.node("Add", *sequences) if op.merge == "sum"
              else g.node("Concat", *sequences, axis=2))
    return merged, ends, states


def states_given(op: Rnn | Lstm | Gru, given: tuple[Tensor, ...], g: Builder) -> list[str]:
    """What the cells begin with, (batch, units) each: h, and c or "" for zeros; [] for nothing."""
    if not given:
        return []
    state = g.arranged(given[0], ("batch", "channels"))
    cells = op.layers * len(op.suffixes)
    if state.type.channels == sum(op.all_state_sizes):
        return cut(g, state.name, op.all_state_sizes)
    outputs = cut(g, state.name, op.state_sizes[:1] * cells)
    return [part for h in outputs for part in (h, *[""] * (len(op.state_sizes) - 1))]


def cut(g: Builder, name: str, sizes: tuple[int, ...], axis: int = 1) -> list[str]:
    """A value in pieces along an axis."""
    if len(sizes) == 1:
        return [name]
    return list(g.nodes_of("Split", (name, g.ints(*sizes)), len(sizes), axis=axis))
