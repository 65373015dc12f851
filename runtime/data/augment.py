"""Random changes to training images, made on the device inside the training step.

A new one is a class here and its name in the union at the bottom. JAX is imported where
arrays are touched, since checking a recipe reads these classes without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Discriminator, Field, Tag

from compiler.types import TensorType
from runtime.section import Choice, word_of

if TYPE_CHECKING:
    import jax


class _Augmentation(Choice):
    def takes(self, kind: TensorType) -> bool:
        """Whether a field of this type is one that it changes: an image."""
        return kind.axes == ("height", "width", "channels") and kind.dtype == "float"

    def apply(self, images: jax.Array, key: jax.Array) -> jax.Array:
        """Changed images.

        Args:
            images: (batch, height, width, channels).
            key: randomness for this batch.
        """
        raise NotImplementedError


class Shift(_Augmentation):
    """Move each image by whole pixels, each axis apart, and fill with zeros.

    Shifting by up to p is the padding by p and random cropping of He et al. 2015
    (https://arxiv.org/abs/1512.03385, section 4.2).
    """

    word: ClassVar[str] = "shift"
    main: ClassVar[str | None] = "pixels"

    pixels: int = Field(ge=0, description="the farthest move along each axis")

    def apply(self, images: jax.Array, key: jax.Array) -> jax.Array:
        import jax
        from jax import lax

        reach = self.pixels
        padded = lax.pad(images, images.dtype.type(0),
                         ((0, 0, 0), (reach, reach, 0), (reach, reach, 0), (0, 0, 0)))
        starts = jax.random.randint(key, (len(images), 2), 0, 2 * reach + 1)

        def crop(image: jax.Array, start: jax.Array) -> jax.Array:
            return lax.dynamic_slice(image, (start[0], start[1], 0), images.shape[1:])

        return jax.vmap(crop)(padded, starts)


class Flip(_Augmentation):
    """Mirror each image left to right with some probability."""

    word: ClassVar[str] = "flip"
    main: ClassVar[str | None] = "probability"

    probability: float = Field(
        default=0.5, ge=0, le=1, description="how often an image is mirrored")

    def apply(self, images: jax.Array, key: jax.Array) -> jax.Array:
        import jax
        import jax.numpy as jnp

        mirrored = jax.random.bernoulli(key, self.probability, (len(images), 1, 1, 1))
        return jnp.where(mirrored, images[:, :, ::-1], images)


Augmentation = Annotated[
    Annotated[Shift, Tag("shift")] | Annotated[Flip, Tag("flip")],
    Discriminator(word_of),
]
