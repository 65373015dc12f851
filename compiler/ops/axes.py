"""Axes that a spec names itself: `axes: [time, channels]`."""

from __future__ import annotations

from compiler.ops.base import ShapeError
from compiler.types import AXES, DEFAULT_AXES


def axes_of(shape: tuple[int, ...], axes: tuple[str, ...] | None, word: str) -> tuple[str, ...]:
    """The axes of a shape: those given, or an input's of that rank.

    Raises:
        ShapeError: there are not as many as sizes, or they cannot be a tensor's.
    """
    if axes is None:
        if len(shape) in DEFAULT_AXES:
            return DEFAULT_AXES[len(shape)]
        raise ShapeError(f"`{word}` makes {len(shape)} axes, and nothing says what they are called",
                         "name them in `axes`", field="shape", code="F0445")
    check_axes(axes, word)
    if len(axes) != len(shape):
        raise ShapeError(f"`{word}` names {len(axes)} axes for {len(shape)} sizes",
                         "give each size one axis", field="axes", code="F0445")
    return axes


def check_axes(names: tuple[str, ...], word: str, field: str = "axes") -> None:
    """Check that these can be the axes of a tensor.

    Raises:
        ShapeError: a name is unknown or twice there, or channels are not last.
    """
    for name in names:
        if name not in AXES:
            raise ShapeError(f"`{word}` names an axis `{name}`, but there is none of that name",
                             f"axes are {', '.join(AXES)}", field=field, code="F0445")
    if len(set(names)) != len(names):
        raise ShapeError(f"`{word}` names an axis twice: {', '.join(names)}",
                         "name each axis once", field=field, code="F0445")
    if "channels" in names[:-1]:
        raise ShapeError(f"`{word}` would put channels before other axes: {', '.join(names)}",
                         "channels are always the last axis", field=field, code="F0445")
