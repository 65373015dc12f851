"""The whole model: inputs, the graph's layers in their order, outputs, metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, ValueInfoProto, helper

from compiler.diagnostics import Label, SpecError, diagnostic
from compiler.graph import Call, Each, Graph, Node, Scan, Value
from compiler.ops.base import Operator
from compiler.targets.onnx.builder import (
    TYPES,
    Builder,
    Refused,
    Tensor,
    channels_first,
    plain_order,
    protos,
)
from compiler.targets.onnx.layer import Layer, emit, made
from compiler.types import SPACE_AXES, TensorType
from compiler.version import VERSION

# Read by every runtime of the last four years; later ones add nothing that a model here needs.
OPSET, IR_VERSION = 17, 8
# How many places of a refused layer are shown.
MAX_FRAMES = 4
LENGTHS = ".lengths"


@dataclass(frozen=True)
class Options:
    """How a model is written.

    Attributes:
        channels_first: images come and go as (batch, channels, height, width), not channels last.
        lengths: the inputs that bring the lengths of their rows with them, as a further input.
        normalise: for inputs that are normalised first, mean and deviation for each channel.
        metadata: texts to keep in the file.
    """

    channels_first: bool = False
    lengths: frozenset[str] = frozenset()
    normalise: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


def onnx_model(
    graph: Graph, arrays: Mapping[str, np.ndarray], options: Options = Options(),  # noqa: B008
) -> ModelProto:
    """A graph as an ONNX model that computes the same in float32.

    Args:
        graph: a graph of evaluation, after its passes.
        arrays: the model's arrays by path.
        options: how it is written.

    Returns:
        A model with one input for each of the graph's, its batch free, and `NAME.lengths` for
        those with lengths; an output for each of the graph's.

    Raises:
        SpecError: F0920 with every layer that ONNX cannot express.
    """
    g = Builder()
    inputs: list[ValueInfoProto] = []
    values: dict[int, Tensor] = {}
    for value in graph.inputs:
        values[id(value)] = _input(g, value, options, inputs)
    refused: list[tuple[Node, Refused]] = []
    _layers(g, graph, values, arrays, "", "", refused)
    if refused:
        raise SpecError(_refusal(node, why) for node, why in refused)
    outputs: list[ValueInfoProto] = []
    taken = {i.name for i in inputs}
    renamed: dict[str, str] = {}
    for name, value in graph.outputs.items():
        _output(g, name, values[id(value)], options, outputs, taken, renamed)
    nodes = _needed(_with_names(g.nodes, renamed), {o.name for o in outputs})
    used = {name for node in nodes for name in _reads(node)}
    found = helper.make_graph(nodes, _identifier(graph.name), inputs, outputs,
                              protos({n: a for n, a in g.arrays.items() if n in used}))
    model = helper.make_model(
        found, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="flaxspec", producer_version=VERSION)
    helper.set_model_props(model, dict(options.metadata))
    return model


# ---- inputs and outputs


def _input(g: Builder, value: Value, options: Options, inputs: list[ValueInfoProto]) -> Tensor:
    """Declare an input and what stands before the first layer."""
    type = value.type
    order = _outside(type, options)
    inputs.append(helper.make_tensor_value_info(
        value.name, TYPES[type.dtype], [_size(type, axis) for axis in order]))
    lengths = None
    if value.name in options.lengths:
        lengths = value.name + LENGTHS
        inputs.append(helper.make_tensor_value_info(lengths, TYPES["int"], ["batch"]))
    x = Tensor(value.name, type, order, lengths)
    if value.name not in options.normalise:
        return x
    g.place, name = value.name, value.name
    behind = x.rank - 1 - x.dim("channels") if "channels" in order else 0
    for kind, array in zip(("Sub", "Div"), options.normalise[value.name]):
        array = np.asarray(array, np.float32)
        name = g.node(kind, name, g.constant(array.reshape(*array.shape, *(1,) * behind)
                                             if array.ndim else array))
    return replace(x, name=name)


def _output(
    g: Builder, name: str, x: Tensor, options: Options, outputs: list[ValueInfoProto],
    taken: set[str], renamed: dict[str, str],
) -> None:
    """Declare an output under its own name, with its lengths where no input has the same."""
    g.place = name
    x = g.arranged(x, _outside(x.type, options))
    pairs = [(name, x.name, TYPES[x.type.dtype], [_size(x.type, a) for a in x.order])]
    if x.lengths is not None and x.lengths not in taken:
        pairs.append((name + LENGTHS, x.lengths, TYPES["int"], ["batch"]))
    for wish, value, kind, sizes in pairs:
        made_here = any(value in node.output for node in g.nodes)
        if not made_here or value in renamed:
            value = g.node("Identity", value)
        renamed[value] = wish
        outputs.append(helper.make_tensor_value_info(wish, kind, sizes))


def _outside(type: TensorType, options: Options) -> tuple[str, ...]:
    """The order in which a tensor comes or goes: only images have their channels first."""
    image = options.channels_first and set(type.axes) & set(SPACE_AXES)
    if not image or "channels" not in type.axes:
        return plain_order(type)
    if "time" in type.axes:  # a video: (batch, time, channels, height, width)
        inside = channels_first(type.without("time"))
        return ("batch", "time", *inside[1:])
    return channels_first(type)


def _size(type: TensorType, axis: str) -> int | str:
    """A size for the declaration: a name for what is free."""
    if axis == "batch":
        return "batch"
    size = type.size(axis)
    assert size is not None
    return size


# ---- layers


def _layers(
    g: Builder, graph: Graph, values: dict[int, Tensor], arrays: Mapping[str, np.ndarray],
    path: str, prefix: str, refused: list[tuple[Node, Refused]],
) -> None:
    """Add the nodes of a graph.

    Args:
        g: where to.
        graph: what runs.
        values: the tensors so far, by the identity of their `Value`; its own are added.
        arrays: the model's arrays by path.
        path: where the graph's layers stand in the model, with a dot at its end, or "".
        prefix: where their arrays do.
        refused: gets the layers that ONNX cannot express, and why.
    """
    for node in graph.nodes:
        inputs = tuple(values[id(v)] for v in node.inputs)
        results: Sequence[Tensor]
        match node.operation:
            case Call(graph=inner):
                own = {id(v): x for v, x in zip(inner.inputs, inputs)}
                _layers(g, inner, own, arrays, f"{path}{node.path}.", f"{prefix}{node.weights}.",
                        refused)
                results = [own[id(v)] for v in inner.outputs.values()]
            case Each(axis=axis, graph=inner):
                flat = _steps_as_batch(g, inputs[0], axis, inner.inputs[0].type)
                own = {id(inner.inputs[0]): flat}
                _layers(g, inner, own, arrays, f"{path}{node.path}.", f"{prefix}{node.weights}.",
                        refused)
                g.place = f"{path}{node.path}"
                result = own[id(next(iter(inner.outputs.values())))]
                (value,) = node.outputs.values()
                results = [_batch_as_steps(g, result, inputs[0], axis, value.type)]
            case Scan():
                refused.append((node, Refused(
                    "`scan` cannot be exported to ONNX",
                    "export StableHLO instead: `flaxspec export --to stablehlo`")))
                lengths = inputs[0].lengths
                results = [made(inputs[0].name, v.type, lengths) for v in node.outputs.values()]
            case op:
                g.place = f"{path}{node.path}"
                results = _layer(g, node, op, inputs, arrays, prefix, refused)
        for value, result in zip(node.outputs.values(), results):
            values[id(value)] = replace(result, type=value.type)


def _layer(
    g: Builder, node: Node, op: Operator, inputs: tuple[Tensor, ...],
    arrays: Mapping[str, np.ndarray], prefix: str, refused: list[tuple[Node, Refused]],
) -> Sequence[Tensor]:
    types = tuple(v.type for v in node.outputs.values())
    tied = tuple(f"{prefix}{path}.{name}" for path, name in node.ties.values())
    layer = Layer(f"{prefix}{node.weights}", arrays, types, tied)
    try:
        return emit(op, layer, inputs, g)
    except Refused as why:
        # The layers behind it are looked at as well: every refusal is told at once.
        refused.append((node, why))
        lengths = inputs[0].lengths if inputs else None
        return [made(inputs[0].name if inputs else "", type, lengths) for type in types]


def _steps_as_batch(g: Builder, x: Tensor, axis: str, type: TensorType) -> Tensor:
    """Every step of an axis as an example of its own: (batch · steps, …)."""
    rest = [a for a in x.order if a not in ("batch", axis)]
    x = g.arranged(g.filled(x), ("batch", axis, *rest))
    flat = g.reshaped(x.name, [-1, *(g.size(x, a) for a in rest)])
    return Tensor(flat, type, ("batch", *rest))


def _batch_as_steps(
    g: Builder, x: Tensor, before: Tensor, axis: str, type: TensorType,
) -> Tensor:
    """(batch · steps, …) as the steps again."""
    rest = [a for a in x.order if a != "batch"]
    x = g.arranged(x, ("batch", *rest))
    sizes = [g.size(before, "batch"), g.size(before, axis), *(g.size(x, a) for a in rest)]
    return made(g.reshaped(x.name, sizes), type, before.lengths, ("batch", axis, *rest))


def _refusal(node: Node, why: Refused):
    frames = [Label(at, text) for text, at in reversed(node.origin.frames)][:MAX_FRAMES]
    return diagnostic("F0920", why.message, node.origin.span, help=why.help, more=frames)


# ---- the finished list of nodes


def _with_names(nodes: list[NodeProto], names: Mapping[str, str]) -> list[NodeProto]:
    """Nodes that call their values by other names."""
    for node in nodes:
        for values in (node.input, node.output):
            for i, value in enumerate(values):
                if value in names:
                    values[i] = names[value]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _with_names(attribute.g.node, names)  # type: ignore[arg-type]
    return nodes


def _reads(node: NodeProto) -> list[str]:
    """What a node reads, from inside its body too."""
    inside = [name for a in node.attribute if a.HasField("g") for n in a.g.node
              for name in _reads(n)]
    results = [name for a in node.attribute if a.HasField("g") for name in
               (o.name for o in a.g.output)]
    return [*node.input, *inside, *results]


def _needed(nodes: list[NodeProto], wanted: set[str]) -> list[NodeProto]:
    """The nodes that an output depends on."""
    kept = []
    for node in reversed(nodes):
        if any(name in wanted for name in node.output):
            kept.append(node)
            wanted.update(_reads(node))
    return kept[::-1]


def _identifier(name: str) -> str:
    """A graph's name as ONNX asks for it."""
    return "".join(c if c.isalnum() else "_" for c in name) or "model"


def save(model: ModelProto, path: str, largest: int = 2**31 - 2**20) -> list[str]:
    """Write a model; where it is larger than a protobuf may be, its arrays stand beside it.

    Args:
        model: what to write.
        path: where to.
        largest: bytes in one file.

    Returns:
        The files.
    """
    if model.ByteSize() < largest:
        onnx.save(model, path)
        return [path]
    beside = path + ".data"
    from pathlib import Path

    Path(beside).unlink(missing_ok=True)
    onnx.save(model, path, save_as_external_data=True, location=Path(beside).name)
    return [path, beside]
