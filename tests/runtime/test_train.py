"""Training from a spec to a run folder."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import load_file

from compiler.diagnostics import Report, SpecError
from compiler.lower.build import build_model
from compiler.parse import parse
from compiler.printer import graph_text
from compiler.source import Source
from compiler.tree import plain
from runtime.batch import Batch, Ratio
from runtime.data.dataset import Part
from runtime.evaluation import measurer
from runtime.loop import Job, train
from runtime.report.listener import Beginning, Epoch, Listener, Result
from runtime.run import prepare
from runtime.step import PureModel, State, train_step, training_loss
from tests.runtime.small import SMALL

RECIPE = SMALL.replace("dense: 12", "dense: 24") + """\
train:
  epochs: 2
  batch_size: 256
  optimizer: {adam: 0.01}
"""


pytestmark = pytest.mark.usefixtures("compiled_once")


def prepared(*assignments, text=RECIPE):
    return prepare(Source("recipe.yaml", text), Report(), assignments=assignments)


def run(*assignments, text=RECIPE, listeners=(), edit=lambda data: data):
    """The result of a run, and the model it leaves."""
    recipe = prepared(*assignments, text=text)
    model = build_model(recipe.graph, seed=recipe.training.train.seed)
    data = edit(recipe.training.data.load())
    return train(Job(recipe.program.name, recipe.training, model, recipe.inputs), data,
                 listeners), model


def arrays(model):
    _, params, rest = PureModel.split(model, {})
    return {name: np.asarray(array) for name, array in (params | rest).items()
            if not name.startswith("rngs")}


def same(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one)


class History(Listener):
    """Keeps what a run tells."""

    def __init__(self):
        self.beginning: Beginning | None = None
        self.steps: list[int] = []
        self.epochs: list[Epoch] = []
        self.result: Result | None = None

    def begin(self, beginning):
        self.beginning = beginning

    def step(self, step, so_far):
        self.steps.append(step)
        self.last = so_far()

    def epoch(self, epoch):
        self.epochs.append(epoch)

    def end(self, result):
        self.result = result


# ------------------------------------------------------------------------------ the loop


def test_training_learns():
    result, _ = run("train.epochs=20")
    assert result.test["accuracy"] > 0.9
    assert result.epochs == 20 and result.steps == 100


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    (first, one), (second, two), (_, other) = (run(f"train.seed={s}") for s in (1, 1, 2))
    assert same(arrays(one), arrays(two))
    assert first.test == second.test
    assert not same(arrays(one), arrays(other))


@pytest.mark.parametrize("size", [7, 100, 360, 1000])
def test_no_figure_depends_on_the_evaluation_batch_size(size):
    base, _ = run("train.epochs=1")
    result, _ = run("train.epochs=1", f"train.evaluation_batch_size={size}")
    assert result.test["accuracy"] == base.test["accuracy"]
    assert result.test["loss"] == pytest.approx(base.test["loss"], rel=1e-5)


def test_the_loop_tells_of_every_step_and_epoch():
    history = History()
    result, _ = run(listeners=[history])
    assert history.beginning is not None
    assert history.beginning.examples == {"train": 1257, "validation": 180, "test": 360}
    assert history.steps == list(range(1, 11))
    assert [(e.epoch, e.step) for e in history.epochs] == [(1, 5), (2, 10)]
    assert all(set(e.validation) == {"loss", "accuracy", "f1"} for e in history.epochs)
    assert history.result == result


def test_a_run_may_be_given_in_steps():
    history = History()
    result, _ = run("train={steps: 7, batch_size: 256, optimizer: {adam: 0.01}}",
                    listeners=[history])
    assert result.steps == 7 and [e.step for e in history.epochs] == [5, 7]


def test_validation_is_looked_at_as_often_as_asked_and_at_the_end():
    history = History()
    run("train.epochs=5", "train.evaluate_every=2", listeners=[history])
    assert [bool(e.validation) for e in history.epochs] == [False, True, False, True, True]


def test_without_validation_and_test_parts_training_still_runs():
    history = History()
    result, _ = run("data.validation=0", "data.test=0", listeners=[history])
    assert result.test == {} and not history.epochs[-1].validation


def test_keeping_the_best_tests_the_weights_of_the_best_epoch():
    """The learning rate explodes after the first epochs: the last weights are bad."""
    rate = ("train.optimizer={sgd: {piecewise_constant_schedule: {init_value: 0.1, "
            "boundaries_and_scales: {4 epochs: 3000.0}}}}")
    history = History()
    best, model = run("train.epochs=6", rate, "train.keep=best", listeners=[history])
    last, _ = run("train.epochs=6", rate)
    scores = [e.validation["accuracy"] for e in history.epochs]
    assert best.best_epoch == 1 + scores.index(max(scores)) <= 4
    assert best.test["accuracy"] > last.test["accuracy"] + 0.1
    # The weights that were tested are those that are left in the model.
    assert np.abs(arrays(model)["dense_1.kernel"]).max() < 10


def test_the_learning_rate_is_told():
    history = History()
    run("train.optimizer={sgd: {cosine_decay_schedule: 0.1}}", listeners=[history])
    rates = [e.learning_rate for e in history.epochs]
    assert rates[0] == pytest.approx(0.1 * 0.5 * (1 + np.cos(np.pi * 4 / 10)), rel=1e-4)
    assert rates[1] == pytest.approx(0.1 * 0.5 * (1 + np.cos(np.pi * 9 / 10)), rel=1e-4)


def test_clipping_holds_back_the_first_step():
    _, model = run("train={steps: 1, batch_size: 64, optimizer: {sgd: 1.0}, clip: {norm: 1e-6}}")
    recipe = prepared()
    start = arrays(build_model(recipe.graph, seed=0))
    assert np.abs(arrays(model)["dense_1.kernel"] - start["dense_1.kernel"]).max() < 1e-5


def test_frozen_layers_stay_as_they_are():
    text = RECIPE.replace("  - dense: 24\n", "  - dense: 24\n    freeze: true\n").replace(
        "  - batch_norm\n", "  - batch_norm:\n    freeze: true\n")
    result, model = run(text=text)
    start = arrays(build_model(prepared(text=text).graph, seed=0))
    after = arrays(model)
    for name in start:
        moved = not np.array_equal(start[name], after[name])
        assert moved == name.startswith("dense_2"), name
    assert result.parameters == 24 * 10 + 10


def test_a_runaway_loss_stops_the_run():
    with pytest.raises(SpecError, match="F0803"):
        run("train.optimizer={sgd: 1e30}", "train.epochs=5")


def test_a_part_without_examples_is_refused():
    with pytest.raises(SpecError, match="the test part of digits has no examples"):
        run(edit=lambda data: type(data)(data.fields, data.train, data.validation,
                                         data.test.take(np.array([], int))))


def test_dropping_the_last_batch_needs_a_full_one():
    with pytest.raises(SpecError, match="F0618"):
        run("train.batch_size=2000", "train.last_batch=drop")


# ------------------------------------------------------------------------------ the steps


def ratio(measured) -> Ratio:
    """A measured figure that is known to be a ratio."""
    assert isinstance(measured, Ratio)
    return measured


def steps_of():
    """A pure model, its task and its first state, for plain gradient descent."""
    recipe = prepared(text=RECIPE.replace("  - dropout: 0.1\n", ""))
    model, params, rest = PureModel.split(build_model(recipe.graph), recipe.inputs)
    optimizer = optax.with_extra_args_support(optax.sgd(0.1))
    state = State(params, rest, optimizer.init(params), jnp.zeros((), jnp.int32))
    return model, recipe.training.task, optimizer, state


def digits(count, padding=0):
    """A batch of digits, with rows of rubbish that do not count behind them."""
    data = prepared().training.data.load().train
    images, labels = data.arrays["image"][:count], data.arrays["label"][:count]
    return Batch({"image": jnp.concatenate([images, jnp.full((padding, 8, 8, 1), 7.0)]),
                  "label": jnp.concatenate([labels, jnp.zeros(padding, labels.dtype)])},
                 {}, jnp.arange(count + padding) < count)


def test_rows_that_fill_up_the_last_batch_change_neither_weights_nor_statistics():
    model, task, optimizer, state = steps_of()
    step = train_step(training_loss(model, task, lambda batch, key: batch), optimizer)
    after = [step(jax.tree.map(jnp.copy, state), batch, jax.random.key(0))
             for batch in (digits(20), digits(20, padding=12))]
    (plain, measured), (filled, measured_filled) = after
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(filled)):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert ratio(measured["loss"]).weight == ratio(measured_filled["loss"]).weight == 20


def test_a_step_of_gradient_descent_follows_the_gradient_of_the_mean_loss():
    model, task, optimizer, state = steps_of()
    batch = digits(16)

    def loss(params):
        outputs, _ = model.run(params, state.rest, batch, training=True, key=None)
        logits = outputs["output"].array
        return optax.softmax_cross_entropy_with_integer_labels(
            logits, batch.arrays["label"]).mean()

    gradients = jax.jit(jax.grad(loss))(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, gradients)
    step = train_step(training_loss(model, task, lambda batch, key: batch), optimizer)
    after, _ = step(jax.tree.map(jnp.copy, state), batch, jax.random.key(0))
    assert after.step == 1
    for name, array in expected.items():
        np.testing.assert_allclose(after.params[name], array, atol=1e-6)


def test_evaluation_changes_nothing_and_uses_running_statistics():
    model, task, _, state = steps_of()
    measure = measurer(model, task)
    alone = ratio(measure(state.params, state.rest, digits(1), jax.random.key(0))[0]["loss"]).total
    batch = digits(9)
    together = ratio(measure(state.params, state.rest, batch, jax.random.key(1))[0]["loss"]).total
    others = batch._replace(rows=jnp.arange(9) > 0)
    rest = ratio(measure(state.params, state.rest, others, jax.random.key(2))[0]["loss"]).total
    np.testing.assert_allclose(together, alone + rest, rtol=1e-5)


def test_taking_examples_of_a_part_keeps_fields_together():
    part = Part({"a": np.arange(4), "b": np.arange(4) * 10}, {"a": np.arange(4) + 1})
    taken = part.take(np.array([2, 0]))
    assert taken.arrays["a"].tolist() == [2, 0] and taken.arrays["b"].tolist() == [20, 0]
    assert taken.lengths["a"].tolist() == [3, 1]


# ------------------------------------------------------------------------ the command line


@pytest.fixture
def command(compile_and_train, tmp_path):
    """Runs `compile-and-train` beside recipe.yaml: (status, stdout, stderr)."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return compile_and_train


def test_a_run_leaves_spec_metrics_weights_and_summary(command, tmp_path):
    status, out, err = command("recipe.yaml", "--set", "train.epochs=1", "--set", "train.seed=5")
    assert (status, err) == (0, "")
    folder = tmp_path / "runs" / "small-1"
    assert out.splitlines()[-1] == "runs/small-1"
    assert sorted(f.name for f in folder.iterdir()) == [
        ".lock", "checkpoints", "environment.json", "metrics.jsonl", "preprocessing.json",
        "report.html", "spec.yaml", "summary.json", "weights.safetensors",
            "written.yaml"]

    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary) >= {"test", "epochs", "seconds", "params", "seed"}
    assert summary["epochs"] == 1 and summary["seed"] == 5
    assert summary["params"] == 64 * 24 + 24 + 2 * 24 + 24 * 10 + 10
    assert 0 <= summary["test"]["accuracy"] <= 1

    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["begin", "epoch", "end"]
    assert lines[1]["validation"].keys() == {"loss", "accuracy", "f1"}
    assert summary["validation"] == lines[1]["validation"]

    weights = load_file(folder / "weights.safetensors")
    assert weights["dense_1.kernel"].shape == (64, 24)
    assert weights["batch_norm_1.mean"].any()


def test_a_run_without_a_test_part_tells_the_figures_of_its_validation_part(command, tmp_path):
    status, out, err = command("recipe.yaml", "--set", "data.test=0", "--log", "plain")
    assert (status, err) == (0, "")
    summary = json.loads((tmp_path / "runs/small-1/summary.json").read_text())
    assert not summary["test"] and 0 < summary["validation"]["accuracy"] <= 1
    assert f"validation  loss {summary['validation']['loss']:.4g}" in out
    page = (tmp_path / "runs/small-1/report.html").read_text()
    assert "accuracy on validation" in page and "on test" not in page


def test_the_spec_of_a_run_runs_again_with_the_same_result(command, tmp_path):
    command("recipe.yaml", "--set", "train.epochs=1", "--out", "one", "-q")
    command("one/spec.yaml", "--out", "two", "-q")
    one, two = (json.loads((tmp_path / n / "summary.json").read_text()) for n in ("one", "two"))
    assert one["test"] == two["test"] and two["epochs"] == 1
    assert (tmp_path / "one/weights.safetensors").read_bytes() == (
        tmp_path / "two/weights.safetensors").read_bytes()


def test_a_run_never_overwrites_another(command, tmp_path):
    for _ in range(2):
        command("recipe.yaml", "--set", "train={steps: 1, batch_size: 8, optimizer: {sgd: 0.1}}")
    assert sorted(f.name for f in (tmp_path / "runs").iterdir()) == ["small-1", "small-2"]
    before = (tmp_path / "runs/small-1/summary.json").read_bytes()
    status, _, err = command("recipe.yaml", "--out", "runs/small-1")
    assert status == 2 and "F0801" in err
    assert (tmp_path / "runs/small-1/summary.json").read_bytes() == before


def test_quiet_says_nothing(command):
    assert command("recipe.yaml", "--set", "train.epochs=1", "--quiet") == (0, "", "")


@pytest.mark.parametrize("arguments, code", [
    (["nowhere.yaml"], "F0"),
    (["recipe.yaml", "--set", "train.epoch=1"], "F0203"),
    (["recipe.yaml", "--set", "task=nothing"], "F0612"),
    (["recipe.yaml", "--variant", "none"], "F0"),
])
def test_bad_input_ends_with_a_diagnostic_and_status_2(command, tmp_path, arguments, code):
    status, out, err = command(*arguments)
    assert status == 2 and out == ""
    assert f"error[{code}" in err and "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_made_is_a_diagnostic(command, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = command("recipe.yaml", "--out", "file/run")
    assert status == 2 and "F0802" in err and "Traceback" not in err


def test_an_interrupted_run_leaves_its_history_and_status_130(command, tmp_path, monkeypatch):
    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("runtime.job.measurer", lambda *a: interrupt)
    status, _, err = command("recipe.yaml")
    assert status == 130 and "interrupted" in err
    assert (tmp_path / "runs/small-1/metrics.jsonl").exists()
    assert not (tmp_path / "runs/small-1/summary.json").exists()


@pytest.mark.parametrize("name", ["digits-gru", "digits-resnet", "weather-gru"])
def test_the_written_spec_compiles_to_the_same_model_and_training(name, tmp_path):
    import yaml

    from runtime.folder import write_spec

    first = prepare(name, Report(), assignments=("train.seed=7",))
    write_spec(tmp_path, first.program, "one\ntwo \x1b[0m")
    second = prepare(tmp_path / "spec.yaml", Report())
    # The same but for the name of the model, which is the recipe's now.
    one, two = (graph_text(p.graph).partition("\n")[2] for p in (first, second))
    assert one == two
    assert second.training.train == first.training.train
    assert second.training.data == first.training.data

    text = (tmp_path / "spec.yaml").read_text()
    assert text.startswith("# Made by: one?two ?[0m\n")
    # Readers of YAML 1.1 take it for the same.
    assert yaml.safe_load(text) == plain(parse(Source("spec.yaml", text), Report()))
