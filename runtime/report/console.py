"""What a person at the terminal sees of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from runtime.report.listener import Beginning, Epoch, Figures, Result

if TYPE_CHECKING:
    from rich.progress import Progress

# How often the bar is brought up to date, in seconds.
REFRESH = 0.2


def console(quiet: bool = False, stream: TextIO | None = None) -> Silent | Plain:
    """The listener for a terminal, for a file or pipe, or for nobody.

    Args:
        quiet: tell nothing.
        stream: where to; standard output where not given.
    """
    if quiet:
        return Silent()
    target: TextIO = stream or sys.stdout
    return Live(target) if target.isatty() else Plain(target)


class Silent:
    """Tells nothing."""

    def begin(self, beginning: Beginning) -> None: ...

    def step(self, step: int, so_far: Callable[[], Figures]) -> None: ...

    def epoch(self, epoch: Epoch) -> None: ...

    def end(self, result: Result) -> None: ...

    def close(self) -> None:
        """The run broke off."""


class Plain:
    """A line for each epoch."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._epochs = 0

    def begin(self, beginning: Beginning) -> None:
        self._epochs = beginning.epochs
        parts = ", ".join(f"{n:,} {part}" for part, n in beginning.examples.items() if n)
        self.line(f"{beginning.name}: {beginning.parameters:,} parameters; {parts}; "
                  f"{beginning.steps:,} steps on {beginning.device}")

    def step(self, step: int, so_far: Callable[[], Figures]) -> None: ...

    def epoch(self, epoch: Epoch) -> None:
        width = len(str(self._epochs))
        seen = f"  |  validation {shown(epoch.validation)}" if epoch.validation else ""
        self.line(f"epoch {epoch.epoch:{width}}/{self._epochs}  {shown(epoch.train)}{seen}"
                  f"  |  {epoch.seconds:.1f} s")

    def end(self, result: Result) -> None:
        kept = result.best_epoch
        note = "" if kept == result.epochs else f" (weights of epoch {kept})"
        self.line(f"test  {shown(result.test)}{note}  |  {result.seconds:.1f} s")
        for name, figures in result.baselines.items():
            self.line(f"      {shown(figures)}  with {name.replace('_', ' ')}, for comparison")

    def close(self) -> None:
        """The run broke off: leave the terminal in order."""

    def line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class Live(Plain):
    """The same lines, and below them a bar that moves with the steps."""

    def __init__(self, stream: TextIO):
        super().__init__(stream)
        self._bar: Progress | None = None
        self._told = 0.0

    def begin(self, beginning: Beginning) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        super().begin(beginning)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), console=Console(file=self._stream, highlight=False),
            transient=True, auto_refresh=False)
        self._bar.start()
        self._task = self._bar.add_task("compiling", total=beginning.steps)
        self._bar.refresh()

    def step(self, step: int, so_far: Callable[[], Figures]) -> None:
        now = time.monotonic()
        if self._bar is None or now - self._told < REFRESH:
            return
        self._told = now
        self._bar.update(self._task, completed=step, description=shown(so_far()) or "compiling",
                         refresh=True)

    def epoch(self, epoch: Epoch) -> None:
        super().epoch(epoch)
        if self._bar is not None:
            self._bar.update(self._task, completed=epoch.step, description=shown(epoch.train),
                             refresh=True)

    def end(self, result: Result) -> None:
        self.close()
        super().end(result)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            super().line(text)


def shown(figures: Figures) -> str:
    """"loss 0.0412  accuracy 98.89 %"."""
    return "  ".join(f"{name} {value:.2%}".replace("%", " %") if name == "accuracy"
                     else f"{name} {value:.4g}" for name, value in figures.items())
