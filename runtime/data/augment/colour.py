"""Changes of colour. Colours lie between 0 and 1 before and after."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from runtime.data.augment.change import Change

if TYPE_CHECKING:
    import jax


class ColourJitter(Change):
    """Change brightness, contrast, saturation and hue of each image, in this order.

    The first three are multiplied by a number between 1 - x and 1 + x; grey images keep
    saturation and hue.
    """

    word: ClassVar[str] = "colour_jitter"

    brightness: float = Field(default=0.0, ge=0, le=1, description="the largest change, of 1")
    contrast: float = Field(default=0.0, ge=0, le=1, description="the largest change, of 1")
    saturation: float = Field(default=0.0, ge=0, le=1, description="the largest change, of 1")
    hue: float = Field(default=0.0, ge=0, le=0.5,
                       description="the largest turn, as a part of the circle of colours")

    def apply(self, array: jax.Array, key: jax.Array) -> jax.Array:
        import jax

        keys = jax.random.split(key, 4)

        def drawn(index: int, reach: float, centre: float) -> jax.Array:
            return jax.random.uniform(keys[index], (len(array), 1, 1, 1),
                                      minval=centre - reach, maxval=centre + reach)

        if self.brightness:
            array = brightness(array, drawn(0, self.brightness, 1))
        if self.contrast:
            array = contrast(array, drawn(1, self.contrast, 1))
        if array.shape[-1] == 3 and self.saturation:
            array = saturation(array, drawn(2, self.saturation, 1))
        if array.shape[-1] == 3 and self.hue:
            array = hue(array, drawn(3, self.hue, 0))
        return array


def grey(images: jax.Array) -> jax.Array:
    """The brightness of each pixel (ITU-R BT.601): (batch, height, width, 1)."""
    import jax.numpy as jnp

    if images.shape[-1] != 3:
        return images.mean(axis=-1, keepdims=True)
    return images @ jnp.array([[0.299], [0.587], [0.114]], images.dtype)


def mixed(images: jax.Array, base: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Between `base` (factor 0) and the images (factor 1), or beyond, kept between 0 and 1."""
    return (base + factor * (images - base)).clip(0, 1)


def brightness(images: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Images with more light, or less: factor (batch, 1, 1, 1)."""
    return (images * factor).clip(0, 1)


def contrast(images: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Images farther from their mean brightness, or nearer: factor (batch, 1, 1, 1)."""
    return mixed(images, grey(images).mean(axis=(1, 2, 3), keepdims=True), factor)


def saturation(images: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Images with stronger colours, or weaker: factor (batch, 1, 1, 1)."""
    return mixed(images, grey(images), factor)


def hue(images: jax.Array, turn: jax.Array) -> jax.Array:
    """Images with other colours: turn (batch, 1, 1, 1) as a part of the circle.

    The turn is one of the chroma plane of YIQ: it keeps the brightness of every pixel.
    """
    import jax.numpy as jnp

    to_yiq = jnp.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]],
                       images.dtype)
    y, i, q = jnp.split(images @ to_yiq.T, 3, axis=-1)
    cos, sin = jnp.cos(2 * math.pi * turn), jnp.sin(2 * math.pi * turn)
    turned = jnp.concatenate([y, cos * i - sin * q, sin * i + cos * q], axis=-1)
    return (turned @ jnp.linalg.inv(to_yiq).T).clip(0, 1)
