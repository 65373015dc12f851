"""How a command ends: its exit status, and what it says of an error nobody foresaw."""

from __future__ import annotations

import io
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
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The name of a file need not be UTF-8, nor what a terminal shows; no run ends on that.
        sys.stdout.reconfigure(errors="backslashreplace")
    status = _status(app, name)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            nobody_reads()
    raise SystemExit(status)


def _status(app: typer.Typer, name: str) -> int:
    """Run a command line; its exit status."""
    try:
        app(prog_name=name)
    except KeyboardInterrupt:
        return 130
    except (SystemExit, Exception) as stop:
        if _is_of_a_pipe(stop):  # Typer and rich make SystemExit(1) of it
            nobody_reads()
            return 0
        if isinstance(stop, SystemExit):
            return stop.code if isinstance(stop.code, int) else 2
        return complain(stop)
    return 0


def _is_of_a_pipe(error: BaseException | None) -> bool:
    """Whether an error comes of a pipe that nobody reads any more."""
    while error is not None and not isinstance(error, BrokenPipeError):
        error = error.__context__
    return error is not None


def nobody_reads() -> None:
    """`flaxspec plan … | head`: the reader is gone, and what is still to be written with it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


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
