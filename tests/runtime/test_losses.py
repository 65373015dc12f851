"""Written-out losses: what each of them is, what is refused, and what a recipe with them does."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter

from compiler.diagnostics import Report, SpecError
from compiler.lower.build import build_model
from compiler.lower.tensor import Tensor
from compiler.source import Source
from runtime.batch import Batch
from runtime.data.dataset import Scale
from runtime.loop import Job, train
from runtime.losses import METRICS, AnyMetric
from runtime.losses.values import Value, Values
from runtime.optim_document import Run
from runtime.run import prepare
from runtime.tasks.written import Written

RNG = np.random.default_rng(0)
ROWS = np.array([True, True, False, True])
LENGTHS = np.array([3, 5, 5, 1])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@dataclass
class Case:
    """A loss, its arguments as arrays (4, *axes), and what it is on the rows that count."""

    said: dict
    given: dict
    wanted: float
    lengths: dict | None = None
    training: bool = False

    @property
    def word(self):
        return next(key for key in self.said if key in METRICS)


SPREAD = np.exp(log_softmax(RNG.normal(size=(4, 5))))
LOGITS, LABELS = RNG.normal(size=(4, 5)), np.array([0, 4, 2, 2])
STEPS, TAGS = RNG.normal(size=(4, 5, 3)), RNG.integers(0, 3, (4, 5))
A, B = RNG.normal(size=(2, 4, 6, 7, 3))
SCORES, YES = RNG.normal(size=(4, 1)), np.array([1, 0, 1, 1])
REAL = [(r, t) for r in (0, 1, 3) for t in range(LENGTHS[r])]
KEPT = [0, 1, 3]


def grams(x):
    flat = x.reshape(4, -1, 3)
    return np.einsum("bpc,bpd->bcd", flat, flat) / (flat.shape[1] * 3)


def mean(values, over=KEPT):
    return float(np.mean([values[i] for i in over]))


CASES = [
    Case({"cross_entropy": ["o", "t"]}, {"o": LOGITS, "t": LABELS},
         mean([-log_softmax(LOGITS)[i, LABELS[i]] for i in range(4)])),
    Case({"cross_entropy": {"output": "o", "target": "t", "label_smoothing": 0.2}},
         {"o": LOGITS, "t": LABELS},
         mean([-0.8 * log_softmax(LOGITS)[i, LABELS[i]] - 0.2 * log_softmax(LOGITS)[i].mean()
               for i in range(4)]), training=True),
    Case({"cross_entropy": {"output": "o", "target": "t", "label_smoothing": 0.2}},
         {"o": LOGITS, "t": LABELS},
         mean([-log_softmax(LOGITS)[i, LABELS[i]] for i in range(4)])),
    Case({"cross_entropy": {"output": "o", "target": "t", "class_weights": [1, 2, 3, 4, 5]}},
         {"o": LOGITS, "t": LABELS},
         sum(-(LABELS[i] + 1) * log_softmax(LOGITS)[i, LABELS[i]] for i in KEPT)
         / sum(LABELS[i] + 1 for i in KEPT), training=True),
    Case({"cross_entropy": {"output": "o", "target": "t", "ignore": 4}},
         {"o": LOGITS, "t": LABELS},
         mean([-log_softmax(LOGITS)[i, LABELS[i]] for i in range(4)], [0, 3])),
    Case({"cross_entropy": ["o", 2]}, {"o": LOGITS}, mean(-log_softmax(LOGITS)[:, 2])),
    Case({"cross_entropy": ["o", "t"]}, {"o": LOGITS, "t": SPREAD},
         mean(-(SPREAD * log_softmax(LOGITS)).sum(-1))),
    Case({"cross_entropy": ["o", "t"]}, {"o": STEPS, "t": TAGS},
         float(np.mean([-log_softmax(STEPS)[r, t, TAGS[r, t]] for r, t in REAL])),
         lengths={"o": LENGTHS}),
    Case({"binary_cross_entropy": ["o", "t"]}, {"o": SCORES, "t": YES},
         mean(-np.log(np.where(YES == 1, sigmoid(SCORES[:, 0]), 1 - sigmoid(SCORES[:, 0]))))),
    Case({"binary_cross_entropy": ["o", 0]}, {"o": SCORES},
         mean(-np.log(1 - sigmoid(SCORES[:, 0])))),
    Case({"binary_cross_entropy": {"output": "o", "target": 1, "label_smoothing": 0.2,
                                   "positive_weight": 3}}, {"o": SCORES},
         mean(-3 * 0.9 * np.log(sigmoid(SCORES[:, 0])) - 0.1 * np.log(1 - sigmoid(SCORES[:, 0]))),
         training=True),
    Case({"binary_cross_entropy": {"output": "o", "target": "t", "reduce": "sum"}},
         {"o": A, "t": sigmoid(B)},
         mean((-sigmoid(B) * np.log(sigmoid(A)) - (1 - sigmoid(B)) * np.log(1 - sigmoid(A)))
              .reshape(4, -1).sum(1))),
    Case({"hinge": ["o", "t"]}, {"o": SCORES, "t": YES},
         mean(np.maximum(0, 1 - np.where(YES == 1, 1, -1) * SCORES[:, 0]))),
    Case({"hinge": ["o", -1]}, {"o": SCORES}, mean(np.maximum(0, 1 + SCORES[:, 0]))),
    Case({"squared_error": ["o", "t"]}, {"o": A, "t": B},
         mean(((A - B)**2).reshape(4, -1).mean(1))),
    Case({"squared_error": {"output": "o", "target": "t", "reduce": "sum"}}, {"o": A, "t": B},
         mean(((A - B)**2).reshape(4, -1).sum(1))),
    Case({"squared_error": ["o", "t"]}, {"o": STEPS, "t": -STEPS},
         float(np.mean([(2 * STEPS[r, t])**2 for r, t in REAL])), lengths={"t": LENGTHS}),
    Case({"absolute_error": ["o", 0.5]}, {"o": A}, mean(np.abs(A - 0.5).reshape(4, -1).mean(1))),
    Case({"huber": {"output": "o", "target": "t", "delta": 0.5}}, {"o": A, "t": B},
         mean(np.where(np.abs(A - B) < 0.5, (A - B)**2 / 2, 0.5 * (np.abs(A - B) - 0.25))
              .reshape(4, -1).mean(1))),
    Case({"kl_normal": ["o", "t"]}, {"o": A, "t": B},
         mean(0.5 * (A**2 + np.exp(B) - 1 - B).reshape(4, -1).sum(1))),
    Case({"elbo": ["o", "t", "o", "t"]}, {"o": A, "t": sigmoid(B)},
         mean((sigmoid(B) * np.log(sigmoid(A)) + (1 - sigmoid(B)) * np.log(1 - sigmoid(A))
               - 0.5 * (A**2 + np.exp(sigmoid(B)) - 1 - sigmoid(B))).reshape(4, -1).sum(1))),
    Case({"gram": ["o", "t"]}, {"o": A, "t": B[:, :5]},
         mean(((grams(A) - grams(B[:, :5]))**2).sum((1, 2)))),
    Case({"total_variation": "o"}, {"o": A},
         mean((np.diff(A, axis=1)**2).mean((1, 2, 3)) + (np.diff(A, axis=2)**2).mean((1, 2, 3)))),
    Case({"total_variation": {"output": "o", "power": 1}}, {"o": A},
         mean(np.abs(np.diff(A, axis=1)).mean((1, 2, 3))
              + np.abs(np.diff(A, axis=2)).mean((1, 2, 3)))),
    Case({"mean": "o"}, {"o": A}, mean(A.reshape(4, -1).mean(1))),
    Case({"accuracy": ["o", "t"]}, {"o": LOGITS, "t": LABELS},
         mean((LOGITS.argmax(1) == LABELS).astype(float))),
    Case({"accuracy": {"output": "o", "target": "t", "top": 2}}, {"o": LOGITS, "t": LABELS},
         mean([LABELS[i] in np.argsort(LOGITS[i])[-2:] for i in range(4)])),
    Case({"accuracy": ["o", "t"]}, {"o": SCORES, "t": YES}, mean((SCORES[:, 0] > 0) == YES)),
    Case({"mae": ["o", "t"]}, {"o": A, "t": B}, mean(np.abs(A - B).reshape(4, -1).mean(1))),
    Case({"mse": ["o", "t"]}, {"o": A, "t": B}, mean(((A - B)**2).reshape(4, -1).mean(1))),
    Case({"rmse": ["o", "t"]}, {"o": A, "t": B}, mean(((A - B)**2).reshape(4, -1).mean(1))**0.5),
]
AXES = {2: ("channels",), 3: ("time", "channels"), 4: ("height", "width", "channels")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.word)
def test_a_loss_is_what_its_formula_says_over_what_counts(case):
    what = TypeAdapter(AnyMetric).validate_python(case.said)
    spoilt = {name: np.array(array) for name, array in case.given.items()}
    for array in spoilt.values():
        if array.dtype.kind == "f":  # what does not count may be anything
            array[2] = np.nan
    lengths = case.lengths or {}
    outputs = {name: Tensor(jnp.asarray(array, jnp.float32), AXES[array.ndim],
                            jnp.asarray(lengths[name]) if name in lengths else None)
               for name, array in spoilt.items() if name == "o"}
    batch = Batch({name: jnp.asarray(array) for name, array in spoilt.items() if name == "t"},
                  {n: jnp.asarray(v) for n, v in lengths.items() if n == "t"}, jnp.asarray(ROWS))
    task = Written(metrics={"it": what})
    found = task.measure(outputs, batch, training=case.training)["it"]
    divided = np.asarray(found[0], np.float64) / np.asarray(found[1], np.float64)
    assert what.finished(divided, None) == pytest.approx(case.wanted, rel=2e-5)


@pytest.mark.parametrize("word", ["mae", "mse", "rmse"])
@pytest.mark.parametrize("arguments", [["o", "t"], ["t", "o"]])
def test_an_error_is_in_the_units_of_its_field_whichever_is_named_first(word, arguments):
    deviation = np.array([1.0, 10.0, 0.5])
    error = (A - B) * deviation
    wanted = {"mae": np.abs(error).mean(), "mse": (error**2).mean(),
              "rmse": (error**2).mean()**0.5}[word]
    task = Written(metrics={"it": TypeAdapter(AnyMetric).validate_python({word: arguments})})
    task._scales = {"t": Scale(("r", "g", "b"), np.zeros(3), deviation)}
    outputs = {"o": Tensor(jnp.asarray(A, jnp.float32), AXES[4])}
    batch = Batch({"t": jnp.asarray(B, jnp.float32)}, {}, jnp.ones(4, bool))
    total, weight = task.measure(outputs, batch, training=False)["it"]
    found = task.finish({"it": np.asarray(total) / np.asarray(weight)}, None)
    assert found["it"] == pytest.approx(wanted, rel=2e-5)


def test_every_loss_and_metric_has_a_case():
    assert {case.word for case in CASES} == set(METRICS)


# ----------------------------------------------------------------------------- recipes

HEADS = """\
flaxspec: 1
name: heads
inputs:
  image: {shape: [8, 8, 1]}
model:
  - flatten
  - dense: 12
  - relu
  - output: {name: aux1, layers: [{dense: 10}]}
  - dense: 10
data: {dataset: digits}
"""
LOSSES = """\
losses:
  main: {cross_entropy: [output, label]}
  aux: {cross_entropy: [aux1, label], weight: 0.3, during: training}
"""
TRAIN = "train: {epochs: 1, batch_size: 256, optimizer: {sgd: 0.1}}\n"


def prepared(text, *assignments):
    return prepare(Source("recipe.yaml", text), Report(), assignments=assignments)


def run(text, *assignments):
    recipe = prepared(text, *assignments)
    model = build_model(recipe.graph, seed=0)
    job = Job("it", recipe.training, model, recipe.inputs)
    return train(job, recipe.training.data.load()), model


def refused(text, *assignments):
    with pytest.raises(SpecError) as caught:
        prepared(text, *assignments)
    return [(d.code, d.headline) for d in caught.value.diagnostics]


def test_written_out_heads_train_as_the_auxiliary_heads_of_a_task_do():
    written, first = run(HEADS + LOSSES + TRAIN)
    task, second = run(HEADS + "task: {classification: {auxiliary: {aux1: 0.3}}}\n" + TRAIN)
    assert np.array_equal(first.dense_1.kernel[...], second.dense_1.kernel[...])
    assert written.test["loss"] == pytest.approx(task.test["loss"], rel=1e-6)
    assert written.test == {"loss": written.test["main"], "main": written.test["main"]}


def test_losses_beside_a_task_are_added_to_its_own():
    extra = "losses: {small: {squared_error: [output, 0], weight: 0.01}}\n"
    both, _ = run(HEADS + "task: classification\n" + extra + TRAIN)
    test = both.test
    assert test["loss"] == pytest.approx(test["classification"] + 0.01 * test["small"])
    assert {"accuracy", "f1"} <= set(test)


def test_weights_follow_their_schedule_and_end_where_it_ends():
    text = HEADS + LOSSES.replace("weight: 0.3", "weight: {linear_schedule: {init_value: 0, "
                                  "end_value: 2, transition_steps: 50%}}")
    task = prepared(text + TRAIN).training.goal
    task = task.scheduled(Run(100, 10))
    parts = {"aux": task.losses["aux"]}
    assert [float(task._weight(name, step)) for name in parts for step in (0, 25, 50, None)] == [
        0, 1, 2, 2]


def test_a_written_out_recipe_is_kept_by_the_metric_it_names():
    metrics = "metrics: {right: {accuracy: [output, label]}}\n"
    text = HEADS.replace("digits}", "digits, validation: 0.2}") + LOSSES + metrics + TRAIN
    recipe = prepared(text, "train.keep={metric: right}")
    assert recipe.training.goal.ways["right"] == "higher"
    assert refused(text, "train.keep={metric: rihgt}") == [
        ("F0611", "`rihgt` is not a figure of this recipe")]


def test_a_metric_of_the_data_alone_is_told_and_not_refused():
    report = Report()
    text = HEADS + LOSSES + "metrics: {naive: {mse: [image, 0]}}\n" + TRAIN
    prepare(Source("recipe.yaml", text), report)
    assert [(d.severity, d.code) for d in report.diagnostics] == [("warning", "F0725")]


@pytest.mark.parametrize("section", [
    "metrics: {right: {accuracy: {output: output, target: label, top: 10}}}\n",
    "task: {classification: {top: [3, 10]}}\n",
])
def test_a_class_among_as_many_as_there_are_is_refused(section):
    assert "always right" in refused(HEADS + LOSSES + section + TRAIN)[0][1]


@pytest.mark.parametrize("losses, code", [
    ("{main: {cross_entropy: [outpt, label]}}", "F0640"),
    ("{main: {cross_entropy: [output, label]}, more: {squared_error: [image, image]}}", "F0642"),
    ("{main: {cross_entropy: [output, 12]}}", "F0642"),
    ("{main: {cross_entropy: [output, image]}}", "F0642"),
    ("{main: {cross_entropy: [output, .inf]}}", "F0205"),
    ("{main: {cross_entropy: [output, .nan]}}", "F0205"),
    ("{main: {cross_entropy: [output, label], weight: .nan}}", "F0205"),
    ("{main: {squared_error: [output, image]}}", "F0642"),
    ("{main: {gram: [output, output]}}", "F0642"),
    ("{main: {binary_cross_entropy: [output, label]}}", "F0642"),
    ("{main: {hinge: [output, 0]}}", "F0642"),
    ("{loss: {cross_entropy: [output, label]}}", "F0643"),
    ("{main: {cross_entropy: [output, label, image]}}", "F0205"),
    ("{main: {cross_entropy: [output]}}", "F0204"),
    ("{main: {crossentropy: [output, label]}}", "F0612"),
    ("{main: {cross_entropy: [output, label], weigth: 2}}", "F0203"),
    ("{main: {cross_entropy: [output, label], weight: heavy}}", "F0613"),
    ("{main: {cross_entropy: [output, label]}, }", None),
    ("{}", "F0645"),
])
def test_losses_that_do_not_suit_are_refused_before_anything_is_trained(losses, code):
    text = HEADS + f"losses: {losses}\n" + TRAIN
    if code is None:
        prepared(text)
    else:
        assert refused(text)[0][0] == code


def test_an_output_that_exists_in_training_only_is_for_losses_of_training():
    text = HEADS.replace("aux1, layers", "aux1, layers").replace(
        "  - output: {name: aux1, layers: [{dense: 10}]}\n",
        "  - output: {name: aux1, layers: [{dense: 10}]}\n    during: training\n")
    assert prepared(text + LOSSES + TRAIN)
    assert refused(text + LOSSES.replace(", during: training", "") + TRAIN)[0][0] == "F0644"


def test_a_loss_is_finite_where_no_row_counts():
    task = Written(losses={"it": TypeAdapter(AnyMetric).validate_python({"mean": "o"})})
    batch = Batch({}, {}, jnp.zeros(4, bool))
    outputs = {"o": Tensor(jnp.ones((4, 3)), ("channels",))}
    total, weight = task.measure(outputs, batch, training=True)["loss"]
    assert math.isfinite(float(total)) and float(weight) == 0


def test_open_lengths_that_differ_are_told_and_never_shuffled():
    axes = ("time", "channels")
    given = Values({"output": Value(jnp.zeros((2, 4, 8)), axes),
                    "target": Value(jnp.zeros((2, 8, 4)), axes),
                    "flat": Value(jnp.zeros((2, 4, 1)), axes),
                    "plain": Value(jnp.ones((2, 4)), ("time",))}, jnp.array([True, True]))
    with pytest.raises(SpecError, match=r"output is \(time 4, channels 8\), but its target"):
        given.pair("output", "target")
    assert given.pair("flat", "plain")[1].shape == (2, 4, 1)
