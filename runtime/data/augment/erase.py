"""Changes that take a piece away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from compiler.types import TensorType
from runtime.data.augment.change import Change

if TYPE_CHECKING:
    import jax

Count = Annotated[int, Field(ge=0)]


class Cutout(Change):
    """Cover a square of each image, anywhere; at the rim only a part of it lies inside.

    DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552.
    """

    word: ClassVar[str] = "cutout"
    main: ClassVar[str | None] = "size"

    size: int = Field(gt=0, description="the side of the square, in pixels")
    fill: float = Field(default=0.5, ge=0, le=1, description="its colour: 0 is black, 1 white")

    def apply(self, array: jax.Array, key: jax.Array) -> jax.Array:
        import jax
        import jax.numpy as jnp

        count, height, width, _ = array.shape
        down, right = (
            covered(count, length, jax.random.randint(part, (count,), 0, length) - self.size // 2,
                    jnp.full((count,), self.size))
            for length, part in zip((height, width), jax.random.split(key)))
        square = down[:, :, None, None] & right[:, None, :, None]
        return jnp.where(square, jnp.asarray(self.fill, array.dtype), array)


class SpecAugment(Change):
    """Cover bands of frequencies and stretches of time with the example's mean.

    Park et al. 2019, https://arxiv.org/abs/1904.08779, without the warping of time. It takes
    fields with axes time and frequency.
    """

    word: ClassVar[str] = "spec_augment"
    changes: ClassVar[str] = "spectrograms (time, frequency, channels)"

    frequency_masks: Count = Field(default=2, description="how many bands")
    frequency_width: Count = Field(default=8, description="the widest band, in frequencies")
    time_masks: Count = Field(default=2, description="how many stretches")
    time_width: Count = Field(default=16, description="the longest stretch, in steps")

    def takes(self, kind: TensorType) -> bool:
        return kind.axes[:2] == ("time", "frequency") and kind.dtype == "float"

    def apply(self, array: jax.Array, key: jax.Array) -> jax.Array:
        import jax.numpy as jnp

        return self.apply_within(array, jnp.full((len(array),), array.shape[1]), key)

    def apply_within(
        self, array: jax.Array, lengths: jax.Array, key: jax.Array,
    ) -> jax.Array:
        """Stretches lie within the real steps, and the mean is that of these."""
        import jax
        import jax.numpy as jnp

        count, axes = len(array), tuple(range(1, array.ndim))
        real = (jnp.arange(array.shape[1]) < jnp.maximum(lengths, 1)[:, None]).reshape(
            count, -1, *(1,) * (array.ndim - 2))
        mean = array.mean(axis=axes, keepdims=True, where=jnp.broadcast_to(real, array.shape))
        plans = ((1, self.time_masks, self.time_width),
                 (2, self.frequency_masks, self.frequency_width))
        for axis, masks, reach in plans:
            length = array.shape[axis]
            for number in range(masks):
                one, other = jax.random.split(jax.random.fold_in(key, axis * 1000 + number))
                most = lengths if axis == 1 else jnp.full((count,), length)
                sizes = jax.random.randint(one, (count,), 0, jnp.minimum(reach, most) + 1)
                starts = jax.random.uniform(other, (count,)) * (most - sizes + 1)
                shape = [count, *(length if a == axis else 1 for a in range(1, array.ndim))]
                mask = covered(count, length, starts.astype(jnp.int32), sizes).reshape(shape)
                array = jnp.where(mask, mean, array)
        return array


def covered(count: int, length: int, starts: jax.Array, sizes: jax.Array) -> jax.Array:
    """True for `sizes` (count,) places from `starts` (count,) on: (count, length)."""
    import jax.numpy as jnp

    places = jnp.arange(length)
    return (places >= starts[:, None]) & (places < (starts + sizes)[:, None])
