"""Windows at run time: the types of arrays, and the lengths that a window leaves."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from compiler.lower.tensor import Tensor
from compiler.ops.windows import Geometry
from compiler.types import TensorType


def type_of(x: Tensor) -> TensorType:
    """The type of a tensor as it arrived; every size is known."""
    return TensorType(x.axes, x.array.shape[1:])


def window_lengths(lengths: jax.Array | None, geometry: Geometry) -> jax.Array | None:
    """How many places the window has on each row: its own length by the formula of the size.

    Args:
        lengths: (batch,) real steps of the time axis, or None.
        geometry: the window; if it has no time axis the lengths stay.

    Returns:
        (batch,) lengths of the output; 0 for a row that is empty or too short.
    """
    if lengths is None or "time" not in geometry.axes:
        return lengths
    i = geometry.axes.index("time")
    stride, pads = geometry.stride[i], geometry.pads[i]
    room = lengths + sum(pads) - geometry.reach[i]
    places = (-(-room // stride) if geometry.ceil else room // stride) + 1
    if geometry.ceil:
        places -= (places - 1) * stride >= lengths + pads[0]
    return jnp.where(lengths > 0, jnp.maximum(places, 0), 0)
