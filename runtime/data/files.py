"""Reading a user's files: every way in which that fails is told with the file and its line."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from compiler.diagnostics import SpecError, diagnostic
from compiler.source import Source, Span

# Of larger files a message shows no excerpt, only the number of the line.
EXCERPT_BYTES = 64 * 2**20


def shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
    return str(path) if relative.startswith("..") else relative


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, line ends as `\\n`, without a byte order mark.

    Raises:
        SpecError: F0630 it cannot be read or is not UTF-8, F0631 it is empty.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise failure(
            "F0630", f"`{shown(path)}` is not UTF-8 text",
            notes=[f"byte {error.start:,}, in line {line:,}, is {data[error.start]:#04x}"],
            help="save the file as UTF-8: `iconv -f latin1 -t utf-8` converts Western European "
                 "text") from None
    if not text.strip():
        raise failure("F0631", f"`{shown(path)}` is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        SpecError: F0630 there is no such file, or it cannot be read; F0631 it is empty.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        reason = "is a folder, not a file" if os.path.isdir(path) else (
            "does not exist" if isinstance(error, FileNotFoundError)
            else f"cannot be read: {getattr(error, 'strerror', None) or error}")
        raise failure(
            "F0630", f"`{shown(path)}` {reason}", notes=_nearby(path),
            help="relative paths begin where the spec lies, those of `--set` where you are"
            if isinstance(error, FileNotFoundError) else "") from None
    if not data:
        raise failure("F0631", f"`{shown(path)}` is empty")
    return data


def failure(
    code: str, headline: str, path: Path | None = None, line: int = 0, cell: str = "",
    label: str = "", *, notes: Iterable[str] = (), help: str = "",
) -> SpecError:
    """An error about a file, with an excerpt of one of its lines where that can be shown.

    Args:
        code: the diagnostic's code.
        headline: what was found.
        path: a text file, or None for an error without a place in one.
        line: its line, 1-based; 0 for none.
        cell: the text in that line to point at; the whole line where it is not found.
        label: the remark below it.
        notes: facts that help.
        help: how to mend it.
    """
    span = _span(path, line, cell) if path is not None and line else None
    if path is not None and line and span is None:
        notes = [f"line {line:,} of {shown(path)}", *notes]
    return SpecError([diagnostic(code, headline, span, label, notes=notes, help=help)])


def _span(path: Path, line: int, cell: str) -> Span | None:
    """The place of a text in a line of a file."""
    try:
        if path.stat().st_size > EXCERPT_BYTES:
            return None
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError:
        return None
    source = Source(shown(path), text.replace("\r\n", "\n").replace("\r", "\n"))
    content = source.line(line)
    start = content.find(cell) if cell else 0
    start, end = (start, start + len(cell)) if cell and start >= 0 else (0, len(content))
    return Span(source, line, start + 1, line, max(end, start + 1) + 1)


def _nearby(path: Path) -> list[str]:
    """What a folder has in place of a file that is not there."""
    if os.path.exists(path):
        return []
    if not os.path.isdir(path.parent):
        return [f"there is no folder `{shown(path.parent)}`"]
    alike = sorted(p.name for p in path.parent.iterdir() if p.suffix == path.suffix)
    return [f"`{shown(path.parent)}` has {', '.join(alike[:8])}"
            + (", …" if len(alike) > 8 else "")] if alike else []
