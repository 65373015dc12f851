"""What forecasts are measured by, quantiles, and forecasts made step by step."""

from types import SimpleNamespace
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from compiler.diagnostics import Report, SpecError
from compiler.lower.tensor import Tensor
from compiler.source import Source
from compiler.types import TensorType
from runtime.batch import Batch, Ratio, Rows
from runtime.data.dataset import Meaning, Scale
from runtime.data.sunspots import Sunspots
from runtime.execution import Wish, execute
from runtime.report.evidence.numbers import forecasts
from runtime.report.evidence.seen import Seen
from runtime.report.forecast import drawn
from runtime.run import prepare
from runtime.saved import load
from runtime.tasks.forecast_scores import coverage, mase, naive_errors, pinball, smape
from runtime.tasks.forecast_words import intervals
from runtime.tasks.forecasting import Forecasting

FUTURE = TensorType(("time", "channels"), (2, 1))


# ------------------------------------------------------------------------- worked by hand


def test_mase_divides_by_the_seasonal_naive_error_of_the_training_part():
    values = np.array([[3.0], [1.0], [4.0], [1.0], [5.0], [9.0]])
    # |4-3|, |1-1|, |5-4|, |9-1|: 10 / 4.
    naive = naive_errors(values, 2)
    assert naive.tolist() == [2.5]
    # Errors of 1 and 4: (1 + 4) / 2 / 2.5.
    assert mase(np.array([[[1.0], [-4.0]]]), naive[None]) == 1.0


def test_a_column_that_never_changed_has_no_scaled_error():
    assert mase(np.ones((1, 2, 2)), np.array([[0.0, 2.0]])) == 0.5
    assert np.isnan(mase(np.ones((1, 2, 1)), np.zeros((1, 1))))


def test_smape_is_a_percentage_of_the_mean_size():
    # 200 · 2 / (10 + 8) and 200 · 1 / (1 + 0); nothing where both are 0.
    found = smape(np.array([8.0, 0.0, 0.0]), np.array([10.0, 1.0, 0.0]))
    assert found == pytest.approx((200 * 2 / 18 + 200 + 0) / 3)


def test_pinball_weighs_what_lies_above_and_below():
    # 0.1 · 2 where the truth is 2 above; 0.1 · 1 where it is 1 below the quantile of 0.9.
    found = pinball(np.array([[1.0, 4.0]]), np.array([3.0]), [0.1, 0.9])
    assert found == pytest.approx((0.1 * 2 + 0.1 * 1) / 2)


def test_coverage_counts_what_lies_within():
    assert coverage(np.zeros(4), np.ones(4), np.array([-1, 0, 0.5, 2])) == 0.5


def test_intervals_lie_about_the_median():
    assert intervals([0.05, 0.1, 0.5, 0.9]) == {"80": (1, 3)}


# ------------------------------------------------------------------------------ quantiles


def batch(**arrays):
    arrays = {name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}
    return Batch(arrays, {}, jnp.array([True, True, False]))


def dataset(**fitted):
    scale = Scale(("load",), np.array([10.0]), np.array([2.0]))
    return SimpleNamespace(scales={"future": scale}, fitted=fitted)


def finished(task, measured, data):
    means = {name: np.asarray(found.values)[np.asarray(found.rows)] if isinstance(found, Rows)
             else np.asarray(found.total / found.weight) for name, found in measured.items()}
    return task.finish(means, data)


def test_figures_of_quantiles_are_those_of_the_formulas_in_the_units_of_the_data():
    task = Forecasting(quantiles=[0.1, 0.5, 0.9])
    rng = np.random.default_rng(0)
    said, true = rng.normal(size=(3, 2, 1, 3)), rng.normal(size=(3, 2, 1))
    outputs = {"output": Tensor(jnp.asarray(said.reshape(3, 6), jnp.float32), ("channels",))}
    measured = task.measure(outputs, batch(future=true), training=False)
    found = finished(task, measured, dataset(naive_errors=[[4.0]]))
    said, true = np.sort(said, axis=-1)[:2] * 2 + 10, true[:2] * 2 + 10
    error = true[..., None] - said
    levels = np.array([0.1, 0.5, 0.9])
    assert found["pinball"] == pytest.approx(
        np.maximum(levels * error, (levels - 1) * error).mean(), rel=1e-5)
    assert found["mae"] == pytest.approx(np.abs(error[..., 1]).mean(), rel=1e-5)
    assert found["mase"] == pytest.approx(found["mae"] / 4, rel=1e-5)
    assert found["coverage_80"] == ((said[..., 0] <= true) & (true <= said[..., 2])).mean()
    assert set(found) == set(task.figures({}))


def test_training_makes_the_pinball_loss_small():
    task, future = Forecasting(quantiles=[0.1, 0.5]), np.zeros((3, 2, 1))
    outputs = {"output": Tensor(-jnp.ones((3, 4)), ("channels",))}
    loss = task.measure(outputs, batch(future=future), training=True)["loss"]
    assert isinstance(loss, Ratio)
    assert float(loss.total / loss.weight) == pytest.approx((0.1 + 0.5) / 2)


def test_quantiles_are_told_in_order_and_the_forecast_is_the_median():
    scale = Scale(("load",), np.array([0.0]), np.array([1.0]), ("MW",))
    meaning = Meaning({"future": FUTURE}, scales={"future": scale})
    outputs = {"output": Tensor(jnp.asarray([[3.0, 1.0, 2.0, 4, 5, 6]] * 3), ("channels",))}
    task = Forecasting(quantiles=[0.1, 0.5, 0.9])
    said, _ = task.predictions(outputs, batch(), meaning)
    assert said["forecast"] == {"load": [2.0, 5.0]} and said["units"] == {"load": "MW"}
    assert said["quantiles"] == {"0.1": {"load": [1.0, 4.0]}, "0.5": {"load": [2.0, 5.0]},
                                 "0.9": {"load": [3.0, 6.0]}}


@pytest.mark.parametrize("fields", [
    {"quantiles": [0.9, 0.5]}, {"quantiles": [0.1, 0.9]}, {"quantiles": [0.0, 0.5]},
    {"quantiles": [0.5], "loss": "mse"}, {"quantiles": [0.5], "strategy": "recursive"}])
def test_settings_that_contradict_each_other_are_refused(fields):
    with pytest.raises(ValidationError):
        Forecasting(**fields)


def test_each_value_needs_a_number_for_each_quantile():
    for width, fits in ((6, True), (2, False)):
        report = Report()
        Forecasting(quantiles=[0.1, 0.5, 0.9]).check(
            {"output": TensorType(("channels",), (width,))}, {"future": FUTURE}, report, None)
        assert (not report.diagnostics) == fits


# --------------------------------------------------------------------------- step by step


class Adds:
    """A model of one step: the last two values added up, and what is known of the last step."""

    def run(self, params, rest, batch, *, training, key):
        past = batch.arrays["past"]
        return {"output": Tensor(past[:, -1, :1] + past[:, -2, :1] + past[:, -1, 1:], (
            "channels",))}, rest


def test_what_is_told_becomes_the_past_of_the_next_step():
    names = {"past": ("load", "feast"), "known": ("feast",), "future": ("load",)}
    scales = {field: Scale(n, np.zeros(len(n)), np.ones(len(n))) for field, n in names.items()}
    future = TensorType(("time", "channels"), (4, 1))
    task = Forecasting(strategy="recursive").knowing(Meaning({"future": future}, scales=scales))
    past = jnp.tile(jnp.array([[1.0, 0.0], [1.0, 0.0]]), (3, 1, 1))
    ahead = jnp.tile(jnp.array([0.0, 10.0, 0.0, 0.0])[:, None], (3, 1, 1))
    run = jax.jit(lambda b: task.outputs(Adds(), {}, {}, b, key=jax.random.key(0))[0])
    found = run(batch(past=past, known=ahead))["output"]
    # 1+1; 2+1; 3+2 and the feast's 10; 15+3.
    assert found.array[0, :, 0].tolist() == [2, 3, 15, 18] and found.axes == ("time", "channels")


def test_only_what_is_told_or_known_can_become_the_past():
    scales = {field: Scale(n, np.zeros(len(n)), np.ones(len(n))) for field, n in {
        "past": ("wind", "load"), "future": ("load",)}.items()}
    with pytest.raises(SpecError) as caught:
        Forecasting(strategy="recursive").knowing(Meaning({"future": FUTURE}, scales=scales))
    assert caught.value.diagnostics[0].code == "F0710"


def test_a_recursive_forecast_is_trained_on_one_step():
    task = Forecasting(strategy="recursive")
    report = Report()
    task.check({"output": TensorType(("channels",), (1,))}, {
        "past": TensorType(("time", "channels"), (5, 1)), "future": FUTURE}, report, None)
    assert not report.diagnostics
    measured = task.measure({"output": Tensor(jnp.ones((3, 1)), ("channels",))}, batch(
        future=np.array([[[1.0], [9.0]]] * 3)), training=True)
    assert float(measured["loss"].total) == 0


STEPWISE = """\
flaxspec: 1
name: spots
inputs: {past: {shape: [11, 1]}}
model: [flatten, dense: 1]
data: {dataset: sunspots, window: 11, horizon: 3}
task: {forecasting: {strategy: recursive}}
train: {epochs: 3, batch_size: 64, optimizer: {adam: 0.02}}
"""


@pytest.mark.slow
def test_a_trained_model_goes_on_from_what_it_told(tmp_path):
    execute(prepare(Source("spots.yaml", STEPWISE), Report()), tmp_path, "", (),
            Wish(report=False))
    trained = load(tmp_path)
    test = trained.training.data.load().test
    weights = {path.rpartition(".")[2]: np.asarray(w) for path, w in trained.params.items()}
    seen = test.arrays["past"][..., 0]
    for _ in range(3):
        told = seen[:, -11:] @ weights["kernel"][:, 0] + weights["bias"]
        seen = np.concatenate([seen, told[:, None]], axis=1)
    assert isinstance(trained.task, Forecasting)
    said = trained.task.forecasts(trained, test)[..., 0, 0]
    np.testing.assert_allclose(said, seen[:, -3:], atol=1e-4)
    # What evaluation scores is the same three steps, and so is what people are told.
    error = (said - test.arrays["future"][..., 0]) * trained.preprocessing.meaning.scales[
        "future"].deviation
    assert trained.evaluate()[0]["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-4)
    (column,) = trained.predictions(test)[0]["forecast"].values()
    assert len(column) == 3


def test_simple_forecasts_stand_beside_the_model():
    data = Sunspots(dataset="sunspots", window=22, horizon=2).load()
    found = Forecasting().baselines(data)
    assert list(found) == ["naive", "seasonal_naive", "ridge"]
    assert found["ridge"]["mase"] < found["naive"]["mase"]
    assert all(set(figures) == {"mae", "rmse", "mase", "smape"} for figures in found.values())


# -------------------------------------------------------------------------------- as drawn


def test_a_drawing_shades_what_lies_between_the_quantiles():
    values = {"0.1": [1.0, 0.0], "0.5": [2.0, 2.0], "0.9": [3.0, 4.0]}
    told = {"forecast": {"load": values["0.5"]}, "times": ["2014-07-23", "2014-07-24"],
            "quantiles": {level: {"load": numbers} for level, numbers in values.items()}}
    picture = drawn(told, {"load": np.arange(20.0)}).document().decode()
    assert picture.count("<polygon") == 1 and "shaded: 80 %" in picture
    # Two dates would stand on each other.
    assert "2014-07-23 to 2014-07-24" in picture
    plain = drawn({"forecast": {"load": [2.0] * 9}}, {"load": np.arange(9.0)}).document().decode()
    assert "<polygon" not in plain and "shaded" not in plain
    assert "+1<" in plain and "+9<" in plain


def test_a_report_shades_the_intervals_behind_the_lines():
    said = [{"forecast": {"load": [2.0, 3.0]}, "quantiles": {
        "0.1": {"load": [1.0, 2.0]}, "0.5": {"load": [2.0, 3.0]}, "0.9": {"load": [4.0, 5.0]}}}] * 3
    seen = SimpleNamespace(said=said, true=[{"forecast": {"load": [2.0, 2.0]}}] * 3,
                           dataset=SimpleNamespace(scales={}), part=SimpleNamespace(arrays={}))
    page = forecasts(cast(Seen, seen))
    # One and two steps ahead, the worst forecast, and one of middling quality.
    assert page.count('class="line band"') == 4 and "80 % interval" in page
    assert page.index('class="line band"') < page.index('class="line truth"')
