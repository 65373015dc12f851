"""The folder of a run: what was asked, what happened, what came of it."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compiler.diagnostics import SpecError, diagnostic
from compiler.program import Program
from compiler.targets.canonical import write_canonical

NO_ROOM = (errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC))
SPEC, METRICS = "spec.yaml", "metrics.jsonl"
WRITTEN = "written.yaml"  # the spec as its author wrote it, to be read and not to be run
WEIGHTS, SUMMARY = "weights.safetensors", "summary.json"
PREPROCESSING, ENVIRONMENT = "preprocessing.json", "environment.json"
START = "start.json"  # the weights that it began with, where they were given
REPORT = "report.html"
LOCK = ".lock"  # held open by the process that writes in the folder


def make_folder(out: Path | None, name: str) -> Path:
    """Make the folder of a run: `out`, or the next free `runs/<name>-<number>`.

    Raises:
        SpecError: F0801 `out` holds something already, F0802 it cannot be made.
    """
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            if any(path.name != LOCK for path in out.iterdir()):
                raise SpecError([diagnostic(
                    "F0801", f"`{out}` holds something already",
                    help="choose another `--out`, or leave it out to get a new folder in `runs/`")])
            return out
        number = 1
        while True:
            folder = Path("runs") / f"{name}-{number}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                number += 1
            else:
                return folder
    except OSError as error:
        raise SpecError([diagnostic(
            "F0802", f"the run folder cannot be made: {error.strerror or error}",
            notes=[str(error.filename or out or "runs")],
            help="choose a folder you may write to with `--out`")]) from None


def write_spec(folder: Path, program: Program, command: str) -> None:
    """Write the spec as it was run, its values in place, with the files that it uses.

    Beside it lies the text that it was made from.

    Args:
        folder: the run's folder.
        program: the resolved spec.
        command: what was asked for, as a comment above it.
    """
    path = write_canonical(program, folder, SPEC)
    comment = "".join(c if c.isprintable() else "?" for c in command)  # it must stay one line
    path.write_text(f"# Made by: {comment}\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    (folder / WRITTEN).write_text(program.tree.span.source.text, encoding="utf-8", newline="\n")


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """What keeps a run from writing its files, as a diagnostic.

    Raises:
        SpecError: F0802 the disk is full or read-only, or the folder somebody else's.
    """
    try:
        yield
    except OSError as error:
        own = error.filename is not None and folder in Path(error.filename).parents
        if error.errno not in NO_ROOM and not (own and isinstance(error, PermissionError)):
            raise
        raise SpecError([diagnostic(
            "F0802", f"the run folder cannot be written: {error.strerror}",
            notes=[str(error.filename or folder)],
            help="make room or give leave to write there, then go on with `--resume`",
        )]) from None


def begin_again(folder: Path, lines: int) -> None:
    """Make the folder of a run what it was when a checkpoint was made.

    Args:
        folder: the run's folder.
        lines: how many lines the history had.
    """
    (folder / SUMMARY).unlink(missing_ok=True)
    history = folder / METRICS
    if history.exists():
        kept = history.read_bytes().splitlines(keepends=True)[:lines]
        partial = folder / f"{METRICS}.partial"
        partial.write_bytes(b"".join(kept))
        partial.replace(history)


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Write summary.json, where it is, the run was finished."""
    write_json(folder / SUMMARY, finite(summary))


def finite(value: Any) -> Any:
    """The value with null for what JSON has no number for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file as a whole: what was there is there until it is replaced."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
