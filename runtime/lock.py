"""One process at a time writes in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from compiler.diagnostics import SpecError, diagnostic
from runtime.folder import LOCK


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from writing in a folder.

    The lock is the operating system's, on an open file: it ends with the process, however that
    ends. The file stays where it is, as deleting it could let two in at once; where nothing else
    was written, the folder is left as it was.

    Args:
        folder: that of a run or a sweep; it exists.

    Raises:
        SpecError: F0825 another process is writing there.
        OSError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise SpecError([diagnostic(
            "F0825", f"another process is at work in `{folder}`",
            notes=["nothing was changed; what it does goes on"],
            help="wait until it has ended, or stop it (Ctrl-C lets it save first), then go on "
                 "with `--resume`")]) from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows deletes no open file, and needs not
            if [path.name for path in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
        lock.release()
