"""Steps in pieces, averaged parameters and their statistics, states carried across batches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pydantic import TypeAdapter

from compiler.diagnostics import Report
from compiler.lower import carry
from compiler.lower.build import build_model
from compiler.source import Source
from runtime.accumulate import accumulating_step
from runtime.averaging import advance, observer, recomputed
from runtime.batch import Batch
from runtime.optim import build
from runtime.optim_document import Run
from runtime.run import prepare
from runtime.step import PureModel, State, train_step, training_loss
from runtime.streams import fresh, rested
from runtime.train_parts import Average

PLAIN = """\
flaxspec: 1
name: small
inputs:
  image: {shape: [8, 8, 1]}
model:
  - flatten
  - dense: 12
  - relu
  - dense: 10
data: {dataset: digits}
task: classification
train: {epochs: 1, batch_size: 16, optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}}
"""
NORMED = PLAIN.replace("  - relu\n", "  - batch_norm: {momentum: 0.7}\n  - relu\n")
KEY = jax.random.key(0)
RUN = Run(100, 10)


def ready(text=PLAIN):
    """The recipe's model as a function, its first state, its optimiser and its loss."""
    recipe = prepare(Source("recipe.yaml", text), Report())
    optimizer = build(recipe.training.train.optimizer, RUN)
    model, params, rest = PureModel.split(build_model(recipe.graph, seed=0), recipe.inputs)
    loss = training_loss(model, recipe.training.task, lambda batch, key: batch)
    state = State(params, rest, optimizer.init(params), jnp.zeros((), jnp.int32))
    return model, state, optimizer, loss


def images(rows=16, seed=0, real=None):
    draw = np.random.default_rng(seed)
    return Batch({"image": jnp.asarray(draw.uniform(size=(rows, 8, 8, 1)), jnp.float32),
                  "label": jnp.asarray(draw.integers(10, size=rows))}, {},
                 jnp.arange(rows) < (rows if real is None else real))


def copied(state):
    return jax.tree.map(jnp.copy, state)


# -------------------------------------------------------------------------- accumulation


@pytest.mark.parametrize("task", [
    "classification", "{classification: {class_weights: [0.1, 3, 1, 1, 1, 1, 1, 1, 1, 9]}}"])
@pytest.mark.parametrize("pieces, real", [(4, 16), (8, 11), (5, 14)])
def test_steps_in_pieces_are_those_of_the_whole_batch(task, pieces, real):
    _, whole, optimizer, loss = ready(PLAIN.replace("task: classification", f"task: {task}"))
    pieced = copied(whole)
    step = train_step(loss, optimizer)
    pieces_step = accumulating_step(loss, optimizer, pieces)
    for seed in range(3):
        batch = images(seed=seed, real=real)
        whole, measured = step(whole, batch, KEY)
        pieced, also = pieces_step(pieced, batch, KEY)
        assert also["loss"].weight == pytest.approx(float(measured["loss"].weight), rel=1e-6)
        assert also["loss"].total == pytest.approx(float(measured["loss"].total), rel=1e-5)
    assert int(pieced.step) == 3
    for path, array in whole.params.items():
        np.testing.assert_allclose(pieced.params[path], array, rtol=1e-5, atol=1e-6)


def test_each_piece_updates_batch_statistics_in_its_turn():
    _, state, optimizer, loss = ready(NORMED)
    batch = images()
    after, _ = accumulating_step(loss, optimizer, 2)(copied(state), batch, KEY)
    kernel, bias = (np.asarray(state.params[f"dense_1.{n}"]) for n in ("kernel", "bias"))
    hidden = np.asarray(batch.arrays["image"]).reshape(16, 64) @ kernel + bias
    expected = np.zeros(12)
    for piece in (hidden[0::2], hidden[1::2]):
        expected = 0.7 * expected + 0.3 * piece.mean(axis=0)
    np.testing.assert_allclose(after.rest["batch_norm_1.mean"], expected, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------- averages


@pytest.mark.parametrize("setting, start", [
    (0.9, 0), ({"decay": 0.9, "warmup": False}, 0), ({"decay": 0.5, "start": "2%"}, 2)])
def test_the_average_follows_the_parameters(setting, start):
    _, state, optimizer, loss = ready()
    average = TypeAdapter(Average).validate_python(setting)
    state = state._replace(ema=jax.tree.map(jnp.copy, state.params))
    expected = {path: np.asarray(array) for path, array in state.params.items()}
    step = train_step(loss, optimizer, advance(average, RUN))
    for number in range(1, 6):
        state, _ = step(state, images(seed=number), KEY)
        made = number - start
        decay = min(average.decay, (1 + made) / (10 + made)) if average.warmup else average.decay
        decay = decay if made > 0 else 0.0
        expected = {path: decay * expected[path] + (1 - decay) * np.asarray(array)
                    for path, array in state.params.items()}
    assert state.ema is not None
    for path, array in state.ema.items():
        np.testing.assert_allclose(array, expected[path], rtol=1e-5, atol=1e-6)


def test_without_warmup_the_average_is_optaxs_own():
    average, state = Average(decay=0.99, warmup=False), ready()[1]
    moved = {path: array + 1 for path, array in state.params.items()}
    ours = advance(average, RUN)(state.params, moved, jnp.int32(1))
    theirs = optax.incremental_update(moved, state.params, 1 - 0.99)
    for path, array in ours.items():
        np.testing.assert_allclose(array, theirs[path], atol=1e-7)  # type: ignore[call-overload]


def test_statistics_are_plain_means_over_the_batches_with_the_parameters_given():
    model, state, _, _ = ready(NORMED)
    batches = [images(seed=s, real=r) for s, r in ((1, 16), (2, 16), (3, 9))]
    rest = recomputed(observer(model), state.params, state.rest, batches, KEY, model.statistics)
    kernel, bias = (np.asarray(state.params[f"dense_1.{n}"], np.float64)
                    for n in ("kernel", "bias"))
    hidden = [np.asarray(b.arrays["image"], np.float64).reshape(16, 64)[np.asarray(b.rows)] @ kernel
              + bias for b in batches]
    np.testing.assert_allclose(rest["batch_norm_1.mean"], np.mean(
        [h.mean(axis=0) for h in hidden], axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rest["batch_norm_1.var"], np.mean(
        [h.var(axis=0, ddof=1) for h in hidden], axis=0), rtol=1e-4)


def test_statistics_of_frozen_norms_stay_as_they_are():
    text = NORMED.replace("  - batch_norm: {momentum: 0.7}\n",
                          "  - batch_norm: {momentum: 0.7}\n    freeze: true\n")
    model, state, _, _ = ready(text)
    rest = recomputed(observer(model), state.params, state.rest, [images()], KEY, model.statistics)
    for name in model.statistics:
        np.testing.assert_array_equal(rest[name], state.rest[name])


# -------------------------------------------------------------------------- carried states


READER = """\
flaxspec: 1
name: reader
inputs:
  text: {kind: tokens, vocabulary: 128, length: any}
model:
  - embed: 6
  - gru: {units: 5, carry: across}
  - dense: 128
data: {dataset: help_texts, length: 8}
task: language_modelling
train: {epochs: 1, batch_size: 3, optimizer: {sgd: 0.0}}
"""


def carrying(rows=3):
    recipe = prepare(Source("recipe.yaml", READER), Report())
    module = build_model(recipe.graph, seed=0)
    carry.begin(module, rows)
    model, params, rest = PureModel.split(module, recipe.inputs)
    return model, params, rest, module


def words(steps, rows=3):
    return np.random.default_rng(0).integers(1, 128, size=(rows, steps))


def text(tokens):
    return Batch({"text": jnp.asarray(tokens)}, {}, jnp.ones(len(tokens), bool))


def test_a_row_goes_on_where_it_ended_and_begins_anew_when_told():
    model, params, rest, _ = carrying()
    assert len(model.carried) == 1
    tokens = words(16)
    whole, _ = model.run(params, rest, text(tokens), training=True, key=None)
    _, after = model.run(params, rest, text(tokens[:, :8]), training=True, key=None)
    second, after = model.run(params, after, text(tokens[:, 8:]), training=True, key=None)
    np.testing.assert_allclose(second["output"].array, whole["output"].array[:, 8:], atol=1e-5)
    going_on = fresh(text(tokens[:, :8]), begins=False)
    again, _ = model.run(params, after, going_on, training=True, key=None)
    assert not np.allclose(again["output"].array, whole["output"].array[:, :8], atol=1e-3)
    anew, _ = model.run(params, after, fresh(going_on, begins=True), training=True, key=None)
    np.testing.assert_allclose(anew["output"].array, whole["output"].array[:, :8], atol=1e-5)


def test_states_may_be_made_for_another_number_of_rows():
    model, params, rest, _ = carrying(rows=3)
    tokens = words(16, rows=2)
    rest = rested(model, rest, 2)
    whole, _ = model.run(params, rest, text(tokens), training=False, key=None)
    _, after = model.run(params, rest, text(tokens[:, :8]), training=False, key=None)
    second, _ = model.run(params, after, text(tokens[:, 8:]), training=False, key=None)
    np.testing.assert_allclose(second["output"].array, whole["output"].array[:, 8:], atol=1e-5)


def test_carried_states_are_not_put_back_into_the_module():
    model, params, rest, module = carrying()
    carry.end(module)
    model.put(module, params, rest)
    assert carry.NAME not in vars(module.gru_1)  # type: ignore[attr-defined]
