"""What the verbs print: diagnostics, colours, numbers, tables."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

from compiler.diagnostics import Diagnostic, render
from compiler.targets.drawing.figures import short as short

# Columns to print on where the output goes to a file or another program.
FILE_WIDTH = 110
# Steps to assume for a length that a spec leaves open, where the user says nothing.
DEFAULT_LENGTH = 128


def has_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal that wants colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show(diagnostics: Iterable[Diagnostic], *, hints: bool = False) -> None:
    """Print diagnostics on standard error, hints only if asked for."""
    colour = has_colour(sys.stderr)
    columns = _columns() if sys.stderr.isatty() else None
    for diagnostic in diagnostics:
        if hints or diagnostic.severity != "hint":
            try:
                print(render(diagnostic, colour=colour, width=columns), file=sys.stderr,
                      end="\n\n")
            except BrokenPipeError:  # `2>&1 | head`: the exit status still tells
                return


def say(text: str) -> None:
    """Print on standard output; where nobody reads it any more, the exit status still tells."""
    try:
        print(text)
    except BrokenPipeError:
        return


def width() -> int:
    """The columns of the terminal."""
    return _columns() if sys.stdout.isatty() else FILE_WIDTH


def _columns() -> int:
    return shutil.get_terminal_size((FILE_WIDTH, 40)).columns


def pairs(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of names and texts; a text goes on below itself where a terminal is narrow."""
    size = max(len(name) for name, _ in rows) + 2
    rows = [(name, printable(text)) for name, text in rows]
    return [line for name, text in rows for line in textwrap.wrap(
        text, max(width(), size + 20), initial_indent=name.ljust(size),
        subsequent_indent=" " * size, break_long_words=False, break_on_hyphens=False)]


def columns(rows: Sequence[Sequence[str]], right: str, *, squeeze: int | None = None) -> list[str]:
    """Lines of aligned cells, two spaces apart.

    Args:
        rows: the cells; the first row is the head.
        right: for each column "<" or ">": where its cells stand.
        squeeze: the column whose cells are cut where a line would be too wide.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*rows)]
    if squeeze is not None:
        surplus = sum(widths) + 2 * (len(widths) - 1) - width()
        if surplus > 0:
            widths[squeeze] = max(widths[squeeze] - surplus, len(rows[0][squeeze]), 12)
    return ["  ".join(map(_cell, row, widths, right)).rstrip() for row in rows]


def printable(text: str) -> str:
    """A text without what a terminal would obey: names of classes come from strangers, too."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def _cell(text: str, size: int, side: str) -> str:
    if len(text) > size:
        text = text[: size - 1] + "…"
    return text.rjust(size) if side == ">" else text.ljust(size)


def bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if has_colour(sys.stdout) else text


def size_of(count: int) -> str:
    """"97.7 MiB"."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
