"""Convolutions and transposed convolutions."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field

from compiler.ops.base import (
    ZEROS,
    Init,
    NonNegative,
    Operator,
    Padding,
    Parameter,
    PerAxis,
    Positive,
    ShapeError,
    Window,
    divisor,
    expect_channels,
    per_axis,
)
from compiler.ops.windows import Geometry, expect_windows, geometry
from compiler.types import Pads, Size, TensorType, product_size, shifted_size


class Conv(Operator):
    """Convolution over the time and space axes, 1-d to 3-d by the input's rank.

    The kernel is (window…, in / groups, out). It begins as Kaiming's normal initialisation
    with fan-out (He et al. 2015), the bias as zeros.
    """

    word: ClassVar[str] = "conv"
    main: ClassVar[str | None] = "filters"

    filters: Positive | None = Field(
        None, description="channels of the output; a depthwise convolution keeps the input's")
    kernel: PerAxis = Field(description="size of the window, one number or one for each axis")
    stride: PerAxis = Field(1, description="steps from one window to the next")
    padding: Padding = Field("same", description=(
        "zeros around the input: same (half of the window on both sides), same_upper "
        "(TensorFlow's), valid (none), a number, or a number or pair for each axis"))
    dilation: PerAxis = Field(1, description="steps between neighbours in the window")
    groups: Positive = Field(1, description="equal groups of channels that do not mix")
    depthwise: bool = Field(False, description="as many groups as the input has channels")
    bias: bool = Field(True, description="add a learned number to each output channel")
    standardise: bool = Field(False, description=(
        "use the kernel with mean 0 and variance 1 for each output channel (Qiao et al. 2019)"))

    def geometry(self, x: TensorType) -> Geometry:
        """Where the window stands on `x`."""
        return geometry(x, self.word, "kernel", self.kernel, self.stride, self.padding,
                        self.dilation)

    def groups_on(self, channels: int) -> int:
        """The number of groups for an input of so many channels."""
        return channels if self.depthwise else self.groups

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        channels = expect_channels(x, self.word)
        expect_windows(x, self.word)
        if self.depthwise and self.groups != 1:
            raise ShapeError("`depthwise` and `groups` exclude each other",
                             "leave `groups` out", "groups", "F0407")
        if self.filters is None and not self.depthwise:
            raise ShapeError("`conv` needs `filters`", "add `filters: 64`, say, or `depthwise: "
                             "true` to keep the number of channels", "filters", "F0407")
        filters = self.filters or channels
        check_groups(self.groups_on(channels), channels, filters, self.depthwise)
        return self.geometry(x).output(x, "kernel").as_float(filters)

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        (x,) = inputs
        channels, window = expect_channels(x, self.word), self.geometry(x).window
        filters = self.filters or channels
        shape = (*window, channels // self.groups_on(channels), filters)
        return kernel_and_bias(shape, filters, self.bias)

    def macs(self, *inputs: TensorType) -> int:
        (x,) = inputs
        channels = expect_channels(x, self.word)
        return (self.infer(x).elements * self.geometry(x).taps
                * (channels // self.groups_on(channels)))

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return self.geometry(inputs[0]).windows()


class ConvTranspose(Operator):
    """Transposed convolution: spreads each input over a window, to grow time and space.

    It is the gradient of a convolution with the same fields (PyTorch's ConvTranspose). The
    kernel is (window…, in / groups, out), begun as a convolution's.
    """

    word: ClassVar[str] = "conv_transpose"
    main: ClassVar[str | None] = "filters"

    filters: Positive = Field(description="channels of the output")
    kernel: PerAxis = Field(description="size of the window, one number or one for each axis")
    stride: PerAxis = Field(1, description="steps in the output from one input to the next")
    padding: Padding = Field("same", description=(
        "how much is cut off around the output: same (what makes it size · stride, an odd one "
        "in front, as in PyTorch), same_upper (the odd one behind, as in TensorFlow), valid "
        "(nothing), a number, or a number or pair for each axis"))
    output_padding: NonNegative | tuple[NonNegative, ...] = Field(0, description=(
        "places added behind the output, where several sizes would be possible"))
    dilation: PerAxis = Field(1, description="steps between neighbours in the window")
    groups: Positive = Field(1, description="equal groups of channels that do not mix")
    bias: bool = Field(True, description="add a learned number to each output channel")

    def geometry(self, x: TensorType) -> Geometry:
        """The window, and as pads what is cut off the full output before and after.

        Both may be negative, for places added; the full output has
        (size - 1) · stride + reach places.
        """
        rank = expect_windows(x, self.word)
        k, s, d = (per_axis(v, rank, n) for v, n in (
            (self.kernel, "kernel"), (self.stride, "stride"), (self.dilation, "dilation")))
        extra = per_axis(self.output_padding, rank, "output_padding")
        if self.padding in ("same", "same_upper"):
            if any(extra):
                raise ShapeError(
                    f"`padding: {self.padding}` already says how large the output is",
                    "leave `output_padding` out, or give `padding` as a number",
                    "output_padding", "F0407")
            cuts = tuple(_same_cut(*a, self.padding == "same_upper") for a in zip(k, s, d))
        else:
            given = geometry(x, self.word, "kernel", k, s, self.padding, d).pads
            cuts = tuple((before, after - more) for (before, after), more in zip(given, extra))
        return Geometry(x.window_axes, k, s, cuts, d)

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        channels = expect_channels(x, self.word)
        geometry = self.geometry(x)
        check_groups(self.groups, channels, self.filters, False)
        sizes: dict[str, Size] = {}
        for axis, stride, cut, reach in zip(
                geometry.axes, geometry.stride, geometry.pads, geometry.reach):
            size = x.size(axis)
            assert size is not None
            # (size - 1) · stride + reach - cut
            grown = product_size(size, stride)
            sizes[axis] = grown = shifted_size(grown, reach - stride - sum(cut))
            if isinstance(grown, int) and grown < 1:
                raise ShapeError(
                    f"`padding` cuts off the whole {axis} axis: {sum(cut)} of "
                    f"{sum(cut) + grown}", "make `padding` smaller", "padding", "F0405")
        return x.resized(**sizes).as_float(self.filters)

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        (x,) = inputs
        channels = expect_channels(x, self.word) // self.groups
        shape = (*self.geometry(x).window, channels, self.filters)
        return kernel_and_bias(shape, self.filters, self.bias)

    def macs(self, *inputs: TensorType) -> int:
        """Every input number meets every tap, also where its product is cut off again."""
        (x,) = inputs
        return x.elements * self.geometry(x).taps * (self.filters // self.groups)

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        """How many inputs meet in one output; that it grows the axis is not told."""
        g = self.geometry(inputs[0])
        return {a: Window(-(-r // s)) for a, r, s in zip(g.axes, g.reach, g.stride)}


def check_groups(groups: int, channels: int, filters: int, depthwise: bool) -> None:
    """Raise ShapeError unless the groups divide the channels that come and go."""
    if filters % groups and depthwise:
        raise ShapeError(
            f"a depthwise convolution of {channels} channels cannot give {filters} channels",
            f"leave `filters` out, or make it a multiple of {channels}", "filters", "F0406")
    for number, what in ((channels, "channels of the input"), (filters, "filters")):
        if number % groups:
            fitting = divisor(math.gcd(channels, filters), groups)
            raise ShapeError(f"`groups: {groups}` does not divide the {number} {what}",
                             f"`groups: {fitting}` divides both the channels and the filters"
                             if fitting > 1 else
                             f"make the channels and the filters multiples of {groups}",
                             "groups", "F0406")


def kernel_and_bias(shape: tuple[int, ...], filters: int, bias: bool) -> dict[str, Parameter]:
    """The parameters of a convolution."""
    result = {"kernel": Parameter(shape, Init("kaiming_normal"), "kernel")}
    if bias:
        result["bias"] = Parameter((filters,), ZEROS, "bias")
    return result


def _same_cut(window: int, stride: int, dilation: int, upper: bool) -> Pads:
    """What to cut so that size · stride places are left; places that lack stand behind."""
    surplus = dilation * (window - 1) + 1 - stride
    before = surplus // 2 if upper else -(-surplus // 2)
    return (max(before, 0), surplus - max(before, 0))


ConvolutionOperator = Conv | ConvTranspose
OPERATORS = (Conv, ConvTranspose)
