"""A run of each kind of data predicts and evaluates files it has never seen."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compiler.diagnostics import Report
from compiler.source import Source
from runtime.cli import main as cli
from runtime.execution import Wish, execute
from runtime.run import prepare

TABLE = """\
flaxspec: 1
name: table
inputs: {features: {shape: [2]}}
model: [dense: 2]
data: {table: DATA, target: kind, classes: [no, yes], duplicates: allow}
task: classification
train: {epochs: 8, batch_size: 32, optimizer: {adam: 0.1}}
"""
DOCUMENTS = """\
flaxspec: 1
name: documents
inputs: {text: {kind: tokens, vocabulary: 10, length: any}}
model: [{embed: 4}, {pool: mean}, {dense: 2}]
data: {documents: DATA, target: kind, classes: [no, yes], tokens: words, vocabulary: 10,
       length: 4, duplicates: allow}
task: classification
train: {epochs: 8, batch_size: 32, optimizer: {adam: 0.1}}
"""
SERIES = """\
flaxspec: 1
name: series
inputs: {past: {shape: [4, 1]}}
model: [flatten, dense: 2]
data: {series: DATA, window: 4, horizon: 2, forecast: [y], columns: [y]}
task: forecasting
train: {epochs: 2, batch_size: 32, optimizer: {adam: 0.1}}
"""
TEXT = """\
flaxspec: 1
name: text
inputs: {text: {kind: tokens, vocabulary: 8, length: any}}
model: [{embed: 4}, {dense: 8}]
data: {text: DATA, tokens: characters, vocabulary: 8, length: 8}
task: language_modelling
train: {epochs: 2, batch_size: 32, optimizer: {adam: 0.1}}
"""


def rows(kind: str, count: int) -> str:
    chance = random.Random(0)
    if kind == "table":
        found = [(chance.random(), chance.random()) for _ in range(count)]
        return "a,b,kind\n" + "".join(f"{a},{b},{'yes' if a > b else 'no'}\n" for a, b in found)
    if kind == "documents":
        words = ["good", "bad"]
        found = [[chance.choice(words), chance.choice("xyz")] for _ in range(count)]
        return "text,kind\n" + "".join(
            f"{' '.join(f)},{'yes' if f[0] == 'good' else 'no'}\n" for f in found)
    if kind == "series":
        return "y\n" + "".join(f"{i % 7}\n" for i in range(count))
    return "\n".join("abc abc\n" for _ in range(count))


@pytest.fixture(scope="module", params=["table", "documents", "series", "text"])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    """The kind of a run and its folder; its data is gone."""
    kind, here = request.param, tmp_path_factory.mktemp("source")
    data = here / f"data.{'txt' if kind == 'text' else 'csv'}"
    data.write_text(rows(kind, 120))
    folder = here / "run"
    folder.mkdir()
    text = {"table": TABLE, "documents": DOCUMENTS, "series": SERIES, "text": TEXT}[kind]
    execute(prepare(Source("r.yaml", text.replace("DATA", str(data))), Report()), folder, "test",
            wish=Wish(report=False))
    data.unlink()
    return kind, folder


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, Any, str]:
        monkeypatch.setattr(sys, "argv", ["flaxspec", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, [json.loads(line) for line in out.splitlines()], err

    return run


def test_new_files_are_predicted_and_evaluated(
    trained: tuple[str, Path], run: Callable[..., tuple[int, Any, str]], tmp_path: Path,
) -> None:
    kind, folder = trained
    new = tmp_path / f"new.{'txt' if kind == 'text' else 'csv'}"
    new.write_text(rows(kind, 30))
    status, said, err = run("predict", folder, new)
    assert (status, err) == (0, "")
    status, (told,), err = run("evaluate", folder, "--data", new, "--json")
    assert (status, err) == (0, "")
    match kind:
        case "table" | "documents":
            truth = [line.rpartition(",")[2] for line in new.read_text().splitlines()[1:]]
            right = [s["label"] == t for s, t in zip(said, truth, strict=True)]
            assert told["figures"]["accuracy"] == pytest.approx(sum(right) / 30)
            assert sum(right) > 20 and told["examples"] == 30
        case "series":
            assert len(said) == 1 and len(said[0]["forecast"]["y"]) == 2
            assert told["examples"] == 30 - 4 - 2 + 1 and told["figures"]["mae"] < 4
        case "text":
            assert len(said) == 30 and sum(said[0]["next"].values()) <= 1.0001
            assert told["figures"]["perplexity"] < 8


def test_files_without_what_is_right_are_diagnostics(
    trained: tuple[str, Path], run: Callable[..., tuple[int, Any, str]], tmp_path: Path,
) -> None:
    kind, folder = trained
    new = tmp_path / "new.csv"
    if kind == "text":
        new = tmp_path / "new.txt"
        new.write_text("a")
    else:
        new.write_text({"table": "a,b\n1,2\n", "documents": "text\ngood\n",
                        "series": "z\n1\n2\n"}[kind])
    status, said, err = run("evaluate", folder, "--data", new)
    assert status == 2 and said == [] and "error[F06" in err and "Traceback" not in err
    if kind in ("table", "documents"):
        assert run("predict", folder, new)[0] == 0
