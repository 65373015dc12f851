"""Runs that are cut off and taken up again."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from compiler.diagnostics import Report, SpecError
from compiler.source import Source
from runtime import checkpoint
from runtime.execution import Wish, execute
from runtime.report.jsonl import read_events
from runtime.report.listener import Listener
from runtime.resume import differences
from runtime.run import prepare
from runtime.stopping import Stop, Stopped
from tests.runtime.small import SMALL

RECIPE = SMALL + """\
train:
  epochs: 4
  batch_size: 256
  optimizer: {adam: 0.01}
  keep: best
  checkpoint: {every: 3}
"""
STEPS = 20  # 5 in each of 4 epochs


pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture(scope="module", autouse=True)
def without_report():
    """report.html is no business of these tests, and takes longer than their runs."""
    patched = pytest.MonkeyPatch()
    patched.setattr("runtime.report.html.write_report", lambda *arguments: None)
    patched.setattr("runtime.saved.Trained.evaluate", lambda *arguments: ({}, {}))
    yield
    patched.undo()


class Crash(BaseException):
    """The process dies; nothing catches this."""


class At(Listener):
    """Does something when a step, or the line of an epoch, has come."""

    def __init__(self, do, step=0, epoch=0):
        self._do, self._step, self._epoch = do, step, epoch
        self.stages, self.steps = [], []

    def stage(self, stage):
        if stage.seconds is not None:
            self.stages.append(f"{stage.name} {stage.note}")

    def step(self, step, so_far):
        self.steps.append(step)
        if step == self._step:
            self._do()

    def epoch(self, epoch):
        if epoch.epoch == self._epoch:
            self._do()


def crash():
    raise Crash


def go(folder, *assignments, text=RECIPE, listener=None, **wish):
    recipe = prepare(Source("recipe.yaml", text), Report(), assignments=assignments)
    folder.mkdir(exist_ok=True)
    return execute(recipe, folder, "test", [listener or At(crash)], Wish(**wish))


def outcome(folder):
    """All that a run left, without times: weights, the last checkpoint, the history."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        for key in ("seconds", "examples_per_second", "memory"):
            line.pop(key, None)
    return (*outcome_without_history(folder), lines)


def outcome_without_history(folder):
    saved = checkpoint.latest(folder)
    assert saved is not None
    return (folder / "weights.safetensors").read_bytes(), saved.step, saved.arrays()


def assert_same(one, other):
    assert one[0] == other[0] and one[1] == other[1] and one[3] == other[3]
    assert one[2].keys() == other[2].keys()
    for name, array in one[2].items():
        np.testing.assert_array_equal(array, other[2][name], err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, compiled_once):
    """What the run leaves that nobody cuts off."""
    folder = tmp_path_factory.mktemp("whole")
    go(folder)
    return outcome(folder)


# ---------------------------------------------------------------------------- cut off


@pytest.mark.parametrize("when, resumed_from", [
    ({"step": 2}, None),      # before the first checkpoint
    ({"step": 3}, None),      # when it would be made
    ({"step": 8}, 6),         # within an epoch
    ({"epoch": 2}, 9),        # after a line of the history was written
    ({"step": 20}, 18),
    ({"epoch": 4}, 20),       # after the last step
], ids=str)
def test_a_run_that_was_cut_off_ends_as_if_it_was_not(tmp_path, whole, when, resumed_from):
    with pytest.raises(Crash):
        go(tmp_path, listener=At(crash, **when))
    assert checkpoint.steps(tmp_path)[-1:] == ([] if resumed_from is None else [resumed_from])
    second = At(crash)
    go(tmp_path, listener=second, resume=True)
    assert second.steps == list(range((resumed_from or 0) + 1, STEPS + 1))
    told = next(stage for stage in second.stages if stage.startswith("resume"))
    assert ("starts afresh" if resumed_from is None else f"from step {resumed_from}") in told
    assert_same(outcome(tmp_path), whole)


READER = """\
flaxspec: 1
name: reader
inputs:
  text: {kind: tokens, vocabulary: 64, length: any}
model:
  - embed: 8
  - gru: {units: 8, carry: across}
  - dense: 64
data: {dataset: help_texts, length: 64, vocabulary: 64}
task: language_modelling
train: {steps: 9, batch_size: 1024, optimizer: {adam: 0.01}, checkpoint: {every: 3}}
"""
AVERAGED = ("train.ema=0.9", "train.accumulate=2", "train.batch_size_changes={2 epochs: 128}",
            "train.mix={mixup: 0.2}")


@pytest.mark.slow
@pytest.mark.parametrize("text, assignments", [(RECIPE, AVERAGED), (READER, ())],
                         ids=["averaged", "carried"])
def test_averages_mixing_changing_batches_and_carried_states_survive_too(
    tmp_path, text, assignments,
):
    go(tmp_path / "whole", *assignments, text=text)
    with pytest.raises(Crash):
        go(tmp_path / "cut", *assignments, text=text, listener=At(crash, step=8))
    go(tmp_path / "cut", *assignments, text=text, resume=True)
    assert_same(outcome(tmp_path / "cut"), outcome(tmp_path / "whole"))


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_if_it_was_not(tmp_path, compiled_once, whole):
    """Real processes and SIGKILL; the moments are printed where it fails."""
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("every: 3", "every: 1"))
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": compiled_once,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "runtime.cli.train", "recipe.yaml", "--resume", "--out", "run",
               "--log", "json"]
    moments = []
    for kill in (True, True, False):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        if kill:
            # Once training has begun, so that the moment falls on steps and checkpoints.
            for line in process.stdout:
                if '"compile"' in line or '"begin"' in line:
                    break
            moments.append(random.uniform(0, 0.6))
            time.sleep(moments[-1])
            process.kill()
        _, errors = process.communicate()
        assert process.returncode in ((-signal.SIGKILL, 0) if kill else (0,)), errors
        assert "Traceback" not in errors, moments
    print("killed after", moments)
    assert_same(outcome(tmp_path / "run"), whole)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_run_that_is_asked_to_stop_saves_and_goes_on(tmp_path, whole, name):
    stop, number = Stop(), signal.Signals[name]
    ask = At(lambda: setattr(stop, "signal", number), step=7)
    with pytest.raises(Stopped) as stopped:
        go(tmp_path, listener=ask, stop=stop)
    # So small a model makes several steps in a call: up to the next checkpoint.
    assert (stopped.value.step, stopped.value.saved) == (9, True)
    assert stopped.value.status == 128 + number and stopped.value.name == name
    assert not (tmp_path / "summary.json").exists()
    second = At(crash)
    go(tmp_path, listener=second, resume=True)
    assert second.steps[0] == 10
    assert_same(outcome(tmp_path), whole)


def contents(folder):
    """Every file of a folder, with the time it was changed."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*")
            if path.is_file()}


@pytest.mark.parametrize("every, steps", [("3", STEPS), ("never", 0)])
def test_a_finished_run_has_nothing_left_to_do_and_is_not_touched(tmp_path, every, steps):
    text = RECIPE.replace("every: 3", f"every: {every}")
    first = go(tmp_path, text=text)
    before = contents(tmp_path)
    again = At(crash)
    # What asks for nothing more may be another; only a run that trains takes notice.
    found = go(tmp_path, "name=other", "train.evaluation_batch_size=64", text=text, listener=again,
               resume=True, report=False)
    assert again.steps == [] and [s.partition(" ")[0] for s in again.stages] == ["resume"]
    assert again.stages[0].endswith(
        "nothing to do: finished after 4 epochs; for more, --set train.epochs=8")
    assert found.as_json() == first.as_json()
    assert contents(tmp_path) == before
    assert (checkpoint.steps(tmp_path) or [0])[-1] == steps


def test_a_finished_run_without_checkpoints_is_not_begun_anew(tmp_path):
    text = RECIPE.replace("every: 3", "every: never")
    go(tmp_path, "train.epochs=1", text=text)
    before = contents(tmp_path)
    with pytest.raises(SpecError, match="F0823(.|\n)*no checkpoint(.|\n)*train.epochs: 1 → 4"):
        go(tmp_path, text=text, resume=True)
    assert contents(tmp_path) == before


def test_a_finished_run_whose_spec_is_damaged_is_not_begun_anew(tmp_path):
    text = RECIPE.replace("every: 3", "every: never").replace("epochs: 4", "epochs: 1")
    go(tmp_path, text=text)
    for damage in (b"\xff\xfe", b"[: {"):
        (tmp_path / "spec.yaml").write_bytes(damage)
        before = contents(tmp_path)
        with pytest.raises(SpecError, match="F0823(.|\n)*spec.yaml cannot be read"):
            go(tmp_path, text=text, resume=True)
        assert contents(tmp_path) == before


def test_a_run_that_was_cut_off_in_its_report_is_finished_then(tmp_path, whole):
    go(tmp_path)
    again = At(crash)
    go(tmp_path, listener=again, resume=True)  # there is no report.html
    assert again.steps == [] and any(stage.startswith("report") for stage in again.stages)
    assert_same(outcome(tmp_path), whole)


def test_a_run_that_ended_early_says_what_would_make_it_longer(tmp_path):
    early = ("train.early_stop={patience: 1, min_change: 1}", "train.checkpoint={every: 1 epoch}")
    assert go(tmp_path, *early).epochs == 2
    again = At(crash)
    go(tmp_path, *early, listener=again, resume=True, report=False)
    assert "ended early after 2 epochs; for more, raise its `patience`" in again.stages[0]


def test_a_run_of_steps_that_ended_early_does_too(tmp_path):
    text = RECIPE.replace("epochs: 4", "steps: 20")
    early = ("train.early_stop={patience: 1, min_change: 1}",)
    assert go(tmp_path, *early, text=text).steps == 10
    again = At(crash)
    go(tmp_path, *early, text=text, listener=again, resume=True, report=False)
    assert "ended early after 10 steps; for more, raise its `patience`" in again.stages[0]


@pytest.mark.parametrize("history", [None, b"", b"\xff\n\xff\n"])
def test_a_run_goes_on_whatever_became_of_its_history(tmp_path, whole, history):
    go(tmp_path, "train.epochs=2")
    metrics = tmp_path / "metrics.jsonl"
    metrics.unlink() if history is None else metrics.write_bytes(history)
    go(tmp_path, resume=True)
    found = outcome_without_history(tmp_path)
    assert_same((*found, whole[3]), whole)
    events = [event["event"] for event in read_events(metrics)]
    assert events == ["begin", "epoch", "epoch", "epoch", "end"]  # from the last checkpoint on


# ------------------------------------------------------------------- two at the same time


def test_a_folder_is_written_by_one_process_at_a_time_until_it_dies(tmp_path, whole):
    """A process holds the folder, and is killed: nothing is left that keeps others out."""
    with pytest.raises(Crash):
        go(tmp_path, listener=At(crash, step=8))
    hold = ("import pathlib, sys, time\nfrom runtime.lock import alone\n"
            "with alone(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n"
            "    time.sleep(60)\n")
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        for resume in (True, False):
            with pytest.raises(SpecError, match="F0825.*another process is at work in") as told:
                go(tmp_path, resume=resume)
            assert "--resume" in str(told.value)
        assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    finally:
        other.kill()
        other.communicate()
    go(tmp_path, resume=True)
    assert_same(outcome(tmp_path), whole)


def test_a_run_that_trains_refuses_another(tmp_path):
    def another():
        with pytest.raises(SpecError, match="F0825"):
            go(tmp_path, resume=True)
        raise Crash

    with pytest.raises(Crash):
        go(tmp_path, listener=At(another, step=2))


# ----------------------------------------------------------------------- another spec


def test_a_run_may_be_made_longer_where_its_past_stays_the_same(tmp_path, whole):
    (tmp_path / "a").mkdir()
    go(tmp_path / "a", "train.epochs=2")
    go(tmp_path / "a", resume=True)
    assert_same(outcome(tmp_path / "a"), whole)
    assert "epochs: 4" in (tmp_path / "a" / "spec.yaml").read_text()


def test_a_run_of_steps_may_end_within_an_epoch_and_be_made_longer(tmp_path):
    short, long = (RECIPE.replace("epochs: 4", f"steps: {n}") for n in (7, 13))
    go(tmp_path / "a", text=long)
    go(tmp_path / "b", text=short)
    go(tmp_path / "b", text=long, resume=True)
    assert_same(outcome(tmp_path / "b"), outcome(tmp_path / "a"))


def test_a_longer_run_whose_past_would_differ_is_refused_unless_rescheduled(tmp_path):
    text = RECIPE.replace("{adam: 0.01}", "{sgd: {cosine_decay_schedule: 0.1}}")
    go(tmp_path, "train.epochs=2", text=text)
    before = outcome(tmp_path)
    with pytest.raises(SpecError, match=r"F0823(.|\n)*learning_rate at step 2: 0.09\d+ → 0.09\d+"):
        go(tmp_path, text=text, resume=True)
    assert_same(outcome(tmp_path), before)
    longer = At(crash)
    go(tmp_path, text=text, listener=longer, resume=True, reschedule=True)
    assert longer.steps == list(range(11, 21))


def test_a_run_is_never_made_shorter_than_it_is(tmp_path):
    go(tmp_path, "train.epochs=2")
    with pytest.raises(SpecError, match="F0823(.|\n)*has made 10 steps, more than the 5"):
        go(tmp_path, "train.epochs=1", resume=True)


@pytest.mark.parametrize("change, told", [
    ("train.batch_size=128", "train.batch_size: 256 → 128"),
    ("train.seed=1", "train.seed: nothing → 1"),
    ("data.validation=0.2", "data.validation: nothing → 0.2"),
    ("train.optimizer={adam: 0.02}", "train.optimizer.adam: 0.01 → 0.02"),
])
def test_any_other_change_is_refused_with_what_differs(tmp_path, change, told):
    with pytest.raises(Crash):
        go(tmp_path, listener=At(crash, step=4))
    with pytest.raises(SpecError) as refused:
        go(tmp_path, change, resume=True)
    message = str(refused.value)
    assert "F0823" in message and told in message
    assert ("--reschedule" in message) == ("optimizer" in change)
    assert checkpoint.steps(tmp_path) == [3]


def test_a_layer_that_was_changed_is_told_by_its_place(tmp_path):
    with pytest.raises(Crash):
        go(tmp_path, listener=At(crash, step=4))
    with pytest.raises(SpecError, match=r"model\[1\].dense: 12 → 13"):
        go(tmp_path, text=RECIPE.replace("dense: 12", "dense: 13"), resume=True)


def test_what_cannot_touch_the_past_may_change(tmp_path, whole):
    with pytest.raises(Crash):
        go(tmp_path, listener=At(crash, step=8))
    go(tmp_path, "name=other", "train.checkpoint={every: 1 epoch, keep: 5}",
       text="# a remark\n" + RECIPE, resume=True)
    assert outcome(tmp_path)[2].keys() == whole[2].keys()
    np.testing.assert_equal(outcome(tmp_path)[2], whole[2])


def test_another_order_of_keys_is_no_difference():
    one = {"spec.yaml": "a: 1\nb: {c: 2, d: [1, 2]}\n"}
    assert differences(one, {"spec.yaml": "b: {d: [1, 2], c: 2}\na: 1.0\n"}) == []
    assert [str(d) for d in differences(one, {"spec.yaml": "a: true\nb: {c: 2, d: [1]}\n"})] == [
        "a: 1 → true", "b.d: [1, 2] → [1]"]


# ---------------------------------------------------------------------- broken folders


@pytest.fixture
def cut_off(tmp_path):
    """The folder of a run with checkpoints of steps 3 and 6."""
    with pytest.raises(Crash):
        go(tmp_path, listener=At(crash, step=8))
    assert checkpoint.steps(tmp_path) == [3, 6]
    return tmp_path


def spoil(path, how):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data if how == "flip" else data[:len(data) // 2])


@pytest.mark.parametrize("part", ["state/manifest.ocdbt", "state/d/*", "run/metadata"])
@pytest.mark.parametrize("how", ["flip", "cut"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_still_serves(
        cut_off, whole, part, how, capfd):
    for file in (cut_off / "checkpoints" / "6").glob(part):
        spoil(file, how)
    with pytest.raises(SpecError, match="F0821(.|\n)*step 6 cannot be read"):
        go(cut_off, resume=True)
    assert "Traceback" not in capfd.readouterr().err
    (cut_off / "checkpoints" / "6").rename(cut_off / "moved")
    go(cut_off, resume=True)
    assert_same(outcome(cut_off), whole)


def test_a_checkpoint_of_something_else_is_refused(cut_off):
    (cut_off / "checkpoints" / "9" / "state").mkdir(parents=True)
    with pytest.raises(SpecError, match="F0821"):
        go(cut_off, resume=True)


def test_arrays_of_another_model_are_refused_by_name():
    tree = {"conv.kernel": np.zeros((3, 3), np.float32), "step": np.zeros((), np.int32)}
    saved = checkpoint.Saved(Path("run/checkpoints/7"), 7, {})
    assert checkpoint.refill(tree, checkpoint.named(tree), saved).keys() == tree.keys()
    with pytest.raises(SpecError) as refused:
        checkpoint.refill(tree, {"conv.kernel": np.zeros((5, 3), np.float32)}, saved)
    assert "conv.kernel: saved float32 (5, 3), now float32 (3, 3)" in str(refused.value)
    assert "step: saved nothing, now int32 ()" in str(refused.value)


def test_a_folder_that_cannot_be_written_is_a_diagnostic_and_spoils_nothing(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(SpecError, match="F0820(.|\n)*step 3 cannot be written"):
        go(tmp_path)
    assert (tmp_path / "checkpoints").read_text() == "in the way"


def test_a_write_that_fails_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    from orbax.checkpoint import CheckpointManager

    save = CheckpointManager.save

    def full(self, step, *arguments, **named):
        if step > 3:
            raise OSError(28, "No space left on device")
        return save(self, step, *arguments, **named)

    monkeypatch.setattr(CheckpointManager, "save", full)
    with pytest.raises(SpecError, match="F0820(.|\n)*step 6 cannot be written: the disk is full"):
        go(tmp_path)
    monkeypatch.undo()
    resumed = At(crash)
    go(tmp_path, listener=resumed, resume=True)
    assert resumed.steps[0] == 4


def test_no_more_checkpoints_are_kept_than_asked_for(tmp_path):
    go(tmp_path, "train.checkpoint={every: 2, keep: 3}")
    assert checkpoint.steps(tmp_path) == [16, 18, 20]


def test_a_run_may_be_made_without_checkpoints(tmp_path):
    go(tmp_path, "train.checkpoint={every: never}")
    assert not (tmp_path / "checkpoints").exists()


def test_seconds_between_checkpoints_are_kept_apart_from_steps(tmp_path):
    go(tmp_path, "train.checkpoint={every: 3 hours}")
    assert checkpoint.steps(tmp_path) == [STEPS]


@pytest.mark.parametrize("value", ["0", "-1", "often", "1.5 epochs", "true", "[1]"])
def test_a_distance_that_means_nothing_is_a_diagnostic(value):
    with pytest.raises(SpecError, match="F0611(.|\n)*recipe|every"):
        prepare(Source("recipe.yaml", RECIPE.replace("every: 3", f"every: {value}")), Report())


# ---------------------------------------------------------------------- the command line


@pytest.fixture
def command(compile_and_train, tmp_path):
    """Runs `compile-and-train` beside recipe.yaml: (status, stdout, stderr)."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return compile_and_train


def test_sigterm_ends_a_command_with_143_and_resume_takes_the_latest_run(command, monkeypatch):
    from runtime.loop import Keeper

    due = Keeper.due

    def signalled(self, progress, **named):
        if progress.step == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return due(self, progress, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Keeper, "due", signalled)
        status, _, err = command("recipe.yaml")
    assert status == 143
    assert err == "stopped by SIGTERM after step 9; go on with --resume --out runs/small-1\n"
    status, out, err = command("recipe.yaml", "--resume")
    assert (status, err) == (0, "") and out.endswith("runs/small-1\n")
    assert "goes on from step 9" in out
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_resume_begins_a_run_where_there_is_none(command, tmp_path):
    status, out, _ = command("recipe.yaml", "--resume", "--set", "train.epochs=1")
    assert status == 0 and "starts afresh" in out
    assert (tmp_path / "runs/small-1/summary.json").exists()


def test_two_commands_in_one_folder_are_told_apart_and_the_second_leaves_with_2(command, tmp_path):
    from runtime.lock import alone

    (tmp_path / "one").mkdir()
    with alone(tmp_path / "one"):
        for more in ((), ("--resume",)):
            status, _, err = command("recipe.yaml", "--out", "one", *more)
            assert status == 2 and "error[F0825]: another process is at work in `one`" in err
    assert not any((tmp_path / "one").iterdir())


def test_resume_refuses_the_folder_of_something_else(command, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("")
    status, _, err = command("recipe.yaml", "--resume", "--out", "photos")
    assert status == 2 and "F0801" in err and "not the folder of a run" in err
    assert [f.name for f in (tmp_path / "photos").iterdir()] == ["cat.png"]


def test_outside_the_main_thread_no_signals_are_taken():
    from runtime.stopping import on_signals

    found = []

    def inside():
        with on_signals() as stop:
            found.append(stop.signal)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [None]


@pytest.mark.parametrize("number, code", [(28, "F0802"), (30, "F0802")])
def test_a_history_that_cannot_be_written_ends_the_run_with_a_diagnostic(
        tmp_path, monkeypatch, number, code):
    def full(self, record):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("runtime.report.jsonl.JsonLines.write", full)
    with pytest.raises(SpecError, match=f"{code}.*{os.strerror(number)}"):
        go(tmp_path)


def test_other_troubles_with_files_are_not_blamed_on_the_folder(tmp_path):
    from runtime.folder import writable

    for error in (FileNotFoundError(2, "no"), PermissionError(13, "no", "/etc/data.csv")):
        with pytest.raises(type(error)), writable(tmp_path):
            raise error
