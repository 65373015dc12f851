"""Boxes that are moved with the pictures that they are on: (batch, boxes, 4), in pixels.

A box is left, top, right and bottom. One that is left without an area is no object any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jax

# A box of which less than this stays in the picture is gone: nobody could tell what it was.
KEPT = 0.25


def cut(boxes: jax.Array, size: tuple[int, int]) -> jax.Array:
    """What of boxes lies in the picture; no area where that is less than `KEPT` of them.

    Args:
        boxes: (batch, boxes, 4).
        size: height and width of the picture.
    """
    import jax.numpy as jnp

    height, width = size
    inside = jnp.clip(boxes, 0, jnp.array([width, height, width, height], boxes.dtype))

    def area(of: jax.Array) -> jax.Array:
        return jnp.maximum(of[..., 2:] - of[..., :2], 0).prod(axis=-1)

    kept = area(inside) >= KEPT * area(boxes)
    return jnp.where(kept[..., None], inside, 0)


def warped(
    boxes: jax.Array, size: tuple[int, int], matrices: jax.Array, shifts: jax.Array,
) -> jax.Array:
    """The boxes around boxes that `geometry.warp` has moved with their pictures.

    Args:
        boxes: (batch, boxes, 4).
        size: height and width of the pictures.
        matrices: (batch, 2, 2), as `warp` takes them: from the result to the picture.
        shifts: (batch, 2) likewise.
    """
    import jax.numpy as jnp

    centre = jnp.array([size[0] / 2, size[1] / 2])
    left, top, right, bottom = (boxes[..., i] for i in range(4))
    # (batch, boxes, corners, down and across)
    corners = jnp.stack([jnp.stack([y, x], axis=-1) for y in (top, bottom) for x in (left, right)],
                        axis=2)
    back = jnp.linalg.inv(matrices)
    moved = jnp.einsum("nij,nbcj->nbci", back, corners - centre - shifts[:, None, None]) + centre
    low, high = moved.min(axis=2), moved.max(axis=2)
    return jnp.stack([low[..., 1], low[..., 0], high[..., 1], high[..., 0]], axis=-1)
