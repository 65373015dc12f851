"""What an operator is: fields, shape rule, parameters, cost. No JAX here.

An operator is one frozen Pydantic class. It never sees arrays; `compiler/lower`
holds what it does to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from compiler.types import Pads, TensorType, same_pads

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
# One number for every window axis, or one for each.
PerAxis = Positive | tuple[Positive, ...]
Padding = (
    Literal["same", "same_upper", "valid"]
    | NonNegative
    | tuple[NonNegative | tuple[NonNegative, NonNegative], ...]
)


class ShapeError(Exception):
    """Inputs that an operator cannot take.

    Args:
        message: what was found and what was expected, as a headline.
        help: the remedy, or "".
        field: the field to point at, where one is to blame.
        code: the diagnostic's code.
    """

    def __init__(self, message: str, help: str = "", field: str = "", code: str = "F0401"):
        super().__init__(message)
        self.message, self.help, self.field, self.code = message, help, field, code


@dataclass(frozen=True)
class Init:
    """An initialiser by name and arguments, e.g. Init("normal", {"stddev": 0.01}).

    `compiler/lower/initialise.py` lists the names. A kernel's last axis is out, the one before
    it in, the others its window; `blocks` is how many equal parts of the last axis are
    initialised apart (the gates of an LSTM).
    """

    name: str
    arguments: Mapping[str, float | str] = field(default_factory=dict)
    blocks: int = 1


ZEROS = Init("zeros")
ONES = Init("ones")


@dataclass(frozen=True)
class Parameter:
    """An array that a layer owns.

    Attributes:
        shape: its full shape.
        init: how it begins.
        role: what `init:` and weight-decay masks call it: kernel, recurrent_kernel,
            bias, scale, embedding, …
        statistic: True for running statistics, which are not trained.
    """

    shape: tuple[int, ...]
    init: Init
    role: str
    statistic: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Window:
    """The reach of an operator along one axis, for the receptive field."""

    size: int
    stride: int = 1


class Operator(BaseModel):
    """The base of every operator.

    A subclass names itself (`word`), may name the field that the short form
    `word: value` sets (`main`), and says how many tensors it takes. The docstring's
    first line is its one-line documentation; every field has a description.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True
    )

    word: ClassVar[str]
    main: ClassVar[str | None] = None
    # How many tensors arrive: fewest and most (None: no bound). A join takes several.
    arity: ClassVar[tuple[int, int | None]] = (1, 1)
    # Fields whose value is the name of an earlier tensor; where set, that tensor is a
    # further input, after those that flow in, in this order.
    references: ClassVar[tuple[str, ...]] = ()
    # Fields whose value is a path to another layer's parameter: `tie: table.embedding`.
    ties: ClassVar[tuple[str, ...]] = ()
    # Draws random numbers while training (dropout) or always (random).
    random: ClassVar[Literal["never", "training", "always"]] = "never"
    # Does another thing in training than in evaluation.
    modal: ClassVar[bool] = False

    def settled(self, *inputs: TensorType) -> Operator:
        """This operator with the fields filled in that only its inputs' types tell.

        What stands in a graph is settled: a lowering sees arrays, not the vocabulary that
        their indices come from.
        """
        return self

    def infer(self, *inputs: TensorType) -> TensorType:
        """The type of the output.

        Raises:
            ShapeError: the inputs are not ones that this operator takes.
        """
        raise NotImplementedError

    def outputs(self, *inputs: TensorType) -> dict[str, TensorType]:
        """The types of all outputs by name; the first is what flows on."""
        return {"output": self.infer(*inputs)}

    def taps(self, *inputs: TensorType) -> dict[str, TensorType]:
        """Further outputs, which a layer has only where something names them."""
        return {}

    def parameters(self, *inputs: TensorType) -> dict[str, Parameter]:
        """The arrays a layer of this operator owns, in a fixed order."""
        return {}

    def borrows(self, *inputs: TensorType) -> dict[str, tuple[int, ...]]:
        """For each tied field that is set, the shape that the borrowed parameter must have."""
        return {}

    def macs(self, *inputs: TensorType) -> int:
        """Multiply-accumulates of one example in convolutions and matrix products.

        Only these are counted, as in published figures; every size is known here.
        """
        return 0

    def steps(self, *inputs: TensorType) -> int:
        """The longest chain of steps that must wait for each other: T for a recurrent
        layer over T steps, 1 for others, 0 for what only renames or rearranges."""
        return 1

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        """The reach along each time or space axis; {} is a single point, None everything."""
        return {}

    def saved(self, *inputs: TensorType) -> int:
        """Elements that training keeps for the backward pass, of one example."""
        return sum(t.elements for t in self.outputs(*inputs).values())


def per_axis(value: int | tuple[int, ...], rank: int, name: str) -> tuple[int, ...]:
    """A field given once or per axis, spread over `rank` axes.

    Raises:
        ShapeError: another number of values than axes.
    """
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        raise ShapeError(
            f"`{name}` has {len(value)} values, but the input has {rank} space and time axes",
            f"give one number for all axes, or {rank} of them",
            field=name,
        )
    return tuple(value)


def pads(
    padding: Any,
    x: TensorType,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[Pads, ...]:
    """The zeros before and after each window axis of `x` that a `padding` field asks for.

    Raises:
        ShapeError: the field does not fit the rank, or needs a size that is not known.
    """
    sizes = [x.size(a) for a in x.window_axes]
    if padding == "valid":
        return ((0, 0),) * len(sizes)
    if padding in ("same", "same_upper"):
        result = []
        for size, k, s, d in zip(sizes, window, stride, dilation):
            assert size is not None
            try:
                result.append(same_pads(size, k, s, d, padding == "same_upper"))
            except ValueError as e:
                raise ShapeError(f"{e}", "use `padding: same`", field="padding") from None
        return tuple(result)
    spread = per_axis(padding, len(sizes), "padding") if isinstance(padding, int) else padding
    if len(spread) != len(sizes):
        raise ShapeError(
            f"`padding` has {len(spread)} values, but the input has {len(sizes)} space and time "
            "axes",
            f"give one number, or {len(sizes)} numbers or pairs",
            field="padding",
        )
    return tuple((p, p) if isinstance(p, int) else (p[0], p[1]) for p in spread)


def divisor(number: int, most: int) -> int:
    """The largest divisor of a number that is at most `most`, to suggest; none is above 65,536."""
    return max(d for d in range(1, min(most, 2**16) + 1) if number % d == 0)


def expect_known(size: Any, what: str, remedy: str = "") -> int:
    """`size` as an int.

    Raises:
        ShapeError: it is unknown before the data is there.
    """
    if isinstance(size, int):
        return size
    raise ShapeError(
        f"{what} must be fixed, but `{size}` is known only when the data is there", remedy,
        code="F0404",
    )


def expect_channels(x: TensorType, word: str) -> int:
    """The number of channels of a float tensor.

    Raises:
        ShapeError: there is no channels axis, or the tensor holds no floats.
    """
    expect_float(x, word)
    if x.channels is None:
        raise ShapeError(
            f"`{word}` needs a channels axis, but its input is {x.described()}",
            "give the input a last axis `channels`, of size 1 perhaps",
            code="F0403",
        )
    return expect_known(
        x.channels, f"the number of channels that `{word}` takes", "give the size as a number"
    )


def expect_float(x: TensorType, word: str) -> TensorType:
    """`x`, which holds floats.

    Raises:
        ShapeError: it holds integers or booleans.
    """
    if x.dtype == "float":
        return x
    remedy = "put an `embed` or a `one_hot` before it, or `cast: float`"
    raise ShapeError(
        f"`{word}` needs floats, but its input {x.described()} holds {x.dtype}s", remedy,
        code="F0440",
    )


def expect_axis(x: TensorType, axis: str, word: str, field: str = "axis") -> None:
    """Check that `x` has an axis.

    Raises:
        ShapeError: it has not.
    """
    if axis not in x.axes:
        raise ShapeError(
            f"`{word}` acts on the axis `{axis}`, but its input is {x.described()}",
            f"the axes here are {', '.join(x.axes)}" if x.axes else "the input has no axes",
            field=field,
            code="F0403",
        )


def expect_size(x: TensorType, axis: str, word: str) -> int:
    """The size of an axis that `x` has, where it must be known: not the length of a text.

    Raises:
        ShapeError: it is unknown before the data is there.
    """
    size = x.size(axis)
    if isinstance(size, int):
        return size
    raise ShapeError(
        f"`{word}` needs a fixed size of {axis}, but `{size}` is known only when the data is there",
        "give the input a fixed length, or bring time to one step before: `pool: mean`, "
        "`select: last`",
        code="F0404",
    )
