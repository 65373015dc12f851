"""An ONNX graph while it grows: tensors whose axes have names, nodes, arrays.

Axes are named as everywhere in flaxspec, and `order` says how they lie in memory: what comes
out of a convolution is (batch, channels, height, width), of an LSTM (time, batch, channels).
An operator takes what order it can; a `Transpose` appears only where the next one needs
another, so that there is none between convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from compiler.types import TensorType

# A size: a number, or the name of an int64 tensor (1,) that holds it when the model runs.
Size = int | str

TYPES = {"float": TensorProto.FLOAT, "int": TensorProto.INT64, "bool": TensorProto.BOOL}
DTYPES: dict[str, Any] = {"float": np.float32, "int": np.int64, "bool": np.bool_}


class Refused(Exception):
    """What ONNX cannot express.

    Args:
        message: what it is, as a headline.
        help: the remedy.
    """

    def __init__(self, message: str, help: str):
        super().__init__(message)
        self.message, self.help = message, help


@dataclass(frozen=True)
class Tensor:
    """A tensor of the ONNX graph.

    Attributes:
        name: of the ONNX value.
        type: its axes and sizes as the spec sees them.
        order: "batch" and the type's axes as they lie in memory.
        lengths: the name of an int64 tensor (batch,): how many steps of each row are real; None
            where all are, or where there is no time axis.
    """

    name: str
    type: TensorType
    order: tuple[str, ...]
    lengths: str | None = None

    def dim(self, axis: str) -> int:
        """Where an axis lies in memory."""
        return self.order.index(axis)

    @property
    def rank(self) -> int:
        return len(self.order)


def plain_order(type: TensorType) -> tuple[str, ...]:
    """The spec's own order: the batch first, the channels last."""
    return ("batch", *type.axes)


def channels_first(type: TensorType) -> tuple[str, ...]:
    """The order that ONNX's convolutions and pools read."""
    return ("batch", *(["channels"] if "channels" in type.axes else []), *type.window_axes)


class Builder:
    """Collects the nodes and arrays of a graph, or of the body of a `Scan`."""

    def __init__(self, outer: Builder | None = None):
        """Begin a graph; `outer` is the one around a body, whose values and arrays it may read."""
        self.nodes: list[NodeProto] = []
        self.place = "" if outer is None else outer.place
        self.arrays: dict[str, np.ndarray] = {} if outer is None else outer.arrays
        self._counts: dict[str, int] = {} if outer is None else outer._counts
        self._constants: dict[Any, str] = {} if outer is None else outer._constants
        # What is made in a body is not to be seen outside.
        self._known: dict[Any, Any] = {} if outer is None else dict(outer._known)

    # ---- nodes and arrays

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; the output's name. An input "" is left out."""
        return self.nodes_of(kind, inputs, 1, **attributes)[0]

    def nodes_of(
        self, kind: str, inputs: Sequence[str], count: int, **attributes: Any,
    ) -> tuple[str, ...]:
        """Add a node with `count` outputs; their names."""
        name = self.fresh(kind)
        outputs = (name,) if count == 1 else tuple(f"{name}.{i}" for i in range(count))
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), name, **attributes))
        return outputs

    def fresh(self, kind: str) -> str:
        """A name that nothing has: the layer's path and what it is."""
        wish = f"{self.place}/{kind}" if self.place else kind
        self._counts[wish] = number = self._counts.get(wish, 0) + 1
        return wish if number == 1 else f"{wish}_{number}"

    def constant(self, value: Any, dtype: Any = None) -> str:
        """An array that is part of the graph; equal ones are one."""
        array = np.asarray(value, dtype)
        if array.dtype == np.float64 and dtype is None:
            array = array.astype(np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants) + 1}"
            self._constants[key], self.arrays[name] = name, np.array(array, order="C")
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """An int64 vector."""
        return self.constant(np.array(values, np.int64))

    def weight(self, name: str, array: np.ndarray) -> str:
        """An array of the model under its path; another array of that path gets a number."""
        number, wish = 2, name
        while name in self.arrays and not (
                self.arrays[name].shape == array.shape and (self.arrays[name] == array).all()):
            name, number = f"{wish}#{number}", number + 1
        self.arrays[name] = np.array(array, order="C")
        return name

    def once(self, key: Any, make: Any) -> Any:
        """What `make()` gives, made at the first call with this key."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    # ---- sizes

    def size(self, x: Tensor, axis: str) -> Size:
        """The size of an axis: a number where the spec knows it."""
        known = None if axis == "batch" else x.type.size(axis)
        return known if isinstance(known, int) else self.measured(x.name, x.dim(axis))

    def measured(self, name: str, dim: int) -> str:
        """The size of a dimension, as an int64 tensor (1,)."""
        return self.once(("size", name, dim),
                         lambda: self.node("Shape", name, start=dim, end=dim + 1))

    def arithmetic(self, kind: str, a: Size, b: Size) -> Size:
        """`Add`, `Sub`, `Mul`, `Div`, `Max` or `Min` of sizes or of int64 tensors.

        `Div` rounds towards zero, as in ONNX.
        """
        if isinstance(a, int) and isinstance(b, int):
            return {"Add": a + b, "Sub": a - b, "Mul": a * b, "Max": max(a, b), "Min": min(a, b),
                    "Div": int(a / b) if b else 0}[kind]
        if b == {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}.get(kind) and isinstance(a, str):
            return a
        return self.node(kind, self.scalar(a), self.scalar(b))

    def scalar(self, size: Size) -> str:
        """A size as an int64 tensor (1,)."""
        return self.ints(size) if isinstance(size, int) else size

    def shape(self, sizes: Sequence[Size]) -> str:
        """Sizes as one int64 vector."""
        if all(isinstance(s, int) for s in sizes):
            return self.ints(*sizes)  # type: ignore[arg-type]
        return self.node("Concat", *(self.scalar(s) for s in sizes), axis=0)

    def reshaped(self, name: str, sizes: Sequence[Size]) -> str:
        """A value under another shape; one size may be -1."""
        unknown = [i for i, s in enumerate(sizes) if isinstance(s, str)]
        if len(unknown) == 1 and -1 not in sizes:
            sizes = [-1 if i in unknown else s for i, s in enumerate(sizes)]
        return self.node("Reshape", name, self.shape(sizes))

    def number(self, size: Size) -> str:
        """A size as an int64 scalar, as `Range` wants it."""
        if isinstance(size, int):
            return self.constant(np.int64(size))
        return self.once(("number", size), lambda: self.node("Squeeze", size, self.ints(0)))

    def counted(self, size: Size) -> str:
        """0, 1, 2, … as an int64 vector of so many numbers."""
        if isinstance(size, int):
            return self.constant(np.arange(size, dtype=np.int64))
        return self.once(("counted", size), lambda: self.node(
            "Range", self.number(0), self.number(size), self.number(1)))

    # ---- orders

    def arranged(self, x: Tensor, order: Sequence[str]) -> Tensor:
        """The tensor with its axes in this order."""
        order = tuple(order)
        assert sorted(order) == sorted(x.order), (order, x.order)
        if order == x.order:
            return x
        # What was only turned is turned back by taking what it was.
        name, before = self._known.get(("turned", x.name), (x.name, x.order))
        before = tuple(before)
        if len(before) != len(x.order) or sorted(before) != sorted(order):
            name, before = x.name, x.order
        if before == order:
            return replace(x, name=name, order=order)
        perm = tuple(before.index(axis) for axis in order)

        def turn() -> str:
            turned = self.node("Transpose", name, perm=perm)
            self._known["turned", turned] = (name, before)
            return turned

        return replace(x, name=self.once(("transpose", name, perm), turn), order=order)

    def in_order(self, x: Tensor) -> Tensor:
        """The tensor as the spec sees it, channels last."""
        return self.arranged(x, plain_order(x.type))

    def per_channel(self, x: Tensor, name: str, array: np.ndarray) -> str:
        """An array (channels,) as a weight that broadcasts against `x`."""
        behind = x.rank - 1 - x.dim("channels")
        return self.weight(name, array.reshape(-1, *(1,) * behind))

    # ---- lengths

    def real(self, x: Tensor) -> str | None:
        """True at real steps, with size 1 on the other axes, in the order of `x`; or None."""
        if x.lengths is None or "time" not in x.type.axes:
            return None
        lengths, batch, time = x.lengths, x.dim("batch"), x.dim("time")

        def make() -> str:
            steps = self.counted(self.size(x, "time"))
            first, second = (steps, self.node("Unsqueeze", lengths, self.ints(1)))
            if time < batch:
                first, second = (self.node("Unsqueeze", steps, self.ints(1)), lengths)
            mask = self.node("Less", first, second)
            others = [d for d in range(x.rank) if d not in (batch, time)]
            return self.node("Unsqueeze", mask, self.ints(*others)) if others else mask

        # The steps that there are belong to the key: two tensors may share their lengths.
        return self.once(("real", lengths, batch, time, x.rank, x.type.length), make)

    def filled(self, x: Tensor, value: float = 0) -> Tensor:
        """The tensor with `value` at every padded step."""
        mask = self.real(x)
        if mask is None:
            return x
        fill = self.constant(DTYPES[x.type.dtype](value))
        return replace(x, name=self.once(
            ("filled", x.name, mask, value), lambda: self.node("Where", mask, x.name, fill)))

    def with_lengths(self, x: Tensor, lengths: str | None) -> Tensor:
        return replace(x, lengths=lengths if "time" in x.type.axes else None)

    # ---- kinds of elements

    def cast(self, name: str, dtype: str) -> str:
        """The same values as "float", "int" or "bool"."""
        return self.node("Cast", name, to=TYPES[dtype])


def protos(arrays: Mapping[str, np.ndarray]) -> list[TensorProto]:
    """Arrays as ONNX keeps them."""
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]
