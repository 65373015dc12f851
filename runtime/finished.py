"""A run that has come to its end: what `--resume` finds left to do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from compiler.diagnostics import SpecError, diagnostic
from runtime import checkpoint
from runtime import folder as files
from runtime.recipe import Train
from runtime.report.listener import Result
from runtime.resume import SCHEDULE, Spec, differences

# Parts of a spec that ask nothing more of a run that is finished.
IDLE = ("name", "summary", "source", "facts", "search", "train.checkpoint",
        "train.evaluation_batch_size", "train.log")


@dataclass(frozen=True)
class Finished:
    """A run of which no more is asked.

    Attributes:
        result: what came of it.
        note: that there is nothing to do, and how there would be.
    """

    result: Result
    note: str


def finished(
    folder: Path, spec: Spec, train: Train, *, reschedule: bool = False, report: bool = True,
) -> Finished | None:
    """The run in a folder, if it is finished and the spec asks for no more; nothing is changed.

    Args:
        folder: the run's folder.
        spec: what is asked for.
        train: its section.
        reschedule: another optimiser or schedule would only matter for steps to come.
        report: whether report.html belongs to a finished run.

    Raises:
        SpecError: F0823 the spec asks for more, and there is no checkpoint to go on from.
    """
    done = _result(folder / files.SUMMARY)
    if done is None or not (folder / files.WEIGHTS).exists():
        return None
    saves = bool(checkpoint.steps(folder))
    if report and saves and not (folder / files.REPORT).exists():
        return None  # it was cut off while it wrote its report
    idle = (*IDLE, *SCHEDULE) if reschedule else IDLE
    try:
        before = {name: (folder / name).read_text(encoding="utf-8") for name in spec
                  if (folder / name).exists()}
        more = [f"now asked for: {d}" for d in differences(before, spec) if not d.within(idle)]
    except (OSError, ValueError, SpecError):  # a checkpoint has its own copy
        more = [f"what was asked for is not known: its {files.SPEC} cannot be read"]
    if not more:
        return Finished(done, f"nothing to do: {_ended(done, train)}")
    if not saves:
        raise SpecError([diagnostic(
            "F0823", "the run is finished and has no checkpoint to go on from",
            notes=[f"folder: {folder}", more[0]],
            help="begin a new run without `--resume`; `checkpoint: {every: 1 epoch}` keeps runs "
                 "that can be made longer")])
    return None


def _result(path: Path) -> Result | None:
    """What stands in summary.json; None where it is not there, or damaged."""
    try:
        return Result.of_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ended(result: Result, train: Train) -> str:
    word, count, most = ("steps", result.steps, train.steps) if train.epochs is None else (
        "epochs", result.epochs, train.epochs)
    if most is not None and count < most:
        return f"ended early after {count:,} {word}; for more, raise its `patience`"
    return f"finished after {count:,} {word}; for more, --set train.{word}={2 * count}"
