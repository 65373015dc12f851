"""A text file written as a whole: what was there stays until the new text is complete."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from compiler.diagnostics import SpecError, diagnostic


def write_text(path: Path, text: str) -> None:
    """Write a file, or put a new text in its place; its mode and owner stay, links are followed.

    Raises:
        SpecError: F0841 it cannot be written.
    """
    target = Path(os.path.realpath(path))
    partial = None
    try:
        before = target.stat() if target.exists() else None
        if before is not None and not os.access(target, os.W_OK):
            raise PermissionError(None, "the file may not be written", str(path))
        handle, partial = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            if before is None:
                mask = os.umask(0)
                os.umask(mask)
                os.fchmod(file.fileno(), 0o666 & ~mask)
            else:
                with suppress(PermissionError):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), before.st_mode & 0o7777)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        if partial is not None:
            with suppress(OSError):
                os.unlink(partial)
        raise SpecError([diagnostic(
            "F0841", f"`{path}` cannot be written: {error.strerror or error}",
            help="look at the rights of the file and its folder, and at the space on the disk",
        )]) from None
