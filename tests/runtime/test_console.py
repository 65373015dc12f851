"""What a run tells: live, plain, as JSON, or nothing."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable

import pytest

from runtime.report.console import console, figure, span, speed
from runtime.report.listener import Beginning, Epoch, Listener, Result, Stage, stage
from runtime.report.live import heads, row, table_columns

BEGINNING = Beginning("small", 1858, {"train": 1257, "validation": 180, "test": 360}, 12, 60, 5,
                      "cpu")
RESULT = Result({"loss": 1.25, "accuracy": 0.905}, 12, 60, 11, 8.5, 1858, 0,
                {"always_seven": {"loss": 2.3, "accuracy": 0.1}})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def epoch(number: int, validation: bool = True) -> Epoch:
    figures = {"loss": 2.0 / number, "accuracy": 0.5}
    return Epoch(number, 5 * number, 0.7 * number, 0.01, figures, figures if validation else {},
                 1234.5, 300 * 2**20)


def tell(listener: Listener) -> None:
    """A run of two epochs."""
    with stage("check", [listener]) as note:
        note.text = "small"
    listener.stage(Stage("compile"))
    listener.begin(BEGINNING)
    listener.stage(Stage("compile", 1.5))
    for number in (1, 2):
        for step in range(5 * number - 4, 5 * number + 1):
            listener.step(step, lambda: {"loss": 2.0, "accuracy": 0.5})
        listener.epoch(epoch(number, validation=number == 2))
    listener.end(RESULT)


def told(form: str, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch | None = None) -> str:
    listener = console(form, stream)  # type: ignore[arg-type]
    tell(listener)
    listener.close("runs/small-1")
    return stream.getvalue()


@pytest.fixture
def size(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda columns: monkeypatch.setenv("COLUMNS", str(columns))


def screen(text: str) -> list[str]:
    """The lines that stay on a terminal, without colours."""
    text = re.sub(r"\x1b\[[012]m", "", text)
    return [line.rpartition("\r\x1b[2K")[2] for line in text.split("\n")]


def test_plain_lines_tell_stages_epochs_and_the_test() -> None:
    lines = told("plain", io.StringIO()).splitlines()
    assert lines[0].startswith("check") and lines[0].endswith("small")
    assert lines[1] == "small: 60 steps in 12 epochs, 1,858 parameters"
    assert lines[3:] == [
        "epoch  1/12  loss 2  accuracy 50.00 %  |  1,234 examples/s  |  0.70 s",
        "epoch  2/12  loss 1  accuracy 50.00 %  |  validation loss 1  accuracy 50.00 %"
        "  |  1,234 examples/s  |  1.4 s",
        "test  loss 1.25  accuracy 90.50 % (weights of epoch 11)  |  8.5 s",
        "      loss 2.3  accuracy 10.00 %  with always seven, for comparison",
        "runs/small-1"]


def test_a_file_gets_no_control_characters() -> None:
    text = told("auto", io.StringIO())
    assert "\x1b" not in text and "\r" not in text


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in told("auto", Terminal())


def test_every_json_line_is_an_object_with_an_event() -> None:
    events = [json.loads(line) for line in told("json", io.StringIO()).splitlines()]
    assert [e["event"] for e in events] == [
        "stage", "begin", "stage", "epoch", "epoch", "end", "folder"]
    assert events[3]["examples_per_second"] == 1234.5 and events[3]["memory"] == 300 * 2**20
    assert events[-1]["path"] == "runs/small-1"


def test_quiet_tells_nothing() -> None:
    assert told("quiet", Terminal()) == ""


@pytest.mark.parametrize("columns", [100, 60, 40])
def test_no_line_of_the_table_or_the_bar_is_wider_than_the_terminal(
    size: Callable[[int], None], columns: int,
) -> None:
    size(columns)
    text = re.sub(r"\x1b\[[012]m", "", told("auto", Terminal()))
    table = [line for line in screen(text) if re.match(r" *\d+ ", line)]
    assert len(table) == 2
    bars = [part for line in text.split("\n") for part in line.split("\r\x1b[2K") if "──" in part]
    assert bars and all(len(line) < columns for line in [*table, *bars])


@pytest.mark.parametrize("room", range(20, 150, 7))
@pytest.mark.parametrize("count", [1, 3, 6])
def test_a_table_of_any_figures_fits(room: int, count: int) -> None:
    figures = {"loss": 0.5} | {f"figure{i}": 0.5 for i in range(count)}
    told = Epoch(3, 15, 700.0, 0.01, figures, figures, 1234.5, 300 * 2**20)
    columns = table_columns(told, BEGINNING, room)
    assert all(len(line) <= room - 2 for line in [*heads(columns), row(columns, told)])
    assert len({column.rank for column in columns}) == len(columns)


def test_a_narrow_terminal_keeps_the_losses(size: Callable[[int], None]) -> None:
    size(60)
    lines = screen(told("auto", Terminal()))
    head = next(line for line in lines if "epoch" in line and "loss" in line)
    assert head.split() == ["epoch", "loss", "loss", "accuracy", "ex/s", "time"]
    size(100)
    lines = screen(told("auto", Terminal()))
    head = next(line for line in lines if "epoch" in line and "loss" in line)
    assert head.split() == ["epoch", "loss", "accuracy", "loss", "accuracy", "ex/s", "MiB", "time"]


def test_no_color_takes_the_colours_and_leaves_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[1m" in told("auto", Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    text = told("auto", Terminal())
    assert "\x1b[1m" not in text and "\x1b[2m" not in text and "──" in text


def test_a_stage_that_fails_does_not_end() -> None:
    stages: list[Stage] = []

    class Keeps(Listener):
        def stage(self, stage: Stage) -> None:
            stages.append(stage)

    with pytest.raises(ValueError), stage("data", [Keeps()]):
        raise ValueError
    assert stages == [Stage("data")]


def test_numbers_are_short() -> None:
    assert [span(s) for s in (0.421, 12.34, 99.96, 185, 3785)] == [
        "0.42 s", "12.3 s", "1:40", "3:05", "1:03:05"]
    assert [figure("accuracy", 0.98889), figure("val/macro_f1", 0.5), figure("top5", 0.5),
            figure("loss", 0.0412345)] == ["98.89 %", "50.00 %", "50.00 %", "0.04123"]
    assert [speed(r) for r in (12345.6, 12.34)] == ["12,346", "12.3"]
