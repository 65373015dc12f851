"""What flows between layers at run time: an array, its axes, the lengths of its rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


@partial(jax.tree_util.register_dataclass, data_fields=["array", "lengths"], meta_fields=["axes"])
@dataclass(frozen=True)
class Tensor:
    """A batch of tensors.

    Attributes:
        array: (batch, *axes).
        axes: the names of the axes after the batch, as in `compiler.types.AXES`.
        lengths: (batch,) integers, how many steps of the time axis each row really has;
            None where every row is full.
    """

    array: jax.Array
    axes: tuple[str, ...]
    lengths: jax.Array | None = None

    def dim(self, axis: str) -> int:
        """The position of a named axis in `array`, the batch being 0."""
        return self.axes.index(axis) + 1

    @property
    def window_axes(self) -> tuple[str, ...]:
        """The time and space axes."""
        return tuple(a for a in self.axes if a != "channels")

    def mask(self) -> jax.Array | None:
        """True at real steps: (batch, time) with axes of size 1 for the others, or None."""
        if self.lengths is None or "time" not in self.axes:
            return None
        steps = self.array.shape[self.dim("time")]
        real = jnp.arange(steps) < self.lengths[:, None]
        shape = [1] * self.array.ndim
        shape[0], shape[self.dim("time")] = real.shape
        return real.reshape(shape)

    def filled(self, value: ArrayLike = 0) -> jax.Array:
        """The array with `value` at every padded step; NaN there does not get through."""
        mask = self.mask()
        if mask is None:
            return self.array
        return jnp.where(mask, self.array, jnp.asarray(value, self.array.dtype))

    def with_array(self, array: jax.Array) -> Tensor:
        """The same axes and lengths around another array."""
        return replace(self, array=array)
