"""Where a finished run is; no JAX."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from compiler.diagnostics import SpecError, diagnostic, nearest
from runtime import folder as files
from runtime.share.reference import names_bundle


def find(run: str | Path) -> Path:
    """The folder of a finished run, or of a bundle, which is laid out as one.

    Args:
        run: the folder, its name in `runs/`, or a reference to a bundle.

    Raises:
        SpecError: F0810 there is none, or it is something else.
    """
    if names_bundle(str(run)):
        from runtime.share.opening import opened

        return opened(str(run)).folder
    folder = Path(run)
    # What is too long for a name is there no more than others: `Path.exists` would fail.
    if not os.path.exists(folder) and os.path.isdir(Path("runs") / run):
        folder = Path("runs") / run
    if not os.path.isdir(folder):
        beside = [p.name for p in Path("runs").iterdir()] if Path("runs").is_dir() else []
        what = "a file" if os.path.exists(folder) else "not there"
        raise SpecError([diagnostic(
            "F0810", f"`{run}` is not the folder of a run: it is {what}",
            help=nearest(folder.name, beside) or "`flaxspec runs` lists the runs there are")])
    if not (folder / files.SPEC).exists():
        raise SpecError([diagnostic(
            "F0810", f"`{run}` is not the folder of a run: it has no `{files.SPEC}`",
            help="`flaxspec runs` lists the runs there are")])
    missing = [name for name in (files.WEIGHTS, files.PREPROCESSING)
               if not (folder / name).exists()]
    if missing:
        raise SpecError([diagnostic(
            "F0810", f"the run in `{run}` is not finished: it has no `{missing[0]}`",
            help=f"finish it with `compile-and-train {folder / files.SPEC} --out {folder} "
                 "--resume`, or train it again")])
    return folder


def run_folder(reference: str) -> Path | None:
    """The folder of a run, finished or not, by its path or its name in `runs/`; None for others."""
    for folder in (Path(reference), Path("runs") / reference):
        # `Path.is_file` would fail for what is too long for a name.
        if os.path.isfile(folder / files.SPEC):
            return folder
    return None


def summary(folder: Path) -> dict[str, Any]:
    """The summary of a run; {} where it is not finished or damaged."""
    try:
        found = json.loads((folder / files.SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
