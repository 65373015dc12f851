"""Operators that make axes longer or shorter, or move what is on them: pad, crop, slice, shift.

They are words of the family `shape`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from compiler.ops.base import (
    NonNegative,
    Operator,
    PerAxis,
    Positive,
    ShapeError,
    Window,
    expect_axis,
    expect_size,
    per_axis,
)
from compiler.types import AXES, SPACE_AXES, Size, TensorType, window_size

# One number for both sides of an axis, or (before, after).
Sides = NonNegative | tuple[NonNegative, NonNegative]
SPACE = "the same for every space axis that is not named itself"


class Axial(Operator):
    """What is told for each axis apart what to do with it."""

    def steps(self, *inputs: TensorType) -> int:
        return 0

    def chosen(self, x: TensorType) -> dict[str, Any]:
        """The value of each axis that has one, in the order of the axes of `x`.

        Raises:
            ShapeError: a value is for an axis that the input has not.
        """
        space = getattr(self, "space", None)
        for axis in AXES:
            if getattr(self, axis, None) is not None:
                expect_axis(x, axis, self.word, field=axis)
        if space is not None and not set(x.axes) & set(SPACE_AXES):
            raise ShapeError(f"`{self.word}` has a value for space, but its input is "
                             f"{x.described()}", "name the axis it is for", field="space",
                             code="F0403")
        values = {a: getattr(self, a, None) for a in x.axes}
        if space is not None:
            values = {a: space if v is None and a in SPACE_AXES else v for a, v in values.items()}
        return {a: v for a, v in values.items() if v is not None}


def sides(value: Any) -> tuple[int, int]:
    """A `Sides` value as (before, after)."""
    return (value, value) if isinstance(value, int) else value


class Pad(Axial):
    """More elements around the tensor: zeros, its mirror image, or its edge again.

    A row of a sequence is padded where it ends, not where the longest of the batch does.
    """

    word: ClassVar[str] = "pad"

    time: Sides | None = Field(None, description="steps before and after: 2, or [2, 0]")
    space: Sides | None = Field(None, description=SPACE)
    depth: Sides | None = Field(None, description="planes before and after")
    height: Sides | None = Field(None, description="lines above and below")
    width: Sides | None = Field(None, description="columns left and right")
    frequency: Sides | None = Field(None, description="bands below and above")
    channels: Sides | None = Field(None, description="channels before and after")
    mode: Literal["zeros", "reflect", "edge"] = Field(
        "zeros", description="what the new elements are; reflect leaves the edge itself out")

    def infer(self, *inputs: TensorType) -> TensorType:
        x = inputs[0]
        sizes: dict[str, Size] = {}
        for axis, value in self.chosen(x).items():
            size, pads = x.shape[x.axes.index(axis)], sides(value)
            if self.mode == "reflect" and isinstance(size, int) and max(pads) >= size:
                raise ShapeError(
                    f"`pad` cannot mirror {max(pads)} elements of {axis}, which has {size}",
                    f"pad by {size - 1} at most, or use `mode: edge`", field=axis, code="F0447")
            sizes[axis] = window_size(size, 1, pads=pads)
        return x.resized(**sizes)


class Crop(Axial):
    """Less of the tensor: its centre, or without some elements at each side.

    From an odd surplus, the centre leaves the odd line at the end. A row of a sequence is
    cropped at its own end.
    """

    word: ClassVar[str] = "crop"
    main: ClassVar[str | None] = "size"

    size: PerAxis | None = Field(
        None, description="the sizes of the space axes that stay, about the centre")
    time: Sides | None = Field(None, description="steps to drop at the start and the end")
    space: Sides | None = Field(None, description=SPACE)
    depth: Sides | None = Field(None, description="planes to drop in front and behind")
    height: Sides | None = Field(None, description="lines to drop above and below")
    width: Sides | None = Field(None, description="columns to drop left and right")
    frequency: Sides | None = Field(None, description="bands to drop below and above")
    channels: Sides | None = Field(None, description="channels to drop before and after")

    def cuts(self, x: TensorType) -> dict[str, tuple[int, int]]:
        """How many elements go at both sides of each axis that is cropped."""
        cuts = {axis: sides(value) for axis, value in self.chosen(x).items()}
        if self.size is None:
            return cuts
        space = [a for a in x.axes if a in SPACE_AXES]
        if not space:
            raise ShapeError(f"`crop` has a size for space, but its input is {x.described()}",
                             "say how much of which axis goes: `crop: {time: [0, 2]}`",
                             field="size", code="F0403")
        if set(cuts) & set(space):
            raise ShapeError("`crop` has a `size`, and also sides of a space axis",
                             "give only one of the two", field="size", code="F0452")
        for axis, keep in zip(space, per_axis(self.size, len(space), "size")):
            surplus = expect_size(x, axis, self.word) - keep
            if surplus < 0:
                raise ShapeError(
                    f"`crop` cannot leave {keep} elements of {axis}, which has {keep + surplus}",
                    "crop to a smaller size, or `pad` before", field="size", code="F0448")
            cuts[axis] = (surplus // 2, surplus - surplus // 2)
        return cuts

    def infer(self, *inputs: TensorType) -> TensorType:
        x = inputs[0]
        sizes: dict[str, Size] = {}
        for axis, cut in self.cuts(x).items():
            size = x.shape[x.axes.index(axis)]
            left = window_size(size, 1 + sum(cut))
            if isinstance(left, int) and left < 1:
                raise ShapeError(f"`crop` takes {sum(cut)} elements from {axis}, which has "
                                 f"{size}", "crop less", field=axis, code="F0448")
            sizes[axis] = left
        return x.resized(**sizes)


class Range(BaseModel):
    """Which elements of an axis: those from `start` up to but without `stop`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    start: int | None = Field(None, description="the first; negative ones count from the end")
    stop: int | None = Field(None, description="the first that is left out")
    step: Positive = Field(1, description="take every element, every second, …")

    @property
    def follows(self) -> bool:
        """Whether a longer axis never gives fewer elements."""
        return self.stop is None or self.stop < 0 or (self.start or 0) >= 0

    def size(self, size: Size) -> Size:
        """How many elements of an axis are taken."""
        if isinstance(size, int):
            return len(range(*slice(self.start, self.stop, self.step).indices(size)))
        start, stop = self.start or 0, self.stop
        if stop is not None and (start < 0) == (stop < 0) and stop <= start:
            return 0
        if start < 0:
            size, start = f"min({size}, {-start})", 0
        elif stop is not None and stop >= 0:
            size, stop = f"min({size}, {stop})", None
        return window_size(size, 1 + start - (stop or 0), self.step)


class Slice(Axial):
    """Some elements of some axes, chosen as Python does.

    A row of a sequence is cut by its own length: `{time: {start: -3}}` are its last 3 steps.
    """

    word: ClassVar[str] = "slice"

    time: Range | None = Field(None, description="which steps")
    space: Range | None = Field(None, description=SPACE)
    depth: Range | None = Field(None, description="which planes")
    height: Range | None = Field(None, description="which lines")
    width: Range | None = Field(None, description="which columns")
    frequency: Range | None = Field(None, description="which bands")
    channels: Range | None = Field(None, description="which channels")

    def infer(self, *inputs: TensorType) -> TensorType:
        x = inputs[0]
        sizes: dict[str, Size] = {}
        for axis, part in self.chosen(x).items():
            if axis == "time" and not part.follows:
                raise ShapeError(
                    "`slice` counts where it starts and where it stops from different ends of time",
                    "count both from the same end", field="time", code="F0449")
            size = x.shape[x.axes.index(axis)]
            sizes[axis] = part.size(size)
            if sizes[axis] == 0:
                raise ShapeError(f"`slice` leaves nothing of {axis}, which has {size} elements",
                                 "take a part that is there", field=axis, code="F0448")
        return x.resized(**sizes)

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        chosen = self.chosen(inputs[0])
        return {a: Window(1, part.step) for a, part in chosen.items() if a != "channels"}


class Shift(Axial):
    """Every element some places further along an axis; what comes in is `fill`.

    A shift by 1 along time shows each step the one before it. A row of a sequence that
    is shifted back is filled at its own end.
    """

    word: ClassVar[str] = "shift"

    time: int | None = Field(None, description="by how many steps; negative ones go back")
    depth: int | None = Field(None, description="by how many planes")
    height: int | None = Field(None, description="by how many lines")
    width: int | None = Field(None, description="by how many columns")
    frequency: int | None = Field(None, description="by how many bands")
    channels: int | None = Field(None, description="by how many channels")
    fill: float = Field(0.0, description="what comes in")

    def infer(self, *inputs: TensorType) -> TensorType:
        self.chosen(inputs[0])
        if inputs[0].dtype == "int" and self.fill != int(self.fill):
            raise ShapeError(f"`shift` of integers cannot have `fill: {self.fill:g}`",
                             "give a whole number", field="fill", code="F0451")
        return inputs[0]
