"""What a run tells on standard output: live, as plain lines, as JSON, or nothing."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from typing import Literal, TextIO

from runtime.report.listener import Beginning, Epoch, Figures, Listener, Result, Stage

Form = Literal["auto", "live", "plain", "json", "quiet"]

# Figures that are fractions, told in per cent.
PERCENT = frozenset({"accuracy", "precision", "recall", "f1", "iou", "miou", "exact", "coverage"})


def console(form: Form = "auto", stream: TextIO | None = None) -> Console:
    """The listener that writes to a terminal, a file, a pipe, or to nobody.

    Args:
        form: "auto" is "live" on a terminal that can move its cursor, else "plain".
        stream: where to; standard output where not given.
    """
    target: TextIO = stream or sys.stdout
    if form == "auto":
        moves = target.isatty() and os.environ.get("TERM") != "dumb"
        form = "live" if moves else "plain"
    match form:
        case "quiet":
            return Console()
        case "json":
            return Json(target)
        case "plain":
            return Plain(target)
        case "live":
            from runtime.report.live import Live

            return Live(target)


class Console(Listener):
    """Tells nothing."""

    def close(self, note: str = "") -> None:
        """The run is over, or broke off: leave the terminal in order; `note` is the last word."""


class Plain(Console):
    """A line for each stage and epoch, for files, pipes and simple terminals."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._epochs = 0

    def stage(self, stage: Stage) -> None:
        if stage.seconds is not None and (text := stage_line(stage)):
            self.line(text)

    def begin(self, beginning: Beginning) -> None:
        self._epochs = beginning.epochs
        self.line(headline(beginning))

    def epoch(self, epoch: Epoch) -> None:
        width = len(str(self._epochs))
        parts = [f"epoch {epoch.epoch:{width}}/{self._epochs}  {shown(epoch.train)}"]
        if epoch.validation:
            parts.append(f"validation {shown(epoch.validation)}")
        if epoch.raw:
            parts.append(f"not averaged {shown(epoch.raw)}")
        if epoch.rate is not None:
            parts.append(f"{speed(epoch.rate)} examples/s")
        self.line("  |  ".join([*parts, span(epoch.seconds)]))

    def end(self, result: Result) -> None:
        for text in last_lines(result):
            self.line(text)

    def close(self, note: str = "") -> None:
        if note:
            self.line(note)

    def line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class Json(Console):
    """A JSON object a line for each stage, epoch and end, for programs that watch a run."""

    def __init__(self, stream: TextIO):
        from runtime.report.jsonl import JsonLines

        self._stream = stream
        self._lines = JsonLines(stream)
        self.begin, self.epoch, self.end = self._lines.begin, self._lines.epoch, self._lines.end

    def stage(self, stage: Stage) -> None:
        if stage.seconds is not None:
            self._lines.write({"event": "stage", "name": stage.name,
                               "seconds": round(stage.seconds, 3), "note": stage.note})

    def close(self, note: str = "") -> None:
        if note:
            self._lines.write({"event": "folder", "path": note})


# ------------------------------------------------------------------------------- words


def stage_line(stage: Stage) -> str:
    """"compile   6.2 s", or "" for a stage whose results are told anyway."""
    if stage.name == "test":
        return ""
    return f"{stage.name:8}{span(stage.seconds or 0):>8}  {stage.note}".rstrip()


def headline(beginning: Beginning) -> str:
    """What is about to happen, in a line."""
    again = f"from step {beginning.done:,} on, " if beginning.done else ""
    return (f"{beginning.name}: {again}{beginning.steps:,} steps in {beginning.epochs:,} epochs, "
            f"{beginning.parameters:,} parameters")


def last_lines(result: Result) -> Iterable[str]:
    """The test figures, and those to compare them with."""
    kept = result.best_epoch
    note = "" if kept == result.epochs else f" (weights of epoch {kept})"
    part, figures = result.judged
    yield f"{part}  {shown(figures) or 'no test part'}{note}  |  {span(result.seconds)}"
    if result.raw:
        yield f"      {shown(result.raw)}  with the weights not averaged, for comparison"
    for name, figures in result.baselines.items():
        yield f"      {shown(figures)}  with {name.replace('_', ' ')}, for comparison"


def shown(figures: Figures) -> str:
    """"loss 0.0412  accuracy 98.89 %"."""
    return "  ".join(f"{name} {figure(name, value)}" for name, value in figures.items())


def figure(name: str, value: float | None) -> str:
    """A figure as a person reads it: "98.89 %", "0.0412", "14,702"; "–" where it is no number."""
    if value is None or math.isnan(value):
        return "–"
    words = name.rpartition("/")[2].split("_")
    if not PERCENT.isdisjoint(words) or words[-1].removeprefix("top").isdigit():
        return f"{100 * value:.2f} %"
    if 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def span(seconds: float) -> str:
    """"0.42 s", "12.3 s", "3:05", "1:03:05"."""
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def speed(rate: float) -> str:
    """"1,240", "12.3": examples per second."""
    return f"{rate:,.0f}" if rate >= 99.5 else f"{rate:.3g}"


