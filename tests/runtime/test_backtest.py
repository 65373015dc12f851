"""Forecasts as of earlier days: what each fold may know, and what is told of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from compiler.diagnostics import SpecError
from runtime import backtesting
from runtime.backtesting import Fold
from runtime.cli.main import app

RECIPE = """\
flaxspec: 1
name: spots
inputs: {past: {shape: [11, 1]}}
model: [flatten, dense: 6]
data: {dataset: sunspots, window: 11, horizon: 2, test: 0.2}
task: {forecasting: {quantiles: [0.1, 0.5, 0.9]}}
train: {epochs: 4, batch_size: 64, optimizer: {adam: 0.01}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "spots.yaml"
    path.write_text(RECIPE)
    return str(path)


def code(spec: str, *assignments: str, folds: int = 3) -> str:
    with pytest.raises(SpecError) as caught:
        backtesting.plan(spec, "", assignments, folds)
    return caught.value.diagnostics[0].code


def test_each_fold_is_tested_on_what_comes_behind_all_that_it_knows(recipe: str) -> None:
    parts = [fold.training.data.load() for fold in backtesting.plan(recipe, "", [], 3).folds]
    tested = [[int(year) for year in part.test.names] for part in parts]
    for part, years in zip(parts, tested):
        assert max(int(year) for year in part.train.names) < years[0]
    for before, after in zip(tested, tested[1:]):
        # The last origin forecasts the year behind it too.
        assert 1 <= after[0] - before[-1] <= 3 and abs(len(after) - len(before)) <= 1
    # The last fold is the recipe's own test part.
    assert parts[-1].test.size == backtesting.plan(
        recipe, "", [], 1).folds[0].training.data.load().test.size


def test_folds_of_a_part_of_the_series_lie_in_that_part(recipe: str) -> None:
    ends = [fold.training.data.until for fold in backtesting.plan(
        recipe, "", ["data.until=0.5"], 2).folds]
    assert ends == pytest.approx([0.4, 0.5])


def test_what_cannot_be_cut_is_refused(recipe: str) -> None:
    assert code(recipe, folds=5) == "F0722" and code(recipe, "data.test=0") == "F0722"
    assert code("digits-gru") == "F0721"


def test_folds_count_by_their_origins() -> None:
    def fold(origins: int, error: float, **others: float) -> Fold:
        return Fold(origins, "", "", 9, {name: {"mae": np.array([value, 2 * value])} for
                                         name, value in {"model": error, **others}.items()})

    found = backtesting.together([fold(1, 4.0, naive=1.0, ridge=0.0), fold(3, 8.0, naive=1.0)])
    assert list(found) == ["model", "naive"]
    assert found["model"]["mae"].tolist() == [7.0, 14.0]


@pytest.mark.slow
def test_a_backtest_tells_what_evaluate_tells_of_each_run(recipe: str, tmp_path: Path) -> None:
    out, ask = tmp_path / "runs", CliRunner().invoke
    found = ask(app, ["backtest", recipe, "--folds", "2", "--out", str(out), "--json"])
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert [fold["trained_on"] for fold in told["folds"]] == sorted(
        fold["trained_on"] for fold in told["folds"])
    run = str(out / "fold-2")
    figures = json.loads(ask(app, ["evaluate", run, "--json"]).stdout)["figures"]
    for name, values in told["folds"][1]["figures"]["model"].items():
        assert len(values) == 2 and np.mean(values) == pytest.approx(figures[name], rel=1e-4)
    assert {"model", "naive", "seasonal_naive", "ridge"} == set(told["all"])
    alone = ask(app, ["backtest", run])
    assert alone.exit_code == 0 and "coverage_80" in alone.stdout and "+2" in alone.stdout
