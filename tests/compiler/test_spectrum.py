"""Spectrograms: the values that NumPy gives, published scales, lengths, what is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiler.lower.spectrum import filters, frames
from compiler.ops.base import ShapeError
from compiler.ops.spectrum import LogMel
from compiler.types import TensorType
from runtime.data import mel
from tests.compiler.layers import run

RATE = 8000
ROWS = [1000, 700, 120, 0]


def sounds() -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((len(ROWS), 1000, 1))


def spectrogram(**fields) -> tuple[np.ndarray, np.ndarray]:
    """In float64, of rows with something behind their ends."""
    with jax.enable_x64(True):
        out = run("log_mel", {"rate": RATE, "bands": 20, **fields}, sounds(), lengths=[ROWS])
        return np.asarray(out.array), np.asarray(out.lengths)


def test_the_values_are_those_of_numpy_and_of_spectrograms_made_on_the_way_in():
    array, lengths = spectrogram()
    assert array.dtype == np.float64 and lengths.tolist() == [11, 7, 1, 0]
    for row, sound, samples, steps in zip(array, sounds(), ROWS, lengths):
        if steps:
            expected = mel.log_mel(sound[:samples, 0], RATE, 20, 0.025, 0.01)
            # The other one ends in float32.
            np.testing.assert_allclose(row[:steps, :, 0], expected, atol=1e-6)


def test_the_transform_is_the_sum_that_defines_it():
    op = LogMel(rate=1000, bands=3, window=16, step=8, points=20)
    sound = np.random.default_rng(1).standard_normal((1, 40, 1))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(16) / 16)
    turns = np.exp(-2j * np.pi / 20 * np.outer(np.arange(11), np.arange(16)))
    cut = np.stack([sound[0, i:i + 16, 0] for i in (0, 8, 16, 24)]) * window
    power = np.abs(cut @ turns.T) ** 2
    with jax.enable_x64(True):
        found = run("log_mel", op.model_dump(), sound).array[0, ..., 0]
    np.testing.assert_allclose(found, np.log(power @ filters(op).T / 16 + 1e-6), rtol=1e-12)


# As librosa.mel_frequencies and torchaudio's formula give them, in hertz.
@pytest.mark.parametrize("scale, high, corners", [
    ("htk", 8000.0, [0.0, 458.707, 1218.005, 2474.871, 4555.341, 7999.15]),
    ("slaney", 8000.0, [0.0, 603.2, 1228.09, 2293.37, 4282.7, 7997.69]),
])
def test_bands_are_equally_wide_on_a_published_scale(scale, high, corners):
    op = LogMel(rate=16000, bands=4, scale=scale, high=high)
    found = np.array(op.corners())
    if scale == "htk":
        mels = 2595 * np.log10(1 + found / 700)
    else:
        mels = np.where(found < 1000, 3 * found / 200, 15 + np.log(found.clip(1) / 1000) * 27
                        / np.log(6.4))
    np.testing.assert_allclose(np.diff(mels), np.diff(mels)[0], rtol=1e-9)
    assert found[0] == 0 and found[-1] == pytest.approx(high)
    np.testing.assert_allclose(found, corners, rtol=1e-2)


@pytest.mark.parametrize("scale, total", [("htk", None), ("slaney", 1.0)])
def test_triangles_have_their_tops_at_one_or_an_area_of_one(scale, total):
    op = LogMel(rate=RATE, bands=5, points=65536, scale=scale)
    found = filters(op)
    if total is None:
        np.testing.assert_allclose(found.max(axis=1), 1, atol=1e-3)
    else:
        np.testing.assert_allclose(found.sum(axis=1) * RATE / 65536, total, rtol=1e-3)


@pytest.mark.parametrize("how, axes", [("band", 0), ("utterance", (0, 1))])
def test_normalised_rows_have_mean_0_and_deviation_1_over_their_real_steps(how, axes):
    plain, _ = spectrogram()
    array, lengths = spectrogram(normalise=how)
    for row, before, steps in zip(array[:2, ..., 0], plain[:2, ..., 0], lengths):
        real = before[:steps]
        expected = (real - real.mean(axes)) / np.sqrt(real.var(axes) + 1e-5)
        np.testing.assert_allclose(row[:steps], expected, atol=1e-10)
    # A single step is its own mean: nothing, and no NaN.
    assert np.isfinite(array[:3]).all()
    if how == "band":
        assert not array[2, 0].any()


@pytest.mark.parametrize("size, hop", [(4, 2), (5, 2), (3, 4), (4, 4), (1, 3)])
def test_frames_are_the_windows_that_lie_within(size, hop):
    sound = np.arange(23.0)
    expected = np.stack([sound[i:i + size] for i in range(0, 23 - size + 1, hop)])
    np.testing.assert_array_equal(frames(jnp.asarray(sound), size, hop), expected)


def test_gradients_are_those_of_finite_differences():
    with jax.enable_x64(True):
        sound = jnp.asarray(sounds()[:1, :300])

        def total(x):
            out = run("log_mel", {"rate": RATE, "bands": 8, "normalise": "band"}, x)
            return (out.array * jnp.arange(8)[:, None] * jnp.arange(2)[:, None, None]).sum()

        slope, way = jax.grad(total)(sound), jnp.asarray(sounds()[1:2, :300])
        near = (total(sound + 1e-6 * way) - total(sound - 1e-6 * way)) / 2e-6
        assert float((slope * way).sum()) == pytest.approx(float(near), rel=1e-6)


@pytest.mark.parametrize("fields, type, code", [
    ({}, TensorType(("time", "frequency", "channels"), (90, 8, 1)), "F0403"),
    ({}, TensorType(("channels",), (90,)), "F0403"),
    ({}, TensorType(("time",), (90,), "int"), "F0440"),
    ({"window": 1}, None, "F0480"),
    ({"points": 64}, None, "F0480"),
    ({"high": 5000.0}, None, "F0481"),
    ({"low": 4000.0}, None, "F0481"),
    ({"bands": 200}, None, "F0482"),
])
def test_what_makes_no_bands_is_refused(fields, type, code):
    with pytest.raises(ShapeError) as found:
        LogMel(rate=RATE, **fields).infer(type or TensorType(("time", "channels"), (900, 1)))
    assert found.value.code == code


def test_unknown_lengths_become_unknown_numbers_of_windows():
    out = LogMel(rate=RATE, bands=12).infer(TensorType(("time", "channels"), ("sound", 1)))
    assert out.shape == ("(sound - 200) // 80 + 1", 12, 1)
