"""Every recipe on the data that comes with the package reaches a score.

`make test` trains each for a few seconds, `make test-scores` in full against what it claims.
GoogLeNet's program alone takes longer than that to compile: it is only trained in full.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.diagnostics import Report
from runtime.execution import execute
from runtime.folder import SUMMARY
from runtime.run import prepare

RECIPES = Path(__file__).resolve().parent.parent / "specs" / "recipes"

EMBEDDED = {"dates", "digits", "digit_scenes", "help_texts", "number_words", "reviews",
            "seattle_weather", "sunspots", "synthetic_speech", "textures"}
SMALLER_IS_BETTER = ("perplexity", "mae", "wer")


@dataclass(frozen=True)
class Claim:
    """What a recipe has to reach on its test part.

    Attributes:
        metric: the figure.
        full: the worst value in order after the whole recipe: a little below what its opening
            says, since processors round differently.
        small: the worst value in order with `settings`; None where there is only the whole.
        settings: `--set` values that make a run of a few seconds.
        judge: the recipe of the classifier that looks at samples, trained before.
    """

    metric: str
    full: float
    small: float | None
    settings: tuple[str, ...] = ()
    judge: str = ""

    def holds(self, score: float, bound: float) -> bool:
        return score <= bound if self.metric in SMALLER_IS_BETTER else score >= bound


CLAIMS = {
    "dates-translation": Claim("exact", 0.98, 0.40, (
        "data.count=4000", "train.epochs=2", "train.batch_size=32", "model.with.beam=1",
        "task.translation.examples=50")),
    "number-words": Claim("exact", 0.98, 0.30, (
        "data.count=4000", "train.epochs=4", "train.batch_size=32", "model.with.beam=1",
        "task.translation.examples=50")),
    "digits-resnet": Claim("accuracy", 0.975, 0.90, ("train.epochs=5", "train.batch_size=64")),
    "digits-vgg": Claim("accuracy", 0.975, 0.90, ("train.epochs=6", "train.batch_size=64")),
    "digits-googlenet": Claim("accuracy", 0.975, None),
    "digits-rnn": Claim("accuracy", 0.96, 0.92, ("train.epochs=20",)),
    "digits-lstm": Claim("accuracy", 0.965, 0.90, ("train.epochs=20",)),
    "digits-gru": Claim("accuracy", 0.975, 0.95, ("train.epochs=20",)),
    "digit-scenes-fcos": Claim("map50", 0.9, 0.001, (
        "data.scenes=200", "data.size=64", "params.image=[64, 64, 1]", "params.width=16",
        "use.backbone.with.width=8", "train.epochs=2", "train.batch_size=16")),
    "textures-vgg": Claim("accuracy", 0.78, 0.35, (
        "data.count=800", "data.size=16", "model.with.image=[16, 16, 3]", "train.epochs=6",
        "train.batch_size=16")),
    "digits-vae": Claim("agreement", 0.96, 0.5, ("train.epochs=10",), "digits-gru"),
    "digits-dcgan": Claim("agreement", 0.87, 0.02, (
        "train.epochs=1", "model.with.widths=[8, 16]"), "digits-gru"),
    "help-lstm": Claim("perplexity", 4.2, 11.0, (
        "train={steps: 150, batch_size: 16, optimizer: {adam: 0.004}, clip: {norm: 1.0}}",
        "model.with.units=96", "data.length=64")),
    "reviews-lstm": Claim("accuracy", 0.985, 0.95, ("train.epochs=8",)),
    "reviews-cnn": Claim("accuracy", 0.96, 0.80, ("train.epochs=8",)),
    "weather-gru": Claim("mae", 2.83, 3.1, ("train.epochs=5",)),
    "synthetic-speech": Claim("wer", 0.02, 0.2, (
        "train.epochs=5", "data.recordings=16", "data.concatenate.count=320", "data.buckets=1",
        "data.concatenate.words=[1, 2]", "model.with.units=64", "train.batch_size=16")),
}


def has_embedded_data(path: Path) -> bool:
    """Whether what a recipe trains on comes with the package."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))["data"].get("dataset") in EMBEDDED


def trained(
    name: str, settings: tuple[str, ...], folder: Path, judge: str = "",
) -> dict[str, Any]:
    """The summary of a run, whose samples a recipe's classifier looks at where one is named."""
    if judge:
        trained(judge, CLAIMS[judge].settings if settings else (), folder / "judge")
        settings += (f"task.image_generation.classifier.run={folder / 'judge'}",)
        folder /= "run"
    execute(prepare(RECIPES / f"{name}.yaml", Report(), assignments=settings), folder, "test")
    return json.loads((folder / SUMMARY).read_text(encoding="utf-8"))


def test_every_recipe_with_embedded_data_has_a_claim() -> None:
    assert {p.stem for p in RECIPES.glob("*.yaml") if has_embedded_data(p)} == set(CLAIMS)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, claim in CLAIMS.items() if claim.small is not None])
def test_a_recipe_learns_in_a_few_seconds(name: str, tmp_path: Path) -> None:
    claim = CLAIMS[name]
    assert claim.small is not None
    score = trained(name, claim.settings, tmp_path, claim.judge)["test"][claim.metric]
    assert claim.holds(score, claim.small), f"{claim.metric} {score}, not {claim.small}"


@pytest.mark.scores
@pytest.mark.parametrize("name", CLAIMS)
def test_a_recipe_reaches_its_score(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    claim = CLAIMS[name]
    summary = trained(name, (), tmp_path, claim.judge)
    score = summary["test"][claim.metric]
    with capsys.disabled():
        print(f"\n{name:18} {claim.metric:10} {score:8.4f}  {summary['seconds']:6.1f} s", end="  ")
    assert claim.holds(score, claim.full)
    if name == "weather-gru":
        simple = {name: told["mase"] for name, told in summary["baselines"].items()}
        assert summary["test"]["mase"] < 0.75 * simple["seasonal_naive"], "the value of a year ago"
        assert summary["test"]["mase"] < simple["ridge"], "a linear autoregression"


@pytest.mark.scores
@pytest.mark.parametrize("seed", range(1, 5))
def test_other_seeds_reach_the_digits_score_too(seed: int, tmp_path: Path) -> None:
    summary = trained("digits-resnet", (f"train.seed={seed}",), tmp_path)
    assert summary["test"]["accuracy"] >= 0.975
