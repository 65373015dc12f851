"""Attention, and where in a sequence a step is. Padded steps of a memory get no weight."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from compiler.ops.base import (
    ZEROS,
    Init,
    Operator,
    Parameter,
    Positive,
    Probability,
    ShapeError,
    Window,
    expect_axis,
    expect_channels,
    expect_float,
)
from compiler.types import Size, TensorType, joint_size

GLOROT = Init("glorot_uniform")
LECUN = Init("lecun_normal")


def expect_query(x: TensorType, word: str) -> int:
    """The channels of a float tensor."""
    return expect_channels(expect_float(x, word), word)


def expect_memory(x: TensorType, word: str) -> int:
    """The channels of a float tensor that has places to look at.

    Raises:
        ShapeError: it has no time or space axis.
    """
    if not x.window_axes:
        raise ShapeError(
            f"`{word}` looks at the steps of its memory, but that has none: {x.described()}",
            "refer to a tensor with a time or space axis, as a recurrent layer's `.sequence`",
            field="memory", code="F0456")
    return expect_query(x, word)


def places(x: TensorType) -> int:
    """How many steps and places a tensor has; unknown sizes count as 1."""
    return prod(s for a, s in zip(x.axes, x.shape) if a != "channels" and isinstance(s, int))


class Attention(Operator):
    """The mean of a memory's steps, weighted by how well each answers the query that flows.

    Scores are q · m (`dot`, Luong et al. 2015), q W m (`general`), or
    v · tanh(q W + m U) (`additive`, Bahdanau et al. 2015); softmax makes them weights, which
    `.weights` shows.
    """

    word: ClassVar[str] = "attention"
    main: ClassVar[str | None] = "memory"
    references: ClassVar[tuple[str, ...]] = ("memory",)

    memory: str = Field(description="the tensor to look at: (time, channels), or an image")
    score: Literal["dot", "general", "additive"] = Field(
        "dot", description="how well a query and a step of the memory go together")
    units: Positive | None = Field(
        None, description="for `additive`: how many hidden units; the query's channels where "
                          "not given")
    scaled: bool = Field(False, description="divide scores by the root of the channels (Vaswani "
                                            "et al. 2017)")

    def infer(self, *inputs: TensorType) -> TensorType:
        query, memory = inputs
        channels, seen = expect_query(query, self.word), expect_memory(memory, self.word)
        if self.score == "dot" and channels != seen:
            raise ShapeError(
                f"`attention` with `score: dot` needs as many channels as `{self.memory}`, which "
                f"has {seen}, but {channels} arrive",
                "put a `dense` before one of them, or use `score: general`",
                field="memory", code="F0457")
        if self.score != "additive" and self.units is not None:
            raise ShapeError(f"`attention` takes no `units` with `score: {self.score}`",
                             "drop `units`, or use `score: additive`", field="units",
                             code="F0452")
        return query.as_float(seen)

    def taps(self, *inputs: TensorType) -> dict[str, TensorType]:
        """`weights`: how much each place of the memory counts, all places as channels."""
        query, memory = inputs
        count: Size = 1
        for size in memory.without("channels").shape:
            count = joint_size(count, size)
        return {"weights": query.as_float(count)}

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        channels, seen = (expect_query(x, self.word) for x in inputs)
        if self.score == "dot":
            return {}
        if self.score == "general":
            return {"kernel": Parameter((channels, seen), LECUN, "kernel")}
        units = self.units or channels
        return {
            "query_kernel": Parameter((channels, units), LECUN, "kernel"),
            "memory_kernel": Parameter((seen, units), LECUN, "kernel"),
            "score_kernel": Parameter((units, 1), LECUN, "kernel"),
        }

    def macs(self, *inputs: TensorType) -> int:
        (channels, seen), (q, m) = [expect_query(x, self.word) for x in inputs], map(places, inputs)
        units = self.units or channels
        scores = {
            "dot": q * m * channels,
            "general": q * channels * seen + q * m * seen,
            "additive": q * channels * units + m * seen * units + q * m * units,
        }
        return scores[self.score] + q * m * seen

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {axis: None for axis in inputs[1].window_axes}

    def saved(self, *inputs: TensorType) -> int:
        pairs = places(inputs[0]) * places(inputs[1])
        units = self.units or expect_query(inputs[0], self.word)
        return self.infer(*inputs).elements + pairs * (units if self.score == "additive" else 1)


class MultiHeadAttention(Operator):
    """Scaled dot-product attention in several subspaces side by side (Vaswani et al. 2017).

    Without a memory the flow attends to itself. The result has the flow's channels.
    """

    word: ClassVar[str] = "multi_head_attention"
    main: ClassVar[str | None] = "heads"
    references: ClassVar[tuple[str, ...]] = ("memory",)
    random: ClassVar[Literal["never", "training", "always"]] = "training"
    modal: ClassVar[bool] = True

    heads: Positive = Field(description="how many subspaces")
    units: Positive | None = Field(
        None, description="the width of all heads together; the flow's channels where not given")
    memory: str | None = Field(
        None, description="the tensor to look at; the flow itself where not given")
    causal: bool = Field(False, description="a step sees itself and those before it only")
    dropout: Probability = Field(0.0, description="the probability of dropping a weight")
    bias: bool = Field(True, description="add biases to all four products")

    def width(self, query: TensorType) -> int:
        """The width of all heads together."""
        return self.units or expect_query(query, self.word)

    def infer(self, *inputs: TensorType) -> TensorType:
        query, memory = inputs[0], inputs[-1]
        expect_query(query, self.word)
        expect_memory(memory, self.word)
        if self.width(query) % self.heads:
            raise ShapeError(
                f"`multi_head_attention` cannot share {self.width(query)} channels equally among "
                f"{self.heads} heads", "choose a number of heads that divides the channels",
                field="heads", code="F0442")
        if self.causal and not query.window_axes == memory.window_axes == ("time",):
            raise ShapeError(
                "`causal` needs steps in an order, but the input is "
                f"{(query if query.window_axes != ('time',) else memory).described()}",
                "attend over (time, channels), or drop `causal`", field="causal", code="F0458")
        return query

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        channels, seen = expect_query(inputs[0], self.word), expect_query(inputs[-1], self.word)
        width = self.width(inputs[0])
        shapes = {"query": (channels, width), "key": (seen, width), "value": (seen, width),
                  "output": (width, channels)}
        found = {}
        for name, shape in shapes.items():
            found[f"{name}_kernel"] = Parameter(shape, GLOROT, "kernel")
            if self.bias:
                found[f"{name}_bias"] = Parameter(shape[-1:], ZEROS, "bias")
        return found

    def macs(self, *inputs: TensorType) -> int:
        channels, seen = expect_query(inputs[0], self.word), expect_query(inputs[-1], self.word)
        width, q, m = self.width(inputs[0]), places(inputs[0]), places(inputs[-1])
        return 2 * q * channels * width + 2 * m * seen * width + 2 * q * m * width

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {axis: None for axis in inputs[-1].window_axes}

    def saved(self, *inputs: TensorType) -> int:
        q, m = places(inputs[0]), places(inputs[-1])
        return (2 * q + 2 * m) * self.width(inputs[0]) + self.heads * q * m


class PositionalEncoding(Operator):
    """Each step plus a vector that tells where in the sequence it is.

    `sinusoidal`: sin(t / 10000^(2i / channels)) in channel 2i, its cosine in 2i + 1 (Vaswani
    et al. 2017). `learned`: a table of `length` steps.
    """

    word: ClassVar[str] = "positional_encoding"
    main: ClassVar[str | None] = "kind"

    kind: Literal["sinusoidal", "learned"] = Field(
        "sinusoidal", description="a fixed formula, or a table that is trained")
    length: Positive | None = Field(
        None, description="for `learned`: how many steps the table has; that of the input "
                          "where it is known")

    def table(self, x: TensorType) -> int:
        """The number of steps of the learned table."""
        if self.length is not None:
            return self.length
        if isinstance(x.length, int):
            return x.length
        raise ShapeError(
            f"a learned `positional_encoding` needs the longest length, but `{x.length}` is known "
            "only when the data is there",
            "say how long: `length: 512`", field="kind", code="F0404")

    def infer(self, *inputs: TensorType) -> TensorType:
        x = inputs[0]
        expect_query(x, self.word)
        expect_axis(x, "time", self.word, field="")
        if self.kind == "sinusoidal":
            if self.length is not None:
                raise ShapeError("a sinusoidal `positional_encoding` takes no `length`",
                                 "drop `length`, or use `kind: learned`", field="length",
                                 code="F0452")
            return x
        longest = self.table(x)
        if isinstance(x.length, int) and x.length > longest:
            raise ShapeError(
                f"`positional_encoding` has {longest} steps, but its input has {x.length}",
                f"give it a `length` of {x.length}", field="length", code="F0455")
        return x

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        if self.kind == "sinusoidal":
            return {}
        shape = (self.table(inputs[0]), expect_query(inputs[0], self.word))
        return {"embedding": Parameter(shape, Init("normal", {"stddev": 0.02}), "embedding")}


AttentionOperator = Attention | MultiHeadAttention | PositionalEncoding
OPERATORS = (Attention, MultiHeadAttention, PositionalEncoding)
