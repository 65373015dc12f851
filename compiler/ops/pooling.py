"""Pools: one number from a window, or from a whole axis. They own no parameters."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compiler.ops.base import (
    Operator,
    Padding,
    PerAxis,
    ShapeError,
    Window,
    expect_axis,
    expect_float,
    per_axis,
)
from compiler.ops.windows import Geometry, expect_windows, geometry
from compiler.types import TensorType


class WindowPool(Operator):
    """What moves a window over time and space."""

    main: ClassVar[str | None] = "window"

    window: PerAxis = Field(description="size of the window, one number or one for each axis")
    stride: PerAxis | None = Field(None, description=(
        "steps from one window to the next; the window's size where not given"))
    padding: Padding = Field("valid", description=(
        "places around the input: valid (none), same, same_upper, a number, or a number or "
        "pair for each axis"))
    ceil: bool = Field(False, description=(
        "keep a last window that reaches beyond the end; it may not begin behind it"))

    def geometry(self, x: TensorType) -> Geometry:
        """Where the window stands on `x`."""
        stride = self.window if self.stride is None else self.stride
        return geometry(x, self.word, "window", self.window, stride, self.padding,
                        getattr(self, "dilation", 1), self.ceil)

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        expect_float(x, self.word)
        g = self.geometry(x)
        for axis, pads, reach in zip(g.axes, g.pads, g.reach):
            if max(pads) >= reach:
                raise ShapeError(
                    f"padding of {max(pads)} on the {axis} axis holds a whole window of {reach}, "
                    "which would see no input",
                    "make `padding` at most half of the window", "padding", "F0411")
        return g.output(x, "window")

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return self.geometry(inputs[0]).windows()


class MaxPool(WindowPool):
    """The largest number in each window; padding never wins."""

    word: ClassVar[str] = "max_pool"

    dilation: PerAxis = Field(1, description="steps between neighbours in the window")


class AveragePool(WindowPool):
    """The mean of each window."""

    word: ClassVar[str] = "average_pool"

    count_padding: bool = Field(True, description=(
        "count padding as zeros in the mean, as PyTorch and Flax do; if false, the mean is of "
        "the real places"))


class GlobalPool(Operator):
    """What reduces whole axes."""

    main: ClassVar[str | None] = "over"

    over: Literal["time", "space"] | None = Field(
        None, description="reduce the time axis or the space axes; both where not given")

    def axes(self, axes: tuple[str, ...]) -> tuple[str, ...]:
        """Which of a tensor's axes are reduced."""
        wanted = {"time": lambda a: a == "time",
                  "space": lambda a: a not in ("time", "channels"),
                  None: lambda a: a != "channels"}[self.over]
        return tuple(a for a in axes if wanted(a))

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        expect_float(x, self.word)
        reduced = self.axes(x.axes)
        if not reduced:
            raise ShapeError(
                f"`{self.word}` reduces {self.over or 'time or space'}, but its input is "
                f"{x.described()}", "leave the layer out, or change `over`",
                "over" if self.over else "", "F0403")
        return x.without(*reduced)

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return dict.fromkeys(self.axes(inputs[0].axes))


class GlobalAveragePool(GlobalPool):
    """The mean over all of time and space, of the real steps only."""

    word: ClassVar[str] = "global_average_pool"


class GlobalMaxPool(GlobalPool):
    """The largest number over all of time and space, of the real steps only."""

    word: ClassVar[str] = "global_max_pool"


class AdaptiveAveragePool(Operator):
    """The means of a fixed number of bins along each axis, whatever the input's size.

    Bin i goes from floor(i · size / bins) to ceil((i + 1) · size / bins), as PyTorch's; the
    bins of a time axis divide each row's own length.
    """

    word: ClassVar[str] = "adaptive_average_pool"
    main: ClassVar[str | None] = "size"

    size: PerAxis = Field(description="bins, one number or one for each time and space axis")

    def bins(self, x: TensorType) -> dict[str, int]:
        """How many bins each axis gets."""
        rank = expect_windows(x, self.word)
        return dict(zip(x.window_axes, per_axis(self.size, rank, "size")))

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        expect_float(x, self.word)
        return x.resized(**self.bins(x))

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        (x,) = inputs
        result: dict[str, Window | None] = {}
        for axis, bins in self.bins(x).items():
            size = x.size(axis)
            if not isinstance(size, int):
                result[axis] = None
                continue
            widest = max(-(-(i + 1) * size // bins) - i * size // bins for i in range(bins))
            result[axis] = Window(widest, max(size // bins, 1))
        return result


class Pool(Operator):
    """One vector from a sequence: its mean, its largest numbers or its last step."""

    word: ClassVar[str] = "pool"
    main: ClassVar[str | None] = "how"

    how: Literal["mean", "max", "last"] = Field(
        "mean", description="which number stands for the real steps")
    over: Literal["time"] = Field("time", description="the axis that goes")

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        expect_float(x, self.word)
        expect_axis(x, self.over, self.word, "over")
        return x.without(self.over)

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {"time": None}


PoolingOperator = (
    MaxPool | AveragePool | GlobalAveragePool | GlobalMaxPool | AdaptiveAveragePool | Pool
)
OPERATORS = (MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool, AdaptiveAveragePool, Pool)
