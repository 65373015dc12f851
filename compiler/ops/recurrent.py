"""Recurrent layers over time, and their cells for one step.

A layer's state is one tensor of channels: for each of its layers, for each direction, what
that direction's cell carries from step to step: h, or h and c for an LSTM.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from pydantic import Field

from compiler.ops.base import (
    ZEROS,
    Init,
    Operator,
    Parameter,
    PerAxis,
    Positive,
    Probability,
    ShapeError,
    Window,
    expect_channels,
    per_axis,
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


# -- layers over time --------------------------------------------------------------------------


class Layers(Cell):
    """Cells over a sequence: stacked, in one direction or both."""

    references: ClassVar[tuple[str, ...]] = ("initial",)

    layers: Positive = Field(1, description="how many are stacked")
    bidirectional: bool = Field(False, description="read from both ends, with weights of their own")
    merge: Literal["concat", "sum"] = Field(
        "concat", description="how the two directions of each layer become one tensor")
    reverse: bool = Field(False, description="read from each row's last step to its first")
    dropout: Probability = Field(
        0.0, description="of the outputs of all layers but the last, in training")
    recurrent_dropout: Probability = Field(0.0, description=(
        "of the state where it is multiplied, the same at all steps of a row, in training (Gal & "
        "Ghahramani 2016)"))
    return_: Return = Field("sequence", alias="return", description=(
        "what flows on: every step's output, the last one's, or the whole state"))
    initial: str | None = Field(None, description=(
        "the tensor to begin with, such as `encoder.state`, or outputs h alone; zeros where not "
        "given"))
    carry: Literal["within", "across"] = Field("within", description=(
        "begin each batch anew, or where the batch before ended, without a gradient through the "
        "border (truncated back-propagation)"))

    @property
    def random(self) -> Literal["never", "training", "always"]:  # type: ignore[override]
        return "training" if self.drops else "never"

    @property
    def modal(self) -> bool:  # type: ignore[override]
        return self.drops

    @property
    def drops(self) -> bool:
        """Whether training differs from evaluation."""
        return self.recurrent_dropout > 0 or (self.dropout > 0 and self.layers > 1)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What the names of each direction's parameters end with."""
        return ("", "_backward") if self.bidirectional else ("",)

    @property
    def merged(self) -> int:
        """Channels of each layer's output."""
        return self.width * (2 if self.bidirectional and self.merge == "concat" else 1)

    @property
    def all_state_sizes(self) -> tuple[int, ...]:
        """The sizes of all that the layers carry, in the order in which `.state` holds them."""
        return self.state_sizes * (self.layers * len(self.suffixes))

    def infer(self, *inputs: TensorType) -> TensorType:
        return self.outputs(*inputs)[self.return_]

    def outputs(self, *inputs: TensorType) -> dict[str, TensorType]:
        x = inputs[0]
        expect_sequence(x, self.word)
        self._check_fields()
        if len(inputs) > 1:
            outputs = self.state_sizes[0] * self.layers * len(self.suffixes)
            expect_state(inputs[1], sum(self.all_state_sizes), outputs, self.word)
        assert x.length is not None
        found = {
            "sequence": TensorType(("time", "channels"), (x.length, self.merged)),
            "last": TensorType(("channels",), (self.merged,)),
            "state": TensorType(("channels",), (sum(self.all_state_sizes),)),
        }
        return {self.return_: found[self.return_]} | found

    def _check_fields(self) -> None:
        if self.bidirectional and self.reverse:
            raise ShapeError(f"a bidirectional `{self.word}` reads in both directions already",
                             "drop `reverse`", "reverse", "F0452")
        if self.carry == "within":
            return
        if self.bidirectional or self.reverse:
            raise ShapeError(
                f"`{self.word}` cannot carry its state across batches and read them backwards",
                "drop `carry: across`, or read forwards only", "carry", "F0452")
        if self.initial is not None:
            raise ShapeError(f"`{self.word}` has two states to begin with",
                             "drop `initial` or `carry: across`", "initial", "F0452")

    def _inputs_of_layers(self, x: TensorType) -> list[int]:
        """The channels that arrive at each layer."""
        return [expect_sequence(x, self.word), *(self.merged,) * (self.layers - 1)]

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        found: dict[str, Parameter] = {}
        for number, features in enumerate(self._inputs_of_layers(inputs[0])):
            for suffix in self.suffixes:
                found |= self.cell_parameters(features, f"_{number}{suffix}")
        return found

    def macs(self, *inputs: TensorType) -> int:
        per_step = sum(map(self.cell_macs, self._inputs_of_layers(inputs[0])))
        return steps_of(inputs[0]) * len(self.suffixes) * per_step

    def steps(self, *inputs: TensorType) -> int:
        return steps_of(inputs[0]) * self.layers

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {"time": None}

    def saved(self, *inputs: TensorType) -> int:
        # Gates, the cell and the output of every step.
        per_step = self.gates * self.units + sum(self.state_sizes)
        return steps_of(inputs[0]) * self.layers * len(self.suffixes) * per_step


class Rnn(Layers, RnnFields):
    """Plain recurrent layers: h' = act(x W + b + h U) (Elman 1990)."""

    word: ClassVar[str] = "rnn"


class Lstm(Layers, LstmFields):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with gates i, f, g, o."""

    word: ClassVar[str] = "lstm"


class Gru(Layers, GruFields):
    """Gated recurrent units (Cho et al. 2014) with gates r, z, n."""

    word: ClassVar[str] = "gru"


# -- one step ----------------------------------------------------------------------------------


class OneStep(Cell):
    """A cell for one step, for the body of a scan."""

    references: ClassVar[tuple[str, ...]] = ("state",)

    state: str | None = Field(
        None, description="the state before this step; zeros where not given")

    def infer(self, *inputs: TensorType) -> TensorType:
        return self.outputs(*inputs)["output"]

    def outputs(self, *inputs: TensorType) -> dict[str, TensorType]:
        expect_vector(inputs[0], self.word)
        if len(inputs) > 1:
            expect_state(inputs[1], sum(self.state_sizes), self.width, self.word, "state")
        return {"output": TensorType(("channels",), (self.width,)),
                "state": TensorType(("channels",), (sum(self.state_sizes),))}

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        return self.cell_parameters(expect_vector(inputs[0], self.word))

    def macs(self, *inputs: TensorType) -> int:
        return self.cell_macs(expect_vector(inputs[0], self.word))

    def saved(self, *inputs: TensorType) -> int:
        return self.gates * self.units + sum(self.state_sizes)


class RnnCell(OneStep, RnnFields):
    """One step of `rnn`; its state is its output."""

    word: ClassVar[str] = "rnn_cell"


class LstmCell(OneStep, LstmFields):
    """One step of `lstm`; its state is the output h and the cell c."""

    word: ClassVar[str] = "lstm_cell"


class GruCell(OneStep, GruFields):
    """One step of `gru`; its state is its output."""

    word: ClassVar[str] = "gru_cell"


# -- images over time --------------------------------------------------------------------------


class ConvLstm(Operator):
    """An LSTM over images whose products are convolutions (Shi et al. 2015, without peepholes).

    Input and state are padded with zeros, so that the state keeps the image's size.
    """

    word: ClassVar[str] = "conv_lstm"
    main: ClassVar[str | None] = "filters"
    references: ClassVar[tuple[str, ...]] = ("initial",)

    filters: Positive = Field(description="channels of the state")
    kernel: PerAxis = Field(3, description=(
        "size of the window over the input and the state, odd, one number or one for each axis"))
    bias: bool = Field(True, description="add a learned number to each gate")
    forget_bias: float = Field(1.0, description=(
        "where the forget gate's bias begins (Gers et al. 2000); the other biases begin at 0"))
    return_: Return = Field("sequence", alias="return", description=(
        "what flows on: every step's output, the last one's, or output and cell of the last step"))
    initial: str | None = Field(None, description=(
        "the tensor to begin with, such as `encoder.state`, or an output h alone; zeros where "
        "not given"))

    def infer(self, *inputs: TensorType) -> TensorType:
        return self.outputs(*inputs)[self.return_]

    def outputs(self, *inputs: TensorType) -> dict[str, TensorType]:
        x = inputs[0]
        self.window_on(x)
        frame = x.without("time")
        if len(inputs) > 1:
            expect_state(inputs[1], 2 * self.filters, self.filters, self.word,
                         like=frame.as_float(self.filters))
        found = {"sequence": x.as_float(self.filters), "last": frame.as_float(self.filters),
                 "state": frame.as_float(2 * self.filters)}
        return {self.return_: found[self.return_]} | found

    def window_on(self, x: TensorType) -> tuple[int, ...]:
        """The window over the space axes of `x`.

        Raises:
            ShapeError: `x` is no sequence of images, or the window has a side that is even.
        """
        expect_channels(x, self.word)
        if x.axes[0] != "time" or not 3 <= len(x.axes) <= 5:
            raise ShapeError(
                f"`{self.word}` reads images over time, its input is {x.described()}",
                "give it the axes (time, height, width, channels); without space axes use `lstm`",
                code="F0403")
        window = per_axis(self.kernel, len(x.axes) - 2, "kernel")
        if any(k % 2 == 0 for k in window):
            raise ShapeError(
                f"an even window has no middle, and would move the state of `{self.word}`",
                "choose an odd `kernel`", "kernel", "F0205")
        return window

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        window, features = self.window_on(inputs[0]), expect_channels(inputs[0], self.word)
        columns = 4 * self.filters
        found = {
            "kernel": Parameter((*window, features, columns), Init("lecun_normal", blocks=4),
                                "kernel"),
            "recurrent_kernel": Parameter((*window, self.filters, columns),
                                          Init("orthogonal", blocks=4), "recurrent_kernel"),
        }
        if self.bias:
            found["bias"] = Parameter(
                (columns,), forget_gate_bias(self.filters, self.forget_bias), "bias")
        return found

    def macs(self, *inputs: TensorType) -> int:
        x = inputs[0]
        features = expect_channels(x, self.word)
        places = x.elements // features
        taps = math.prod(self.window_on(x))
        return places * taps * (features + self.filters) * 4 * self.filters

    def steps(self, *inputs: TensorType) -> int:
        return steps_of(inputs[0])

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {axis: None for axis in inputs[0].window_axes}

    def saved(self, *inputs: TensorType) -> int:
        return 6 * self.outputs(*inputs)["sequence"].elements


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
    raise ShapeError(f"`{word}` reads a sequence (time, channels), its input is {x.described()}",
                     remedy, code="F0403")


def expect_vector(x: TensorType, word: str) -> int:
    """The channels of one step.

    Raises:
        ShapeError: `x` has other axes.
    """
    channels = expect_channels(x, word)
    if x.axes == ("channels",):
        return channels
    raise ShapeError(f"`{word}` takes one step, (channels), its input is {x.described()}",
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
    sizes = f"{whole}" if whole == outputs else f"{whole} (all of it) or {outputs} (outputs alone)"
    raise ShapeError(
        f"the state of `{word}` has {sizes} channels, but `{field}` is {x.described()}",
        "name the `.state` of an equal layer, or bring the tensor to that size with `dense`"
        if like is None else "name the `.state` of an equal layer over images of the same size",
        field)


def steps_of(x: TensorType) -> int:
    """The length of time, 1 where it is unknown."""
    return x.length if isinstance(x.length, int) else 1


RecurrentOperator = Rnn | Lstm | Gru | RnnCell | LstmCell | GruCell | ConvLstm
OPERATORS = (Rnn, Lstm, Gru, RnnCell, LstmCell, GruCell, ConvLstm)
