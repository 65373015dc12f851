"""Normalisations: by learned, measured or given means and deviations."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.ops.base import (
    ONES,
    ZEROS,
    Operator,
    Parameter,
    Positive,
    ShapeError,
    Window,
    divisor,
    expect_axis,
    expect_channels,
    expect_float,
    expect_known,
)
from compiler.types import TensorType

PositiveFloat = Annotated[float, Field(gt=0)]
AxisName = Literal["time", "depth", "height", "width", "frequency", "channels"]


class Norm(Operator):
    """What brings numbers to mean 0 and variance 1, then scales and shifts them.

    Means and variances are computed in float32 at least. Padded steps do not count in them.
    """

    epsilon: PositiveFloat = Field(1e-5, description="added to the variance")
    scale: bool = Field(True, description="multiply by a learned number, 1 at first")
    bias: bool = Field(True, description="add a learned number, 0 at first")

    def infer(self, *inputs: TensorType) -> TensorType:
        expect_channels(inputs[0], self.word)
        return inputs[0]

    def affine(self, x: TensorType) -> tuple[int, ...]:
        """The shape of scale and bias."""
        return (expect_channels(x, self.word),)

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        shape = self.affine(inputs[0])
        result = {}
        if self.scale:
            result["scale"] = Parameter(shape, ONES, "scale")
        if self.bias:
            result["bias"] = Parameter(shape, ZEROS, "bias")
        return result


class BatchNorm(Norm):
    """Normalisation of each channel over the batch, time and space (Ioffe & Szegedy 2015).

    In evaluation, and where it is frozen, it uses running statistics instead. The running
    variance is the unbiased one, as in PyTorch. Rows that only pad a batch do not count.
    """

    word: ClassVar[str] = "batch_norm"
    modal: ClassVar[bool] = True

    momentum: Annotated[float, Field(ge=0, le=1)] = Field(0.9, description=(
        "how much of the running statistics a training step keeps (PyTorch's is 1 - this)"))

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        shape = self.affine(inputs[0])
        return {**super().parameters(*inputs),
                "mean": Parameter(shape, ZEROS, "mean", statistic=True),
                "var": Parameter(shape, ONES, "var", statistic=True)}


class LayerNorm(Norm):
    """Normalisation of each step or place apart, over its channels (Ba et al. 2016)."""

    word: ClassVar[str] = "layer_norm"

    axes: tuple[AxisName, ...] = Field(("channels",), min_length=1, description=(
        "the axes that mean and variance are taken over; scale and bias have their sizes"))

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        expect_float(x, self.word)
        self.affine(x)
        return x

    def affine(self, x: TensorType) -> tuple[int, ...]:
        for axis in self.axes:
            expect_axis(x, axis, self.word, "axes")
        return tuple(
            expect_known(x.size(a), f"the size of {a}, over which `layer_norm` goes,",
                         f"leave {a} out of `axes`, or use `group_norm: 1`")
            for a in x.axes if a in self.axes)

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {a: None for a in inputs[0].window_axes if a in self.axes}


class GroupNorm(Norm):
    """Normalisation over groups of channels, time and space, each row apart (Wu & He 2018)."""

    word: ClassVar[str] = "group_norm"
    main: ClassVar[str | None] = "groups"

    groups: Positive = Field(32, description="how many groups the channels are divided into")

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        channels = expect_channels(x, self.word)
        if channels % self.groups:
            raise ShapeError(f"`groups: {self.groups}` does not divide the {channels} channels",
                             f"`groups: {divisor(channels, self.groups)}` does", "groups", "F0406")
        return x

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return dict.fromkeys(inputs[0].window_axes)


class InstanceNorm(Norm):
    """Normalisation of each channel over time and space, each row apart (Ulyanov et al. 2016)."""

    word: ClassVar[str] = "instance_norm"

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        expect_channels(x, self.word)
        if not x.window_axes:
            raise ShapeError(
                f"`instance_norm` goes over time or space, but its input is {x.described()}",
                "use `layer_norm` or `batch_norm` here", code="F0403")
        return x

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return dict.fromkeys(inputs[0].window_axes)


class RMSNorm(Operator):
    """Division of the channels by their root mean square (Zhang & Sennrich 2019)."""

    word: ClassVar[str] = "rms_norm"

    epsilon: PositiveFloat = Field(1e-6, description="added to the mean square")
    scale: bool = Field(True, description="multiply by a learned number, 1 at first")

    def infer(self, *inputs: TensorType) -> TensorType:
        expect_channels(inputs[0], self.word)
        return inputs[0]

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        shape = (expect_channels(inputs[0], self.word),)
        return {"scale": Parameter(shape, ONES, "scale")} if self.scale else {}


class LocalResponseNorm(Operator):
    """Division by the squares of neighbouring channels (Krizhevsky et al. 2012).

    x / (k + alpha / size · sum of squares)^beta; the sum goes over `size` channels, from
    size // 2 before to (size - 1) // 2 after, as PyTorch's does.
    """

    word: ClassVar[str] = "local_response_norm"
    main: ClassVar[str | None] = "size"

    size: Positive = Field(5, description="channels in a neighbourhood")
    alpha: float = Field(1e-4, description="weight of the mean of the squares")
    beta: float = Field(0.75, description="exponent of the divisor")
    k: PositiveFloat = Field(1.0, description="what the divisor is for an input of zeros")

    def infer(self, *inputs: TensorType) -> TensorType:
        expect_channels(inputs[0], self.word)
        return inputs[0]


class Normalise(Operator):
    """Subtraction of a given mean and division by a given deviation; nothing is learned."""

    word: ClassVar[str] = "normalise"

    mean: float | tuple[float, ...] = Field(
        0.0, description="what is subtracted: one number, or one for each channel")
    deviation: PositiveFloat | tuple[PositiveFloat, ...] = Field(
        1.0, description="what is divided by: one number, or one for each channel")

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        expect_float(x, self.word)
        for name, value in (("mean", self.mean), ("deviation", self.deviation)):
            if isinstance(value, tuple) and len(value) != expect_channels(x, self.word):
                raise ShapeError(
                    f"`{name}` has {len(value)} numbers, but the input has {x.channels} channels",
                    f"give one number, or {x.channels} of them", name, "F0410")
        return x


NormalisationOperator = (
    BatchNorm | LayerNorm | GroupNorm | InstanceNorm | RMSNorm | LocalResponseNorm | Normalise
)
OPERATORS = (
    BatchNorm, LayerNorm, GroupNorm, InstanceNorm, RMSNorm, LocalResponseNorm, Normalise,
)
