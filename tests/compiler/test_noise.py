"""Random operators: how often, how much, and when not."""

import numpy as np
import pytest

from tests.compiler.layers import numbers, run

X = np.abs(numbers(64, 4, 5, 16)) + 1
RATE = 0.25


def dropped(word, **options):
    return np.asarray(run(word, {"rate": RATE}, X, training=True, **options).array)


@pytest.mark.parametrize("word", ["dropout", "spatial_dropout", "drop_path", "gaussian_noise"])
def test_noise_does_nothing_in_evaluation_and_needs_no_key(word):
    field = "stddev" if word == "gaussian_noise" else "rate"
    assert (run(word, {field: 0.5}, X, key=None).array == X).all()
    assert (run(word, {field: 0.0}, X, key=None, training=True).array == X).all()


def test_noise_in_training_without_a_key_says_how_to_pass_one():
    with pytest.raises(ValueError, match="rngs="):
        run("dropout", {"rate": 0.5}, X, key=None, training=True)


@pytest.mark.parametrize("word", ["dropout", "spatial_dropout", "drop_path"])
def test_what_is_kept_is_scaled_so_that_the_mean_stays(word):
    found = dropped(word)
    kept = found != 0
    np.testing.assert_allclose(found[kept], X[kept] / (1 - RATE), rtol=1e-6)


@pytest.mark.parametrize("word, axes, tolerance", [
    ("dropout", (), 0.02), ("spatial_dropout", (1, 2), 0.05), ("drop_path", (1, 2, 3), 0.2),
])
def test_numbers_channels_or_examples_go_together(word, axes, tolerance):
    gone = dropped(word) == 0
    together = gone.all(axes) if axes else gone
    assert (gone == together.reshape([1 if d in axes else s for d, s in enumerate(gone.shape)])
            ).all()
    assert abs(together.mean() - RATE) < tolerance


def test_keys_decide_what_is_dropped():
    assert (dropped("dropout", key=1) == dropped("dropout", key=1)).all()
    assert (dropped("dropout", key=1) != dropped("dropout", key=2)).any()


def test_gaussian_noise_has_its_deviation():
    added = np.asarray(run("gaussian_noise", {"stddev": 0.5}, X, training=True).array) - X
    assert abs(added.std() - 0.5) < 0.01 and abs(added.mean()) < 0.01


@pytest.mark.parametrize("training", [False, True])
def test_random_draws_in_evaluation_too(training):
    found = run("random", {"shape": (50, 40)}, X, training=training)
    array = np.asarray(found.array)
    assert found.axes == ("time", "channels") and array.shape == (64, 50, 40)
    assert abs(array.mean()) < 0.02 and abs(array.std() - 1) < 0.02


def test_uniform_numbers_are_between_0_and_1():
    array = np.asarray(run("random", {"distribution": "uniform"}, X).array)
    assert array.shape == X.shape and array.min() >= 0 and array.max() < 1
    assert abs(array.mean() - 0.5) < 0.02


def test_random_like_a_sequence_keeps_its_lengths():
    found = run("random", {}, numbers(2, 5, 3), lengths=[[5, 2]])
    assert found.lengths.tolist() == [5, 2]
