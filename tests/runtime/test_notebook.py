"""Training from Python, on arrays and with losses of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import flaxspec
from runtime.report.listener import Epoch, Listener

MODEL = """\
flaxspec: 1
name: arrays
inputs:
  image: {shape: [8, 8, 1]}
model:
  - flatten
  - dense: 16
  - relu
  - dense: 10
"""
TRAIN: dict[str, Any] = {"epochs": 3, "batch_size": 128, "optimizer": {"adam": 0.02}}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from runtime.data.digits import Digits

    part = Digits(dataset="digits").load().train
    return part.arrays["image"], part.arrays["label"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fit(data: Any, text: str = MODEL, **more: Any) -> Any:
    arguments: dict[str, Any] = {"task": "classification", "train": TRAIN, "log": "quiet"} | more
    return flaxspec.train(text, data=data, **arguments)


def test_a_pair_of_arrays_trains_and_predicts(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path,
) -> None:
    run = fit(digits)
    assert run.folder == Path("runs/arrays-1")
    assert len(run.history) == 3 and run.history[-1]["validation"]["accuracy"] > 0.5
    assert run.summary["test"]["accuracy"] > 0.5
    assert run.evaluate()[0] == pytest.approx(run.summary["test"])
    again = flaxspec.load("arrays-1")
    assert again.predict(digits[0][:3]) == run.predict(digits[0][:3])
    assert "<iframe" in run._repr_html_()
    with pytest.raises(flaxspec.SpecError, match="given from Python as arrays"):
        again.evaluate()


def test_parts_that_are_given_are_not_cut(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    whole = {"image": images, "label": labels}
    few = {"image": images[:50], "label": labels[:50]}
    run = fit({"train": whole, "validation": few, "test": few},
              train=TRAIN | {"epochs": 1})
    data = run.training.data.load()
    assert (data.train.size, data.validation.size, data.test.size) == (len(images), 50, 50)


def test_losses_of_ones_own_are_trained(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """The loss asks for the class after the true one: the model learns just that."""
    def next_class(outputs: dict[str, Any], batch: dict[str, Any]) -> Any:
        wanted = jnp.eye(10)[(batch["label"] + 1) % 10]
        logits = outputs["output"]
        return jnp.log(jnp.exp(logits).sum(-1)) - (wanted * logits).sum(-1)

    images, labels = digits
    run = fit(digits, losses={"next": next_class}, train=TRAIN | {"epochs": 6})
    said = np.array([int(s["label"]) for s in run.predict(images)])
    assert (said == (labels + 1) % 10).mean() > 0.6
    with pytest.raises(flaxspec.SpecError, match="the loss `sum` gives the shape"):
        fit(digits, losses={"sum": lambda outputs, batch: outputs["output"].sum()})


def test_listeners_of_ones_own_hear_of_epochs(digits: tuple[np.ndarray, np.ndarray]) -> None:
    heard: list[int] = []

    class Mine(Listener):
        def epoch(self, epoch: Epoch) -> None:
            heard.append(epoch.epoch)

    fit(digits, listeners=[Mine()], settings={"train.epochs": 2})
    assert heard == [1, 2]


@pytest.mark.parametrize("data, reason", [
    ((np.zeros((4, 8, 8, 1)), np.zeros(3, int)), "different numbers of examples"),
    ((np.zeros((4, 8, 8, 1)), ["a", "b", "c", "d"]), "not an array of numbers"),
    ({"test": (np.zeros((4, 8, 8, 1)), np.zeros(4, int))}, "the data has no `train`"),
    (np.zeros((4, 8, 8, 1)), "neither a map from field to array nor a pair"),
    ((np.zeros((4, 9, 8, 1)), np.zeros(4, int)), "height is 9, not 8"),
])
def test_arrays_that_do_not_go_together_are_diagnostics(data: Any, reason: str) -> None:
    with pytest.raises(flaxspec.SpecError) as error:
        fit(data)
    assert reason in str(error.value)
