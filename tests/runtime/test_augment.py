"""Random changes to training examples."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from pydantic import TypeAdapter, ValidationError

from compiler.types import TensorType
from runtime.batch import Batch
from runtime.data.augment import (
    Augmentation,
    ColourJitter,
    Crop,
    Cutout,
    Flip,
    Noise,
    RandAugment,
    ResizedCrop,
    Rotate,
    Shift,
    SpecAugment,
    colour,
    rand,
)
from runtime.data.augment.geometry import warp
from runtime.step import augmentation

IMAGES = jax.random.uniform(jax.random.key(0), (64, 5, 6, 3), minval=0.1)
SOUNDS = jax.random.uniform(jax.random.key(0), (64, 20, 12, 1), minval=0.1)
IMAGE = TensorType(("height", "width", "channels"), (5, 6, 3))
MASK = TensorType(("height", "width"), (5, 6), "int", vocabulary=4)
SOUND = TensorType(("time", "frequency", "channels"), (20, 12, 1))

EVERY = [Shift(pixels=1), Crop(padding=2), Crop(padding=2, fill="reflect"), ResizedCrop(), Flip(),
         Flip(axis="height"), Rotate(degrees=30),
         ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1), Cutout(size=2),
         RandAugment(), Noise(deviation=0.1), SpecAugment()]
NOTHING = [Shift(pixels=0), Crop(padding=0), ResizedCrop(scale=[1.0, 1.0], ratio=[1.0, 1.0]),
           Flip(probability=0.0), Rotate(degrees=0), ColourJitter(), Noise(deviation=0.0),
           SpecAugment(time_masks=0, frequency_masks=0)]


def sample(change):
    return SOUNDS if change.takes(SOUND) and not change.takes(IMAGE) else IMAGES


def named(changes):
    return {"argvalues": changes, "ids": [f"{c.word}{i}" for i, c in enumerate(changes)]}


# ---------------------------------------------------------------------- what all must keep


def test_the_table_has_every_change():
    kinds = {type(change) for change in EVERY}
    union = typing.get_args(typing.get_args(Augmentation)[0])
    assert kinds == {typing.get_args(member)[0] for member in union}


@pytest.mark.parametrize("change", **named(EVERY))
def test_the_key_decides_each_example_s_change_and_colours_stay_between_0_and_1(change):
    apply = jax.jit(change.apply)
    alike = jnp.broadcast_to(sample(change)[:1], sample(change).shape)
    one, same, other = (np.asarray(apply(alike, jax.random.key(k))) for k in (3, 3, 4))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert one.shape == alike.shape and one.dtype == np.float32
    assert len({row.tobytes() for row in one}) > 1
    if change.word != "noise":
        assert 0 <= one.min() and one.max() <= 1 + 1e-6


@pytest.mark.parametrize("change", **named(NOTHING))
def test_a_change_of_nothing_changes_nothing(change):
    after = jax.jit(change.apply)(sample(change), jax.random.key(0))
    np.testing.assert_allclose(after, sample(change), atol=1e-6)


@pytest.mark.parametrize("change", **named([c for c in EVERY if c.moves]))
def test_a_mask_moves_with_its_image(change):
    masks = jax.random.randint(jax.random.key(1), IMAGES.shape[:3], 0, 4)
    fields = {"image": IMAGE, "mask": MASK}
    # The image carries the mask in one of its channels; nearest and linear agree where the
    # neighbours are equal.
    masks = masks.at[:].set(masks[:, :1, :1])
    images = IMAGES.at[..., 0].set(masks / 4)
    batch = Batch({"image": images, "mask": masks}, {}, jnp.ones(len(masks), bool))
    augment = jax.jit(augmentation([change], fields, {"image"}))
    after = augment(batch, jax.random.key(2)).arrays
    assert after["mask"].dtype == masks.dtype
    inside = after["image"][..., 0] == masks[:, :1, :1] / 4
    assert inside.mean() > 0.2
    np.testing.assert_array_equal(np.where(inside, after["mask"], 0),
                                  np.where(inside, jnp.broadcast_to(masks, inside.shape), 0))


def test_targets_are_not_changed_by_what_only_changes_colours():
    batch = Batch({"image": IMAGES, "clean": IMAGES}, {}, jnp.ones(64, bool))
    fields = {"image": IMAGE, "clean": IMAGE}
    after = augmentation([Noise(deviation=1.0)], fields, {"image"})(batch, jax.random.key(0))
    assert jnp.array_equal(after.arrays["clean"], IMAGES)
    assert not jnp.array_equal(after.arrays["image"], IMAGES)


# ------------------------------------------------------------------------------- geometry


def shifted(image, down, right):
    """One image moved by whole pixels, zeros behind it."""
    result = np.zeros_like(image)
    height, width = image.shape[:2]
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                result[row, column] = image[row - down, column - right]
    return result


@pytest.mark.parametrize("change", [Shift(pixels=2), Crop(padding=2)], ids=lambda c: c.word)
def test_shift_and_crop_move_each_image_by_whole_pixels_and_fill_with_zeros(change):
    after = np.asarray(jax.jit(change.apply)(IMAGES, jax.random.key(1)))
    moves = []
    for image, changed in zip(np.asarray(IMAGES), after):
        found = [(d, r) for d in range(-2, 3) for r in range(-2, 3)
                 if np.array_equal(changed, shifted(image, d, r))]
        assert len(found) == 1
        moves += found
    assert len(set(moves)) > 15  # of the 25 there are


@pytest.mark.parametrize("axis, mirror", [("width", np.s_[:, ::-1]), ("height", np.s_[::-1])])
def test_flip_mirrors_about_half_of_the_images(axis, mirror):
    after = np.asarray(jax.jit(Flip(axis=axis).apply)(IMAGES, jax.random.key(1)))
    mirrored = [np.array_equal(a, b[mirror]) for a, b in zip(after, np.asarray(IMAGES))]
    kept = [np.array_equal(a, b) for a, b in zip(after, np.asarray(IMAGES))]
    assert all(m != k for m, k in zip(mirrored, kept))
    assert 20 < sum(mirrored) < 44


def test_a_quarter_turn_is_exact():
    images = IMAGES[:2, :5, :5]
    turn = jnp.broadcast_to(jnp.array([[0.0, 1.0], [-1.0, 0.0]]), (2, 2, 2))
    np.testing.assert_allclose(warp(images, turn, jnp.zeros((2, 2))),
                               np.rot90(images, axes=(1, 2)), atol=1e-6)


def test_rotate_leaves_the_centre_and_turns_no_farther_than_asked():
    images = jnp.zeros((64, 21, 21, 1)).at[:, 10, :, 0].set(1)  # a line through the centre
    after = np.asarray(Rotate(degrees=45).apply(images, jax.random.key(0)))[..., 0]
    np.testing.assert_allclose(after[:, 10, 10], 1, atol=1e-5)
    # At 45° either way the line ends on the diagonals; beyond it nothing lies.
    row, column = np.mgrid[-10:11, -10:11]
    assert np.abs(after[:, np.abs(row) > np.abs(column) + 1]).max() < 1e-5


def test_a_resized_crop_shows_a_piece_of_the_image_larger():
    ramp = jnp.broadcast_to(jnp.linspace(0, 1, 32)[None, None, :, None], (64, 32, 32, 1))
    change = ResizedCrop(scale=[0.25, 0.25], ratio=[1.0, 1.0])
    after = np.asarray(change.apply(ramp, jax.random.key(0)))
    spread = after[:, 16, -1, 0] - after[:, 16, 0, 0]
    np.testing.assert_allclose(spread, 0.5, atol=0.02)  # half the width
    assert after.min() >= 0 and after[:, 16, 0, 0].std() > 0.05


# -------------------------------------------------------------------- colours, as in Pillow


def pillow(change, image):
    """A Pillow change of one image of colours between 0 and 1."""
    picture = Image.fromarray(np.round(np.asarray(image) * 255).astype(np.uint8))
    return np.asarray(change(picture), np.float32) / 255


@pytest.mark.parametrize("ours, theirs, tolerance", [
    (lambda x: colour.brightness(x, 0.6), lambda p: ImageEnhance.Brightness(p).enhance(0.6), 1),
    (lambda x: colour.contrast(x, 1.5), lambda p: ImageEnhance.Contrast(p).enhance(1.5), 2),
    (lambda x: colour.saturation(x, 0.3), lambda p: ImageEnhance.Color(p).enhance(0.3), 2),
    (lambda x: rand.sharpness(x, 1.7), lambda p: ImageEnhance.Sharpness(p).enhance(1.7), 2),
    (lambda x: rand.posterized(x, 4), lambda p: ImageOps.posterize(p, 4), 0),
    (lambda x: rand.solarized(x, 128 / 255), lambda p: ImageOps.solarize(p, 128), 0),
    (rand.autocontrast, ImageOps.autocontrast, 1),
    (rand.equalized, ImageOps.equalize, 0)])
def test_colours_change_as_in_pillow(ours, theirs, tolerance):
    """Within a step or two of 255, as Pillow rounds on its way."""
    image = jnp.round(jax.random.uniform(jax.random.key(5), (24, 24, 3)) ** 2 * 255) / 255
    after = np.asarray(jax.jit(ours)(image[None])[0])
    assert np.abs(after - pillow(theirs, image)).max() * 255 <= tolerance + 0.6


def test_a_flat_image_is_neither_stretched_nor_equalised():
    flat = jnp.full((1, 4, 4, 3), 0.3)
    assert jnp.array_equal(jax.jit(rand.autocontrast)(flat), flat)
    assert jnp.array_equal(jax.jit(rand.equalized)(flat), flat)


def test_a_turn_of_the_hue_keeps_brightness_and_a_whole_one_all():
    image = 0.4 + 0.2 * IMAGES[:1]
    np.testing.assert_allclose(colour.hue(image, jnp.ones((1, 1, 1, 1))), image, atol=1e-5)
    turned = colour.hue(image, jnp.full((1, 1, 1, 1), 0.3))
    np.testing.assert_allclose(colour.grey(turned), colour.grey(image), atol=1e-3)
    assert float(jnp.abs(turned - image).max()) > 0.05


def test_jitter_goes_no_farther_than_asked():
    images = jnp.full((64, 2, 2, 1), 0.5)
    after = np.asarray(ColourJitter(brightness=0.4).apply(images, jax.random.key(0)))[:, 0, 0, 0]
    assert 0.3 - 1e-6 <= after.min() < 0.35 and 0.65 < after.max() <= 0.7 + 1e-6


# ------------------------------------------------------------------------ what takes away


def test_cutout_covers_one_square_of_each_image():
    images = jnp.zeros((64, 9, 9, 1))
    after = np.asarray(Cutout(size=3, fill=1.0).apply(images, jax.random.key(0)))[..., 0]
    full = 0
    for covered in after:
        rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
        assert covered.sum() == len(rows) * len(columns)  # a rectangle without holes
        assert 2 <= len(rows) <= 3 and 2 <= len(columns) <= 3  # smaller only at the rim
        full += covered.sum() == 9
    assert full > 32


def test_spec_augment_covers_whole_bands_and_stretches_with_the_mean():
    change = SpecAugment(frequency_masks=1, frequency_width=3, time_masks=1, time_width=5)
    after = np.asarray(change.apply(SOUNDS, jax.random.key(0)))[..., 0]
    means = np.asarray(SOUNDS.mean(axis=(1, 2, 3)))
    bands, stretches = [], []
    for before, covered, mean in zip(np.asarray(SOUNDS)[..., 0], after, means):
        hit = covered != before
        np.testing.assert_allclose(covered[hit], mean, rtol=1e-5)
        steps, frequencies = hit.all(axis=1), hit.all(axis=0)
        np.testing.assert_array_equal(hit, steps[:, None] | frequencies[None])
        stretches.append(steps.sum())
        bands.append(frequencies.sum())
    assert set(bands) == {0, 1, 2, 3} and set(stretches) == {0, 1, 2, 3, 4, 5}


def test_spec_augment_covers_no_more_than_the_real_steps_with_their_mean():
    change = SpecAugment(frequency_masks=0, time_masks=1, time_width=50)
    lengths = np.arange(len(SOUNDS)) % SOUNDS.shape[1] + 1
    after = change.apply_within(SOUNDS, jnp.asarray(lengths), jax.random.key(0))
    stretches = set()
    for before, covered, length in zip(*map(np.asarray, (SOUNDS, after, lengths))):
        hit = (covered != before).all(axis=(1, 2))
        np.testing.assert_array_equal(covered[length:], before[length:])
        np.testing.assert_allclose(covered[hit], before[:length].mean(), rtol=1e-5)
        stretches.add(hit.sum() / length)
    assert {0, 1} <= stretches


def test_noise_has_the_deviation_asked_for():
    added = Noise(deviation=0.2).apply(IMAGES, jax.random.key(0)) - IMAGES
    assert abs(float(added.std()) - 0.2) < 0.01 and abs(float(added.mean())) < 0.01


def test_rand_augment_makes_all_of_its_fourteen_changes():
    """A coarse count: of many draws of one layer each kind leaves a different picture."""
    image = jax.random.uniform(jax.random.key(3), (1, 18, 18, 3), minval=0.2, maxval=0.7)
    alike = jnp.broadcast_to(image, (256, 18, 18, 3))
    apply = jax.jit(RandAugment(layers=1, magnitude=15).apply)
    after = np.asarray(apply(alike, jax.random.key(0)))
    kinds = {row.tobytes() for row in np.round(after, 4)}
    # Five moves and four enhancements with two signs, and five changes without.
    assert len(kinds) == 2 * 9 + 5


# ------------------------------------------------------------------------------- notation


@pytest.mark.parametrize("text, change", [
    ({"shift": 2}, Shift(pixels=2)), ({"shift": {"pixels": 2}}, Shift(pixels=2)),
    ("flip", Flip()), ({"flip": None}, Flip()), ({"flip": 0.1}, Flip(probability=0.1)),
    ({"crop": 4}, Crop(padding=4)), ("rand_augment", RandAugment()),
    ({"rotate": 15.0}, Rotate(degrees=15.0)), ({"noise": 0.1}, Noise(deviation=0.1)),
])
def test_all_notations_of_a_change_mean_the_same(text, change):
    assert TypeAdapter(Augmentation).validate_python(text) == change


@pytest.mark.parametrize("text, place", [
    ({"resized_crop": {"scale": [1.0, 0.5]}}, ()), ({"rotate": 200}, ("degrees",)),
    ({"cutout": 0}, ("size",)), ({"rand_augment": {"magnitude": 31}}, ("magnitude",))])
def test_a_change_that_cannot_be_is_refused(text, place):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Augmentation).validate_python(text)
    assert [e["loc"][1:] for e in caught.value.errors()] == [place]


def test_the_schema_of_an_editor_knows_all_notations():
    schema = TypeAdapter(Augmentation).json_schema()
    text = str(schema)
    assert "'const': 'flip'" in text
    assert "'const': 'shift'" not in text  # it has a required field
    assert "'shift'" in text and "'pixels'" in text
