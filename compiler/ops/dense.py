"""Dense layers, the ways from an index to numbers, and tensors that are learned as they are."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from compiler.ops.axes import axes_of
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


class Dense(Operator):
    """A linear map of the channels, the same at every time and place.

    The kernel (in, out) begins as LeCun's truncated normal, the bias as zeros. A tied layer
    owns no kernel: it multiplies by the transposed table of an `embed`.
    """

    word: ClassVar[str] = "dense"
    main: ClassVar[str | None] = "units"
    ties: ClassVar[tuple[str, ...]] = ("tie",)

    units: Positive = Field(description="channels of the output")
    bias: bool = Field(True, description="add a learned number to each output channel")
    tie: str | None = Field(None, description=(
        "path of the embedding whose transpose is the kernel, such as `table.embedding`"))

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        expect_channels(x, self.word)
        return x.as_float(self.units)

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        channels = expect_channels(inputs[0], self.word)
        result = {}
        if self.tie is None:
            result["kernel"] = Parameter((channels, self.units), Init("lecun_normal"), "kernel")
        if self.bias:
            result["bias"] = Parameter((self.units,), ZEROS, "bias")
        return result

    def borrows(self, *inputs: TensorType) -> dict[str, tuple[int, ...]]:
        if self.tie is None:
            return {}
        return {"tie": (self.units, expect_channels(inputs[0], self.word))}

    def macs(self, *inputs: TensorType) -> int:
        return inputs[0].elements * self.units


class Embed(Operator):
    """A learned vector for each index of a vocabulary.

    The table (vocabulary, units) begins as a normal distribution of deviation
    1 / sqrt(units), so that a vector has length 1 or so.
    """

    word: ClassVar[str] = "embed"
    main: ClassVar[str | None] = "units"

    units: Positive = Field(description="numbers in each vector")
    vocabulary: Positive | None = Field(
        None, description="how many indices there are; the input's vocabulary where not given")

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        vocabulary_of(x, self.vocabulary, "vocabulary", self.word)
        return x.as_float(self.units)

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        vocabulary = vocabulary_of(inputs[0], self.vocabulary, "vocabulary", self.word)
        init = Init("normal", {"stddev": self.units**-0.5})
        return {"embedding": Parameter((vocabulary, self.units), init, "embedding")}


class OneHot(Operator):
    """A channel for each index of a vocabulary: 1 at the index, 0 elsewhere."""

    word: ClassVar[str] = "one_hot"
    main: ClassVar[str | None] = "classes"

    classes: Positive | None = Field(
        None, description="how many indices there are; the input's vocabulary where not given")

    def settled(self, *inputs: TensorType) -> OneHot:
        classes = vocabulary_of(inputs[0], self.classes, "classes", self.word)
        return self.model_copy(update={"classes": classes})

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        return x.as_float(vocabulary_of(x, self.classes, "classes", self.word))


class Learned(Operator):
    """A tensor that is learned, the same for every example.

    Of what arrives only the batch counts. It begins with zeros; `init: {value: …}` says
    otherwise. Added to a tensor it is learned from there: a picture that begins as another one
    is the sum of that one and such a tensor.
    """

    word: ClassVar[str] = "parameter"
    main: ClassVar[str | None] = "shape"

    shape: tuple[Positive, ...] = Field(description="the sizes without the batch")
    axes: tuple[str, ...] | None = Field(
        None, description="the axes; those of an input of that rank where not given")

    def infer(self, *inputs: TensorType) -> TensorType:
        return TensorType(axes_of(self.shape, self.axes, self.word), self.shape)

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        return {"value": Parameter(self.shape, ZEROS, "value")}


def vocabulary_of(x: TensorType, given: int | None, field: str, word: str) -> int:
    """How many indices there are, by the operator's field or by the input.

    Raises:
        ShapeError: the input holds no indices, or neither says how many there are.
    """
    if x.dtype != "int":
        raise ShapeError(f"`{word}` needs indices, but its input {x.described()} holds {x.dtype}s",
                         "use `dense` for numbers, or give the input `kind: tokens` or "
                         "`kind: category`", code="F0409")
    if "channels" in x.axes:
        raise ShapeError(
            f"`{word}` makes a channels axis, but its input {x.described()} has one already",
            "`select` one of its channels, or declare the input without them", code="F0409")
    if given is None and x.vocabulary is None:
        raise ShapeError(f"nothing says how many different indices `{word}` will meet",
                         f"give the input a `vocabulary`, or set `{field}` here", field, "F0407")
    if given is not None and x.vocabulary is not None and given < x.vocabulary:
        raise ShapeError(
            f"`{field}` is {given}, but the input's indices go up to {x.vocabulary - 1}",
            f"leave `{field}` out, or make it {x.vocabulary} or more", field, "F0450")
    return given or x.vocabulary or 0


DenseOperator = Dense | Embed | OneHot | Learned
OPERATORS = (Dense, Embed, OneHot, Learned)
