"""The levels of a feature pyramid: where their places lie in a picture, and what each has to find.

Fully convolutional one-stage detection, Tian et al. 2019, https://arxiv.org/abs/1904.01355.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import jax


class Level(NamedTuple):
    """A level of a pyramid.

    Attributes:
        name: what the names of its outputs end in.
        height: in places.
        width: in places.
        stride: the pixels from one place to the next.
    """

    name: str
    height: int
    width: int
    stride: int


class Places(NamedTuple):
    """All places of all levels, one level after another.

    Attributes:
        points: (places, 2) where each lies, across and down, in pixels.
        strides: (places,) of its level, in pixels.
        least: (places,) how far the farthest side of its object is at least, in pixels.
        largest: (places,) and at most.
    """

    points: jax.Array
    strides: jax.Array
    least: jax.Array
    largest: jax.Array


class Wanted(NamedTuple):
    """What places ought to say of a batch of pictures.

    Attributes:
        label: (batch, places) the class of the object; -1 where there is none, -2 where it does
            not matter what is said.
        distances: (batch, places, 4) to the object's sides, in pixels; 0 where there is none.
        centreness: (batch, places) how central the place is in it, between 0 and 1.
    """

    label: jax.Array
    distances: jax.Array
    centreness: jax.Array


def stride_of(picture: tuple[int, int], level: tuple[int, int]) -> int | None:
    """The pixels between the places of a level; None where no stride gives so many.

    Args:
        picture: its height and width.
        level: likewise, in places.
    """
    def gives(stride: int) -> bool:
        return all(-(-size // stride) == places for size, places in zip(picture, level))

    # Networks halve: of the strides that would do, a power of two is the one.
    powers = [2**n for n in range(max(picture).bit_length() + 1)]
    return next((s for s in (*powers, *range(1, max(picture) + 1)) if gives(s)), None)


def places_of(levels: Sequence[Level], reach: float) -> Places:
    """The places of levels, from the finest to the coarsest.

    A level finds what reaches from half of `reach` strides to `reach` strides away from a place;
    the finest what is nearer, the coarsest what is farther, too.
    """
    import jax.numpy as jnp

    points, strides, least, largest = [], [], [], []
    for number, level in enumerate(levels):
        down, across = jnp.meshgrid((jnp.arange(level.height) + 0.5) * level.stride,
                                    (jnp.arange(level.width) + 0.5) * level.stride, indexing="ij")
        points.append(jnp.stack([across.reshape(-1), down.reshape(-1)], axis=-1))
        count = (level.height * level.width,)
        bounds = (0.0 if number == 0 else reach * levels[number - 1].stride,
                  jnp.inf if number == len(levels) - 1 else reach * level.stride)
        strides.append(jnp.full(count, level.stride, jnp.float32))
        least.append(jnp.full(count, bounds[0], jnp.float32))
        largest.append(jnp.full(count, bounds[1], jnp.float32))
    return Places(*(jnp.concatenate(parts) for parts in (points, strides, least, largest)))


def assigned(
    places: Places, boxes: jax.Array, labels: jax.Array, there: jax.Array, crowd: jax.Array,
    radius: float,
) -> Wanted:
    """What each place ought to say: the smallest object whose middle it is in and whose size fits.

    The middle of a box reaches `radius` strides from its centre, and not beyond the box (centre
    sampling). Places in a crowd need not say anything.

    Args:
        places: the places.
        boxes: (batch, boxes, 4) in pixels.
        labels: (batch, boxes) their classes.
        there: (batch, boxes) True for objects.
        crowd: (batch, boxes) True for crowds of them.
        radius: of the middle of a box, in strides.
    """
    import jax.numpy as jnp

    from runtime.tasks.boxes import area

    # All of these are (batch, places, boxes, …).
    across, down = (places.points[:, None, i] for i in range(2))
    left, top, right, bottom = (boxes[:, None, :, i] for i in range(4))
    distances = jnp.stack([across - left, down - top, right - across, bottom - down], axis=-1)
    inside = distances.min(axis=-1) > 0
    reach = radius * places.strides[:, None]
    central = (jnp.abs(across - (left + right) / 2) < reach) & (
        jnp.abs(down - (top + bottom) / 2) < reach)
    farthest = distances.max(axis=-1)
    fits = (farthest > places.least[:, None]) & (farthest <= places.largest[:, None])
    size = jnp.where(inside & central & fits & there[:, None], area(boxes)[:, None], jnp.inf)
    chosen = size.argmin(axis=-1)
    found = jnp.isfinite(size.min(axis=-1))
    indifferent = (inside & crowd[:, None]).any(axis=-1)
    label = jnp.where(found, jnp.take_along_axis(labels, chosen, axis=1),
                      jnp.where(indifferent, -2, -1))
    own = jnp.take_along_axis(distances, chosen[..., None, None], axis=2)[:, :, 0]
    own = jnp.where(found[..., None], own, 0)
    return Wanted(label, own, jnp.where(found, centreness(own), 0))


def centreness(distances: jax.Array) -> jax.Array:
    """How central a place is in a box: 1 in its middle, towards 0 at its rim.

    √(min(left, right) / max(left, right) · min(top, bottom) / max(top, bottom)).

    Args:
        distances: (..., 4) to the left, top, right and bottom, all at least 0.
    """
    import jax.numpy as jnp

    one, other = distances[..., :2], distances[..., 2:]
    largest = jnp.maximum(jnp.maximum(one, other), 1e-6)
    return jnp.sqrt((jnp.maximum(jnp.minimum(one, other), 0) / largest).prod(axis=-1))
