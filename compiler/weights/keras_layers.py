"""What Keras calls the arrays of each layer, and how it lays them out.

Channels are last there too. A GRU's gates are z, r, h; a bidirectional layer is two; several
recurrent layers of one kind, one upon the other, are as many layers of Keras's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from compiler.graph import Graph
from compiler.ops.activation import Prelu
from compiler.ops.convolution import Conv, ConvTranspose
from compiler.ops.dense import Dense, Embed
from compiler.ops.normalisation import BatchNorm, GroupNorm, LayerNorm
from compiler.ops.recurrent import Gru, Lstm, Rnn
from compiler.weights.files import TensorFile
from compiler.weights.moves import Module, Part, Shape, Theirs, joined, plain, turned
from compiler.weights.order import alike, confusable
from compiler.weights.slots import Slots, layers

RECURRENT = {Rnn: "simple_rnn", Lstm: "lstm", Gru: "gru"}
GRU_GATES = (1, 0, 2)  # ours are r, z, n
Given = Mapping[str, Shape]


def keras_modules(own: Sequence[Slots], file: TensorFile | None = None) -> dict[str, Module]:
    """The layers by Keras's names: each class counted in the order in which they run.

    Args:
        own: our layers.
        file: the file that they are looked for in, which tells a depthwise convolution from
            one in groups.

    Raises:
        SpecError: F0884 Keras has no such layer, or the order does not tell two of them apart.
    """
    kinds = {name.partition(".")[0] for name in file.tensors} if file is not None else set()
    depthwise = file is None or any(kind.startswith("depthwise_conv") for kind in kinds)
    nested = [_modules(layer, depthwise) for layer in own]
    for group in alike(own, [modules[0] for modules in nested]):
        if confusable(group):
            raise _impossible(
                group[0], f"`{group[1].path}` beside it is like it, and Keras's files number "
                          "layers in an order of their own")
    counts: dict[str, int] = {}
    found: dict[str, Module] = {}
    for modules in nested:
        for module in modules:
            number = counts.get(module.kind, 0)
            counts[module.kind] = number + 1
            found[f"{module.kind}_{number}" if number else module.kind] = module
    return found


def module_at(layer: Slots, first: int, depthwise: bool) -> Module:
    """A layer's arrays as those of a Keras layer from its number `first` on.

    Args:
        layer: one of ours.
        first: how many arrays of the Keras layer are another layer's here: a separable
            convolution is two.
        depthwise: a convolution of one channel in each group is Keras's depthwise one.

    Raises:
        SpecError: F0884 Keras has no such layer.
    """
    (module, *_) = _modules(layer, depthwise)
    return module if not first else replace(module, tensors=tuple(
        replace(t, name=f"vars.{first + number}") for number, t in enumerate(module.tensors)))


def weights_to_keras(graph: Graph, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A model's arrays for the layers of an equal Keras model, by the names of `keras_file`.

    Raises:
        SpecError: F0884 Keras has no such layer.
    """
    own = {layer.path: layer for layer in layers(graph)}
    found: dict[str, np.ndarray] = {}
    for name, module in keras_modules(tuple(own.values())).items():
        for zero, _ in module.zeros:
            if np.any(arrays[f"{module.path}.{zero}"]):
                raise _impossible(own[module.path], f"it has no counterpart of `{zero}`, which "
                                                    "is not zero", "say `biases: 1` in the layer")
        inner = {p.ours: arrays[f"{module.path}.{p.ours}"]
                 for t in module.tensors for p in t.parts}
        found |= {joined(name, t.name): t.there(inner) for t in module.tensors}
    return found


def _modules(layer: Slots, depthwise: bool) -> list[Module]:
    """Keras's layers for one of ours."""
    given = {name: p.shape for name, p in layer.parameters.items()}
    match layer.operation:
        case Conv() as op:
            return [_convolution(layer, op, given, depthwise)]
        case ConvTranspose():
            rank = len(given["kernel"]) - 2
            kernel = turned("kernel", given["kernel"], (*range(rank), rank + 1, rank), "0")
            return [_numbered(layer, f"conv{rank}d_transpose", kernel, *_plain(given, "bias"))]
        case Dense():
            return [_numbered(layer, "dense", *_plain(given, "kernel", "bias"))]
        case Embed():
            return [_numbered(layer, "embedding", *_plain(given, "embedding"))]
        case BatchNorm():
            return [_numbered(layer, "batch_normalization",
                              *_plain(given, "scale", "bias", "mean", "var"))]
        case LayerNorm():
            return [_numbered(layer, "layer_normalization", *_plain(given, "scale", "bias"))]
        case GroupNorm():
            return [_numbered(layer, "group_normalization", *_plain(given, "scale", "bias"))]
        case Prelu():
            slope = given["slope"]
            wide = tuple((1,) * rank + slope for rank in (1, 2, 3))
            (theirs,) = _plain(given, "slope")
            rank = len(layer.inputs[0].axes) - 1
            part = replace(theirs.parts[0], joined=(1,) * rank + slope)
            return [_numbered(layer, "p_re_lu", replace(theirs, parts=(part,),
                                                        also=(slope, *wide)))]
        case Rnn() | Lstm() | Gru() as op:
            return _recurrent(layer, op, given)
        case op:
            raise _impossible(layer, f"there is no layer like `{op.word}`")


def _convolution(layer: Slots, op: Conv, given: Given, depthwise: bool) -> Module:
    *window, inner, out = given["kernel"]
    channels = layer.inputs[0].channels
    kind, rank = f"conv{len(window)}d", len(window)
    (kernel,) = _plain(given, "kernel")
    if depthwise and inner == 1 and isinstance(channels, int) and channels > 1 and (
            op.groups_on(channels) == channels):
        # (window…, 1, channels · n) is (window…, channels, n) there.
        kind = f"depthwise_conv{rank}d"
        part = Part("kernel", given["kernel"], joined=(*window, channels, out // channels))
        kernel = replace(kernel, parts=(part,))
    return _numbered(layer, kind, kernel, *_plain(given, "bias"))


def _recurrent(layer: Slots, op: Rnn | Lstm | Gru, given: Given) -> list[Module]:
    if isinstance(op, Lstm) and op.projection:
        raise _impossible(layer, "its LSTM has no `projection`")
    if op.bidirectional and op.merge != "concat" and op.layers > 1:
        raise _impossible(layer, "flaxspec knows stacked bidirectional layers of Keras's only "
                                 "with `merge: concat`")
    kind, found = RECURRENT[type(op)], []
    for number in range(op.layers):
        if not op.bidirectional:
            tensors, zeros = _cell(op, given, f"_{number}", "cell.vars")
            found.append(Module(layer.path, tensors, kind, zeros=zeros))
            continue
        forward, a = _cell(op, given, f"_{number}", "forward_layer.cell.vars")
        backward, b = _cell(op, given, f"_{number}_backward", "backward_layer.cell.vars")
        found.append(Module(layer.path, (*forward, *backward), "bidirectional", zeros=(*a, *b)))
    return found


def _cell(
    op: Rnn | Lstm | Gru, given: Given, suffix: str, group: str,
) -> tuple[tuple[Theirs, ...], tuple[tuple[str, Shape], ...]]:
    """A cell's arrays there, and ours that it has no counterpart for."""
    blocks = GRU_GATES if isinstance(op, Gru) else ()
    names = [f"{role}{suffix}" for role in ("kernel", "recurrent_kernel", "bias",
                                            "recurrent_bias")]
    kernel, recurrent, bias, second = (
        Part(name, given[name], blocks=blocks) if name in given else None for name in names)
    assert kernel is not None and recurrent is not None
    tensors = [Theirs(f"{group}.0", (kernel,)), Theirs(f"{group}.1", (recurrent,))]
    if bias is None:
        return tuple(tensors), ()
    if isinstance(op, Gru) and op.reset == "after":
        # Both biases are one array of two rows there.
        rows = tuple(replace(part, joined=(1, *part.shape))
                     for part in (bias, second) if part is not None)
        if second is None:
            raise SpecError([diagnostic(
                "F0884", "Keras's GRU that resets after the product has two biases",
                help="say `biases: 2` in the layer, or `reset: before`")])
        return (*tensors, Theirs(f"{group}.2", rows)), ()
    zeros = () if second is None else ((names[3], second.shape),)
    return (*tensors, Theirs(f"{group}.2", (bias,))), zeros


def _plain(given: Given, *names: str) -> list[Theirs]:
    """Those arrays that there are, each as it is."""
    return [plain(name, given[name], name) for name in names if name in given]


def _numbered(layer: Slots, kind: str, *tensors: Theirs) -> Module:
    """A layer whose arrays Keras numbers: `vars.0`, `vars.1`."""
    return Module(layer.path, tuple(replace(t, name=f"vars.{number}")
                                    for number, t in enumerate(tensors)), kind)


def _impossible(layer: Slots, why: str, help: str = "") -> SpecError:
    return SpecError([diagnostic(
        "F0884", f"`{layer.path}` has no counterpart in Keras: {why}", help=help)])
