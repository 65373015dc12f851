"""Changes of where things are in an image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from runtime.data.augment.boxes import warped
from runtime.data.augment.change import Move
from runtime.section import problem

if TYPE_CHECKING:
    import jax

Part = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(gt=0)]


class Crop(Move):
    """Pad each image and cut an image of the old size out of it, anywhere.

    The augmentation of He et al. 2015 (https://arxiv.org/abs/1512.03385, section 4.2), with
    a padding of 4 pixels.
    """

    word: ClassVar[str] = "crop"
    main: ClassVar[str | None] = "padding"

    padding: int = Field(ge=0, description="pixels to pad each side by")
    fill: Literal["zeros", "edge", "reflect"] = Field(
        default="zeros", description="what the padding holds: black, the outermost pixels, or a "
                                     "mirror image")

    def move(self, images: jax.Array, key: jax.Array) -> jax.Array:
        import jax
        import jax.numpy as jnp
        from jax import lax

        reach, mode = self.padding, {"zeros": "constant"}.get(self.fill, self.fill)
        padded = jnp.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode=mode)

        def cut(image: jax.Array, start: jax.Array) -> jax.Array:
            return lax.dynamic_slice(image, (start[0], start[1], 0), images.shape[1:])

        return jax.vmap(cut)(padded, self._starts(len(images), key))

    def move_boxes(self, boxes: jax.Array, size: tuple[int, int], key: jax.Array) -> jax.Array:
        down, across = (self._starts(len(boxes), key) - self.padding).T
        return boxes - _corners(across, down)

    def _starts(self, count: int, key: jax.Array) -> jax.Array:
        """Where in the padded images the new ones begin: (batch, 2), down and across."""
        import jax

        return jax.random.randint(key, (count, 2), 0, 2 * self.padding + 1)


class Shift(Move):
    """Move each image by whole pixels, each axis apart, and fill with zeros."""

    word: ClassVar[str] = "shift"
    main: ClassVar[str | None] = "pixels"

    pixels: int = Field(ge=0, description="the farthest move along each axis")

    def move(self, images: jax.Array, key: jax.Array) -> jax.Array:
        return Crop(padding=self.pixels).move(images, key)

    def move_boxes(self, boxes: jax.Array, size: tuple[int, int], key: jax.Array) -> jax.Array:
        return Crop(padding=self.pixels).move_boxes(boxes, size, key)


class Flip(Move):
    """Mirror each image, left to right or top to bottom, with some probability."""

    word: ClassVar[str] = "flip"
    main: ClassVar[str | None] = "probability"

    probability: float = Field(
        default=0.5, ge=0, le=1, description="how often an image is mirrored")
    axis: Literal["width", "height"] = Field(
        default="width", description="`width` mirrors left to right, `height` top to bottom")

    def move(self, images: jax.Array, key: jax.Array) -> jax.Array:
        import jax.numpy as jnp

        mirrored = self._mirrored(len(images), key)
        return jnp.where(mirrored, jnp.flip(images, 2 if self.axis == "width" else 1), images)

    def move_boxes(self, boxes: jax.Array, size: tuple[int, int], key: jax.Array) -> jax.Array:
        import jax.numpy as jnp

        left, top, right, bottom = (boxes[..., i] for i in range(4))
        height, width = size
        sides = (width - right, top, width - left, bottom) if self.axis == "width" else (
            left, height - bottom, right, height - top)
        return jnp.where(self._mirrored(len(boxes), key)[..., 0], jnp.stack(sides, -1), boxes)

    def _mirrored(self, count: int, key: jax.Array) -> jax.Array:
        """Which images are mirrored: (batch, 1, 1, 1)."""
        import jax

        return jax.random.bernoulli(key, self.probability, (count, 1, 1, 1))


class Rotate(Move):
    """Turn each image about its centre, and fill with zeros."""

    word: ClassVar[str] = "rotate"
    main: ClassVar[str | None] = "degrees"

    degrees: float = Field(ge=0, le=180, description="the farthest turn, either way")

    def move(self, images: jax.Array, key: jax.Array) -> jax.Array:
        return warp(images, *self._maps(len(images), key))

    def move_boxes(self, boxes: jax.Array, size: tuple[int, int], key: jax.Array) -> jax.Array:
        return warped(boxes, size, *self._maps(len(boxes), key))

    def _maps(self, count: int, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The affine maps, for `warp`."""
        import jax
        import jax.numpy as jnp

        limit = math.radians(self.degrees)
        angles = jax.random.uniform(key, (count,), minval=-limit, maxval=limit)
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        matrices = jnp.stack([jnp.stack([cos, sin], -1), jnp.stack([-sin, cos], -1)], -2)
        return matrices, jnp.zeros((count, 2))


class ResizedCrop(Move):
    """Cut a piece out of each image and bring it to the size of the whole.

    The augmentation of Szegedy et al. 2014 (https://arxiv.org/abs/1409.4842, section 6).
    """

    word: ClassVar[str] = "resized_crop"

    scale: list[Part] = Field(
        default=[0.08, 1.0], min_length=2, max_length=2,
        description="the least and the largest piece, as a part of the image's area")
    ratio: list[Ratio] = Field(
        default=[3 / 4, 4 / 3], min_length=2, max_length=2,
        description="the least and the largest width, by the height")

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name in ("scale", "ratio"):
            least, largest = getattr(self, name)
            if least > largest:
                raise problem(f"`{name}` of `resized_crop` begins with its smaller number",
                              help=f"say `{name}: [{largest}, {least}]`")
        return self

    def move(self, images: jax.Array, key: jax.Array) -> jax.Array:
        return warp(images, *self._maps(images.shape[:3], key))

    def move_boxes(self, boxes: jax.Array, size: tuple[int, int], key: jax.Array) -> jax.Array:
        return warped(boxes, size, *self._maps((len(boxes), *size), key))

    def _maps(
        self, shape: tuple[int, ...], key: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """The affine maps, for `warp`; shape is that of the images without channels."""
        import jax
        import jax.numpy as jnp

        by_area, by_ratio, by_place = jax.random.split(key, 3)
        count = shape[:1]
        area = jax.random.uniform(by_area, count, minval=self.scale[0], maxval=self.scale[1])
        low, high = (math.log(bound) for bound in self.ratio)
        root = jnp.exp(jax.random.uniform(by_ratio, count, minval=low, maxval=high) / 2)
        # The parts of the height and of the width that the piece has.
        parts = jnp.minimum(jnp.stack([jnp.sqrt(area) / root, jnp.sqrt(area) * root], -1), 1)
        # How far its centre may lie from the image's.
        room = (1 - parts) / 2 * (jnp.array(shape[1:]) - 1)
        shift = jax.random.uniform(by_place, (*count, 2), minval=-1, maxval=1) * room
        return parts[:, :, None] * jnp.eye(2), shift


def _corners(across: jax.Array, down: jax.Array) -> jax.Array:
    """Moves (batch,) of images as moves of the sides of their boxes: (batch, 1, 4)."""
    import jax.numpy as jnp

    return jnp.stack([across, down, across, down], axis=-1)[:, None]


def warp(images: jax.Array, matrices: jax.Array, shifts: jax.Array) -> jax.Array:
    """Images under affine maps about their centres, black where there was nothing.

    Args:
        images: (batch, height, width, channels); floats are interpolated linearly, of whole
            numbers the nearest is taken.
        matrices: (batch, 2, 2) from places in the result, (down, right) of the centre, to
            places in the image.
        shifts: (batch, 2) what is added to these places, in pixels.
    """
    import jax
    import jax.numpy as jnp
    from jax.scipy.ndimage import map_coordinates

    height, width = images.shape[1:3]
    centre = jnp.array([(height - 1) / 2, (width - 1) / 2])
    grid = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), -1)
    order = 1 if jnp.issubdtype(images.dtype, jnp.floating) else 0

    def one(image: jax.Array, matrix: jax.Array, shift: jax.Array) -> jax.Array:
        places = (grid - centre) @ matrix.T + centre + shift
        along = [places[..., 0], places[..., 1]]
        return jax.vmap(lambda plane: map_coordinates(plane, along, order), -1, -1)(image)

    return jax.vmap(one)(images, matrices, shifts)
