"""Boxes in JAX, with static shapes: how much they overlap, and which of many to keep.

A box is left, top, right and bottom, in pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Found(NamedTuple):
    """What was found in pictures, the surest first.

    Attributes:
        boxes: (batch, found, 4).
        scores: (batch, found) between 0 and 1; 0 where nothing is.
        labels: (batch, found) the numbers of classes; -1 where nothing is.
    """

    boxes: jax.Array
    scores: jax.Array
    labels: jax.Array


def area(boxes: jax.Array) -> jax.Array:
    """The area of boxes (..., 4); 0 where right is not right of left, or bottom not below top."""
    return jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(axis=-1)


def iou(one: jax.Array, other: jax.Array) -> jax.Array:
    """Intersection over union of boxes (..., 4) and (..., 4), which broadcast; 0 over 0 is 0."""
    common = _common(one, other)
    union = area(one) + area(other) - common
    return common / jnp.where(union > 0, union, 1)


def giou(one: jax.Array, other: jax.Array) -> jax.Array:
    """Generalised intersection over union (Rezatofighi et al. 2019), between -1 and 1.

    https://arxiv.org/abs/1902.09630: what the two do not fill of the box around both is taken off,
    so that boxes that do not touch still have a gradient.

    Args:
        one: (..., 4).
        other: (..., 4), which broadcasts against it.
    """
    common = _common(one, other)
    union = area(one) + area(other) - common
    around = area(jnp.concatenate([jnp.minimum(one[..., :2], other[..., :2]),
                                   jnp.maximum(one[..., 2:], other[..., 2:])], axis=-1))
    return (common / jnp.where(union > 0, union, 1)
            - (around - union) / jnp.where(around > 0, around, 1))


def _common(one: jax.Array, other: jax.Array) -> jax.Array:
    """The area that boxes have in common."""
    sides = jnp.minimum(one[..., 2:], other[..., 2:]) - jnp.maximum(one[..., :2], other[..., :2])
    return jnp.maximum(sides, 0).prod(axis=-1)


def around(points: jax.Array, distances: jax.Array) -> jax.Array:
    """The boxes whose sides are so far from points.

    Args:
        points: (..., 2) across and down.
        distances: (..., 4) to the left, top, right and bottom.
    """
    return jnp.concatenate([points - distances[..., :2], points + distances[..., 2:]], axis=-1)


def best(
    boxes: jax.Array, scores: jax.Array, *, least: float, candidates: int, overlap: float,
    most: int,
) -> Found:
    """The boxes that stand for an object each: non-maximum suppression, class by class.

    A box goes where a surer one of its class overlaps it more than `overlap`.

    Args:
        boxes: (batch, places, 4), one for each place.
        scores: (batch, places, classes) between 0 and 1.
        least: boxes of lower scores are left out.
        candidates: how many of the surest, over places and classes, are looked at.
        overlap: the intersection over union that two objects of a class may have.
        most: how many are kept.

    Returns:
        (batch, most), or fewer where there are not so many places and classes.
    """
    classes = scores.shape[-1]
    flat = scores.reshape(len(scores), -1)
    candidates = min(candidates, flat.shape[1])
    sure, chosen = lax.top_k(flat, candidates)
    labels = chosen % classes
    picked = jnp.take_along_axis(boxes, (chosen // classes)[..., None], axis=1)
    kept = unsuppressed(picked, labels, sure >= least, overlap)
    # Those that are kept to the front, in their order.
    sure = jnp.where(kept, sure, 0.0)
    sure, order = lax.top_k(sure, min(most, candidates))
    return Found(jnp.take_along_axis(picked, order[..., None], axis=1), sure,
                 jnp.where(sure > 0, jnp.take_along_axis(labels, order, axis=1), -1))


def unsuppressed(
    boxes: jax.Array, labels: jax.Array, there: jax.Array, overlap: float,
) -> jax.Array:
    """Which boxes no surer box of their class that is kept overlaps: (batch, boxes).

    Args:
        boxes: (batch, boxes, 4), the surest first.
        labels: (batch, boxes) their classes.
        there: (batch, boxes) False for those that are none.
        overlap: the intersection over union up to which both are kept.
    """
    count = boxes.shape[1]
    rivals = (iou(boxes[:, :, None], boxes[:, None]) > overlap) & (
        labels[:, :, None] == labels[:, None]) & (jnp.arange(count)[:, None] < jnp.arange(count))

    def step(number: jax.Array, kept: jax.Array) -> jax.Array:
        return kept & ~(rivals[:, number] & kept[:, number, None])

    return lax.fori_loop(0, count, step, there)
