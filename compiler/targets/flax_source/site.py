"""What an operator is told of the place where its code will stand, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from compiler.graph import Node
from compiler.ops.base import Operator, Parameter
from compiler.targets.flax_source.code import Code, Text
from compiler.targets.flax_source.initialisers import Initialisers
from compiler.types import TensorType


class File:
    """What the whole file holds besides its classes.

    Attributes:
        helpers: the helpers it needs, each with the features that are used of it.
        initialisers: the initialisers that have names.
    """

    def __init__(self) -> None:
        self.helpers: dict[str, set[str]] = {}
        self.initialisers = Initialisers()

    def need(self, helper: str, *features: str) -> str:
        """Note that a helper is used; its name."""
        self.helpers.setdefault(helper, set()).update(features)
        return helper


@dataclass(frozen=True)
class Piece:
    """What becomes of a layer.

    Attributes:
        run: the expression of its output; of a tuple of its outputs where it has several.
        make: the expression that makes its module, or None.
        lengths: of the outputs: the number of the input whose lengths they keep, an
            expression, or None where they have none.
        shared: the module owns no parameters: one may stand for all equal ones.
    """

    run: Code
    make: Code | None = None
    lengths: int | Code | None = None
    shared: bool = False


@dataclass(frozen=True)
class Site:
    """A layer's place.

    Attributes:
        node: the layer.
        lens: for each input, whether its rows may have lengths of their own.
        file: the file.
        frozen: whether its parameters are fixed.
    """

    node: Node
    lens: tuple[bool, ...]
    file: File
    frozen: bool = False
    types: tuple[TensorType, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "types", tuple(v.type for v in self.node.inputs))

    @property
    def x(self) -> TensorType:
        """The type of the first input."""
        return self.types[0]

    @property
    def out(self) -> TensorType:
        """The type of the first output."""
        return next(iter(self.node.outputs.values())).type

    @property
    def timed(self) -> bool:
        """Whether the first input has a time axis and lengths."""
        return bool(self.lens) and self.lens[0]

    @property
    def same(self) -> int | None:
        """The lengths of an output whose steps are those of the first input."""
        return 0 if self.timed and "time" in self.out.axes else None

    def parameters(self) -> dict[str, Parameter]:
        """What the layer owns."""
        assert isinstance(self.node.operation, Operator)
        return self.node.operation.parameters(*self.types)

    def begins(self, name: str, default: str = "") -> Text | None:
        """How a parameter begins: an expression, or None where it is Flax's own default.

        Args:
            name: the parameter.
            default: the initialiser that the layer takes where none is given.
        """
        parameter = self.parameters()[name]
        return self.file.initialisers.of(self.node.init.get(parameter.role, parameter.init),
                                         default)

    def real(self, i: int = 0, fill: Any = 0) -> str:
        """The hole of an input with `fill` behind each row's end, where rows have ends."""
        if not self.lens[i]:
            return f"{{{i}}}"
        self.file.need("only_real")
        axis = dim(self.types[i], "time")
        more = (f", axis={axis}" if axis != 1 else "") + (f", fill={fill}" if fill != 0 else "")
        return f"only_real({{{i}}}, {{n{i}}}{more})"


def dim(type: TensorType, axis: str) -> int:
    """The position of an axis in an array, the batch being 0."""
    return type.axes.index(axis) + 1


def dims(type: TensorType, axes: tuple[str, ...]) -> tuple[int, ...]:
    """The positions of some axes."""
    return tuple(dim(type, a) for a in axes)


def one_or_all(values: tuple[int, ...]) -> int | tuple[int, ...]:
    """One number in place of several equal ones."""
    return values[0] if len(set(values)) == 1 else values


def options(**given: tuple[Any, Any]) -> dict[str, Any]:
    """Keyword arguments (value, default) without those that are None."""
    return {name: pair for name, pair in given.items() if pair[0] is not None}
