"""Steps of recurrent cells written out, and `Scan` over them where ONNX has no such node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import TensorProto, helper

from compiler.ops.recurrent import ConvLstm, ConvLstmCell, GruCell, Lstm, LstmCell, RnnCell
from compiler.ops.windows import Geometry
from compiler.targets.onnx.builder import Builder, Tensor, channels_first
from compiler.targets.onnx.convolution import convolved, out_in_window
from compiler.targets.onnx.layer import Layer, made
from compiler.targets.onnx.lengths import per_row
from compiler.types import TensorType

# One step: what arrives already multiplied, and the states; the next states, h first.
Step = Callable[[Builder, str, list[str]], list[str]]


def lstm_step(
    g: Builder, z: str, c: str, axis: int, projection: str = "",
) -> list[str]:
    """h and c of the gates' sums z, whose gates i, f, g, o lie along an axis."""
    i, f, n, o = g.nodes_of("Split", (z,), 4, axis=axis)
    kept = g.node("Mul", g.node("Sigmoid", f), c)
    new = g.node("Mul", g.node("Sigmoid", i), g.node("Tanh", n))
    c = g.node("Add", kept, new)
    h = g.node("Mul", g.node("Sigmoid", o), g.node("Tanh", c))
    return [g.node("MatMul", h, projection) if projection else h, c]


# ---- one step of a cell


def one_step(
    op: RnnCell | LstmCell | GruCell, layer: Layer, inputs: tuple[Tensor, ...], g: Builder,
) -> tuple[Tensor, Tensor]:
    """output and state, both (batch, channels)."""
    x = g.arranged(inputs[0], ("batch", "channels"))
    h, *c = _states_before(g, inputs, op.state_sizes, ("batch", "channels"))
    seen = _affine(g, layer, x.name, "kernel", "bias")
    match op:
        case RnnCell():
            z = g.node("Add", seen, _affine(g, layer, h, "recurrent_kernel", "recurrent_bias"))
            ended = [g.node(op.activation.capitalize(), z)]
        case LstmCell():
            z = g.node("Add", seen, _affine(g, layer, h, "recurrent_kernel", "recurrent_bias"))
            projection = layer.get("projection")
            ended = lstm_step(g, z, c[0], 1, "" if projection is None else g.weight(
                layer.name("projection"), projection))
        case GruCell():
            ended = [_gru_step(op, layer, seen, h, g)]
    state = ended[0] if len(ended) == 1 else g.node("Concat", *ended, axis=1)
    return made(ended[0], layer.outputs[0]), made(state, layer.outputs[1])


def _gru_step(op: GruCell, layer: Layer, seen: str, h: str, g: Builder) -> str:
    """h' = (1 - z) n + z h."""
    kernel, bias, units = layer.own("recurrent_kernel"), layer.get("recurrent_bias"), op.units
    x_rz, x_n = g.nodes_of("Split", (seen, g.ints(2 * units, units)), 2, axis=1)

    def product(value: str, part: slice) -> str:
        weight = g.weight(layer.name("recurrent_kernel"), kernel[:, part])
        name = g.node("MatMul", value, weight)
        return name if bias is None else g.node(
            "Add", name, g.weight(layer.name("recurrent_bias"), bias[part]))

    gates = g.node("Sigmoid", g.node("Add", x_rz, product(h, slice(0, 2 * units))))
    r, z = g.nodes_of("Split", (gates,), 2, axis=1)
    inner = slice(2 * units, None)
    held = product(g.node("Mul", r, h), inner) if op.reset == "before" else (
        g.node("Mul", r, product(h, inner)))
    n = g.node("Tanh", g.node("Add", x_n, held))
    return g.node("Add", n, g.node("Mul", z, g.node("Sub", h, n)))


def one_conv_step(
    op: ConvLstmCell, layer: Layer, inputs: tuple[Tensor, ...], g: Builder,
) -> tuple[Tensor, Tensor]:
    """output and state, both images."""
    frame = inputs[0].type
    order = channels_first(frame)
    x = g.arranged(inputs[0], order)
    h, c = _states_before(g, inputs, (op.filters, op.filters), order)
    kernel, recurrent, bias = _conv_arrays(layer, g)
    geometry = _same_window(op, frame)
    z = g.node("Add", convolved(g, x.name, geometry, kernel, bias),
               convolved(g, h, geometry, recurrent))
    h, c = lstm_step(g, z, c, 1)
    state = g.node("Concat", h, c, axis=1)
    return made(h, layer.outputs[0], order=order), made(state, layer.outputs[1], order=order)


def _states_before(
    g: Builder, inputs: tuple[Tensor, ...], sizes: tuple[int, ...], order: tuple[str, ...],
) -> list[str]:
    """What a cell begins with, channels second: the state given, or zeros."""
    x, *given = inputs
    if given:
        state = g.arranged(given[0], order)
        if state.type.channels == sum(sizes):
            if len(sizes) == 1:
                return [state.name]
            return list(g.nodes_of("Split", (state.name, g.ints(*sizes)), len(sizes), axis=1))
        return [state.name, *(zeros_like(g, x, order, size) for size in sizes[1:])]
    return [zeros_like(g, x, order, size) for size in sizes]


def zeros_like(g: Builder, x: Tensor, order: tuple[str, ...], channels: int) -> str:
    """Zeros with the batch and space of `x` and so many channels."""
    sizes = [channels if axis == "channels" else g.size(x, axis) for axis in order]
    return g.node("Expand", g.constant(np.float32(0)), g.shape(sizes))


def _affine(g: Builder, layer: Layer, x: str, kernel: str, bias: str) -> str:
    """x W + b."""
    name = g.node("MatMul", x, g.weight(layer.name(kernel), layer.own(kernel)))
    array = layer.get(bias)
    return name if array is None else g.node("Add", name, g.weight(layer.name(bias), array))


# ---- steps over time


def scan(
    g: Builder, step: Step, x: str, states: Sequence[str], lengths: str | None, rank: int,
    reverse: bool,
) -> tuple[str, list[str]]:
    """A `Scan` of a step over x (time, batch, …).

    Args:
        g: the graph.
        step: one step, whose nodes it adds to the body that it is given.
        x: what each step takes.
        states: what the first step begins with.
        lengths: (batch,) real steps; past them a state stays and the sequence is 0.
        rank: the number of axes of a state.
        reverse: from the last step to the first.

    Returns:
        The sequence of the first state (time, batch, …), and the last states.
    """
    body = Builder(g)
    before = [body.fresh("state") for _ in states]
    at = [body.fresh("step")]
    sequences = [x]
    if lengths is not None:
        steps = g.node("Unsqueeze", g.counted(g.measured(x, 0)), g.ints(*range(1, rank + 1)))
        sequences.append(g.node("Less", steps, per_row(g, lengths, rank)))
        at.append(body.fresh("real"))
    after = step(body, at[0], before)
    shown = after[0]
    if lengths is not None:
        after = [body.node("Where", at[1], new, old) for new, old in zip(after, before)]
        shown = body.node("Where", at[1], after[0], body.constant(np.float32(0)))
    else:
        after = [body.node("Identity", name) for name in after]
        shown = body.node("Identity", shown)
    kinds = [TensorProto.FLOAT, TensorProto.BOOL]
    inside = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in before]
    inside += [helper.make_tensor_value_info(n, k, None) for n, k in zip(at, kinds)]
    outside = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in (*after, shown)]
    graph = helper.make_graph(body.nodes, body.fresh("body"), inside, outside)
    *ended, sequence = g.nodes_of(
        "Scan", (*states, *sequences), len(states) + 1, body=graph, num_scan_inputs=len(sequences),
        scan_input_directions=[int(reverse)] * len(sequences),
        scan_output_directions=[int(reverse)])
    return sequence, ended


def lstm_steps(
    op: Lstm, layer: Layer, name: str, x: str, first: Tensor, cell: list[str], reverse: bool,
    g: Builder,
) -> tuple[str, str, str]:
    """One direction of an LSTM with a projection: its sequence, h and c."""
    seen = g.node("MatMul", x, g.weight(
        layer.name(f"kernel{name}"), layer.own(f"kernel{name}")))
    biases = [b for b in (layer.get(f"bias{name}"), layer.get(f"recurrent_bias{name}"))
              if b is not None]
    if biases:
        seen = g.node("Add", seen, g.weight(layer.name(f"bias{name}"), sum(biases[1:], biases[0])))
    recurrent = g.weight(
        layer.name(f"recurrent_kernel{name}"), layer.own(f"recurrent_kernel{name}"))
    projection = g.weight(layer.name(f"projection{name}"), layer.own(f"projection{name}"))
    given = cell or [""] * 2
    begin = [value or zeros_like(g, first, ("batch", "channels"), size)
             for value, size in zip(given, op.state_sizes)]

    def step(body: Builder, z: str, states: list[str]) -> list[str]:
        h, c = states
        z = body.node("Add", z, body.node("MatMul", h, recurrent))
        return lstm_step(body, z, c, 1, projection)

    sequence, (h, c) = scan(g, step, seen, begin, first.lengths, 2, reverse)
    return sequence, h, c


def conv_lstm(
    op: ConvLstm, layer: Layer, inputs: tuple[Tensor, ...], g: Builder,
) -> dict[str, Tensor]:
    """sequence (time, batch, filters, space…); last and state (batch, channels, space…)."""
    frame = inputs[0].type.without("time")
    order = channels_first(frame)
    x = g.arranged(inputs[0], ("time", *order))
    kernel, recurrent, bias = _conv_arrays(layer, g)
    geometry = _same_window(op, frame)
    # The input's convolution of all steps is one convolution of time · batch images.
    space = [g.size(x, axis) for axis in order[2:]]
    channels = g.size(x, "channels")
    images = g.reshaped(g.filled(x).name, [-1, channels, *space])
    seen = convolved(g, images, geometry, kernel, bias)
    seen = g.reshaped(seen, [g.size(x, "time"), g.size(x, "batch"), 4 * op.filters, *space])
    sizes = (op.filters, op.filters)
    begin = _states_before(g, (x, *inputs[1:]), sizes, order)

    def step(body: Builder, z: str, states: list[str]) -> list[str]:
        h, c = states
        z = body.node("Add", z, convolved(body, h, geometry, recurrent))
        return lstm_step(body, z, c, 1)

    sequence, (h, c) = scan(g, step, seen, begin, x.lengths, len(order), False)
    types = dict(zip(op.outputs(*(i.type for i in inputs)), layer.outputs))
    state = g.node("Concat", h, c, axis=1)
    return {"sequence": made(sequence, types["sequence"], x.lengths, x.order),
            "last": made(h, types["last"], order=order),
            "state": made(state, types["state"], order=order)}


def _same_window(op: ConvLstm | ConvLstmCell, frame: TensorType) -> Geometry:
    """The window of both convolutions over a frame, whose size they keep."""
    window = op.window_on(frame)
    ones = (1,) * len(window)
    return Geometry(frame.window_axes, window, ones, tuple((k // 2, k // 2) for k in window), ones)


def _conv_arrays(layer: Layer, g: Builder) -> tuple[str, str, str]:
    """Both kernels as (out, in, window…), and the bias or ""."""
    kernel, recurrent = (g.weight(layer.name(n), out_in_window(layer.own(n)))
                         for n in ("kernel", "recurrent_kernel"))
    bias = layer.get("bias")
    return kernel, recurrent, "" if bias is None else g.weight(layer.name("bias"), bias)
