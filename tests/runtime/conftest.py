"""One trained run for every test that needs one, and what tests of training share."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
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
    from runtime.execution import execute
    from runtime.run import prepare

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


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The folder where a module's runs share what XLA compiled for the first of them."""
    import jax

    folder = str(tmp_path_factory.mktemp("xla"))
    options = {"jax_compilation_cache_dir": folder,
               "jax_persistent_cache_min_compile_time_secs": 0.0,
               "jax_persistent_cache_min_entry_size_bytes": -1}
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    yield folder
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def compile_and_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[object, str, str]]:
    """Runs `compile-and-train` in an empty folder: (status, stdout, stderr)."""
    import runtime.cli.train as cli

    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["compile-and-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call


@pytest.fixture
def flaxspec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Runs `flaxspec` in an empty folder: (status, stdout, stderr)."""
    import runtime.cli.main as cli

    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["flaxspec", *map(str, arguments)])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return call
