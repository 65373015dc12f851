"""Optimisers and losses against PyTorch, metrics against scikit-learn and seqeval."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pydantic import TypeAdapter

from compiler.lower.tensor import Tensor
from compiler.types import TensorType
from runtime.batch import Batch
from runtime.data.dataset import Dataset, Part
from runtime.meter import Meter
from runtime.optim import build
from runtime.optim_document import Optimizer, Run
from runtime.tasks.classification import Classification
from runtime.tasks.multi_label import MultiLabel
from runtime.tasks.regression import Regression
from runtime.tasks.segmentation import Segmentation
from runtime.tasks.tagging import Tagging

HERE = Path(__file__).parent
TORCH = dict(np.load(HERE / "training_reference.npz"))
SCORES = dict(np.load(HERE / "metric_reference.npz"))
NOTHING = Part({"x": np.zeros((0,))})


def data(**labels):
    return Dataset({"label": TensorType((), (), "int")}, NOTHING, NOTHING, NOTHING, labels=labels)


# ---------------------------------------------------------------------------- optimisers


OPTIMISERS = {
    "sgd": [{"add_decayed_weights": 0.3}, {"sgd": {"learning_rate": 0.1, "momentum": 0.9}}],
    "nesterov": [{"add_decayed_weights": 0.3},
                 {"sgd": {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}}],
    "adam": [{"add_decayed_weights": 0.3}, {"adam": {"learning_rate": 0.1, "b1": 0.8, "b2": 0.95}}],
    "adamw": {"adamw": {"learning_rate": 0.1, "weight_decay": 0.3}},
    "rmsprop": {"rmsprop": {"learning_rate": 0.01, "decay": 0.9, "eps": 1e-8,
                            "eps_in_sqrt": False}},
}


@pytest.mark.parametrize("word", OPTIMISERS)
def test_an_optimiser_makes_the_steps_of_pytorchs(word):
    optimiser = build(TypeAdapter(Optimizer).validate_python(OPTIMISERS[word]), Run(5, 5))
    params: Any = {n: jnp.asarray(TORCH[f"start/{n}"], jnp.float32) for n in ("kernel", "bias")}
    state = optimiser.init(params)
    for step in range(5):
        gradients = {n: jnp.asarray(TORCH[f"gradients/{n}"][step], jnp.float32) for n in params}
        updates, state = optimiser.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    for name, value in params.items():
        np.testing.assert_allclose(value, TORCH[f"{word}/{name}"], rtol=1e-5, atol=1e-5)


# -------------------------------------------------------------------------------- losses


def loss_of(task, array, target, axes=("channels",)):
    batch = Batch({task.target: jnp.asarray(target)}, {}, jnp.ones(len(target), bool))
    total, weight = task.measure({"output": Tensor(jnp.asarray(array, jnp.float32), axes)}, batch,
                                 training=True)["loss"]
    return float(total / weight)


WEIGHTS = [float(w) for w in TORCH["weights"]]


@pytest.mark.parametrize("name, task, target", [
    ("cross_entropy", Classification(), "labels"),
    ("weighted", Classification(class_weights=WEIGHTS), "labels"),
    ("smoothed", Classification(label_smoothing=0.2), "labels"),
    ("both", Classification(class_weights=WEIGHTS, label_smoothing=0.2), "labels"),
    ("binary", MultiLabel(), "answers"),
    ("positive", MultiLabel(positive_weights=WEIGHTS), "answers"),
    ("huber", Regression(loss="huber", delta=0.7), "answers"),
])
def test_a_loss_is_that_of_pytorch(name, task, target):
    assert loss_of(task, TORCH["logits"], TORCH[target]) == pytest.approx(
        float(TORCH[name]), rel=1e-6)


# ------------------------------------------------------------------------------- metrics


def judged(task, array, axes, dataset, size, **arrays):
    """The figures and details of examples seen in batches of some size, the last filled up."""
    meter, count = Meter(), len(array)
    measure = jax.jit(lambda outputs, batch: task.measure(outputs, batch, training=False))
    for start in range(0, count, size):
        index = np.arange(start, start + size)
        rows = index < count
        index = np.where(rows, index, 0)
        meter.add(measure(
            {"output": Tensor(jnp.asarray(array[index], jnp.float32), axes)},
            Batch({n: jnp.asarray(a[index]) for n, a in arrays.items()}, {}, jnp.asarray(rows))))
    means = meter.means()
    return task.finish(means, dataset), task.details(means, dataset)


@pytest.mark.parametrize("size", [7, 64, 200, 256])
def test_scores_by_class_are_those_of_scikit_learn_at_any_batch_size(size):
    figures, details = judged(Classification(top=[3]), SCORES["logits"], ("channels",), data(),
                              size, label=SCORES["labels"])
    assert figures["accuracy"] == SCORES["accuracy"]
    assert figures["top3"] == SCORES["top3"]
    assert figures["f1"] == pytest.approx(float(SCORES["macro_f1"]), abs=1e-12)
    np.testing.assert_array_equal(details["confusion"], SCORES["confusion"])
    for score in ("precision", "recall", "f1"):
        np.testing.assert_allclose([c[score] for c in details["classes"]], SCORES[score],
                                   atol=1e-12)


@pytest.mark.parametrize("size", [3, 10])
def test_intersection_over_union_is_that_of_all_pixels_together(size):
    pixels = SCORES["logits"].reshape(10, 4, 5, 7)
    figures, details = judged(Segmentation(), pixels, ("height", "width", "channels"), data(), size,
                              mask=SCORES["labels"].reshape(10, 4, 5))
    assert figures["miou"] == pytest.approx(float(SCORES["miou"]), abs=1e-12)
    assert figures["accuracy"] == SCORES["accuracy"]
    assert [c["examples"] for c in details["classes"]] == SCORES["confusion"].sum(1).tolist()


@pytest.mark.parametrize("size", [11, 150])
def test_scores_of_several_labels_are_those_of_scikit_learn(size):
    figures, details = judged(MultiLabel(), SCORES["scores"], ("channels",), data(), size,
                              labels=SCORES["yes"])
    # Scores go through float32, and ties stay ties.
    for name, expected in (("map", "map"), ("auroc", "auroc"), ("f1", "yes_f1"),
                           ("f1_micro", "yes_f1_micro"), ("exact", "exact")):
        assert figures[name] == pytest.approx(float(SCORES[expected]), abs=1e-7), name
    assert np.mean([c["ap"] for c in details["classes"]]) == pytest.approx(figures["map"])


@pytest.mark.parametrize("size", [13, 90])
def test_errors_of_numbers_far_from_zero_are_those_of_scikit_learn(size):
    figures, _ = judged(Regression(), SCORES["given"], ("channels",), data(), size,
                        target=SCORES["wanted"].astype(np.float32))
    for name in ("r2", "mae", "rmse"):
        assert figures[name] == pytest.approx(float(SCORES[name]), rel=1e-5), name


def test_spans_are_counted_as_seqeval_counts_them():
    names = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    true, found = SCORES["tags"][:, 0], SCORES["tags"][:, 1]
    figures, _ = judged(Tagging(), np.eye(5)[found], ("time", "channels"), data(tags=names), 16,
                        tags=true)
    for name in ("span_f1", "span_precision", "span_recall"):
        assert figures[name] == pytest.approx(float(SCORES[name]), abs=1e-12)
    assert figures["accuracy"] == pytest.approx((true == found).mean())
