"""Random changes to training images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter

from runtime.data.augment import Augmentation, Flip, Shift

IMAGES = jax.random.uniform(jax.random.key(0), (64, 5, 6, 3), minval=0.1)


def shifted(image, down, right):
    """One image moved by whole pixels, zeros behind it."""
    result = np.zeros_like(image)
    height, width = image.shape[:2]
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                result[row, column] = image[row - down, column - right]
    return result


def test_shift_moves_each_image_by_whole_pixels_and_fills_with_zeros():
    after = np.asarray(jax.jit(Shift(pixels=2).apply)(IMAGES, jax.random.key(1)))
    moves = []
    for image, changed in zip(np.asarray(IMAGES), after):
        found = [(d, r) for d in range(-2, 3) for r in range(-2, 3)
                 if np.array_equal(changed, shifted(image, d, r))]
        assert len(found) == 1
        moves += found
    assert len(set(moves)) > 15  # of the 25 there are


def test_flip_mirrors_about_half_of_the_images():
    after = np.asarray(jax.jit(Flip().apply)(IMAGES, jax.random.key(1)))
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(after, np.asarray(IMAGES))]
    kept = [np.array_equal(a, b) for a, b in zip(after, np.asarray(IMAGES))]
    assert all(m != k for m, k in zip(mirrored, kept))
    assert 20 < sum(mirrored) < 44


@pytest.mark.parametrize("change", [Shift(pixels=1), Flip()], ids=lambda c: c.word)
def test_the_key_alone_decides_the_change(change):
    one, same, other = (change.apply(IMAGES, jax.random.key(k)) for k in (3, 3, 4))
    assert jnp.array_equal(one, same) and not jnp.array_equal(one, other)


@pytest.mark.parametrize("change", [Shift(pixels=0), Flip(probability=0.0)], ids=lambda c: c.word)
def test_a_change_of_nothing_changes_nothing(change):
    assert jnp.array_equal(change.apply(IMAGES, jax.random.key(0)), IMAGES)


@pytest.mark.parametrize("text, change", [
    ({"shift": 2}, Shift(pixels=2)), ({"shift": {"pixels": 2}}, Shift(pixels=2)),
    ("flip", Flip()), ({"flip": None}, Flip()), ({"flip": 0.1}, Flip(probability=0.1)),
])
def test_all_notations_of_a_change_mean_the_same(text, change):
    assert TypeAdapter(Augmentation).validate_python(text) == change


def test_the_schema_of_an_editor_knows_all_notations():
    schema = TypeAdapter(Augmentation).json_schema()
    text = str(schema)
    assert "'const': 'flip'" in text
    assert "'const': 'shift'" not in text  # it has a required field
    assert "'shift'" in text and "'pixels'" in text
