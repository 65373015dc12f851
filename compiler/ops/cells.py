"""What recurrent operators share: a cell's fields and arrays, the inputs that they take."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from compiler.ops.base import (
    ZEROS,
    Init,
    Operator,
    Parameter,
    Positive,
    ShapeError,
    expect_channels,
)
from compiler.types import TensorType

Return = Literal["sequence", "last", "state"]


class Cell(Operator):
    """What every recurrent operator has: units, gates, biases, and the state it begins with."""

    main: ClassVar[str | None] = "units"
    # How many pre-activations a unit has, and whether it keeps a cell beside its output.
    gates: ClassVar[int] = 1
    keeps_cell: ClassVar[bool] = False

    units: Positive = Field(description="numbers in the state")
    biases: Literal[0, 1, 2] = Field(1, description=(
        "learned numbers for each gate: none, one, or, as in PyTorch, one for the input's "
        "product and one for the state's"))

    @property
    def width(self) -> int:
        """Channels of the output."""
        return self.units

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The sizes of what a cell carries: h, and c where it has one."""
        return (self.width, self.units) if self.keeps_cell else (self.width,)

    def cell_macs(self, features: int) -> int:
        """Multiply-accumulates of one step."""
        return (features + self.width) * self.gates * self.units

    def cell_parameters(self, features: int, suffix: str = "") -> dict[str, Parameter]:
        """The arrays of one cell whose input has so many channels."""
        n = self.gates
        columns = n * self.units
        found = {
            f"kernel{suffix}": Parameter(
                (features, columns), Init("lecun_normal", blocks=n), "kernel"),
            f"recurrent_kernel{suffix}": Parameter(
                (self.width, columns), Init("orthogonal", blocks=n), "recurrent_kernel"),
        }
        if self.biases >= 1:
            found[f"bias{suffix}"] = Parameter((columns,), self.bias_init(), "bias")
        if self.biases == 2:
            found[f"recurrent_bias{suffix}"] = Parameter((columns,), ZEROS, "recurrent_bias")
        return found

    def bias_init(self) -> Init:
        """How the first bias begins."""
        return ZEROS


class LstmFields(Cell):
    """What an LSTM adds: a cell, the forget gate's bias, a projection of the output."""

    gates: ClassVar[int] = 4
    keeps_cell: ClassVar[bool] = True

    projection: Positive | None = Field(None, description=(
        "numbers in the output and its recurrent state, made from the units by a further "
        "kernel (Sak et al. 2014)"))
    forget_bias: float = Field(1.0, description=(
        "where the forget gate's bias begins (Gers et al. 2000); the other biases begin at 0"))

    @property
    def width(self) -> int:
        return self.projection or self.units

    def cell_macs(self, features: int) -> int:
        return super().cell_macs(features) + self.units * (self.projection or 0)

    def cell_parameters(self, features: int, suffix: str = "") -> dict[str, Parameter]:
        found = super().cell_parameters(features, suffix)
        if self.projection:
            found[f"projection{suffix}"] = Parameter(
                (self.units, self.projection), Init("lecun_normal"), "projection")
        return found

    def bias_init(self) -> Init:
        return forget_gate_bias(self.units, self.forget_bias)


class GruFields(Cell):
    """What a GRU adds: where the reset gate stands."""

    gates: ClassVar[int] = 3

    reset: Literal["after", "before"] = Field("after", description=(
        "the reset gate multiplies the state's product (after: cuDNN, PyTorch, Keras) or the "
        "state itself (before: the paper)"))


class RnnFields(Cell):
    """What the plain network adds: its activation."""

    activation: Literal["tanh", "relu"] = Field("tanh", description="of the new state")


def forget_gate_bias(units: int, value: float) -> Init:
    """`value` for the second gate of four, zeros for the others."""
    numbers: Any = (0.0,) * units + (value,) * units + (0.0,) * (2 * units)
    return Init("constant", {"value": numbers})


# -- what they take ----------------------------------------------------------------------------


def expect_sequence(x: TensorType, word: str) -> int:
    """The channels of a sequence (time, channels).

    Raises:
        ShapeError: `x` has other axes.
    """
    channels = expect_channels(x, word)
    if x.axes == ("time", "channels"):
        return channels
    remedy = "flatten each step: `layers: {each: time, layers: [flatten]}`, or use `conv_lstm`"
    if "time" not in x.axes:
        remedy = ("declare the input with `axes: [time, channels]`, or make a time axis: "
                  "`reshape: {shape: [28, 28], axes: [time, channels]}`")
    raise ShapeError(
        f"`{word}` reads a sequence (time, channels), but its input is {x.described()}",
        remedy, code="F0403")


def expect_vector(x: TensorType, word: str) -> int:
    """The channels of one step.

    Raises:
        ShapeError: `x` has other axes.
    """
    channels = expect_channels(x, word)
    if x.axes == ("channels",):
        return channels
    raise ShapeError(f"`{word}` takes one step, (channels), but its input is {x.described()}",
                     f"use `{word.removesuffix('_cell')}` for a sequence", code="F0403")


def expect_state(
    x: TensorType, whole: int, outputs: int, word: str, field: str = "initial",
    like: TensorType | None = None,
) -> None:
    """Check a tensor to begin with: the whole state, or its outputs alone.

    Args:
        x: the tensor.
        whole: the channels of the whole state.
        outputs: the channels of the outputs h in it.
        word: the operator.
        field: the field that names it.
        like: a tensor with its other axes; no other axes where not given.

    Raises:
        ShapeError: it has other axes or another size.
    """
    expect_channels(x, word)
    expected = like or TensorType(("channels",), (whole,))
    if x.without("channels") == expected.without("channels") and x.channels in (whole, outputs):
        return
    sizes = f"{whole}" if whole == outputs else f"{whole} (or {outputs}, its outputs alone)"
    raise ShapeError(
        f"the state of `{word}` has {sizes} channels, but `{field}` is {x.described()}",
        "name the `.state` of an equal layer, or bring the tensor to that size with `dense`"
        if like is None else "name the `.state` of an equal layer over images of the same size",
        field)


def steps_of(x: TensorType) -> int:
    """The length of time, 1 where it is unknown."""
    return x.length if isinstance(x.length, int) else 1
