"""A finished run is taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compiler.diagnostics import SpecError
from runtime import preprocessing
from runtime.data.dataset import Part
from runtime.saved import Trained, batches, load


@pytest.fixture(scope="session")
def trained(finished: Path) -> Trained:
    return load(finished)


@pytest.fixture(scope="session")
def images(trained: Trained) -> np.ndarray:
    return trained.training.data.load().test.arrays["image"]


def test_evaluating_a_run_gives_the_figures_of_its_summary(
    trained: Trained, finished: Path,
) -> None:
    figures, details = trained.evaluate()
    assert figures == pytest.approx(json.loads((finished / "summary.json").read_text())["test"])
    assert np.sum(details["confusion"]) == 360


def test_predictions_agree_with_the_module(trained: Trained, images: np.ndarray) -> None:
    said = trained.predict(images[:5])
    logits = np.asarray(trained.model(images[:5]))
    assert [s["label"] for s in said] == [str(i) for i in logits.argmax(axis=-1)]
    assert said[0]["probability"] == max(said[0]["probabilities"].values())
    assert sum(said[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 256])
def test_no_prediction_depends_on_the_batch_size(
    trained: Trained, images: np.ndarray, batch_size: int,
) -> None:
    said = trained.predict(images[:7], batch_size=batch_size)
    for one, other in zip(said, trained.predict(images[:7]), strict=True):
        assert one["label"] == other["label"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)


def test_inputs_may_be_lists_maps_and_bytes_of_full_scale(
    trained: Trained, images: np.ndarray,
) -> None:
    expected = trained.predict(images[:1])
    assert trained.predict([images[0].tolist()]) == expected
    assert trained.predict([{"image": images[0]}]) == expected
    whole = (images[:1] * 255).astype(np.uint8)
    assert trained.predict(whole)[0]["label"] == trained.predict(whole / 255)[0]["label"]
    assert trained.predict([]) == []


@pytest.mark.parametrize("inputs, reason", [
    ([np.zeros((8, 8))], "input 1 has the shape (8, 8)"),
    ([np.zeros((8, 8, 1)), np.zeros((9, 8, 1))], "input 2 has the shape (9, 8, 1)"),
    ([{"picture": np.zeros((8, 8, 1))}], "input 1 has `picture`, and the model takes `image`"),
    ([{"image": "seven"}], "input 1 is not an array of numbers"),
    ([[[1.0, 2.0], [3.0]]], "differ in length"),
])
def test_an_input_that_does_not_fit_is_a_diagnostic(
    trained: Trained, inputs: list, reason: str,
) -> None:
    with pytest.raises(SpecError, match="F0811") as error:
        trained.predict(inputs)
    assert reason in str(error.value)


def test_predictions_keep_the_order_of_texts_of_different_lengths() -> None:
    """Batches for training put texts of about the same length together."""
    lengths = np.array([9, 1, 8, 2, 7, 3])
    text = np.arange(60).reshape(6, 10)
    part = Part({"text": text}, {"text": lengths}, buckets=(4, 10))
    found = [np.asarray(b.arrays["text"])[np.asarray(b.rows)] for b in batches(part, 2)]
    np.testing.assert_array_equal(np.concatenate(found), text)


def test_a_picture_file_is_an_input_of_a_model_of_pictures(
    trained: Trained, images: np.ndarray, tmp_path: Path,
) -> None:
    pixels = np.round(images[0, :, :, 0] * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    expected, = trained.predict(pixels[None, :, :, None])
    found, = trained.predict([str(tmp_path / "digit.png")])
    assert found["label"] == expected["label"]
    assert found["probabilities"] == pytest.approx(expected["probabilities"], rel=1e-5)
    with pytest.raises(SpecError, match="nothing.png` cannot be read: No such file"):
        trained.predict([tmp_path / "nothing.png"])


def test_a_run_is_found_by_its_name(
    copied: Callable[..., Path], monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = copied("small-7")
    monkeypatch.chdir(folder.parent.parent)
    assert load("small-7").folder == Path("runs/small-7")


@pytest.mark.parametrize("spoil, reason", [
    (lambda folder: folder.rename(folder.with_name("gone")), "not there"),
    (lambda folder: (folder / "spec.yaml").unlink(), "it has no `spec.yaml`"),
    (lambda folder: (folder / "weights.safetensors").unlink(), "not finished"),
    (lambda folder: (folder / "preprocessing.json").unlink(), "not finished"),
    (lambda folder: (folder / "preprocessing.json").write_text("{}"), "is damaged"),
    (lambda folder: (folder / "preprocessing.json").write_text("[1]"), "is damaged"),
    (lambda folder: (folder / "weights.safetensors").write_bytes(b"x"), "F0805"),
])
def test_a_folder_that_is_no_finished_run_is_a_diagnostic(
    copied: Callable[..., Path], spoil: Callable[[Path], object], reason: str,
) -> None:
    folder = copied()
    spoil(folder)
    with pytest.raises(SpecError) as error:
        load(folder)
    assert reason in str(error.value) and "F08" in str(error.value)


def test_the_environment_names_versions_and_nobody(finished: Path) -> None:
    text = (finished / "environment.json").read_text()
    found = json.loads(text)
    assert found["packages"]["jax"] and found["devices"][0]["count"] >= 1
    assert str(Path.home()) not in text


def test_preprocessing_keeps_names_that_are_no_utf_8(trained: Trained, tmp_path: Path) -> None:
    meaning = replace(trained.preprocessing.meaning, labels={"label": ("caf\udce9", "é")})
    known = replace(trained.preprocessing, meaning=meaning)
    preprocessing.write(tmp_path / "known.json", known)
    assert preprocessing.read(tmp_path / "known.json").meaning.labels == meaning.labels
