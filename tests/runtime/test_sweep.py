"""A sweep tries values, keeps what came of them, and goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compiler.diagnostics import SpecError
from runtime import sweep
from runtime.folder import write_json
from runtime.report.sweep import ranked, sweep_page
from runtime.sweep import Trial, best

RECIPE = """\
flaxspec: 1
name: small
params: {width: 8}
inputs:
  image: {shape: [8, 8, 1]}
model:
  - flatten
  - dense: =width
  - dense: 10
data: {dataset: digits, test: 0}
task: classification
train: {epochs: 1, batch_size: 512, optimizer: {adam: 0.01}}
search:
  trials: 3
  space:
    width: [4, 16]
    train.optimizer.adam: {log_uniform: [1e-4, 1e-1]}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def plan(recipe: Path, *assignments: str, trials: int | None = None) -> sweep.Plan:
    return sweep.plan(str(recipe), "", assignments, trials)


def test_a_sweep_makes_its_trials_and_goes_on_after_it_was_cut_off(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("optuna")
    folder = tmp_path / "sweep"
    folder.mkdir()
    told: list[int] = []

    def cut_off(trial: Trial, best: Trial | None) -> None:
        told.append(trial.number)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run(plan(recipe), folder, cut_off)
    found = sweep.run(plan(recipe), folder, lambda trial, best: told.append(trial.number),
                      resume=True)
    assert told == [1, 2, 3] and [t.number for t in found] == [1, 2, 3]
    assert all(t.state == "finished" and t.values["width"] in (4, 16) for t in found)
    for trial in found:
        own = folder / f"trial-{trial.number}"
        lines = (own / "metrics.jsonl").read_text().splitlines()
        scores = [json.loads(line)["validation"]["accuracy"] for line in lines
                  if '"event": "epoch"' in line]
        assert trial.score == scores[-1]
        assert not (own / "report.html").exists()
    with pytest.raises(SpecError, match="F0823"):
        sweep.run(plan(recipe, "train.epochs=2"), folder, lambda *_: None, resume=True)


def test_a_sweep_goes_on_with_the_goal_it_began_with(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    write_json(tmp_path / sweep.REQUEST, plan(recipe, "search.metric=accuracy").request)
    other = plan(recipe, "search.metric=accuracy", "search.goal=lowest")
    with pytest.raises(SpecError) as error:
        sweep.run(replace(other, assignments=("search.metric=accuracy",)), tmp_path,
                  lambda *_: None, resume=True)
    (told,) = error.value.diagnostics
    assert told.code == "F0823" and told.headline.endswith("is a sweep with another `goal`")
    assert told.notes == ('then: "highest"', 'now: "lowest"')


@pytest.mark.slow
def test_a_trial_that_was_cut_off_goes_on_from_its_checkpoint(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("optuna")
    longer = plan(recipe, "train.epochs=3", "train.checkpoint={every: 1 epoch}", trials=1)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    (expected,) = sweep.run(longer, whole, lambda *_: None)

    reported: list[tuple[int, float]] = []
    watch = sweep._Watch

    class Watch(watch):
        def begin(self, beginning: Any) -> None:
            report = self._asked.report
            self._asked.report = lambda value, epoch: (
                reported.append((epoch, value)), report(value, epoch))
            super().begin(beginning)

        def epoch(self, epoch: Any) -> None:
            super().epoch(epoch)
            if epoch.epoch == 2 and cut_off:
                raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "_Watch", Watch)
    cut_off = True
    with pytest.raises(KeyboardInterrupt):
        sweep.run(longer, cut, lambda *_: None)
    assert sweep.read(cut) == []
    cut_off = False
    reported.clear()
    (found,) = sweep.run(longer, cut, lambda *_: None, resume=True)
    assert (found.number, found.values, found.curve, found.score, found.state) == (
        1, expected.values, expected.curve, expected.score, "finished")
    # Optuna hears of the epochs before the break too, which were not made again.
    assert reported == expected.curve
    assert sorted(path.name for path in cut.glob("trial-*")) == ["trial-1"]
    steps = [json.loads(line)["step"] for line in (cut / "trial-1" / "metrics.jsonl").read_text(
        ).splitlines() if '"event": "epoch"' in line]
    assert steps == [step for step in (steps[0], 2 * steps[0], 3 * steps[0])]


def test_a_result_that_optuna_was_not_told_of_is_not_made_again(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("optuna")

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    one = plan(recipe, trials=1)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(sweep, "_record", killed)
        sweep.run(one, tmp_path, lambda *_: None)
    (made,) = sweep.read(tmp_path)
    again: list[Trial] = []
    assert sweep.run(one, tmp_path, lambda trial, best: again.append(trial), resume=True) == [made]
    assert again == []


def test_a_grid_ends_with_its_last_combination(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("optuna")

    def make(plan: sweep.Plan, trial: Trial, *others: Any) -> None:
        trial.score, trial.state = trial.values["width"] / 16, "finished"

    monkeypatch.setattr(sweep, "_make", make)
    grid = plan(recipe, "search={trials: 9, sampler: grid, space: {width: [4, 16, 8]}}")
    assert grid.trials == 3
    told: list[int] = []
    found = sweep.run(grid, tmp_path, lambda trial, best: told.append(trial.number))
    assert sorted(trial.values["width"] for trial in found) == [4, 8, 16] and told == [1, 2, 3]
    assert sweep.run(grid, tmp_path, lambda trial, best: told.append(trial.number),
                     resume=True) == found
    assert told == [1, 2, 3]


def test_a_trial_whose_figure_is_never_a_number_has_failed_and_is_not_made_again(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("optuna")
    monkeypatch.setattr(sweep, "execute", lambda *_: SimpleNamespace(best_epoch=1))
    found = sweep.run(plan(recipe, trials=2), tmp_path, lambda *_: None)
    assert [trial.state for trial in found] == ["failed", "failed"]
    assert found[0].note == "`accuracy` was no number on the validation part"


def test_two_sweeps_do_not_share_a_folder(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from runtime.lock import alone

    with alone(tmp_path), pytest.raises(SpecError, match="F0825"):
        sweep.run(plan(recipe), tmp_path, lambda *_: None, resume=True)
    assert not (tmp_path / sweep.REQUEST).exists()


def test_a_trial_that_fails_is_kept_with_its_reason(
    recipe: Path, tmp_path: Path,
) -> None:
    pytest.importorskip("optuna")
    folder = tmp_path / "sweep"
    folder.mkdir()
    wild = plan(recipe, "train.epochs=3", "train.optimizer={sgd: 1.0}",
                "search={trials: 1, space: {train.optimizer.sgd: [1e30]}}")
    (trial,) = sweep.run(wild, folder, lambda *_: None)
    assert trial.state == "failed" and trial.note.startswith("F0803")


@pytest.mark.parametrize("assignment, reason", [
    ("search=null", "a sweep needs `search`"),
    ("search={space: {width: [4]}, trails: 3}", "`trails` is not a field"),
    ("search={space: {width: {uniform: [3, 1]}}}", "from the lower to the higher"),
    ("search={space: {width: {log_uniform: [0, 1]}}}", "numbers above 0"),
    ("search={space: {width: {integers: [1, 3]}}, sampler: grid}", "needs a list for `width`"),
    ("search={space: {widht: [4]}}", "widht"),
    ("search={space: {width: [4, wide]}}", "width"),
    ("search={space: {train.epochs: [1, 0]}}", "epochs"),
    ("data.validation=0", "needs a validation part"),
    ("search={space: {width: [4]}, metric: acuracy}", "did you mean `accuracy`?"),
])
def test_a_search_that_cannot_be_is_refused_before_anything_runs(
    recipe: Path, assignment: str, reason: str,
) -> None:
    with pytest.raises(SpecError) as error:
        plan(recipe, assignment)
    assert reason in str(error.value)


def test_the_metric_and_its_better_side_are_the_tasks(recipe: Path) -> None:
    assert (plan(recipe).metric, plan(recipe).highest) == ("accuracy", True)
    loss = plan(recipe, "search={metric: loss, space: {width: [4]}}")
    assert (loss.metric, loss.highest) == ("loss", False)
    assert plan(recipe, trials=7).search.trials == 7


def trials() -> list[Trial]:
    def one(number: int, score: float | None, **more: Any) -> Trial:
        return Trial(number, {"width": number, "act": "relu", "rate": 10.0 ** -number}, score,
                     "finished" if score is not None else "failed", 1.0, **more)

    return [one(1, 0.5, curve=[(1, 0.4), (2, 0.5)]), one(2, 0.9, curve=[(1, 0.8), (2, 0.9)]),
            one(3, None, note="F0803: <nothing>"), one(4, 0.7)]


def test_the_best_come_first_whichever_way_is_better() -> None:
    assert [t.number for t in ranked(trials(), True)] == [2, 4, 1, 3]
    assert [t.number for t in ranked(trials(), False)] == [1, 4, 2, 3]
    top = best(trials(), True)
    assert top is not None and top.number == 2
    assert best([], True) is None


def test_the_page_has_plots_a_table_and_the_command() -> None:
    text = sweep_page("small", "accuracy", True, trials(), "compile-and-train small.yaml")
    assert text.count("<svg") == 4 and "F0803: &lt;nothing&gt;" in text
    assert "accuracy, the best: trial 2" in text and "compile-and-train small.yaml" in text
    assert "http" not in text.replace("http-equiv", "")
