"""Trackers hear of a run and write it where their programs look."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from compiler.diagnostics import Report, SpecError
from compiler.source import Source
from runtime.execution import execute
from runtime.recipe import Training
from runtime.report.listener import Beginning, Epoch, Result
from runtime.report.trackers import TensorBoard, Wandb, scalars
from runtime.run import prepare

RECIPE = """\
flaxspec: 1
name: small
inputs: {image: {shape: [8, 8, 1]}}
model: [flatten, dense: 10]
data: {dataset: digits}
task: classification
train: {epochs: 2, batch_size: 128, optimizer: {adam: 0.01}}
"""
EPOCH = Epoch(2, 20, 1.5, 0.1, {"loss": 0.5}, {"loss": 0.75, "accuracy": 0.5}, 100.0, None)
BEGINNING = Beginning("small", 10, {"train": 5}, 2, 20, 10, "cpu")
RESULT = Result({"accuracy": 0.5}, 2, 20, 2, 3.0, 10, 0)


def training(log: str) -> Training:
    return prepare(Source("r.yaml", RECIPE), Report(), assignments=[f"train.log={log}"]).training


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of TensorBoard's files: by tag, (step, value)."""
    from tensorboardX.proto.event_pb2 import Event  # type: ignore[attr-defined]

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack("<Q", data[at:at + 8])
            event: Any = Event()
            event.ParseFromString(data[at + 12:at + 12 + size])
            at += 16 + size
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_figures_are_grouped_by_part() -> None:
    assert scalars(EPOCH) == {
        "train/loss": 0.5, "validation/loss": 0.75, "validation/accuracy": 0.5,
        "run/learning_rate": 0.1, "run/examples_per_second": 100.0}


def test_tensorboard_gets_epochs_by_step_and_the_test(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    (tracker,) = training("[tensorboard]").train.log
    listener = tracker.listener(tmp_path, "small", {"name": "small"})
    listener.begin(BEGINNING)
    listener.epoch(EPOCH)
    listener.end(RESULT)
    listener.close()
    told = events(tmp_path)
    assert told["validation/loss"] == [(20, 0.75)] and told["test/accuracy"] == [(20, 0.5)]


def test_a_run_with_tensorboard_leaves_its_files_in_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    prepared = prepare(Source("r.yaml", RECIPE), Report(),
                       assignments=["train.log=[tensorboard]"])
    execute(prepared, tmp_path, "test")
    assert [step for step, _ in events(tmp_path)["train/loss"]] == [10, 20]


def test_wandb_begins_logs_and_finishes_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a stand-in for the package: its calls are what counts."""
    calls: list[Any] = []

    class Run:
        id = "abc"
        summary: dict[str, float] = {}

        def log(self, figures: dict[str, float], step: int) -> None:
            calls.append(("log", figures, step))

        def finish(self, exit_code: int) -> None:
            calls.append(("finish", exit_code))

    class Package:
        @staticmethod
        def init(**arguments: Any) -> Run:
            calls.append(("init", arguments))
            return Run()

        @staticmethod
        def Settings(**arguments: Any) -> None:
            return None

    monkeypatch.setitem(sys.modules, "wandb", Package)
    for again in (False, True):
        (tracker,) = training("[{wandb: {mode: offline}}]").train.log
        listener = tracker.listener(tmp_path, "small", {"name": "small"})
        listener.epoch(EPOCH)
        listener.end(RESULT)
        listener.close()
        (_, begun), (_, figures, step), (_, code) = calls
        assert begun["project"] == "small" and begun["mode"] == "offline"
        assert (begun["id"], begun["resume"]) == (("abc", "allow") if again else (None, None))
        assert step == 20 and figures["validation/loss"] == 0.75 and code == 0
        calls.clear()


@pytest.mark.slow
def test_wandb_itself_keeps_an_offline_run_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tracker,) = training("[{wandb: {project: digits, mode: offline}}]").train.log
    listener = tracker.listener(tmp_path, "small", {"name": "small"})
    listener.epoch(EPOCH)
    listener.end(RESULT)
    listener.close()
    wandb.teardown()  # its own process writes the file, and has done so when it ends
    (kept,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    written = kept.read_bytes()
    for word in (b"digits", b"validation/accuracy", b"test/accuracy"):
        assert word in written


def test_trackers_are_chosen_by_word_main_field_or_fields() -> None:
    log = training("[tensorboard, wandb, {wandb: mine}, {wandb: {entity: us}}]").train.log
    assert log == [TensorBoard(), Wandb(), Wandb(project="mine"), Wandb(entity="us")]


def test_an_unknown_tracker_is_a_diagnostic() -> None:
    with pytest.raises(SpecError, match="there are: tensorboard, wandb"):
        training("[tensorbord]")


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.report.trackers.find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"flaxspec\[tensorboard\]") as error:
        TensorBoard().check()
    assert "F0636" in str(error.value)
