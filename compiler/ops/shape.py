"""Operators that give the elements of a tensor other places or other axes.

Those that only make axes longer or shorter stand in `compiler/ops/extent.py`.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.ops.axes import axes_of, check_axes
from compiler.ops.base import (
    Operator,
    PerAxis,
    Positive,
    ShapeError,
    Window,
    expect_axis,
    expect_channels,
    expect_float,
    expect_size,
    per_axis,
)
from compiler.ops.extent import Crop, Pad, Shift, Slice
from compiler.types import TensorType, product_size


class Rearranging(Operator):
    """What only gives elements other places: no arithmetic, nothing to wait for."""

    def steps(self, *inputs: TensorType) -> int:
        return 0


class Renaming(Rearranging):
    """What leaves the elements where they are in memory."""

    def saved(self, *inputs: TensorType) -> int:
        return 0


class Flatten(Renaming):
    """All axes as one, channels, the last axis running fastest: (height, width, channels).

    Steps that only pad a sequence of known size count as zeros.
    """

    word: ClassVar[str] = "flatten"

    def infer(self, *inputs: TensorType) -> TensorType:
        x = inputs[0]
        size = prod(expect_size(x, axis, self.word) for axis in x.axes)
        return replace(x, axes=("channels",), shape=(size,))

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {axis: None for axis in inputs[0].window_axes}


class Reshape(Renaming):
    """The same elements in the same order under other axes.

    Time, where it is first before and after, keeps the rows' lengths; elsewhere steps that
    only pad count as zeros.
    """

    word: ClassVar[str] = "reshape"
    main: ClassVar[str | None] = "shape"

    shape: tuple[Positive | Literal[-1], ...] = Field(
        description="the new sizes; one may be -1: what is left over")
    axes: tuple[str, ...] | None = Field(
        None, description="the new axes; those of an input of that rank where not given")

    def names(self) -> tuple[str, ...]:
        """The axes of the result."""
        return axes_of(self.shape, self.axes, self.word)

    def infer(self, *inputs: TensorType) -> TensorType:
        x, names = inputs[0], self.names()
        if self.shape.count(-1) > 1:
            raise ShapeError("`reshape` has more than one -1",
                             "leave at most one size to be worked out", field="shape",
                             code="F0446")
        rest = prod(s for s in self.shape if s != -1)
        if isinstance(x.length, str):
            return self._open(x, names, rest)
        count = prod(expect_size(x, axis, self.word) for axis in x.axes)
        if count % rest if -1 in self.shape else count != rest:
            raise ShapeError(
                f"`reshape` cannot make ({', '.join(map(str, self.shape))}) of {x}: that is "
                f"{count} elements", "the product of the sizes must stay the same",
                field="shape", code="F0446")
        shape = tuple(count // rest if s == -1 else s for s in self.shape)
        return replace(x, axes=names, shape=shape)

    def _open(self, x: TensorType, names: tuple[str, ...], rest: int) -> TensorType:
        """The type where the length of time is unknown: it must stay what it is."""
        inside = x.without("time")
        stays = x.axes[0] == "time" and names[:1] == ("time",) and self.shape[0] == -1
        if not stays or prod(expect_size(inside, a, self.word) for a in inside.axes) != rest:
            raise ShapeError(
                f"`reshape` cannot change time: `{x.length}` is known only when the data is there",
                f"keep time as the first axis, `shape: [-1, …]`, and {inside.elements} "
                "elements in each step", field="shape", code="F0404")
        assert x.length is not None
        return replace(x, axes=names, shape=(x.length, *self.shape[1:]))

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        result = self.infer(*inputs)
        return {a: None for a in inputs[0].window_axes if result.size(a) != inputs[0].size(a)}


class Transpose(Rearranging):
    """The axes in another order.

    Names go with their axes. Where channels would not be last, `names` says what the axes
    are called then: `{axes: [channels, time], names: [time, channels]}` exchanges the two.
    Where time is given another name, steps that only pad count as zeros.
    """

    word: ClassVar[str] = "transpose"
    main: ClassVar[str | None] = "axes"

    axes: tuple[str, ...] = Field(description="all axes of the input in their new order")
    names: tuple[str, ...] | None = Field(
        None, description="what they are called afterwards, in that order")

    def infer(self, *inputs: TensorType) -> TensorType:
        x = inputs[0]
        if sorted(self.axes) != sorted(x.axes):
            raise ShapeError(
                f"`transpose` orders the axes {', '.join(self.axes)}, but its input is "
                f"{x.described()}", "name each axis of the input once", field="axes",
                code="F0454")
        if self.names is None and "channels" in self.axes[:-1]:
            raise ShapeError(
                f"`transpose` would have channels before other axes: {', '.join(self.axes)}",
                "say what the axes are called then, for example "
                f"`names: [{', '.join(x.axes)}]`", field="axes", code="F0445")
        names = self.names or self.axes
        check_axes(names, self.word, "names")
        if len(names) != len(self.axes):
            raise ShapeError(f"`transpose` has {len(names)} names for {len(self.axes)} axes",
                             "give each axis one name", field="names", code="F0445")
        shape = []
        for old, new in zip(self.axes, names):
            size = x.length if old == new == "time" else expect_size(x, old, self.word)
            assert size is not None
            shape.append(size)
        return replace(x, axes=names, shape=tuple(shape))

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        pairs = zip(self.axes, self.names or self.axes)
        return {old: None for old, new in pairs if old != new and old != "channels"}


class Upsample(Operator):
    """Every time and space axis longer by a whole factor.

    `bilinear` is linear along every axis, with the corners of PyTorch's
    `align_corners=False`; past a row's ends its first and last elements go on.
    """

    word: ClassVar[str] = "upsample"
    main: ClassVar[str | None] = "scale"

    scale: PerAxis = Field(2, description="by how much, for all axes or for each")
    method: Literal["nearest", "bilinear"] = Field(
        "nearest", description="repeat elements, or draw lines between them")

    def scales(self, x: TensorType) -> dict[str, int]:
        """The factor of each time and space axis."""
        if not x.window_axes:
            raise ShapeError(f"`upsample` needs a time or space axis, but its input is "
                             f"{x.described()}", "`reshape` it before", code="F0403")
        factors = per_axis(self.scale, len(x.window_axes), "scale")
        return dict(zip(x.window_axes, factors))

    def infer(self, *inputs: TensorType) -> TensorType:
        x = inputs[0] if self.method == "nearest" else expect_float(inputs[0], self.word)
        return x.resized(**{a: product_size(x.shape[x.axes.index(a)], s)
                            for a, s in self.scales(x).items()})

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        reach = 1 if self.method == "nearest" else 2
        return {axis: Window(reach) for axis in inputs[0].window_axes}


class PixelShuffle(Rearranging):
    """Channels into finer time and space axes (Shi et al. 2016).

    Channel c · f² + i · f + j of a place goes to channel c at line i and column j in
    it, which is PyTorch's order: its weights fit.
    """

    word: ClassVar[str] = "pixel_shuffle"
    main: ClassVar[str | None] = "factor"

    factor: PerAxis = Field(2, description="by how much finer, for all axes or for each")

    def factors(self, axes: tuple[str, ...]) -> tuple[int, ...]:
        """The factor of each of the time and space axes."""
        return per_axis(self.factor, len(axes), "factor")

    def infer(self, *inputs: TensorType) -> TensorType:
        x = inputs[0]
        channels, factors = expect_channels(x, self.word), self.factors(x.window_axes)
        if not factors:
            raise ShapeError(f"`pixel_shuffle` needs a time or space axis, but its input is "
                             f"{x.described()}", "`reshape` it before", code="F0403")
        if channels % prod(factors):
            raise ShapeError(
                f"`pixel_shuffle` cannot spread {channels} channels over {prod(factors)} places",
                f"give the layer before it a multiple of {prod(factors)} channels",
                field="factor", code="F0442")
        sizes = {a: product_size(s, f) for a, s, f in zip(x.axes, x.shape, factors)}
        return x.resized(**sizes, channels=channels // prod(factors))


class Split(Rearranging):
    """An axis in parts, named part_1, part_2, …; the first flows on."""

    word: ClassVar[str] = "split"
    main: ClassVar[str | None] = "parts"

    parts: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="into how many equal parts")
    sizes: tuple[Positive, ...] | None = Field(None, description="the size of each part")
    axis: str = Field("channels", description="the axis to part; time needs a known length")

    def pieces(self, x: TensorType) -> tuple[int, ...]:
        """The size of each part."""
        expect_axis(x, self.axis, self.word)
        if (self.parts is None) == (self.sizes is None):
            raise ShapeError("`split` needs `parts` or `sizes`, and not both",
                             "say into how many parts, or how large each is", code="F0452")
        size = expect_size(x, self.axis, self.word)
        if self.sizes is not None:
            if sum(self.sizes) != size:
                raise ShapeError(
                    f"the `sizes` of `split` are {sum(self.sizes)} together, but {self.axis} has "
                    f"{size}",
                    "the sizes must add up", field="sizes", code="F0446")
            return self.sizes
        assert self.parts is not None
        if size % self.parts:
            raise ShapeError(
                f"`split` cannot cut the {size} elements of {self.axis} into {self.parts} equal "
                "parts", "give the size of each in `sizes`", field="parts", code="F0442")
        return (size // self.parts,) * self.parts

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0].resized(**{self.axis: self.pieces(inputs[0])[0]})

    def outputs(self, *inputs: TensorType) -> dict[str, TensorType]:
        return {f"part_{i}": inputs[0].resized(**{self.axis: size})
                for i, size in enumerate(self.pieces(inputs[0]), 1)}


class Select(Rearranging):
    """One element of an axis, which is gone then.

    Along time an index is one of the row's own steps: `last` is its last real one, and
    where a row is too short there are zeros.
    """

    word: ClassVar[str] = "select"
    main: ClassVar[str | None] = "index"

    index: int | Literal["last"] = Field(
        description="which element; negative ones count from the end, `last` is -1")
    axis: str = Field("time", description="the axis")

    @property
    def place(self) -> int:
        """The index as a number."""
        return -1 if self.index == "last" else self.index

    def infer(self, *inputs: TensorType) -> TensorType:
        x = inputs[0]
        expect_axis(x, self.axis, self.word)
        size = x.size(self.axis)
        if isinstance(size, int) and not -size <= self.place < size:
            raise ShapeError(
                f"`select` takes element {self.place} of {self.axis}, which has {size}",
                f"indices go from 0 to {size - 1}", field="index", code="F0453")
        return x.without(self.axis)


ShapeOperator = (
    Flatten | Reshape | Transpose | Pad | Slice | Crop | Upsample | PixelShuffle | Shift | Split
    | Select
)
OPERATORS = (
    Flatten, Reshape, Transpose, Pad, Slice, Crop, Upsample, PixelShuffle, Shift, Split, Select,
)
