"""Losses and metrics: what they are, and that no example counts twice or not at all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter

from compiler.diagnostics import Report
from compiler.lower.tensor import Tensor
from compiler.types import TensorType
from runtime.batch import Batch, Ratio
from runtime.data.seattle_weather import SeattleWeather
from runtime.data.sunspots import Sunspots
from runtime.meter import Meter
from runtime.tasks import AnyTask
from runtime.tasks.classification import Classification
from runtime.tasks.forecasting import Forecasting
from runtime.tasks.language_modelling import LanguageModelling
from runtime.tasks.ridge import ridge_forecast

KEYS = iter(jax.random.split(jax.random.key(0), 50))
CLASSES = TensorType(("channels",), (10,))
LABEL = TensorType((), (), "int", vocabulary=10)


def normal(*shape):
    return jax.random.normal(next(KEYS), shape)


def batch(rows=None, lengths=None, **arrays):
    size = len(next(iter(arrays.values())))
    rows = jnp.ones(size, bool) if rows is None else jnp.asarray(rows)
    return Batch(arrays, {k: jnp.asarray(v) for k, v in (lengths or {}).items()}, rows)


def outputs(array, axes=("channels",), **heads):
    return {"output": Tensor(array, axes),
            **{name: Tensor(head, axes) for name, head in heads.items()}}


def ratio(measured) -> Ratio:
    """A measured figure that is known to be a ratio."""
    assert isinstance(measured, Ratio)
    return measured


def means(measured):
    return {name: np.asarray(m.total / m.weight) if isinstance(m, Ratio)
            else np.asarray(m.values)[np.asarray(m.rows)] for name, m in measured.items()}


def by_hand(logits, labels):
    """The cross entropy of each row, straight from its definition, in float64."""
    logits = np.asarray(logits, np.float64)
    odds = np.exp(logits)
    return -np.log(odds[np.arange(len(labels)), labels] / odds.sum(axis=-1))


# ----------------------------------------------------------------------- classification


def test_cross_entropy_and_accuracy_are_those_of_the_definition():
    logits, labels = normal(8, 10), jnp.array([0, 1, 2, 3, 4, 5, 6, 7])
    found = means(Classification().measure(outputs(logits), batch(label=labels), training=False))
    np.testing.assert_allclose(found["loss"], by_hand(logits, labels).mean(), rtol=1e-6)
    assert found["accuracy"] == np.mean(np.argmax(logits, -1) == labels)


def test_rows_that_fill_up_a_batch_count_nowhere_even_if_they_are_nan():
    logits, labels = normal(4, 10), jnp.array([1, 2, 3, 4])
    whole = Classification().measure(outputs(logits), batch(label=labels), training=True)
    filled = Classification().measure(
        outputs(jnp.concatenate([logits, jnp.full((3, 10), jnp.nan)])),
        batch(label=jnp.concatenate([labels, jnp.zeros(3, int)]), rows=[True] * 4 + [False] * 3),
        training=True)
    for name in whole:
        one, other = ratio(filled[name]), ratio(whole[name])
        np.testing.assert_allclose(one.total, other.total, rtol=1e-6)
        assert one.weight == other.weight == 4


@pytest.mark.parametrize("size", [1, 3, 4, 7, 10, 16])
def test_the_mean_over_batches_is_the_mean_over_examples_at_any_batch_size(size):
    logits, labels = np.array(normal(10, 10)), np.arange(10) % 7
    meter = Meter()
    for start in range(0, 10, size):
        index = np.arange(start, start + size)
        rows = index < 10
        index = np.where(rows, index, 0)
        meter.add(Classification().measure(
            outputs(jnp.asarray(logits[index])),
            batch(label=jnp.asarray(labels[index]), rows=rows), training=False))
    found = meter.means()
    assert found["accuracy"] == (logits.argmax(-1) == labels).sum() / 10
    assert found["loss"] == pytest.approx(by_hand(logits, labels).mean(), rel=1e-6)
    expected = np.zeros((10, 10))
    np.add.at(expected, (labels, logits.argmax(-1)), 1)
    np.testing.assert_array_equal(found["confusion"], expected)


def test_label_smoothing_spreads_the_target_in_training_only():
    logits, labels = normal(6, 10), jnp.arange(6)
    task = Classification(label_smoothing=0.1)
    target = 0.9 * np.eye(10)[labels] + 0.01
    expected = -(target * np.asarray(jax.nn.log_softmax(logits))).sum(-1).mean()
    data = batch(label=labels)
    np.testing.assert_allclose(
        means(task.measure(outputs(logits), data, training=True))["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(
        means(task.measure(outputs(logits), data, training=False))["loss"],
        by_hand(logits, labels).mean(), rtol=1e-5)


def test_auxiliary_heads_add_their_weighted_losses_in_training():
    logits, aux, labels = normal(6, 10), normal(6, 10), jnp.arange(6)
    task = Classification(auxiliary={"aux1": 0.3})
    trained = means(task.measure(outputs(logits, aux1=aux), batch(label=labels), training=True))
    expected = by_hand(logits, labels).mean() + 0.3 * by_hand(aux, labels).mean()
    np.testing.assert_allclose(trained["loss"], expected, rtol=1e-5)
    # In evaluation the head is not even there.
    plain = means(task.measure(outputs(logits), batch(label=labels), training=False))
    np.testing.assert_allclose(plain["loss"], by_hand(logits, labels).mean(), rtol=1e-5)


# -------------------------------------------------------------------- language modelling


def test_padded_steps_do_not_count_in_perplexity():
    logits, tokens = normal(2, 4, 5), jnp.array([[1, 2, 3, 4], [2, 0, 0, 0]])
    logits = logits.at[1, 1:].set(jnp.nan)
    measured = LanguageModelling().measure(
        outputs(logits, ("time", "channels")), batch(next=tokens, lengths={"next": [4, 1]}),
        training=True)
    rows = np.concatenate([by_hand(logits[0], tokens[0]), by_hand(logits[1, :1], tokens[1, :1])])
    assert ratio(measured["loss"]).weight == 5
    data = Sunspots(dataset="sunspots", window=5).load()  # any: it is not looked at
    figures = LanguageModelling().finish(means(measured), data)
    assert figures["loss"] == pytest.approx(rows.mean(), rel=1e-5)
    assert figures["perplexity"] == pytest.approx(np.exp(rows.mean()), rel=1e-5)


def test_the_gradient_of_padded_steps_is_zero_and_finite():
    tokens = jnp.array([[1, 2, 0, 0]])

    def loss(logits):
        measured = ratio(LanguageModelling().measure(
            outputs(logits, ("time", "channels")), batch(next=tokens, lengths={"next": [2]}),
            training=True)["loss"])
        return measured.total / measured.weight

    gradient = jax.grad(loss)(normal(1, 4, 5))
    assert (gradient[0, 2:] == 0).all() and (gradient[0, :2] != 0).all()


# --------------------------------------------------------------------------- forecasting


def test_forecast_errors_are_in_the_units_of_the_data():
    data = SeattleWeather(dataset="seattle_weather", window=7, horizon=2,
                          forecast=["temp_max", "wind"]).load()
    scale = data.scales["future"]
    future = data.test.arrays["future"][:5]
    off = future + np.array([1.0, -2.0]) / scale.deviation  # 1 °C too warm, 2 m/s too calm
    measured = Forecasting().measure(outputs(jnp.asarray(off, jnp.float32), ("time", "channels")),
                                     batch(future=jnp.asarray(future)), training=False)
    figures = Forecasting().finish(means(measured), data)
    assert figures["mae"] == pytest.approx(1.5, rel=1e-4)
    assert figures["rmse"] == pytest.approx(np.sqrt((1 + 4) / 2), rel=1e-4)


def test_a_flat_forecast_is_read_step_by_step():
    future = normal(3, 2, 2)
    flat = means(Forecasting().measure(outputs(future.reshape(3, 4)), batch(future=future),
                                       training=False))
    assert flat["loss"] == 0


@pytest.mark.parametrize("loss, expected", [("mse", 4.0), ("mae", 2.0)])
def test_the_loss_of_a_forecast_is_the_one_chosen(loss, expected):
    future = normal(3, 2, 1)
    found = means(Forecasting(loss=loss).measure(
        outputs(future + 2, ("time", "channels")), batch(future=future), training=True))
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)


def test_ridge_recovers_a_linear_law():
    rng = np.random.default_rng(0)
    past = rng.normal(size=(400, 5, 2))
    law = rng.normal(size=(10, 3))
    future = (past.reshape(400, 10) @ law + 0.7).reshape(400, 3, 1)
    found = ridge_forecast(past[:300], future[:300], past[300:])
    np.testing.assert_allclose(found, future[300:], atol=1e-3)


def test_the_baselines_are_the_errors_of_simple_forecasts_of_the_test_part():
    data = Sunspots(dataset="sunspots", window=22, horizon=1).load()
    found = Forecasting().baselines(data)
    years = np.loadtxt("runtime/data/embedded/sunspots.csv", delimiter=",", skiprows=1)[:, 1]
    testing = np.arange(309 - 62, 309)
    assert data.test.size == 62
    assert found["seasonal_naive"]["mae"] == pytest.approx(
        np.abs(years[testing] - years[testing - 11]).mean(), rel=1e-5)
    assert found["ridge"]["rmse"] < found["seasonal_naive"]["rmse"]


# ------------------------------------------------------------------------------- checking


def checked(task, outputs, fields):
    report = Report()
    task.check(outputs, fields, report, None)
    return [(d.code, d.headline) for d in report.diagnostics]


@pytest.mark.parametrize("task, output, fields", [
    (Classification(), CLASSES, {"label": LABEL}),
    (LanguageModelling(), TensorType(("time", "channels"), ("text", 128)),
     {"next": TensorType(("time",), (64,), "int", vocabulary=100)}),
    (Forecasting(), TensorType(("time", "channels"), (7, 2)),
     {"future": TensorType(("time", "channels"), (7, 2))}),
    (Forecasting(), TensorType(("channels",), (14,)),
     {"future": TensorType(("time", "channels"), (7, 2))}),
])
def test_a_model_that_suits_its_task_passes(task, output, fields):
    assert checked(task, {"output": output}, fields) == []


def test_a_task_is_about_the_main_output_whatever_its_name():
    classes = {"logits": CLASSES, "features": TensorType(("channels",), (64,))}
    assert checked(Classification(), classes, {"label": LABEL}) == []
    found, = checked(Classification(output="features"), classes, {"label": LABEL})
    assert found[0] == "F0617"


@pytest.mark.parametrize("task, output, fields, code", [
    (Classification(), TensorType(("channels",), (11,)), {"label": LABEL}, "F0617"),
    (Classification(), TensorType(("time", "channels"), (4, 10)), {"label": LABEL}, "F0617"),
    (Classification(target="class"), CLASSES, {"label": LABEL}, "F0615"),
    (Classification(output="logits"), CLASSES, {"label": LABEL}, "F0616"),
    (Classification(auxiliary={"aux": 0.3}), CLASSES, {"label": LABEL}, "F0616"),
    (LanguageModelling(), TensorType(("channels",), (128,)),
     {"next": TensorType(("time",), (64,), "int", vocabulary=100)}, "F0617"),
    (LanguageModelling(), TensorType(("time", "channels"), ("text", 99)),
     {"next": TensorType(("time",), (64,), "int", vocabulary=100)}, "F0617"),
    (Forecasting(), TensorType(("channels",), (13,)),
     {"future": TensorType(("time", "channels"), (7, 2))}, "F0617"),
])
def test_a_model_that_does_not_suit_its_task_is_refused(task, output, fields, code):
    assert [found for found, _ in checked(task, {"output": output}, fields)] == [code]


@pytest.mark.parametrize("text, task", [
    ("classification", Classification()),
    ({"classification": {"label_smoothing": 0.1}}, Classification(label_smoothing=0.1)),
    ({"forecasting": {"loss": "mae"}}, Forecasting(loss="mae")),
    ("language_modelling", LanguageModelling()),
])
def test_a_task_is_a_word_or_a_word_with_fields(text, task):
    assert TypeAdapter(AnyTask).validate_python(text) == task


WHOLE = np.array([0, 1, 1, 0])
FIGURES = [
    ("classification", (4, 2), (), WHOLE),
    ("classification", (4, 30), (), WHOLE),
    ({"classification": {"top": [3]}}, (4, 10), (), WHOLE),
    ("multi_label", (4, 2), (), np.eye(2)[WHOLE]),
    ("regression", (4, 1), (), WHOLE[:, None].astype(float)),
    ("tagging", (4, 3, 3), ("time",), np.tile(WHOLE[:, None], 3)),
    ("segmentation", (4, 2, 2, 3), ("height", "width"), np.tile(WHOLE[:, None, None], (2, 2))),
    ("language_modelling", (4, 3, 5), ("time",), np.tile(WHOLE[:, None], 3)),
    ("forecasting", (4, 3, 1), ("time",), np.tile(WHOLE[:, None, None], (3, 1)).astype(float)),
]


@pytest.mark.parametrize("said, shape, axes, target", FIGURES, ids=str)
def test_a_task_names_all_figures_that_it_gives_and_no_others(said, shape, axes, target):
    task = TypeAdapter(AnyTask).validate_python(said)
    kind = TensorType((*axes, "channels"), shape[1:])
    meter = Meter()
    meter.add(task.measure(outputs(normal(*shape), (*axes, "channels")),
                           batch(**{task.target: jnp.asarray(target)}), training=False))
    data = Known({task.target: ("O", "B-x", "I-x")})
    assert set(task.finish(meter.means(), data)) == set(task.figures({"output": kind}))
    assert task.monitor in task.figures({"output": kind})


class Known:
    """What `finish` asks of a data set."""

    def __init__(self, labels):
        self.labels, self.scales = labels, {}
        self.fitted = {"naive_errors": [[1.0]]}
