"""Pictures that models draw: the distances, the bound, the latents, sheets, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from compiler.diagnostics import Report, SpecError
from compiler.lower.build import build_model
from compiler.lower.tensor import Tensor
from compiler.source import Source
from compiler.targets.canonical import canonical_text
from runtime.batch import Batch
from runtime.cli.sample import Order, Targets
from runtime.cli.sample import run as sample
from runtime.execution import Wish, execute
from runtime.frechet import frechet_distance
from runtime.run import Prepared, prepare
from runtime.sampling import Latent, Sampler, latent_of, spherical
from runtime.saved import load
from runtime.share.portable import portable
from runtime.step import PureModel
from runtime.tasks.image_generation import ImageGeneration

MODEL = """\
flaxspec: 1
name: small
inputs: {image: {shape: [8, 8, 1]}, label: {kind: category, vocabulary: 10}}
blocks:
  decoder:
    inputs: [z, kind]
    layers: [{concat: [z, kind]}, {dense: 64}, {reshape: [8, 8, 1]}]
model:
  - flatten
  - {dense: 3, name: mean}
  - {dense: 3, from: flatten_1, name: log_variance}
  - {random: , name: noise}
  - {add: [mean, noise], name: z}
  - {one_hot: , from: label, name: kind}
  - {decoder: , weights: decoder, from: [z, kind], name: logits}
  - output:
      name: sample
      layers:
        - {random: [3], name: latent}
        - {decoder: , weights: decoder, from: [latent, kind]}
        - sigmoid
    during: evaluation
outputs: {logits: logits, mean: mean, log_variance: log_variance}
"""
RECIPE = MODEL + """\
data: {dataset: digits}
task: {image_generation: {every: 2}}
losses:
  reconstruction: {binary_cross_entropy: {output: logits, target: image, reduce: sum}}
  divergence: {kl_normal: [mean, log_variance]}
metrics: {elbo: {elbo: [logits, image, mean, log_variance]}}
train: {epochs: 2, batch_size: 600, optimizer: {adam: 0.002}}
"""


def prepared(text: str = RECIPE, *settings: str) -> Prepared:
    return prepare(Source("recipe.yaml", text), Report(), assignments=settings)


def finished(recipe: Prepared, folder: Path) -> dict[str, float]:
    """The figures of a finished run, measured again."""
    execute(recipe, folder, "test", wish=Wish(report=False))
    again, _ = load(folder).evaluate()
    told = json.loads((folder / "summary.json").read_text())["test"]
    assert again == pytest.approx(told, rel=0.3)  # other random numbers
    return again


def codes(caught: pytest.ExceptionInfo[SpecError]) -> list[str]:
    return [d.code for d in caught.value.diagnostics]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run."""
    folder = tmp_path_factory.mktemp("run")
    execute(prepared(), folder, "test")
    return folder


def sampler_of(recipe: Prepared) -> tuple[Sampler, PureModel, dict, dict]:
    model = build_model(recipe.graph, seed=0)
    model.eval()
    pure, params, rest = PureModel.split(model, recipe.inputs)
    meaning = recipe.training.data.load().meaning
    return Sampler(recipe.training.task, model, pure, meaning, {}), pure, params, rest


# ------------------------------------------------------------------------------ the figures


def test_the_frechet_distance_is_the_one_of_scipys_matrix_root() -> None:
    # scipy 1.17: m @ m + trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real), with numpy's cov.
    draw = np.random.default_rng(0)
    first = draw.normal(size=(40, 6)) @ draw.normal(size=(6, 6))
    second = draw.normal(size=(50, 6)) @ draw.normal(size=(6, 6)) + 0.5
    assert frechet_distance(first, second) == pytest.approx(18.105365472891574, rel=1e-9)


def test_the_frechet_distance_of_shifted_features_is_the_square_of_the_shift() -> None:
    features = np.random.default_rng(1).normal(size=(30, 50))  # fewer examples than features
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(features, features + 2) == pytest.approx(200, rel=1e-6)


def test_the_loss_of_an_autoencoder_is_the_bound_with_the_other_sign(run: Path) -> None:
    figures = json.loads((run / "summary.json").read_text())["test"]
    assert figures["elbo"] == pytest.approx(-figures["loss"], rel=1e-5)


# ------------------------------------------------------------------------------ latents


def test_the_arc_between_two_latents_keeps_its_length() -> None:
    first, last = np.array([3.0, 0.0]), np.array([0.0, 3.0])
    points = [spherical(first, last, share) for share in (0, 0.25, 0.5, 1)]
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 3)
    np.testing.assert_allclose(points[2], [3 / 2**0.5] * 2)
    np.testing.assert_allclose(spherical(first, -first, 0.25), first / 2)


def test_latents_are_uniform_and_their_ways_straight_where_the_layer_says_so() -> None:
    latent = Latent("noise", (4,), "uniform")
    drawn = latent.drawn(500, seed=3)
    assert 0 <= drawn.min() < 0.02 and 0.98 < drawn.max() < 1
    np.testing.assert_allclose(latent.between(drawn[0], drawn[1], 3)[1], drawn[:2].mean(axis=0),
                               rtol=1e-6)


def test_a_picture_is_what_the_decoder_makes_of_the_latent_and_the_class() -> None:
    sampler, pure, params, rest = sampler_of(prepared())
    assert sampler.latent == Latent("sample.latent", (3,), "normal") and sampler.classes == 10
    latents, classes = sampler.latent.drawn(70, seed=0), np.arange(70) % 10
    kernel, bias = params["decoder.dense_1.kernel"], params["decoder.dense_1.bias"]
    logits = np.concatenate([latents, np.eye(10)[classes]], axis=1) @ np.asarray(kernel) + bias
    made = sampler.pictures(params, rest, latents, classes)
    np.testing.assert_allclose(made.reshape(70, 64), 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_random_layers_that_cannot_be_told_apart_are_refused() -> None:
    two = RECIPE.replace("- {random: [3], name: latent}", "- layers: [{random: [3]}, "
                         "{random: , name: two}, {add: [random_1, two], name: latent}]")
    graph = prepared(two).graph
    with pytest.raises(SpecError) as caught:
        latent_of(graph, ImageGeneration())
    assert codes(caught) == ["F0702"]
    assert latent_of(graph, ImageGeneration(latent="sample.two")).path == "sample.two"
    with pytest.raises(SpecError) as caught:
        latent_of(graph, ImageGeneration(sample="mean"))
    assert "not drawn from random numbers" in caught.value.diagnostics[0].headline


# ------------------------------------------------------------------------------ runs and sheets


def test_a_run_writes_sheets_of_the_same_latents(run: Path) -> None:
    sheets = sorted(path.name for path in (run / "samples").iterdir())
    assert sheets == ["epoch-001.png", "epoch-002.png"]
    report = (run / "report.html").read_text()
    assert "While it was trained" in report and "epoch 2" in report


def test_a_prediction_is_the_outputs_of_a_picture(run: Path) -> None:
    trained = load(run)
    (said,) = trained.predictions(trained.training.data.load().test.take(np.arange(1)))
    assert np.shape(said["mean"]) == (3,) and np.shape(said["sample"]) == (8, 8, 1)


def test_the_same_seed_draws_the_same_files_and_another_others(run: Path, tmp_path: Path) -> None:
    def drawn(name: str, seed: int) -> bytes:
        path = tmp_path / name
        sample(str(run), Order(6, ("3", "5"), seed, None), Targets(path, None, None, False))
        return path.read_bytes()

    assert drawn("a.png", 1) == drawn("b.png", 1) != drawn("c.png", 2)
    with pytest.raises(SpecError) as caught:
        drawn("a.png", 1)
    assert codes(caught) == ["F0807"]


def test_rows_of_an_interpolation_end_in_two_latents_of_one_class(
    run: Path, tmp_path: Path,
) -> None:
    sample(str(run), Order(2, ("7", "1"), 0, 5),
           Targets(None, tmp_path / "way.npz", tmp_path / "all", False))
    with np.load(tmp_path / "way.npz") as file:
        assert file["images"].shape == (10, 8, 8, 1)
        assert file["labels"].tolist() == [7] * 5 + [1] * 5
        np.testing.assert_array_equal(file["latents"][[0, 4, 5, 9]], Latent(
            "", (3,), "normal").drawn(4, 0))
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert names[0] == "0000-7.png" and len(names) == 10


def test_classes_that_cannot_be_asked_for_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        sample(str(run), Order(1, ("ten",), 0, None),
               Targets(tmp_path / "x.png", None, None, False))
    assert codes(caught) == ["F0703"] and not list(tmp_path.iterdir())


@pytest.mark.parametrize("setting, code", [
    ("task.image_generation.sample=smaple", "F0616"),
    ("task.image_generation.sample=mean", "F0617"),
    ("task.image_generation.image=label", "F0617"),
    ("losses=null", "F0610"),
])
def test_a_task_that_does_not_suit_the_model_is_refused(setting: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        prepared(RECIPE, setting)
    assert code in codes(caught)


def test_samples_are_judged_by_a_classifier_of_such_pictures_only(
    run: Path, tmp_path: Path,
) -> None:
    critic = prepare(Source("critic.yaml", (
        "flaxspec: 1\nname: critic\ninputs: {image: {shape: [8, 8, 1]}}\n"
        "model: [flatten, {dense: 16}, {relu: , name: seen}, {dense: 10}]\n"
        "data: {dataset: digits}\ntask: classification\n"
        "train: {epochs: 3, batch_size: 200, optimizer: {adam: 0.01}}\n")), Report())
    execute(critic, tmp_path / "critic", "test", wish=Wish(report=False))
    judged = prepared(RECIPE, f"task.image_generation.classifier.run={tmp_path / 'critic'}",
                      "train.epochs=1")
    dataset = judged.training.data.load()
    goal = judged.training.goal.fitted(dataset)
    images, labels = dataset.test.arrays["image"][:50], dataset.test.arrays["label"][:50]
    critic_of = goal.own._critic  # type: ignore[attr-defined]
    assert critic_of.layer == "seen"
    batch = Batch({"image": jnp.asarray(images), "label": jnp.asarray(labels)}, {},
                  jnp.ones(50, bool))
    made = Tensor(jnp.asarray(images), ("height", "width", "channels"))
    found = goal.own.measure({"sample": made}, batch, training=False)
    assert np.array_equal(found["real"].values, found["made"].values)
    assert {"frechet", "agreement"} <= set(finished(judged, tmp_path / "judged"))
    total, weight = found["agreement"]
    assert total / weight > 0.7
    with pytest.raises(SpecError) as caught:
        prepared(RECIPE, f"task.image_generation.classifier.run={run}",
                 ).training.goal.fitted(dataset)
    assert codes(caught) == ["F0704"]


def test_the_run_that_judges_is_looked_for_where_the_recipe_lies(tmp_path: Path) -> None:
    text = RECIPE.replace("{every: 2}", "{every: 2, classifier: {run: %s}}")
    found = []
    for run in ("runs/critic", "critic", str(tmp_path / "critic")):
        path = tmp_path / "recipe.yaml"
        path.write_text(text % run)
        judge = prepare(path, Report()).training.goal.own.classifier  # type: ignore[union-attr]
        found.append(judge.run)
    assert found == [str(tmp_path / "runs" / "critic"), "critic", str(tmp_path / "critic")]


def test_a_packed_recipe_tells_a_judging_run_by_its_name_only(tmp_path: Path) -> None:
    path = tmp_path / "digits.yaml"
    path.write_text(RECIPE.replace("{every: 2}", "{every: 2, classifier: {run: runs/critic}}"))
    text = canonical_text(portable(prepare(path, Report()).program).program)
    assert "run: critic" in text and str(tmp_path) not in text


@pytest.mark.slow
def test_sheets_of_a_run_that_was_taken_up_again_are_those_of_one_that_was_not(
    run: Path, tmp_path: Path,
) -> None:
    execute(prepared(RECIPE, "train.epochs=1"), tmp_path, "test", wish=Wish(report=False))
    execute(prepared(), tmp_path, "test", wish=Wish(resume=True, report=False))
    sheets = {path.name: path.read_bytes() for path in (run / "samples").iterdir()}
    assert sheets == {path.name: path.read_bytes() for path in (tmp_path / "samples").iterdir()}
    assert set(sheets) == {"epoch-001.png", "epoch-002.png"}
