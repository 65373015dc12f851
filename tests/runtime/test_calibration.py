"""Expected calibration error and temperature: by hand, and by other tools' values."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from compiler.lower.tensor import Tensor
from compiler.types import TensorType
from runtime.batch import Batch
from runtime.data.dataset import Dataset, Part
from runtime.meter import Meter
from runtime.tasks.calibration import (
    BINS,
    binned,
    calibration,
    confidence_bins,
    fitted_temperature,
)
from runtime.tasks.classification import Classification
from runtime.tasks.naming import softmax


def test_the_error_is_the_distance_of_right_from_sure_by_bin() -> None:
    # Four answers at 0.9, three of them right; one at 0.6, wrong.
    sure = np.array([0.9] * 4 + [0.6])
    probabilities = np.stack([sure, 1 - sure], axis=1)
    labels = np.array([0, 0, 0, 1, 1])
    found = calibration(binned(probabilities, labels))
    assert found["ece"] == pytest.approx((4 * abs(0.75 - 0.9) + 1 * abs(0 - 0.6)) / 5)
    assert [(b["examples"], b["accuracy"]) for b in found["bins"]] == [(1, 0.0), (4, 0.75)]
    assert found["bins"][1]["from"] < 0.9 <= found["bins"][1]["to"]


def test_bins_of_batches_add_up_to_those_of_all_and_padding_counts_nowhere() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(50, 4)) * 3, random.integers(0, 4, 50)
    whole = binned(softmax(logits), labels)
    mask = np.arange(64) < 50
    padded = np.concatenate([logits, np.full((14, 4), np.nan)])
    parts = [np.asarray(confidence_bins(
        jnp.asarray(padded[rows]), jnp.asarray(np.resize(labels, 64)[rows]),
        jnp.asarray(mask[rows])).total) for rows in (slice(0, 32), slice(32, 64))]
    np.testing.assert_allclose(sum(parts), whole, atol=1e-5)
    assert whole.shape == (3, BINS) and whole[0].sum() == 50


def test_a_probability_on_the_edge_of_two_bins_belongs_to_the_lower_one() -> None:
    found = binned(np.array([[0.6, 0.4], [1.0, 0.0]]), np.array([0, 0]))
    assert np.flatnonzero(found[0]).tolist() == [8, 14]  # (8/15, 9/15] and (14/15, 1]


def test_the_temperature_is_where_the_cross_entropy_is_smallest() -> None:
    random = np.random.default_rng(1)
    true = random.normal(size=(4000, 3))
    labels = np.array([random.choice(3, p=p) for p in softmax(true)])
    found = fitted_temperature(true * 2.5, labels)  # two and a half times too sure
    assert found == pytest.approx(2.5, rel=0.1)

    def loss(temperature: float) -> float:
        return -np.log(softmax(true * 2.5 / temperature)[np.arange(4000), labels]).mean()

    assert loss(found) <= min(loss(found * 0.98), loss(found * 1.02))
    before, after = (calibration(binned(softmax(true * 2.5 / t), labels))["ece"]
                     for t in (1.0, found))
    assert after < before / 3


def figures(logits: np.ndarray, labels: np.ndarray, **task: Any) -> tuple[dict[str, float], Any]:
    """What the task tells of logits, in three batches."""
    chosen, meter = Classification(**task), Meter()
    for rows in np.array_split(np.arange(len(labels)), 3):
        batch = Batch({"label": jnp.asarray(labels[rows])}, {}, jnp.ones(len(rows), bool))
        outputs = {"output": Tensor(jnp.asarray(logits[rows]), ("channels",))}
        meter.add(chosen.measure(outputs, batch, training=False))
    nothing = Part({"label": labels[:0]})
    fields = {"label": TensorType((), (), "int", logits.shape[1])}
    dataset, means = Dataset(fields, nothing, nothing, nothing), meter.means()
    return chosen.finish(means, dataset), chosen.details(means, dataset)


def test_figures_are_those_of_scikit_learn() -> None:
    """Values of scikit-learn 1.9.1 on the same numbers."""
    random = np.random.RandomState(0)  # whose numbers never change
    labels = random.randint(0, 5, 200)
    logits = random.standard_normal((200, 5)) + 1.5 * np.eye(5)[labels]
    found, details = figures(logits, labels, top=[3])
    assert found == pytest.approx({
        "loss": 0.9542233600004973, "accuracy": 0.66, "f1": 0.6556477230216916, "top3": 0.925,
    }, rel=1e-5)
    assert [c["f1"] for c in details["classes"]] == pytest.approx(
        [0.68041237, 0.61333333, 0.70422535, 0.69565217, 0.58461538])
    assert [c["precision"] for c in details["classes"]] == pytest.approx(
        [0.6875, 0.53488372, 0.69444444, 0.8, 0.57575758])
    assert details["confusion"] == [[33, 4, 4, 3, 5], [4, 23, 0, 2, 3], [1, 6, 25, 1, 2],
                                    [7, 5, 4, 32, 4], [3, 5, 3, 2, 19]]
    yes = np.stack([logits[:, 0], logits[:, 3]], axis=1)
    found, _ = figures(yes, (labels > 2).astype(int))
    assert found == pytest.approx({
        "loss": 0.6072558314580145, "accuracy": found["accuracy"], "f1": 0.6666666666666666,
        "auroc": 0.7515394088669951}, rel=1e-5)
    expected = calibration(binned(softmax(logits), labels))["ece"]
    assert details["calibration"]["ece"] == pytest.approx(expected, abs=1e-6)
