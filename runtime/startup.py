"""What a command tells JAX before it is imported; the library never does.

What XLA compiles is kept on disk, so that the same recipe starts at once the next time. The
folder may be deleted at any time; it is kept small by dropping what was not used for longest.
`FLAXSPEC_CACHE=off` does without it, and `FLAXSPEC_CACHE=/some/folder` or JAX's own
`JAX_COMPILATION_CACHE_DIR` put it elsewhere.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

SWITCH = "FLAXSPEC_CACHE"
LIMIT = 2 * 2**30  # bytes
SECONDS = 0.5  # what compiles faster is not worth a file
# What JAX starts for a kind of device; the processor is always needed.
PLATFORMS = {"cpu": "cpu", "cuda": "cuda,cpu", "gpu": "cuda,cpu", "tpu": "tpu,cpu"}


def folder() -> Path | None:
    """Where it is; None where the user does without it."""
    asked = os.environ.get(SWITCH, "")
    if asked.lower() in ("off", "0", "no", "false"):
        return None
    if asked:
        return Path(asked).expanduser()
    if sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "flaxspec" / "xla"


def prepare(device: str = "") -> None:
    """Settings of this process; nothing happens where JAX is imported already.

    Args:
        device: start only this kind (`cpu`, `cuda:1`), and leave a graphics card alone that
            the run does not use.
    """
    if "jax" in sys.modules:
        return
    kind = device.partition(":")[0]
    if kind in PLATFORMS and "JAX_PLATFORMS" not in os.environ:
        os.environ["JAX_PLATFORMS"] = PLATFORMS[kind]
    _keep_compiled(LIMIT)


def _keep_compiled(limit: int) -> None:
    """Have JAX keep what it compiles, and drop the oldest of it.

    Nothing happens where the folder cannot be written, or the user has told JAX of another.
    """
    path = folder()
    if path is None or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
        trim(path, limit)
    except (OSError, RuntimeError):  # no home, no room, no leave
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(path)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", str(SECONDS))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def trim(path: Path, limit: int) -> None:
    """Delete the files that were not read for longest until the others fit.

    Args:
        path: a folder of files that nobody needs.
        limit: what they may take together, in bytes.
    """
    files = []
    for file in path.iterdir():
        try:
            known = file.stat()
        except FileNotFoundError:  # another run is tidying up, too
            continue
        files.append((max(known.st_atime, known.st_mtime), known.st_size, file))
    room = limit
    for _, size, file in sorted(files, key=lambda entry: entry[0], reverse=True):
        room -= size
        if room < 0 and file.is_file():
            file.unlink(missing_ok=True)
