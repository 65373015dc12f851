"""Where a window stands as it moves over the time and space axes of its input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from compiler.ops.base import ShapeError, Window, pads, per_axis
from compiler.types import Pads, TensorType, window_size


@dataclass(frozen=True)
class Geometry:
    """A window and its steps; every tuple has one entry for each of `axes`.

    Attributes:
        axes: the time and space axes of the input, in their order.
        window: elements of the window.
        stride: steps from one place to the next.
        pads: what is added before and after the axis.
        dilation: steps from one element of the window to the next.
        ceil: keep a last window that reaches beyond the end.
    """

    axes: tuple[str, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    pads: tuple[Pads, ...]
    dilation: tuple[int, ...]
    ceil: bool = False

    @property
    def reach(self) -> tuple[int, ...]:
        """How much of each axis one window spans."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.window, self.dilation))

    @property
    def taps(self) -> int:
        """Elements of the whole window."""
        return math.prod(self.window)

    def windows(self) -> dict[str, Window | None]:
        """The reach of the operator along each axis, for the receptive field."""
        return {a: Window(r, s) for a, r, s in zip(self.axes, self.reach, self.stride)}

    def output(self, x: TensorType, field: str) -> TensorType:
        """The type of the places where the window stands on `x`.

        Raises:
            ShapeError: the window does not fit; `field` is to blame.
        """
        sizes = {}
        for axis, k, s, p, d, r in zip(
                self.axes, self.window, self.stride, self.pads, self.dilation, self.reach):
            size = x.size(axis)
            assert size is not None
            sizes[axis] = places = window_size(size, k, s, p, d, self.ceil)
            if isinstance(places, int) and places < 1:
                padded = f"{size} + {sum(p)} of padding" if sum(p) else f"{size} without padding"
                raise ShapeError(
                    f"a window of {r} does not fit on the {axis} axis, which has {padded}",
                    f"make `{field}` smaller, or set `padding: same`", field, "F0405")
        return x.resized(**sizes)


def geometry(
    x: TensorType, word: str, field: str, window: Any, stride: Any, padding: Any,
    dilation: Any = 1, ceil: bool = False,
) -> Geometry:
    """The geometry of operator `word` on `x`, its fields spread over the axes.

    Args:
        x: the input; its sizes matter for `padding: same_upper` only.
        word: the operator, for messages.
        field: the name of the field that gives the window.
        window, stride, padding, dilation, ceil: the operator's fields.

    Raises:
        ShapeError: the input has too few or too many axes, or a field does not fit them.
    """
    rank = expect_windows(x, word)
    k = per_axis(window, rank, field)
    s = per_axis(stride, rank, "stride")
    d = per_axis(dilation, rank, "dilation")
    return Geometry(x.window_axes, k, s, pads(padding, x, k, s, d), d, ceil)


def expect_windows(x: TensorType, word: str) -> int:
    """The number of time and space axes, which is the rank of a convolution or pool.

    Raises:
        ShapeError: there is none, or more than three.
    """
    rank = len(x.window_axes)
    if rank == 0:
        raise ShapeError(f"`{word}` moves over time or space, but its input is {x.described()}",
                         "use `dense` here, or put the layer before the one that flattens or "
                         "pools these axes away", code="F0408")
    if rank > 3:
        raise ShapeError(
            f"`{word}` moves over at most 3 axes, but its input has {rank}: {x.described()}",
            "apply it to every step apart: `layers: {each: time, layers: [...]}`", code="F0408")
    return rank
