"""What every random change shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from compiler.types import TensorType
from runtime.section import Choice

if TYPE_CHECKING:
    import jax

IMAGE = ("height", "width", "channels")


class Change(Choice):
    """A random change of a batch.

    What is drawn depends on the key and the number of examples alone, not on the field, so
    that a picture and the mask that belongs to it are changed alike.
    """

    # Whether it moves things about, so that targets with a place for each pixel move along.
    moves: ClassVar[bool] = False
    # Whether it moves things about in images alone, so that such targets would be wrong.
    moves_images_alone: ClassVar[bool] = False
    # What it changes, for messages.
    changes: ClassVar[str] = "images"

    def takes(self, kind: TensorType) -> bool:
        """Whether a field of this type is one that it changes."""
        return kind.axes == IMAGE and kind.dtype == "float"

    def apply(self, array: jax.Array, key: jax.Array) -> jax.Array:
        """The changed examples.

        Args:
            array: (batch, *axes); colours lie between 0 and 1.
            key: randomness for this batch.
        """
        raise NotImplementedError

    def apply_within(
        self, array: jax.Array, lengths: jax.Array, key: jax.Array,
    ) -> jax.Array:
        """The changed examples, where only so many steps (batch,) of each row are real."""
        return self.apply(array, key)


class Move(Change):
    """A change of where things are: of images, and of masks (height, width) over them."""

    moves: ClassVar[bool] = True

    def takes(self, kind: TensorType) -> bool:
        return kind.axes in (IMAGE, IMAGE[:2])

    def apply(self, array: jax.Array, key: jax.Array) -> jax.Array:
        if array.ndim == 3:
            return self.move(array[..., None], key)[..., 0]
        return self.move(array, key)

    def move(self, images: jax.Array, key: jax.Array) -> jax.Array:
        """Moved images: (batch, height, width, channels). Whole numbers are never mixed."""
        raise NotImplementedError

    def apply_boxes(self, boxes: jax.Array, size: tuple[int, int], key: jax.Array) -> jax.Array:
        """The boxes of objects, moved as the images are, and cut where these end.

        Args:
            boxes: (batch, boxes, 4) left, top, right and bottom, in pixels.
            size: height and width of the images.
            key: the one that the images are moved by.
        """
        from runtime.data.augment.boxes import cut

        return cut(self.move_boxes(boxes, size, key), size)

    def move_boxes(self, boxes: jax.Array, size: tuple[int, int], key: jax.Array) -> jax.Array:
        """Moved boxes, which may lie outside."""
        raise NotImplementedError
