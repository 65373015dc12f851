"""Losses that are no numbers: found in time, traced to where they began; early ends; the best."""

import jax.numpy as jnp
import numpy as np
import pytest

from compiler.diagnostics import Report, SpecError
from compiler.lower.build import build_model
from compiler.source import Source
from runtime.batch import Ratio
from runtime.data.dataset import Part
from runtime.judge import Judge
from runtime.keeper import Keeper, Progress
from runtime.loop import Job, train
from runtime.meter import WINDOW, Meter
from runtime.policies import EarlyStop, Keep
from runtime.report.listener import Listener
from runtime.run import prepare
from runtime.step import PureModel

RECIPE = """\
flaxspec: 1
name: small
inputs:
  image: {shape: [8, 8, 1]}
blocks:
  wide:
    layers:
      - dense: 12
      - relu
model:
  - flatten
  - wide
  - dense: 10
data: {dataset: digits}
task: classification
train:
  epochs: 8
  batch_size: 128
  optimizer: {sgd: 0.01}
"""


class Heard(Listener):
    def __init__(self):
        self.steps, self.epochs = [], []

    def step(self, step, so_far):
        self.steps.append(step)

    def epoch(self, epoch):
        self.epochs.append(epoch)


def run(*assignments, text=RECIPE, edit=lambda data: data, every=""):
    """A run in memory: what it told, its result or error, and the model it leaves."""
    if every:
        assignments = (*assignments, f"train.checkpoint={{every: {every}}}")
    recipe = prepare(Source("recipe.yaml", text), Report(), assignments=assignments)
    model, heard = build_model(recipe.graph), Heard()
    job = Job("small", recipe.training, model, recipe.inputs)
    try:
        outcome = train(job, edit(recipe.training.data.load()), [heard],
                        keeper=Keeper(recipe.training.train.checkpoint))
    except SpecError as error:
        outcome = error
    return outcome, heard, model


def weights(model):
    return {name: np.asarray(array) for name, array in PureModel.split(model, {})[1].items()}


# ------------------------------------------------------------------------------ the guard


def spoilt(data):
    """The digits, one pixel of one of them not a number."""
    images = data.train.arrays["image"].copy()
    images[100, 3, 3, 0] = np.nan
    train = Part({**data.train.arrays, "image": images}, data.train.lengths)
    return type(data)(data.fields, train, data.validation, data.test)


def test_bad_data_is_named_with_its_field():
    error, heard, _ = run(edit=spoilt)
    message = str(error)
    assert "F0803" in message and "the data: field `image`, 1 of 128 rows" in message
    assert len(heard.steps) <= 10


def test_a_layer_whose_output_overflows_is_named_by_its_path():
    text = RECIPE.replace("      - dense: 12\n", """\
      - dense: 12
      - scale:
        init: {scale: {constant: {value: 1.0e+38}}}
      - scale:
        init: {scale: {constant: {value: 1.0e+38}}}
""")
    error, _, _ = run(text=text)
    assert "it first appeared in step 1, in the output of `wide_1.scale_2`" in str(error)


def test_a_gradient_or_an_update_that_runs_away_is_named():
    error, _, _ = run("train.optimizer={sgd: 1e38}")
    assert "F0803" in str(error) and "it first appeared in step" in str(error)


def test_the_run_stops_soon_and_goes_back_to_its_last_snapshot():
    """The learning rate explodes at step 31: the loss of step 32 or so is no number."""
    rate = ("train.optimizer={sgd: {piecewise_constant_schedule: {init_value: 0.01, "
            "boundaries_and_scales: {30: 1e38}}}}")
    error, heard, model = run(rate, every="12")
    assert "F0803" in str(error) and "the state of step 24, before it" in str(error)
    assert "in step 31" in str(error) or "in step 32" in str(error)
    assert heard.steps[-1] <= 32 + WINDOW
    _, _, twin = run("train={steps: 24, batch_size: 128, optimizer: {sgd: 0.01}}")
    for name, array in weights(model).items():
        np.testing.assert_array_equal(array, weights(twin)[name])


def test_no_snapshot_is_taken_of_parameters_that_are_no_numbers():
    recipe = prepare(Source("recipe.yaml", RECIPE), Report())
    keeper = Keeper(recipe.training.train.checkpoint)
    from runtime.step import State

    good = State({"a.kernel": jnp.ones(3)}, {}, (), jnp.int32(0))
    bad = good._replace(params={"a.kernel": jnp.array([1, np.inf])})
    assert keeper.save(Progress(step=1), good, None, Meter())
    assert not keeper.save(Progress(step=2), bad, None, Meter())
    assert keeper.last is not None and keeper.last.progress.step == 1


def test_the_meter_waits_for_old_figures_only_and_tells_the_first_bad_one():
    meter = Meter()
    for loss in [1.0] * 5 + [np.nan] + [1.0] * (WINDOW - 1):
        meter.add({"loss": Ratio(jnp.float32(loss), jnp.float32(1))})
    assert meter.batches <= 5 and meter.bad is None
    for _ in range(6):
        meter.add({"loss": Ratio(jnp.float32(1), jnp.float32(1))})
    assert meter.bad == 6


def test_a_meter_goes_on_from_what_it_saved():
    whole, first = Meter(), Meter()
    rows = [np.float32(v) / 3 for v in range(7)]
    for row in rows[:3]:
        first.add({"loss": Ratio(jnp.float32(row), jnp.float32(1))})
    second = Meter.restored(first.saved(), first.batches)
    for row in rows[3:]:
        second.add({"loss": Ratio(jnp.float32(row), jnp.float32(1))})
    for row in rows:
        whole.add({"loss": Ratio(jnp.float32(row), jnp.float32(1))})
    assert second.means() == whole.means() and second.batches == whole.batches == 7


# ----------------------------------------------------------------- early ends, best epochs


def test_a_run_that_gets_no_better_ends_early_and_keeps_the_best():
    rate = ("train.optimizer={sgd: {piecewise_constant_schedule: {init_value: 0.1, "
            "boundaries_and_scales: {3 epochs: 0.0}}}}")
    result, heard, _ = run(rate, "train.early_stop={patience: 2, metric: loss}", "train.keep=best")
    assert not isinstance(result, SpecError)
    assert [e.epoch for e in heard.epochs] == [1, 2, 3, 4, 5]
    assert result.epochs == 5 and result.best_epoch <= 3


def test_a_change_smaller_than_asked_for_is_none():
    judge = Judge(EarlyStop(patience=1, metric="loss", min_change=0.1), task())
    assert judge.is_better({"loss": 1.0}, 0, 0.0)
    assert not judge.is_better({"loss": 0.95}, 1, judge.score({"loss": 1.0}))
    assert judge.is_better({"loss": 0.85}, 1, judge.score({"loss": 1.0}))
    assert not judge.is_better({"loss": np.nan}, 0, 0.0)


def task():
    return prepare(Source("recipe.yaml", RECIPE), Report()).training.task


def test_the_best_epoch_may_be_chosen_by_any_figure():
    assert Judge(Keep(weights="best"), task()).metric == "accuracy"
    loss = Judge(Keep(metric="loss"), task())
    assert loss.score({"loss": 1.0}) < loss.score({"loss": 0.5})
    other = Judge(Keep(metric="odd", mode="higher"), task())
    with pytest.raises(SpecError, match="F0611(.|\n)*no figure `odd`(.|\n)*there are: loss"):
        other.score({"loss": 1.0})


@pytest.mark.parametrize("setting, told", [
    ("train.keep={metric: f1}", "which way f1 is better"),
    ("train.early_stop={patience: 1, metric: f1}", "which way f1 is better"),
    ("train.early_stop={}", "`early_stop` needs `patience`"),
    ("train.keep=beast", "last"),
])
def test_a_choice_that_says_too_little_is_a_diagnostic(setting, told):
    with pytest.raises(SpecError, match=told):
        prepare(Source("recipe.yaml", RECIPE), Report(), assignments=(setting,))
