"""RandAugment: a few changes drawn from a fixed list, all of one magnitude."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from runtime.data.augment import colour
from runtime.data.augment.change import Change
from runtime.data.augment.geometry import warp

if TYPE_CHECKING:
    import jax

# The greatest magnitude.
FULL = 30


class RandAugment(Change):
    """Make `layers` changes to each image, each drawn from fourteen.

    Cubuk et al. 2019, https://arxiv.org/abs/1909.13719. The list: nothing, shear and
    translate along both axes, rotate, brightness, colour, contrast, sharpness, posterize,
    solarize, autocontrast, equalize; the ranges are those of the paper's code, with a
    magnitude from 0 to 30. What is moved in is black.
    """

    word: ClassVar[str] = "rand_augment"
    moves_images_alone: ClassVar[bool] = True

    layers: int = Field(default=2, gt=0, le=8, description="how many changes, one after another")
    magnitude: float = Field(default=9, ge=0, le=FULL, description="how strong they are")

    def apply(self, array: jax.Array, key: jax.Array) -> jax.Array:
        import jax

        for layer in range(self.layers):
            array = self._once(array, jax.random.fold_in(key, layer))
        return array

    def _once(self, images: jax.Array, key: jax.Array) -> jax.Array:
        """A change for each image, drawn anew."""
        import jax
        import jax.numpy as jnp

        choosing, signing = jax.random.split(key)
        count = len(images)
        moves, colours = 5, _colours(self.magnitude / FULL)
        chosen = jax.random.randint(choosing, (count,), 0, 1 + moves + len(colours))
        sign = jnp.where(jax.random.bernoulli(signing, shape=(count,)), 1.0, -1.0)

        matrices, shifts = self._maps(chosen, sign, images.shape[1:3])
        result = jnp.where((chosen < moves)[:, None, None, None],
                           warp(images, matrices, shifts), images)
        for number, change in enumerate(colours, start=moves):
            here = (chosen == number)[:, None, None, None]
            result = jnp.where(here, change(images, sign[:, None, None, None]), result)
        return result

    def _maps(
        self, chosen: jax.Array, sign: jax.Array, size: tuple[int, ...],
    ) -> tuple[jax.Array, jax.Array]:
        """The affine maps of shear (0, 1), translate (2, 3) and rotate (4), for `warp`."""
        import jax.numpy as jnp

        strength = sign * self.magnitude / FULL
        turn = jnp.where(chosen == 4, math.radians(30) * strength, 0)
        cos, sin = jnp.cos(turn), jnp.sin(turn)
        down, right = (jnp.where(chosen == i, 0.3 * strength, 0) for i in (0, 1))
        matrices = jnp.stack([jnp.stack([cos, sin + down], -1),
                              jnp.stack([-sin + right, cos], -1)], -2)
        shifts = jnp.stack([jnp.where(chosen == 2 + i, 0.45 * strength * size[i], 0)
                            for i in range(2)], -1)
        return matrices, shifts


def _colours(strength: float) -> list[Callable[[jax.Array, jax.Array], jax.Array]]:
    """The changes of colour, as functions of the images and a sign for each."""
    def enhanced(change: Callable[[jax.Array, jax.Array], jax.Array]) -> Callable:
        return lambda images, sign: change(images, 1 + 0.9 * strength * sign)

    return [enhanced(colour.brightness), enhanced(colour.saturation), enhanced(colour.contrast),
            enhanced(sharpness),
            lambda images, sign: posterized(images, 8 - round(4 * strength)),
            lambda images, sign: solarized(images, 1 - strength),
            lambda images, sign: autocontrast(images), lambda images, sign: equalized(images)]


def sharpness(images: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Images away from their smoothed selves, or towards them; the rim stays."""
    import jax.numpy as jnp

    if min(images.shape[1:3]) < 3:
        return images
    height, width = images.shape[1:3]
    total = 4 * images[:, 1:-1, 1:-1]
    for down in range(3):
        for right in range(3):
            total += images[:, down:height - 2 + down, right:width - 2 + right]
    smooth = jnp.asarray(images).at[:, 1:-1, 1:-1].set(total / 13)
    return colour.mixed(images, smooth, factor)


def posterized(images: jax.Array, bits: int) -> jax.Array:
    """Images with only so many bits for each colour."""
    import jax.numpy as jnp

    step = 2 ** (8 - bits)
    return jnp.floor(jnp.round(images * 255) / step) * step / 255


def solarized(images: jax.Array, threshold: float) -> jax.Array:
    """Images whose colours from a threshold on are turned into their negative."""
    import jax.numpy as jnp

    return jnp.where(images >= threshold, 1 - images, images)


def autocontrast(images: jax.Array) -> jax.Array:
    """Images in which each colour's darkest value is 0 and its brightest 1."""
    import jax.numpy as jnp

    low, high = images.min(axis=(1, 2), keepdims=True), images.max(axis=(1, 2), keepdims=True)
    spread = jnp.where(high > low, high - low, 1)
    return jnp.where(high > low, (images - low) / spread, images)


def equalized(images: jax.Array) -> jax.Array:
    """Images in which each colour's 256 values are about equally frequent, as in Pillow."""
    import jax
    import jax.numpy as jnp

    def plane(values: jax.Array) -> jax.Array:
        level = jnp.round(values.reshape(-1) * 255).astype(jnp.int32)
        counts = jnp.bincount(level, length=256)
        step = (level.size - counts[level.max()]) // 255  # 0 for a plane of a few values
        table = (jnp.cumsum(counts) - counts + step // 2) // jnp.maximum(step, 1)
        spread = (table.clip(0, 255) / 255)[level].reshape(values.shape)
        return jnp.where(step > 0, spread, values)

    return jax.vmap(jax.vmap(plane, -1, -1))(images).astype(images.dtype)
