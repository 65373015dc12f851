"""Runs that change on the way, average, mix, accumulate or carry states; and what is refused."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from compiler.diagnostics import Report, SpecError
from compiler.lower.build import build_model
from compiler.source import Source
from compiler.types import TensorType
from runtime.batch import Batch
from runtime.loop import Job, train
from runtime.mixing import mixing
from runtime.recipe import Train
from runtime.report.listener import Listener
from runtime.run import prepare
from runtime.tasks.classification import Classification
from runtime.tasks.multi_label import MultiLabel
from runtime.timetable import shortened, timetable
from runtime.train_parts import Mix

RECIPE = """\
flaxspec: 1
name: small
inputs:
  image: {shape: [8, 8, 1]}
model:
  - flatten
  - dense: 24
  - batch_norm
  - relu
  - dense: 10
data: {dataset: digits}
task: classification
train:
  epochs: 2
  batch_size: 256
  optimizer: {adam: 0.01}
"""
READER = """\
flaxspec: 1
name: reader
inputs:
  text: {kind: tokens, vocabulary: 64, length: any}
model:
  - embed: 8
  - gru: {units: 16, carry: across}
  - dense: 64
data: {dataset: help_texts, length: 64, vocabulary: 64}
task: language_modelling
train: {steps: 30, batch_size: 16, optimizer: {adam: 0.01}}
"""


PHASES = "phases: [{minimise: language_modelling, update: '**', optimizer: {adam: 0.01}}]"


class History(Listener):
    def __init__(self):
        self.epochs, self.steps = [], []

    def epoch(self, epoch):
        self.epochs.append(epoch)

    def step(self, step, so_far):
        self.steps.append(step)


def prepared(*assignments, text=RECIPE):
    return prepare(Source("recipe.yaml", text), Report(), assignments=assignments)


def run(*assignments, text=RECIPE):
    recipe = prepared(*assignments, text=text)
    model, history = build_model(recipe.graph, seed=0), History()
    job = Job(recipe.program.name, recipe.training, model, recipe.inputs)
    return train(job, recipe.training.data.load(), [history]), history, model


def refused(*assignments, text=RECIPE):
    with pytest.raises(SpecError) as caught:
        prepared(*assignments, text=text)
    return [(d.code, d.headline) for d in caught.value.diagnostics]


def settings(**given):
    return TypeAdapter(Train).validate_python(
        {"epochs": 4, "batch_size": 10, "optimizer": {"sgd": 0.1}, **given})


# ----------------------------------------------------------------------------- timetables


def test_batch_sizes_change_between_epochs_and_steps_follow():
    table = timetable(settings(batch_size_changes={"1 epoch": 20, "75%": 50}), 100)
    assert table.sizes == (10, 20, 20, 50)
    assert table.run.steps == 10 + 5 + 5 + 2
    assert table.run.epoch_ends == (10, 15, 20, 22)


def test_a_run_of_steps_has_as_many_epochs_as_it_takes():
    table = timetable(settings(epochs=None, steps=17, batch_size_changes={"1 epoch": 20}), 100)
    assert table.sizes == (10, 20, 20) and table.run.steps == 17


def test_without_changes_every_epoch_is_alike():
    table = timetable(settings(), 95)
    assert table.sizes == (10,) * 4 and table.run.epoch_ends == () and table.run.steps == 40
    assert timetable(settings(), 95, drop_last=True).run.steps == 36


def test_sequence_lengths_change_between_epochs():
    table = timetable(settings(sequence_length_changes={0: 5, "2 epochs": 9}), 10)
    assert table.lengths == (5, 5, 9, 9)
    assert timetable(settings(sequence_length_changes={"50%": 9}), 10).lengths == (
        None, None, 9, 9)


@pytest.mark.parametrize("field, value", [
    ("batch_size_changes", {"3 steps": 20}), ("batch_size_changes", {"7": 20}),
    ("batch_size_changes", {"1 epoch": 0}), ("batch_size_changes", 20),
    ("batch_size_changes", {}), ("sequence_length_changes", {0: "long"}),
    ("mix", {}), ("mix", {"mixup": 0}), ("ema", 1.0), ("ema", {"decay": 0.9, "start": "soon"}),
    ("accumulate", 0), ("learning_rate_factors", {"stem": -1}), ("clip", {}),
])
def test_a_wrong_setting_is_refused(field, value):
    with pytest.raises(ValidationError):
        settings(**{field: value})


def test_a_run_of_steps_cannot_change_at_a_part_of_its_epochs():
    with pytest.raises(ValidationError, match="no part of its epochs"):
        settings(epochs=None, steps=5, batch_size_changes={"50%": 20})


def test_sequences_are_cut_with_their_targets_and_lengths():
    text = TensorType(("time",), (8,), "int")
    fields = {"text": text, "next": text, "future": TensorType(("time", "channels"), (3, 1)),
              "label": TensorType((), (), "int")}
    batch = Batch({"text": jnp.arange(16).reshape(2, 8), "next": jnp.arange(16).reshape(2, 8),
                   "future": jnp.zeros((2, 3, 1)), "label": jnp.zeros(2, int)},
                  {"text": jnp.array([8, 2]), "next": jnp.array([8, 2])}, jnp.ones(2, bool))
    cut = shortened(batch, fields, {"x": "text"}, 5)
    assert {n: a.shape[1:] for n, a in cut.arrays.items()} == {
        "text": (5,), "next": (5,), "future": (3, 1), "label": ()}
    assert cut.lengths["text"].tolist() == [5, 2]


# ----------------------------------------------------------------------------------- runs


@pytest.mark.slow
def test_a_run_in_pieces_with_changing_batches_learns_and_counts_its_steps():
    result, history, _ = run("train.epochs=6", "train.accumulate=2",
                             "train.batch_size_changes={1 epoch: 64}")
    assert result.steps == 5 + 5 * 20 == history.steps[-1]
    assert result.test["accuracy"] > 0.8


def test_averaged_and_raw_weights_are_both_scored_and_the_averaged_are_kept():
    result, history, model = run("train.epochs=4", "train.ema=0.9")
    assert history.epochs[-1].raw and history.epochs[-1].raw != history.epochs[-1].validation
    assert set(result.raw) == set(result.test) and result.raw != result.test
    assert result.as_json()["test_raw"]["loss"] == result.raw["loss"]
    # The saved model is the averaged one, with the statistics that belong to it.
    recipe = prepared()
    test = recipe.training.data.load().test
    model.eval()
    right = np.argmax(model(jnp.asarray(test.arrays["image"])), -1) == test.arrays["label"]
    assert right.mean() == pytest.approx(result.test["accuracy"])


def test_without_averaging_there_is_one_score():
    result, history, _ = run("train.epochs=1")
    assert not result.raw and not history.epochs[0].raw and "test_raw" not in result.as_json()


def test_a_run_with_carried_states_measures_alike_at_any_batch_size():
    carried, _, model = run(text=READER)
    again, _, _ = run("train.evaluation_batch_size=7", text=READER)
    assert again.test == carried.test
    assert carried.test["loss"] < 3.5  # nats; 4.16 would be no knowledge at all
    assert not hasattr(model.gru_1, "carried")


def test_a_sequence_length_is_compiled_once():
    from runtime import step

    traces = []
    original = step.PureModel.run

    def counting(self, *args, **kwargs):
        traces.append(kwargs["training"])
        return original(self, *args, **kwargs)

    step.PureModel.run = counting
    try:
        run("train.steps=null", "train.epochs=3",
            "train.sequence_length_changes={0: 8, 2 epochs: 16}", "train.batch_size=256",
            text=READER.replace("across", "within"))
    finally:
        step.PureModel.run = original
    assert traces.count(True) == 2


# --------------------------------------------------------------------------------- mixing


FIELDS = {"image": TensorType(("height", "width", "channels"), (6, 6, 1))}


def pictures(count=64, real=None):
    """Pictures of one number each, that number being the row's, and their labels."""
    numbers = jnp.arange(count)
    return Batch({"image": jnp.broadcast_to(numbers[:, None, None, None], (count, 6, 6, 1)) * 1.0,
                  "label": numbers % 10}, {}, numbers < (count if real is None else real))


def test_mixup_blends_rows_and_their_partners_in_shares():
    batch = mixing(Mix(mixup=0.5), FIELDS)(pictures(), jax.random.key(0))
    assert batch.mixing is not None
    partner, share = batch.mixing
    expected = share * jnp.arange(64) + (1 - share) * partner
    np.testing.assert_allclose(batch.arrays["image"][:, 3, 3, 0], expected, rtol=1e-5)
    assert len(set(np.asarray(share).tolist())) > 32 and (share >= 0).all() and (share <= 1).all()


def test_cutmix_pastes_a_rectangle_whose_area_is_the_share():
    batch = mixing(Mix(cutmix=1.0), FIELDS)(pictures(), jax.random.key(1))
    assert batch.mixing is not None
    partner, share = batch.mixing
    images = np.asarray(batch.arrays["image"])[..., 0]
    for row in range(64):
        own = images[row] == row
        if partner[row] != row:
            assert own.mean() == pytest.approx(float(share[row]), abs=1e-6)
            assert (images[row][~own] == partner[row]).all()
            ys, xs = np.nonzero(~own)
            if len(ys):
                assert (~own).sum() == (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
    assert 0.2 < float(share.mean()) < 0.8


def test_a_row_that_fills_up_the_batch_is_nobodys_partner():
    batch = mixing(Mix(mixup=1.0), FIELDS)(pictures(real=20), jax.random.key(2))
    partner = np.asarray(batch.mixing.partner)
    assert (partner[:20] < 20).all()


@pytest.mark.slow
def test_a_probability_leaves_some_rows_as_they_are():
    share = mixing(Mix(mixup=1.0, cutmix=1.0, probability=0.25), FIELDS)(
        pictures(400), jax.random.key(3)).mixing.share
    assert 0.6 < float((share == 1).mean()) < 0.95


def test_the_loss_of_mixed_rows_is_that_of_both_targets_in_their_shares():
    from compiler.lower.tensor import Tensor

    batch = mixing(Mix(mixup=0.5), FIELDS)(pictures(), jax.random.key(4))
    logits = jax.random.normal(jax.random.key(5), (64, 10))
    outputs = {"output": Tensor(logits, ("channels",))}
    found = Classification().measure(outputs, batch, training=True)["loss"]
    logs = np.asarray(jax.nn.log_softmax(logits))
    partner, share = (np.asarray(a) for a in batch.mixing)
    labels, rows = np.arange(64) % 10, np.arange(64)
    expected = -(share * logs[rows, labels] + (1 - share) * logs[rows, labels[partner]])
    assert float(found.total) == pytest.approx(expected.sum(), rel=1e-5)

    yes = jax.nn.one_hot(labels, 10)
    several = batch._replace(arrays=batch.arrays | {"labels": yes})
    found = MultiLabel().measure(outputs, several, training=True)["loss"]
    soft = share[:, None] * yes + (1 - share)[:, None] * yes[partner]
    expected = -(soft * jax.nn.log_sigmoid(logits) + (1 - soft) * jax.nn.log_sigmoid(-logits))
    assert float(found.total / found.weight) == pytest.approx(float(expected.mean()), rel=1e-5)


@pytest.mark.slow
def test_a_run_that_mixes_learns():
    result, _, _ = run("train.epochs=8", "train.mix={mixup: 0.2, cutmix: 1.0}")
    assert result.test["accuracy"] > 0.7


# -------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("assignment, text, words", [
    ("train.learning_rate_factors={dens_1: 0.1}", RECIPE, "`dens_1` matches no parameter"),
    ("train.sequence_length_changes={0: 4}", RECIPE, "the model has no input over time"),
    ("train.mix={mixup: 0.2}", READER, "the targets of language_modelling cannot be mixed"),
    ("train.accumulate=4", READER, "`accumulate` does not go with `gru_1`"),
    ("train.seed=1", READER.replace("optimizer: {adam: 0.01}", PHASES),
     "`phases` does not go with `gru_1`"),
    ("train.batch_size_changes={1 epoch: 8}", READER, "`batch_size_changes` does not go with"),
    ("train.sequence_length_changes={0: 4}", READER, "`sequence_length_changes` does not go with"),
])
def test_what_does_not_suit_the_model_is_refused(assignment, text, words):
    assert any(re.search(re.escape(words), headline)
               for _, headline in refused(assignment, text=text))


def test_states_are_carried_only_where_examples_go_on():
    text = RECIPE.replace("  - flatten\n", "  - reshape: {shape: [8, 8], axes: [time, channels]}\n"
                          "  - gru: {units: 4, carry: across, return: last}\n")
    assert any("do not go on" in headline for _, headline in refused(text=text))
