"""How a command ends: its exit status, and what it says of an error nobody foresaw."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import typer


def run(app: typer.Typer, name: str) -> NoReturn:
    """Run a command line; every error becomes a diagnostic on standard error.

    Args:
        app: the command.
        name: what it is called.

    Raises:
        SystemExit: with its exit status: 0, 2 after an error, 130 where it was interrupted.
    """
    try:
        app(prog_name=name)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        status = nobody_reads()
    except Exception as error:
        status = complain(error)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = nobody_reads()
    raise SystemExit(status)


def nobody_reads() -> int:
    """`flaxspec plan … | head`: the reader is gone, and the rest of the output with it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def complain(error: Exception) -> int:
    """Say what stopped a command; the exit status."""
    from compiler.diagnostics import SpecError, diagnostic
    from runtime.cli.terminal import show

    if isinstance(error, SpecError):
        show(error.diagnostics)
        return 2
    if os.environ.get("FLAXSPEC_TRACEBACK"):
        traceback.print_exception(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (in {Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    said = str(error).partition("\n")[0]
    show([diagnostic(
        "F0899", f"internal error: {type(error).__name__}{f': {said}' if said else ''}{place}",
        notes=["this is a fault of flaxspec, not of your spec"],
        help="please report it with the spec, the command and what it prints with "
             "FLAXSPEC_TRACEBACK=1 set")])
    return 2
