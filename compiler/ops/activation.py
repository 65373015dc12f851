"""Operators that act on every element, or normalise along one axis.

The formulas are PyTorch's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from compiler.ops.base import (
    Init,
    Operator,
    Parameter,
    Positive,
    ShapeError,
    Window,
    expect_axis,
    expect_channels,
    expect_float,
)
from compiler.types import TensorType


class Elementwise(Operator):
    """What acts on every float apart; the type stays."""

    def infer(self, *inputs: TensorType) -> TensorType:
        return expect_float(inputs[0], self.word)


class Relu(Elementwise):
    """max(x, 0)."""

    word: ClassVar[str] = "relu"


class Relu6(Elementwise):
    """min(max(x, 0), 6)."""

    word: ClassVar[str] = "relu6"


class LeakyRelu(Elementwise):
    """x where x > 0, else slope · x."""

    word: ClassVar[str] = "leaky_relu"
    main: ClassVar[str | None] = "slope"

    slope: float = Field(0.01, description="the factor of negative values")


class Prelu(Operator):
    """x where x > 0, else slope · x, with a learned slope for each channel (He et al. 2015)."""

    word: ClassVar[str] = "prelu"
    main: ClassVar[str | None] = "slope"

    slope: float = Field(0.25, description="the slope at the beginning")

    def infer(self, *inputs: TensorType) -> TensorType:
        x = expect_float(inputs[0], self.word)
        expect_channels(x, self.word)
        return x

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        channels = expect_channels(inputs[0], self.word)
        return {"slope": Parameter((channels,), Init("constant", {"value": self.slope}), "slope")}


class Elu(Elementwise):
    """x where x > 0, else alpha · (exp(x) - 1) (Clevert et al. 2016)."""

    word: ClassVar[str] = "elu"
    main: ClassVar[str | None] = "alpha"

    alpha: float = Field(1.0, description="what negative values tend to, with a minus")


class Gelu(Elementwise):
    """x · Φ(x), Φ the normal distribution function (Hendrycks & Gimpel 2016)."""

    word: ClassVar[str] = "gelu"

    approximate: bool = Field(False, description="use the approximation by tanh")


class Silu(Elementwise):
    """x · sigmoid(x), also called swish."""

    word: ClassVar[str] = "silu"


class Sigmoid(Elementwise):
    """1 / (1 + exp(-x))."""

    word: ClassVar[str] = "sigmoid"


class Tanh(Elementwise):
    """The hyperbolic tangent."""

    word: ClassVar[str] = "tanh"


class HardSwish(Elementwise):
    """x · relu6(x + 3) / 6 (Howard et al. 2019)."""

    word: ClassVar[str] = "hard_swish"


class Softplus(Elementwise):
    """log(1 + exp(x))."""

    word: ClassVar[str] = "softplus"


class Exp(Elementwise):
    """The exponential."""

    word: ClassVar[str] = "exp"


class Normalised(Operator):
    """What makes the values along one axis a distribution."""

    main: ClassVar[str | None] = "axis"

    axis: str = Field("channels", description="the axis to normalise over; padded steps of "
                                              "`time` get nothing")

    def infer(self, *inputs: TensorType) -> TensorType:
        expect_axis(inputs[0], self.axis, self.word)
        return expect_float(inputs[0], self.word)

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {} if self.axis == "channels" else {self.axis: None}


class Softmax(Normalised):
    """exp(x) / Σ exp(x) along an axis."""

    word: ClassVar[str] = "softmax"


class LogSoftmax(Normalised):
    """The logarithm of softmax; padded steps are 0."""

    word: ClassVar[str] = "log_softmax"


class Maxout(Operator):
    """The maximum of each group of neighbouring channels (Goodfellow et al. 2013)."""

    word: ClassVar[str] = "maxout"
    main: ClassVar[str | None] = "pieces"

    pieces: Positive = Field(2, description="how many channels compete for one of the output")

    def infer(self, *inputs: TensorType) -> TensorType:
        x = expect_float(inputs[0], self.word)
        channels = expect_channels(x, self.word)
        if channels % self.pieces:
            raise ShapeError(
                f"`maxout` cannot put {channels} channels into groups of {self.pieces}",
                f"give the layer before it a multiple of {self.pieces} channels",
                field="pieces", code="F0442")
        return x.resized(channels=channels // self.pieces)


class Numeric(Operator):
    """What acts on every number apart, floats or integers; the type stays."""

    def infer(self, *inputs: TensorType) -> TensorType:
        x = inputs[0]
        return expect_float(x, self.word) if x.dtype == "bool" else replace(x, vocabulary=None)


class Abs(Numeric):
    """The absolute value."""

    word: ClassVar[str] = "abs"


class Clip(Numeric):
    """Values below `min` become `min`, values above `max` become `max`."""

    word: ClassVar[str] = "clip"

    min: float | None = Field(None, description="the smallest value, if bounded")
    max: float | None = Field(None, description="the largest value, if bounded")

    def infer(self, *inputs: TensorType) -> TensorType:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ShapeError(f"`clip` has min {self.min:g} above max {self.max:g}",
                             "exchange the two", field="min", code="F0443")
        if inputs[0].dtype == "int":
            for name in ("min", "max"):
                bound = getattr(self, name)
                if bound is not None and bound != int(bound):
                    raise ShapeError(f"`clip` of integers cannot have `{name}: {bound:g}`",
                                     "give a whole number, or put `cast: float` before it",
                                     field=name, code="F0443")
        return super().infer(*inputs)


class Scale(Operator):
    """Each channel times a learned number (LayerScale, Touvron et al. 2021)."""

    word: ClassVar[str] = "scale"

    init_value: float = Field(1.0, description="the factor at the beginning")

    def infer(self, *inputs: TensorType) -> TensorType:
        x = expect_float(inputs[0], self.word)
        expect_channels(x, self.word)
        return x

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        channels = expect_channels(inputs[0], self.word)
        init = Init("constant", {"value": self.init_value})
        return {"scale": Parameter((channels,), init, "scale")}


class StopGradient(Operator):
    """The input, through which no gradient flows back."""

    word: ClassVar[str] = "stop_gradient"

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def steps(self, *inputs: TensorType) -> int:
        return 0

    def saved(self, *inputs: TensorType) -> int:
        return 0


class Cast(Operator):
    """The same values as another kind: floats to integers are cut, to bool ask for non-zero."""

    word: ClassVar[str] = "cast"
    main: ClassVar[str | None] = "to"

    to: Literal["float", "int", "bool"] = Field(description="the kind of the elements")

    def infer(self, *inputs: TensorType) -> TensorType:
        x = inputs[0]
        if x.dtype == self.to:
            return x
        return TensorType(x.axes, x.shape, self.to)

    def steps(self, *inputs: TensorType) -> int:
        return 0


class Identity(Operator):
    """The input as it is."""

    word: ClassVar[str] = "identity"

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def steps(self, *inputs: TensorType) -> int:
        return 0

    def saved(self, *inputs: TensorType) -> int:
        return 0


ActivationOperator = (
    Relu | Relu6 | LeakyRelu | Prelu | Elu | Gelu | Silu | Sigmoid | Tanh | Softmax | LogSoftmax
    | HardSwish | Softplus | Maxout | Abs | Exp | Clip | Scale | StopGradient | Cast | Identity
)
OPERATORS = (
    Relu, Relu6, LeakyRelu, Prelu, Elu, Gelu, Silu, Sigmoid, Tanh, Softmax, LogSoftmax,
    HardSwish, Softplus, Maxout, Abs, Exp, Clip, Scale, StopGradient, Cast, Identity,
)
