"""One trained run for every test that needs one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

DIGITS = """\
flaxspec: 1
name: small
summary: A small network on <digits>
inputs:
  image: {shape: [8, 8, 1]}
model:
  - flatten
  - dense: 24
  - relu
  - dense: 10
data: {dataset: digits}
task: classification
train:
  epochs: 3
  batch_size: 128
  optimizer: {adam: 0.01}
"""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; nobody writes to it."""
    from compiler.diagnostics import Report
    from compiler.source import Source
    from runtime.run import execute, prepare

    folder = tmp_path_factory.mktemp("run") / "small-1"
    folder.mkdir()
    execute(prepare(Source("small.yaml", DIGITS), Report()), folder, "compile-and-train small.yaml")
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of that run, with changes to its summary, that a test may spoil."""
    def copy(name: str = "copy", **changes: object) -> Path:
        folder = tmp_path / "runs" / name
        shutil.copytree(finished, folder)
        if changes:
            content = json.loads((folder / "summary.json").read_text())
            (folder / "summary.json").write_text(json.dumps(content | changes))
        return folder

    return copy
