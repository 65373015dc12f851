"""The convolutional LSTM over images in time, and its cell for one step."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field

from compiler.ops.base import (
    Init,
    Operator,
    Parameter,
    PerAxis,
    Positive,
    ShapeError,
    Window,
    expect_channels,
    per_axis,
)
from compiler.ops.cells import Return, expect_state, forget_gate_bias, steps_of
from compiler.types import TensorType


class ConvCell(Operator):
    """What the layer and its cell share: filters, the window, the arrays of the four gates."""

    main: ClassVar[str | None] = "filters"

    filters: Positive = Field(description="channels of the state")
    kernel: PerAxis = Field(3, description=(
        "size of the window over the input and the state, odd, one number or one for each axis"))
    bias: bool = Field(True, description="add a learned number to each gate")
    forget_bias: float = Field(1.0, description=(
        "where the forget gate's bias begins (Gers et al. 2000); the other biases begin at 0"))

    def frame_of(self, x: TensorType) -> TensorType:
        """One step's image.

        Raises:
            ShapeError: `x` is not what the operator reads.
        """
        raise NotImplementedError

    def window_on(self, frame: TensorType) -> tuple[int, ...]:
        """The window over the space axes of a frame.

        Raises:
            ShapeError: it has a side that is even.
        """
        window = per_axis(self.kernel, len(frame.axes) - 1, "kernel")
        if any(k % 2 == 0 for k in window):
            raise ShapeError(
                f"an even window has no middle, and would move the state of `{self.word}`",
                "choose an odd `kernel`", "kernel", "F0205")
        return window

    def state_of(self, frame: TensorType, inputs: tuple[TensorType, ...], field: str) -> TensorType:
        """The type of the whole state: h and c of an image.

        Raises:
            ShapeError: the window does not fit, or a given state has another type.
        """
        self.window_on(frame)
        if len(inputs) > 1:
            expect_state(inputs[1], 2 * self.filters, self.filters, self.word, field,
                         like=frame.as_float(self.filters))
        return frame.as_float(2 * self.filters)

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        frame = self.frame_of(inputs[0])
        window, features = self.window_on(frame), expect_channels(frame, self.word)
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
        taps = math.prod(self.window_on(self.frame_of(x)))
        return x.elements // features * taps * (features + self.filters) * 4 * self.filters


class ConvLstm(ConvCell):
    """An LSTM over images whose products are convolutions (Shi et al. 2015, without peepholes).

    Input and state are padded with zeros, so that the state keeps the image's size.
    """

    word: ClassVar[str] = "conv_lstm"
    references: ClassVar[tuple[str, ...]] = ("initial",)

    return_: Return = Field("sequence", alias="return", description=(
        "what flows on: every step's output, the last one's, or output and cell of the last step"))
    initial: str | None = Field(None, description=(
        "the tensor to begin with, such as `encoder.state`, or an output h alone; zeros where "
        "not given"))

    def frame_of(self, x: TensorType) -> TensorType:
        expect_channels(x, self.word)
        if x.axes[0] != "time" or not 3 <= len(x.axes) <= 5:
            raise ShapeError(
                f"`{self.word}` reads images over time, but its input is {x.described()}",
                "give it the axes (time, height, width, channels); without space axes use `lstm`",
                code="F0403")
        return x.without("time")

    def infer(self, *inputs: TensorType) -> TensorType:
        return self.outputs(*inputs)[self.return_]

    def outputs(self, *inputs: TensorType) -> dict[str, TensorType]:
        x, frame = inputs[0], self.frame_of(inputs[0])
        found = {"sequence": x.as_float(self.filters), "last": frame.as_float(self.filters),
                 "state": self.state_of(frame, inputs, "initial")}
        return {self.return_: found[self.return_]} | found

    def steps(self, *inputs: TensorType) -> int:
        return steps_of(inputs[0])

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {axis: None for axis in inputs[0].window_axes}

    def saved(self, *inputs: TensorType) -> int:
        # Gates, the cell and the output of every step.
        return 6 * self.outputs(*inputs)["sequence"].elements


class ConvLstmCell(ConvCell):
    """One step of `conv_lstm`; its state is the output h and the cell c, images both."""

    word: ClassVar[str] = "conv_lstm_cell"
    references: ClassVar[tuple[str, ...]] = ("state",)

    state: str | None = Field(
        None, description="the state before this step; zeros where not given")

    def frame_of(self, x: TensorType) -> TensorType:
        expect_channels(x, self.word)
        if "time" in x.axes or not 2 <= len(x.axes) <= 4:
            raise ShapeError(
                f"`{self.word}` takes the image of one step, but its input is {x.described()}",
                "use `conv_lstm` for images over time, `lstm_cell` for a step without space axes",
                code="F0403")
        return x

    def infer(self, *inputs: TensorType) -> TensorType:
        return self.outputs(*inputs)["output"]

    def outputs(self, *inputs: TensorType) -> dict[str, TensorType]:
        frame = self.frame_of(inputs[0])
        return {"output": frame.as_float(self.filters),
                "state": self.state_of(frame, inputs, "state")}

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        window = self.window_on(self.frame_of(inputs[0]))
        return {axis: Window(k) for axis, k in zip(inputs[0].window_axes, window)}

    def saved(self, *inputs: TensorType) -> int:
        return 6 * self.outputs(*inputs)["output"].elements
