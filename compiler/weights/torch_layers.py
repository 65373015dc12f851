"""What PyTorch calls the arrays of each layer, and how it lays them out.

PyTorch has channels first: a convolution's kernel is (out, in / groups, window…), a linear
layer's (out, in), and what was flattened before it is (channels, height, width). Layers that
PyTorch does not have keep flaxspec's names and layout.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from compiler.diagnostics import SpecError, diagnostic
from compiler.ops.activation import Prelu
from compiler.ops.attention import MultiHeadAttention
from compiler.ops.convolution import Conv, ConvTranspose
from compiler.ops.dense import Dense, Embed
from compiler.ops.normalisation import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from compiler.ops.recurrent import Gru, GruCell, Lstm, LstmCell, Rnn, RnnCell
from compiler.types import TensorType
from compiler.weights.moves import Module, Part, Shape, Theirs, plain, turned
from compiler.weights.slots import Mixed, Slots

# A count of the batches that a norm has seen, which only PyTorch keeps.
COUNT = "num_batches_tracked"
NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def torch_module(layer: Slots, form: str = "") -> Module:
    """A layer as PyTorch has it.

    Args:
        layer: ours.
        form: "conv" for a dense layer that is a convolution there.

    Raises:
        SpecError: F0884 it computes something that PyTorch's layer does not.
    """
    given = {name: p.shape for name, p in layer.parameters.items()}
    match layer.operation:
        case Conv() | ConvTranspose():
            tensors = _convolution(given, transposed=isinstance(layer.operation, ConvTranspose))
        case Dense():
            tensors = _dense(layer, given, form)
        case Embed():
            tensors = [plain("embedding", given["embedding"], "weight")]
        case BatchNorm() | LayerNorm() | GroupNorm() | InstanceNorm() | RMSNorm():
            tensors = [_of_channels(layer, name, given[name], NORM[name])
                       for name in NORM if name in given]
        case Prelu():
            tensors = [_of_channels(layer, "slope", given["slope"], "weight")]
        case Rnn() | Lstm() | Gru() | RnnCell() | LstmCell() | GruCell():
            tensors = _recurrent(layer, layer.operation, given)
        case MultiHeadAttention():
            tensors = _attention(given)
        case _:
            tensors = [plain(name, shape, name) for name, shape in given.items()]
    idle = (COUNT,) if isinstance(layer.operation, BatchNorm) else ()
    return Module(layer.path, tuple(tensors), idle=idle)


def _convolution(given: dict[str, Shape], *, transposed: bool) -> list[Theirs]:
    """(window…, in, out) is (out, in, window…) there, or (in, out, window…)."""
    rank = len(given["kernel"])
    channels = (rank - 2, rank - 1) if transposed else (rank - 1, rank - 2)
    found = [turned("kernel", given["kernel"], (*channels, *range(rank - 2)), "weight")]
    return found + [plain("bias", given["bias"], "bias")] if "bias" in given else found


def _dense(layer: Slots, given: dict[str, Shape], form: str) -> list[Theirs]:
    """(in, out) is (out, in) there, or a convolution's (out, in, 1, 1) or (out, channels, …)."""
    found = []
    if "kernel" in given:
        shape = given["kernel"]
        features, units = shape
        if (image := _image(layer)) is None:
            wide: Shape = (units, features, 1, 1)
            part = Part("kernel", shape, axes=(1, 0))
        else:
            places, channels = _sizes(image)
            wide = (units, channels, *places)
            rank = len(places)
            part = Part("kernel", shape, split=(*places, channels, units),
                        axes=(rank + 1, rank, *range(rank)), joined=(units, features))
        flat: Shape = (units, features)
        one_by_one: Shape = (*flat, 1, 1)
        also = tuple(s for s in dict.fromkeys((flat, wide, one_by_one)))
        part = replace(part, joined=wide if form == "conv" else flat)
        found.append(Theirs("weight", (part,), also=also))
    return found + [plain("bias", given["bias"], "bias")] if "bias" in given else found


def _of_channels(layer: Slots, name: str, shape: Shape, theirs: str) -> Theirs:
    """A number for each channel, where an image may have been flattened before."""
    image = _image(layer)
    if image is None or len(shape) != 1:
        return plain(name, shape, theirs)
    places, channels = _sizes(image)
    rank = len(places)
    return Theirs(theirs, (Part(name, shape, split=(*places, channels),
                                axes=(rank, *range(rank)), joined=shape),))


def _image(layer: Slots) -> TensorType | None:
    """The image that was flattened before a layer.

    Raises:
        SpecError: F0884 it cannot be told which channel is which.
    """
    if isinstance(layer.image, Mixed):
        raise _impossible(layer, "what was flattened before it has another order in PyTorch, and "
                                 "it cannot be told which",
                          "flatten an image right before a dense layer, or pool its space away")
    return layer.image


def _sizes(image: TensorType) -> tuple[Shape, int]:
    """The sizes of an image's axes of space, and its channels."""
    *places, channels = (int(size) for size in image.shape)
    return tuple(places), channels


def _recurrent(layer: Slots, op: Any, given: dict[str, Shape]) -> list[Theirs]:
    """The gates are in PyTorch's order already: i, f, g, o of an LSTM, r, z, n of a GRU."""
    if isinstance(op, Gru | GruCell) and op.reset == "before":
        raise _impossible(layer, "PyTorch's GRU resets after the product",
                          "say `reset: after`, or import it under other names")
    found = []
    for name in given:
        if not name.startswith("kernel"):
            continue
        # kernel_0_backward is weight_ih_l0_reverse; a cell's arrays have no number.
        suffix = name.removeprefix("kernel")
        number, _, direction = suffix.removeprefix("_").partition("_")
        there = (f"_l{number}" if number else "") + ("_reverse" if direction else "")
        found += [turned(f"kernel{suffix}", given[name], (1, 0), f"weight_ih{there}"),
                  turned(f"recurrent_kernel{suffix}", given[f"recurrent_kernel{suffix}"], (1, 0),
                         f"weight_hh{there}")]
        if (bias := f"bias{suffix}") in given:
            shape, second = given[bias], f"recurrent_bias{suffix}"
            found.append(plain(bias, shape, f"bias_ih{there}"))
            found.append(plain(second, shape, f"bias_hh{there}") if second in given else
                         Theirs(f"bias_hh{there}", (Part(bias, shape),), added=True))
        if (projection := f"projection{suffix}") in given:
            found.append(turned(projection, given[projection], (1, 0), f"weight_hr{there}"))
    return found


def _attention(given: dict[str, Shape]) -> list[Theirs]:
    """One kernel for query, key and value there where all are of one width, else three."""
    roles = ("query", "key", "value")
    kernels = [Part(f"{role}_kernel", given[f"{role}_kernel"], axes=(1, 0)) for role in roles]
    if len({part.shape for part in kernels}) == 1:
        found = [Theirs("in_proj_weight", tuple(kernels))]
    else:
        found = [Theirs(f"{role[0]}_proj_weight", (part,)) for role, part in zip(roles, kernels)]
    if "query_bias" in given:
        found.append(Theirs("in_proj_bias", tuple(
            Part(f"{role}_bias", given[f"{role}_bias"]) for role in roles)))
    found.append(turned("output_kernel", given["output_kernel"], (1, 0), "out_proj.weight"))
    if "output_bias" in given:
        found.append(plain("output_bias", given["output_bias"], "out_proj.bias"))
    return found


def _impossible(layer: Slots, why: str, help: str) -> SpecError:
    return SpecError([diagnostic(
        "F0884", f"`{layer.path}` has no counterpart in PyTorch: {why}", help=help)])
