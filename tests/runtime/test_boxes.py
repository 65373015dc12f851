"""Boxes: overlaps, suppression, assignment and moves, against plain NumPy and by hand."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.data.augment import Augmentation, Crop, Flip, ResizedCrop, Rotate, Shift
from runtime.data.augment.change import Move
from runtime.tasks.boxes import area, best, giou, iou, unsuppressed
from runtime.tasks.levels import Level, assigned, centreness, places_of, stride_of

NUMBERS = st.floats(0, 64, width=16, allow_nan=False)
SIZE = (32, 48)
ASSIGNED, UNSUPPRESSED = jax.jit(assigned), jax.jit(unsuppressed)
IOU, GIOU = jax.jit(iou), jax.jit(giou)


@st.composite
def box_lists(draw: st.DrawFn, count: int = 6) -> np.ndarray:
    """Boxes (count, 4), some of them without an area."""
    corners = np.array(draw(st.lists(NUMBERS, min_size=4 * count, max_size=4 * count)))
    pairs = corners.reshape(count, 2, 2)
    return np.concatenate([pairs.min(axis=1), pairs.max(axis=1)], axis=1)


def plain_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


def plain_giou(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return plain_iou(a, b) - ((hull - union) / hull if hull > 0 else 0.0)


@settings(max_examples=40, deadline=None)
@given(box_lists(), box_lists())
def test_iou_and_giou_are_those_of_plain_arithmetic(one: np.ndarray, other: np.ndarray) -> None:
    pairs = jnp.asarray(one[:, None], jnp.float32), jnp.asarray(other[None], jnp.float32)
    for ours, plain in ((IOU, plain_iou), (GIOU, plain_giou)):
        wanted = [[plain(a, b) for b in other] for a in one]
        np.testing.assert_allclose(ours(*pairs), wanted, atol=2e-4)


def test_giou_of_boxes_apart_has_a_gradient_towards_each_other() -> None:
    other = jnp.array([20.0, 20, 30, 30])
    gradient = jax.jit(jax.grad(lambda box: giou(box, other)))(jnp.array([0.0, 0, 10, 10]))
    assert gradient[2] > 0 and gradient[3] > 0


def plain_suppression(
    boxes: np.ndarray, labels: np.ndarray, there: np.ndarray, overlap: float,
) -> list[bool]:
    kept: list[int] = []
    for i in range(len(boxes)):
        if there[i] and all(labels[i] != labels[j] or plain_iou(boxes[j], boxes[i]) <= overlap
                            for j in kept):
            kept.append(i)
    return [i in kept for i in range(len(boxes))]


@settings(max_examples=40, deadline=None)
@given(box_lists(8), st.lists(st.integers(0, 1), min_size=8, max_size=8),
       st.lists(st.booleans(), min_size=8, max_size=8))
def test_suppression_is_the_greedy_one_class_by_class(
    boxes: np.ndarray, labels: list[int], there: list[bool],
) -> None:
    # No pair lies so near the threshold that rounding could decide.
    overlaps = {round(plain_iou(a, b), 3) for a in boxes for b in boxes}
    overlap = next(t for t in (0.5, 0.45, 0.4, 0.35) if all(abs(o - t) > 2e-3 for o in overlaps)
                   or t == 0.35)
    if any(abs(o - overlap) <= 2e-3 for o in overlaps):
        return
    kept = UNSUPPRESSED(jnp.asarray(boxes[None], jnp.float32), jnp.array([labels]),
                        jnp.array([there]), overlap)
    assert kept[0].tolist() == plain_suppression(boxes, np.array(labels), np.array(there), overlap)


def test_the_best_boxes_are_the_surest_of_each_object_and_what_is_missing_is_marked() -> None:
    boxes = jnp.array([[[0, 0, 10, 10], [1, 0, 11, 10], [40, 40, 50, 50.0]]])
    scores = jnp.array([[[0.6, 0.01], [0.9, 0.5], [0.02, 0.3]]])
    found = jax.jit(partial(best, least=0.05, candidates=6, overlap=0.5, most=5))(boxes, scores)
    assert found.labels[0].tolist() == [0, 1, 1, -1, -1]
    np.testing.assert_allclose(found.scores[0], [0.9, 0.5, 0.3, 0, 0])
    np.testing.assert_array_equal(found.boxes[0, :3], boxes[0, jnp.array([1, 1, 2])])


# ----------------------------------------------------------------------------- assignment


@pytest.mark.parametrize(("picture", "level", "stride"), [
    ((96, 96), (24, 24), 4), ((800, 1333), (100, 167), 8), ((800, 1333), (7, 11), 128),
    ((96, 96), (2, 2), 64), ((90, 90), (30, 30), 3), ((96, 96), (24, 12), None)])
def test_strides_follow_from_the_sizes(
    picture: tuple[int, int], level: tuple[int, int], stride: int | None,
) -> None:
    assert stride_of(picture, level) == stride


def plain_assignment(
    levels: list[Level], boxes: np.ndarray, labels: np.ndarray, reach: float, radius: float,
) -> list[tuple[int, tuple[float, ...]]]:
    """For each place its class, and the distances to the sides of its object."""
    told = []
    for number, level in enumerate(levels):
        least = reach * levels[number - 1].stride if number else 0.0
        largest = reach * level.stride if number < len(levels) - 1 else np.inf
        for row in range(level.height):
            for column in range(level.width):
                x, y = (column + 0.5) * level.stride, (row + 0.5) * level.stride
                choices = []
                for (x0, y0, x1, y1), label in zip(boxes, labels):
                    sides = (x - x0, y - y0, x1 - x, y1 - y)
                    central = max(abs(x - (x0 + x1) / 2), abs(y - (y0 + y1) / 2))
                    if min(sides) > 0 and central < radius * level.stride and (
                            least < max(sides) <= largest):
                        choices.append(((x1 - x0) * (y1 - y0), int(label), sides))
                told.append(min(choices)[1:] if choices else (-1, (0.0,) * 4))
    return told


@settings(max_examples=25, deadline=None)
@given(box_lists(4), st.permutations(range(4)))
def test_places_find_the_smallest_object_of_their_level_that_they_are_in_the_middle_of(
    boxes: np.ndarray, labels: list[int],
) -> None:
    levels = [Level("a", 8, 8, 8), Level("b", 4, 4, 16), Level("c", 2, 2, 32)]
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    if len(set(sizes[sizes > 0].tolist())) < (sizes > 0).sum():
        return  # of objects of one size either will do
    wanted = ASSIGNED(places_of(levels, 2.0), jnp.asarray(boxes[None], jnp.float32),
                      jnp.array([labels]), jnp.asarray(sizes[None] > 0),
                      jnp.zeros((1, 4), bool), 1.5)
    plain = plain_assignment(levels, boxes, np.array(labels), 2.0, 1.5)
    assert wanted.label[0].tolist() == [label for label, _ in plain]
    np.testing.assert_allclose(wanted.distances[0], [sides for _, sides in plain], atol=1e-3)
    assert (np.asarray(wanted.centreness[0]) > 0).tolist() == [label >= 0 for label, _ in plain]


def test_centreness_is_one_in_the_middle_and_falls_to_the_rim() -> None:
    values = centreness(jnp.array([[5.0, 5, 5, 5], [2, 5, 8, 5], [0, 5, 10, 5]]))
    np.testing.assert_allclose(values, [1, 0.5, 0], atol=1e-6)


def test_places_in_a_crowd_are_indifferent_unless_an_object_is_there() -> None:
    boxes = jnp.array([[[0, 0, 32, 21], [2, 2, 14, 14.0]]])
    wanted = ASSIGNED(places_of([Level("a", 4, 4, 8)], 8.0), boxes, jnp.array([[1, 0]]),
                      jnp.array([[False, True]]), jnp.array([[True, False]]), 1.5)
    assert wanted.label.reshape(4, 4).tolist() == [
        [0, 0, -2, -2], [0, 0, -2, -2], [-2] * 4, [-1] * 4]


# ----------------------------------------------------------------------------------- moves


@pytest.mark.parametrize("change", [
    Shift(pixels=6), Crop(padding=5), Flip(probability=0.5), Flip(probability=0.5, axis="height"),
    Rotate(degrees=90), ResizedCrop(scale=[0.4, 1.0], ratio=[0.7, 1.4])],
    ids=lambda change: f"{change.word}")
def test_boxes_move_with_their_pictures(change: Augmentation) -> None:
    """A bright rectangle lies in its box, before as after, and fills it unless it was turned."""
    assert isinstance(change, Move)
    count, (height, width) = 32, SIZE
    boxes = np.tile(np.array([[[20, 10, 30, 18.0]]], np.float32), (count, 1, 1))
    images = np.zeros((count, height, width, 1), np.float32)
    images[:, 10:18, 20:30] = 1
    moved, after = jax.jit(lambda key: (
        change.apply(jnp.asarray(images), key)[..., 0],
        change.apply_boxes(jnp.asarray(boxes), SIZE, key)[:, 0]))(jax.random.key(3))
    seen = 0
    for image, (left, top, right, bottom) in zip(np.asarray(moved), np.asarray(after)):
        rows, columns = np.flatnonzero(image.max(axis=1) > 0.5), np.flatnonzero(
            image.max(axis=0) > 0.5)
        if right <= left or not len(rows):
            continue  # it has left the picture
        seen += 1
        found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        slack = 1.6
        assert (found[:2] >= np.array([left, top]) - slack).all()
        assert (found[2:] <= np.array([right, bottom]) + slack).all()
        if not isinstance(change, Rotate):
            np.testing.assert_allclose(found, [left, top, right, bottom], atol=slack)
    assert seen > count / 2
    assert len({tuple(box) for box in np.asarray(after).tolist()}) > 1


def test_a_box_of_which_too_little_stays_is_gone_and_others_are_cut() -> None:
    from runtime.data.augment.boxes import cut

    boxes = jnp.array([[[-8, 0, 2, 10], [-5, -5, 10, 10.0], [4, 4, 6, 6]]])
    kept = cut(boxes, SIZE)
    assert kept[0].tolist() == [[0, 0, 0, 0], [0, 0, 10, 10], [4, 4, 6, 6]]
    assert area(kept)[0].tolist() == [0, 100, 4]
