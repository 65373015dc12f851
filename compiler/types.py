"""The type of a tensor: named axes with sizes, the kind of its elements.

The batch axis is never part of a type. A size is an int, or, where it is not
known before the data is (`length: any`), a text that stands for it: the name of
the input whose length it is, or what a layer made of it, such as
`(text - 3) // 2 + 1`. Two unknown sizes are equal when their texts are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Size = int | str
Dtype = Literal["float", "int", "bool"]

SPACE_AXES = ("depth", "height", "width", "frequency")
AXES = ("time", *SPACE_AXES, "channels")

# What an input's axes are where the spec gives only a shape, by its rank.
DEFAULT_AXES = {
    0: (),
    1: ("channels",),
    2: ("time", "channels"),
    3: ("height", "width", "channels"),
    4: ("depth", "height", "width", "channels"),
    5: ("time", "depth", "height", "width", "channels"),
}


@dataclass(frozen=True, slots=True)
class TensorType:
    """Axes, sizes and element kind of a tensor, without its batch axis.

    Attributes:
        axes: names out of `AXES`, each at most once; channels, if there, last.
        shape: a size for each axis.
        dtype: "float", "int" or "bool"; the width of floats is the run's policy.
        vocabulary: for integers, how many values there are (0 … vocabulary-1), if known.
    """

    axes: tuple[str, ...]
    shape: tuple[Size, ...]
    dtype: Dtype = "float"
    vocabulary: int | None = None

    def size(self, axis: str) -> Size | None:
        """The size of an axis, or None where the tensor does not have it."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else None

    @property
    def channels(self) -> Size | None:
        return self.size("channels")

    @property
    def length(self) -> Size | None:
        return self.size("time")

    @property
    def window_axes(self) -> tuple[str, ...]:
        """The time and space axes: what a convolution or a pool moves over."""
        return tuple(a for a in self.axes if a != "channels")

    @property
    def elements(self) -> int:
        """How many numbers one example holds; unknown sizes count as 1."""
        return math.prod(s for s in self.shape if isinstance(s, int))

    @property
    def is_known(self) -> bool:
        return all(isinstance(s, int) for s in self.shape)

    def resized(self, **sizes: Size) -> TensorType:
        """The same type with other sizes for the axes named."""
        return replace(self, shape=tuple(sizes.get(a, s) for a, s in zip(self.axes, self.shape)))

    def without(self, *axes: str) -> TensorType:
        """The same type with some axes gone."""
        kept = [(a, s) for a, s in zip(self.axes, self.shape) if a not in axes]
        return replace(self, axes=tuple(a for a, _ in kept), shape=tuple(s for _, s in kept))

    def as_float(self, channels: Size | None = None) -> TensorType:
        """A float tensor over the same axes, with `channels` as last axis if given."""
        base = self if channels is None else self.without("channels")
        axes, shape = base.axes, base.shape
        if channels is not None:
            axes, shape = (*axes, "channels"), (*shape, channels)
        return TensorType(axes, shape)

    def __str__(self) -> str:
        """"(56, 56, 64)"; integers and unknown sizes are told too: "(text, 128)", "int (text)"."""
        shape = f"({', '.join(str(s) for s in self.shape)})"
        return shape if self.dtype == "float" else f"{self.dtype} {shape}"

    def described(self) -> str:
        """"(height 56, width 56, channels 64)": for messages where the axes matter."""
        return f"({', '.join(f'{a} {s}' for a, s in zip(self.axes, self.shape))})"


# Padding of one axis: zeros before and after.
Pads = tuple[int, int]


def window_size(
    size: Size, window: int, stride: int = 1, pads: Pads = (0, 0), dilation: int = 1,
    ceil: bool = False,
) -> Size:
    """How many places a window has on an axis; below 1 where it does not fit.

    floor((size + pads - dilation · (window - 1) - 1) / stride) + 1, or its ceiling,
    where, as in PyTorch, a window may not start in the padding behind the end.
    """
    reach = dilation * (window - 1) + 1
    shrink = reach - sum(pads)
    if isinstance(size, str):
        if shrink == 1 and stride == 1:
            return size
        if stride == 1:
            return shifted_size(size, 1 - shrink)
        rounded = shifted_size(size, stride - 1 - shrink) if ceil else shifted_size(size, -shrink)
        return f"({rounded}) // {stride} + 1"
    room = size - shrink
    places = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (places - 1) * stride >= size + pads[0]:
        places -= 1
    return places


def shifted_size(size: Size, number: int) -> Size:
    """`size + number`."""
    if isinstance(size, int):
        return size + number
    if number == 0:
        return size
    return f"{size} {'+' if number > 0 else '-'} {abs(number)}"


def product_size(size: Size, number: int) -> Size:
    """`size * number`."""
    if isinstance(size, int):
        return size * number
    if number == 1:
        return size
    return f"{size if size.isidentifier() else f'({size})'} * {number}"


def joint_size(a: Size, b: Size) -> Size:
    """`a * b`, of which either may be unknown."""
    if isinstance(b, int):
        return product_size(a, b)
    if isinstance(a, int):
        return product_size(b, a)
    return f"({a}) * ({b})"


def same_pads(size: Size, window: int, stride: int, dilation: int, upper: bool) -> Pads:
    """The zeros that `same` (PyTorch's k // 2 on both sides) or `same_upper` adds.

    `same` is symmetric for odd windows and does not depend on the size; for even
    windows the extra zero stands behind. `same_upper` is TensorFlow's: as many
    zeros as make the output ceil(size / stride), the odd one behind.

    Raises:
        ValueError: `same_upper` with a stride on an axis of unknown size.
    """
    reach = dilation * (window - 1)
    if not upper:
        return (reach // 2, reach - reach // 2)
    if stride == 1:
        total = reach
    elif isinstance(size, str):
        raise ValueError("`same_upper` with a stride needs a known size")
    else:
        total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
    return (total // 2, total - total // 2)


def broadcast(types: Sequence[TensorType]) -> TensorType | None:
    """The type of elementwise arithmetic on tensors, or None where they clash.

    Axes are matched by name. An axis of size 1 stretches; a missing time or
    space axis is added, so that a gate of shape (channels) multiplies an image
    (height, width, channels). Channels must be there in all or in none.
    """
    axes = tuple(a for a in AXES if any(a in t.axes for t in types))
    if "channels" in axes and not all("channels" in t.axes for t in types):
        return None
    shape: list[Size] = []
    for axis in axes:
        sizes = {s for t in types if (s := t.size(axis)) is not None and s != 1}
        if len(sizes) > 1:
            return None
        shape.append(sizes.pop() if sizes else 1)
    alike = all(t.dtype == types[0].dtype for t in types)
    return TensorType(axes, tuple(shape), types[0].dtype if alike else "float")
