"""Operators that join several tensors into one.

They broadcast by the names of axes: an axis of size 1 stretches, and a missing time or
space axis is added, so that a gate (channels) multiplies an image (height, width, channels).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from compiler.ops.base import Operator, ShapeError, Window, expect_axis, expect_float, expect_size
from compiler.types import AXES, Size, TensorType, broadcast


class Join(Operator):
    """What acts on tensors element by element."""

    arity: ClassVar[tuple[int, int | None]] = (1, None)

    def infer(self, *inputs: TensorType) -> TensorType:
        return together(inputs, self.word)


def together(inputs: tuple[TensorType, ...], word: str) -> TensorType:
    """The type that the branches of a join broadcast to.

    Raises:
        ShapeError: they do not.
    """
    joined = broadcast(inputs)
    if joined is None:
        raise ShapeError(f"the branches of `{word}` have different shapes",
                         "give them equal shapes, with a 1×1 `conv` or a `dense` on the one "
                         "that differs", code="F0412")
    return joined


class Add(Join):
    """The sum of the branches."""

    word: ClassVar[str] = "add"


class Subtract(Join):
    """The first branch less the second."""

    word: ClassVar[str] = "subtract"
    arity: ClassVar[tuple[int, int | None]] = (2, 2)

    def infer(self, *inputs: TensorType) -> TensorType:
        joined = together(inputs, self.word)
        return expect_float(joined, self.word) if joined.dtype == "bool" else joined


class Multiply(Join):
    """The product of the branches, element by element."""

    word: ClassVar[str] = "multiply"


class Average(Join):
    """The mean of the branches."""

    word: ClassVar[str] = "average"

    def infer(self, *inputs: TensorType) -> TensorType:
        return expect_float(together(inputs, self.word), self.word)


class Maximum(Join):
    """The largest of the branches, element by element."""

    word: ClassVar[str] = "maximum"


class Concat(Operator):
    """The branches one behind another along an axis.

    The other axes broadcast as in `add`. Along time, each row's real steps stand
    together: a row of 3 steps and one of 2 give 5, whatever the padding between.
    """

    word: ClassVar[str] = "concat"
    arity: ClassVar[tuple[int, int | None]] = (1, None)

    axis: str = Field("channels", description="the axis along which the branches are laid")

    def infer(self, *inputs: TensorType) -> TensorType:
        for x in inputs:
            expect_axis(x, self.axis, self.word)
        if len({x.dtype for x in inputs}) > 1:
            kinds = ", ".join(x.dtype for x in inputs)
            raise ShapeError(f"the branches of `concat` hold different kinds: {kinds}",
                             "put a `cast` into the one that differs", code="F0459")
        sizes = [x.shape[x.axes.index(self.axis)] for x in inputs]
        joined = together(tuple(x.resized(**{self.axis: 1}) for x in inputs), self.word)
        vocabularies = {x.vocabulary for x in inputs}
        vocabulary = vocabularies.pop() if len(vocabularies) == 1 else None
        resized = joined.resized(**{self.axis: total(sizes)})
        return TensorType(resized.axes, resized.shape, inputs[0].dtype, vocabulary)

    def steps(self, *inputs: TensorType) -> int:
        return 0


def total(sizes: list[Size]) -> Size:
    """The sum of sizes: "text + 3" where one is not known."""
    unknown = [s for s in sizes if isinstance(s, str)]
    known = sum(s for s in sizes if isinstance(s, int))
    if not unknown:
        return known
    return " + ".join([*unknown, *([str(known)] if known else [])])


class Stack(Operator):
    """The branches side by side along a new axis."""

    word: ClassVar[str] = "stack"
    arity: ClassVar[tuple[int, int | None]] = (1, None)

    axis: str = Field("time", description="the new axis: time, depth, height, width, frequency "
                                          "or channels")

    def infer(self, *inputs: TensorType) -> TensorType:
        if self.axis not in AXES:
            raise ShapeError(f"`stack` cannot make an axis called `{self.axis}`",
                             f"choose one of {', '.join(AXES)}", field="axis", code="F0460")
        for x in inputs:
            if self.axis in x.axes:
                free = ", ".join(a for a in AXES if a not in x.axes)
                raise ShapeError(
                    f"the branches of `stack` have an axis `{self.axis}` already",
                    f"join them with `concat`, or choose one of {free} for `axis`",
                    field="axis", code="F0460")
        if len({x.dtype for x in inputs}) > 1:
            kinds = ", ".join(x.dtype for x in inputs)
            raise ShapeError(f"the branches of `stack` hold different kinds: {kinds}",
                             "put a `cast` into the one that differs", code="F0459")
        joined = together(inputs, self.word)
        sizes = dict(zip(joined.axes, joined.shape)) | {self.axis: len(inputs)}
        axes = tuple(a for a in AXES if a in sizes)
        return TensorType(axes, tuple(sizes[a] for a in axes), joined.dtype)

    def steps(self, *inputs: TensorType) -> int:
        return 0


class Matmul(Operator):
    """The matrix product of two tensors: rows of the first with columns of the second.

    The channels of the first are summed over with `axis` of the second. With a of
    (time 5, channels 8): `axis: time` is a · b, for b (time 8, channels 3) the result is
    (time 5, channels 3); `axis: channels` is a · bᵀ, for b (time 7, channels 8) the result
    is (time 5, channels 7), columns being the last axis before channels. Other axes that b has
    are those of a batch: a needs them too.
    Padded steps of b are zeros; no padded step is weighed against others, as `attention` does.
    """

    word: ClassVar[str] = "matmul"
    arity: ClassVar[tuple[int, int | None]] = (2, 2)

    axis: str = Field("time", description="the axis of the second tensor that is summed over")

    def columns(self, axes: tuple[str, ...]) -> str:
        """Which of the second tensor's axes becomes the channels of the result."""
        if self.axis != "channels":
            return "channels"
        return axes[-2] if len(axes) > 1 else "channels"

    def infer(self, *inputs: TensorType) -> TensorType:
        a, b = inputs
        for x in inputs:
            expect_float(x, self.word)
            expect_axis(x, "channels", self.word, field="")
        expect_axis(b, self.axis, self.word)
        columns = self.columns(b.axes)
        if columns == self.axis:
            raise ShapeError(
                f"the second input of `matmul` is {b.described()}, which is no matrix",
                "it needs a time or space axis besides its channels", code="F0461")
        if a.channels != b.size(self.axis):
            raise ShapeError(
                f"`matmul` cannot multiply {a.described()} and {b.described()}: the first has "
                f"{a.channels} channels, and {self.axis} of the second is {b.size(self.axis)}",
                "the channels of the first must be as many as `axis` of the second",
                field="axis", code="F0461")
        for axis in b.axes:
            if axis not in (self.axis, columns) and a.size(axis) != b.size(axis):
                raise ShapeError(
                    f"`matmul` cannot multiply {a.described()} and {b.described()}: the second "
                    f"has {b.size(axis)} along {axis}, the first {a.size(axis) or 'no such axis'}",
                    f"its axes besides `{self.axis}` and `{columns}` must be those of the first",
                    code="F0461")
        return a.as_float(expect_size(b, columns, self.word))

    def macs(self, *inputs: TensorType) -> int:
        a, b = inputs
        assert isinstance(a.channels, int)
        return self.infer(a, b).elements * a.channels

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {axis: None for axis in inputs[1].window_axes if axis in inputs[0].axes}

    def saved(self, *inputs: TensorType) -> int:
        return sum(x.elements for x in inputs)


CombineOperator = Add | Subtract | Multiply | Concat | Average | Maximum | Stack | Matmul
OPERATORS = (Add, Subtract, Multiply, Concat, Average, Maximum, Stack, Matmul)
