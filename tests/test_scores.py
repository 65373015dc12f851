"""Every recipe, trained in full, reaches what it claims: `make test-scores`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.diagnostics import Report
from runtime.folder import SUMMARY
from runtime.run import execute, prepare

RECIPES = Path(__file__).resolve().parent.parent / "specs" / "recipes"

# The metric on the test part, and the worst value that is still in order: a little below what
# each recipe's opening says, since processors round differently.
CLAIMS: dict[str, tuple[str, float]] = {
    "digits-resnet": ("accuracy", 0.975),
    "digits-vgg": ("accuracy", 0.975),
    "digits-googlenet": ("accuracy", 0.975),
    "digits-rnn": ("accuracy", 0.96),
    "digits-lstm": ("accuracy", 0.965),
    "digits-gru": ("accuracy", 0.975),
    "help-lstm": ("perplexity", 4.2),
    "weather-gru": ("mae", 3.0),
}
SMALLER_IS_BETTER = ("perplexity", "mae")


def test_every_recipe_has_a_claim() -> None:
    assert {path.stem for path in RECIPES.glob("*.yaml")} == set(CLAIMS)


@pytest.mark.scores
@pytest.mark.parametrize("name", CLAIMS)
def test_a_recipe_reaches_its_score(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    metric, bound = CLAIMS[name]
    execute(prepare(RECIPES / f"{name}.yaml", Report()), tmp_path, "test")
    summary = json.loads((tmp_path / SUMMARY).read_text(encoding="utf-8"))
    score = summary["test"][metric]
    with capsys.disabled():
        print(f"\n{name:18} {metric:10} {score:8.4f}  {summary['seconds']:6.1f} s", end="  ")
    assert score <= bound if metric in SMALLER_IS_BETTER else score >= bound


@pytest.mark.scores
def test_the_forecast_beats_the_value_of_a_year_before(tmp_path: Path) -> None:
    execute(prepare(RECIPES / "weather-gru.yaml", Report()), tmp_path, "test")
    summary = json.loads((tmp_path / SUMMARY).read_text(encoding="utf-8"))
    naive = summary["baselines"]["seasonal_naive"]
    assert summary["test"]["mae"] < 0.9 * naive["mae"]
