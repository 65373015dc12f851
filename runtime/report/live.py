"""A run on a terminal: stages, a table that grows by a row an epoch, and a bar below it.

The bar is one line that is written over itself, never wider than the terminal, so that
nothing scrolls and a narrower window loses only the less important parts of it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from runtime.report.console import (
    Console,
    figure,
    headline,
    last_lines,
    span,
    speed,
    stage_line,
)
from runtime.report.listener import Beginning, Epoch, Figures, Result, Stage
from runtime.report.memory import memory_in_use

# How often the bar is brought up to date, in seconds.
REFRESH = 0.2
FILE_WIDTH = 100  # where the terminal does not tell its own
CLEAR = "\r\x1b[2K"
BAR = 24  # the longest bar, in columns


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        head: its name, in at most two lines.
        cell: what an epoch has there.
        rank: which columns a narrow terminal keeps: the lowest ranks.
        width: columns of the terminal.
    """

    head: tuple[str, str]
    cell: Callable[[Epoch], str]
    rank: int
    width: int


class Live(Console):
    """Writes to a terminal that can move its cursor to the beginning of a line."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._colour = not os.environ.get("NO_COLOR")
        self._beginning: Beginning | None = None
        self._columns: list[Column] = []
        self._told = 0.0
        self._marks: list[tuple[float, int]] = []  # when which step was reached, lately
        self._under_way = ""

    def stage(self, stage: Stage) -> None:
        if stage.seconds is None:
            self._bar(f"{stage.name} …")
            return
        self._under_way = ""
        if text := stage_line(stage):
            self.line(self._dim(cut(text, self._width() - 1)))

    def begin(self, beginning: Beginning) -> None:
        self._beginning = beginning
        self.line(self._bold(headline(beginning)))

    def step(self, step: int, so_far: Callable[[], Figures]) -> None:
        now = time.monotonic()
        if self._beginning is None or now - self._told < REFRESH:
            return
        self._told = now
        self._marks = [*self._marks[-24:], (now, step)]
        self._bar(self._progress(self._beginning, step, so_far()))

    def epoch(self, epoch: Epoch) -> None:
        if not self._columns:
            self._columns = table_columns(epoch, self._beginning, self._width())
            for text in heads(self._columns):
                self.line(self._dim(text))
        self.line(row(self._columns, epoch))

    def end(self, result: Result) -> None:
        self._under_way = ""
        first, *others = last_lines(result)
        self.line(self._bold(first))
        for text in others:
            self.line(text)

    def close(self, note: str = "") -> None:
        self._stream.write(CLEAR)
        if note:
            self._stream.write(f"{note}\n")
        self._stream.flush()

    def line(self, text: str) -> None:
        """Print a line that stays, and the bar again below it."""
        self._stream.write(f"{CLEAR}{text}\n{self._under_way}")
        self._stream.flush()

    def _bar(self, text: str) -> None:
        """Write the line that is written over next time."""
        self._under_way = cut(text, self._width() - 1)
        self._stream.write(CLEAR + self._under_way)
        self._stream.flush()

    def _progress(self, beginning: Beginning, step: int, so_far: Figures) -> str:
        """The bar's line: as many of its parts as fit, the most important ones first."""
        total, per_epoch = beginning.steps, beginning.steps_per_epoch
        epoch = min((step - 1) // per_epoch + 1, beginning.epochs)
        (first, there), (last, here) = self._marks[0], self._marks[-1]
        pace = (here - there) / (last - first) if last > first else None
        examples = beginning.examples["train"] / per_epoch
        counts = [f"{name} {figure(name, value)}" for name, value in so_far.items()]
        memory = memory_in_use()
        parts = [  # as shown, with their ranks
            (0, f"{epoch}/{beginning.epochs}"),
            (1, f"step {step:,}/{total:,}"),
            (2, counts[0] if counts else ""),
            (5, "  ".join(counts[1:])),
            (4, f"{speed(pace * examples)}/s" if pace else ""),
            (3, f"{span((total - step) / pace)} left" if pace else ""),
            (6, f"{memory / 2**20:,.0f} MiB" if memory else ""),
        ]
        length = min(BAR, self._width() // 5)
        room = self._width() - 1 - (length + 2)
        kept: set[int] = set()
        for rank, text in sorted(parts):
            if text and room >= len(text) + 2:
                kept.add(rank)
                room -= len(text) + 2
        texts = [text for rank, text in parts if rank in kept]
        return "  ".join([texts[0], self._filled(step / total, length), *texts[1:]])

    def _filled(self, done: float, length: int) -> str:
        full, empty = ("━", "─") if _can_write(self._stream, "━─") else ("=", "-")
        count = round(length * done)
        return full * count + empty * (length - count)

    def _width(self) -> int:
        return shutil.get_terminal_size((FILE_WIDTH, 24)).columns

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._colour else text

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._colour else text


def cut(text: str, width: int) -> str:
    """A text that is no wider than `width`."""
    return text if len(text) <= width else f"{text[:width - 1]}…"


def _can_write(stream: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


# ------------------------------------------------------------------------------- the table


def table_columns(first: Epoch, beginning: Beginning | None, room: int) -> list[Column]:
    """The columns that fit, for runs whose first epoch is this.

    Args:
        first: it names the figures; the validation part may come later and be named like them.
        beginning: for the widths.
        room: the columns of the terminal.
    """
    validates = bool(beginning is None or beginning.examples.get("validation"))
    number = len(str(beginning.epochs if beginning else first.epoch))
    columns = [Column(("", "epoch"), lambda epoch: str(epoch.epoch), 0, max(5, number))]
    for place, name in enumerate(first.train):
        columns.append(_figures("training", name, lambda e, n=name: e.train.get(n), 2 + 2 * place))
    for place, name in enumerate(first.validation or (first.train if validates else ())):
        columns.append(_figures(
            "validation", name, lambda e, n=name: e.validation.get(n), 1 + 2 * place))
    columns += [
        Column(("", "ex/s"), lambda e: speed(e.rate) if e.rate else "", 1000, 7),
        Column(("", "MiB"), lambda e: f"{e.memory / 2**20:,.0f}" if e.memory else "", 1001, 6),
        Column(("", "time"), lambda e: span(e.seconds), 3, 7),
    ]
    kept, used = set(), 0
    for column in sorted(columns, key=lambda c: c.rank):
        if used + column.width + 2 <= room:
            kept.add(column.rank)
            used += column.width + 2
    return [column for column in columns if column.rank in kept]


def _figures(
    part: str, name: str, value: Callable[[Epoch], float | None], rank: int,
) -> Column:
    def cell(epoch: Epoch) -> str:
        found = value(epoch)
        return "" if found is None else figure(name, found)

    return Column((part, name), cell, 10 * rank, max(len(part), len(name), 9))


def heads(columns: list[Column]) -> list[str]:
    """The two lines above the table; a part's name stands once above its figures."""
    upper, last = [], ""
    for column in columns:
        upper.append((column.head[0] if column.head[0] != last else "").rjust(column.width))
        last = column.head[0]
    lower = [column.head[1].rjust(column.width) for column in columns]
    return ["  ".join(upper).rstrip(), "  ".join(lower).rstrip()]


def row(columns: list[Column], epoch: Epoch) -> str:
    """An epoch's line."""
    return "  ".join(column.cell(epoch).rjust(column.width) for column in columns)
