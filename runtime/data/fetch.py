"""Files from the web: fetched once, verified, and kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from compiler.diagnostics import SpecError, diagnostic

CHUNK = 2**18
TIMEOUT = 30.0
# Seconds to wait before each further attempt.
WAITS = (1.0, 5.0)

# Hears how many bytes of a file are there, and of how many (0: nobody knows).
Progress = Callable[[str, int, int], None]


def cache_folder() -> Path:
    """Where fetched files are kept: `FLAXSPEC_CACHE`, or the system's place for such things."""
    if own := os.environ.get("FLAXSPEC_CACHE"):
        return Path(own).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "flaxspec"


def fetched(
    address: str, sha256: str | None, folder: Path, progress: Progress | None = None,
    waits: tuple[float, ...] = WAITS,
) -> Path:
    """A file from the web, as it lies in a folder; fetched if it does not lie there yet.

    What an interrupted attempt left is gone on with. The file appears under its name when it
    is complete and right, never before.

    Args:
        address: http or https.
        sha256: what the file's digest has to be; None where what is in it tells.
        folder: where to keep it.
        progress: hears how far it is.
        waits: seconds before each further attempt after a broken connection.

    Raises:
        SpecError: F0637 it cannot be fetched, F0638 it is another file.
    """
    name = PurePosixPath(address).name
    path = folder / name
    if path.is_file():
        if sha256 is None or _digest(path) == sha256:
            return path
        raise SpecError([diagnostic(
            "F0638", f"`{path}` is not the file that it should be",
            notes=[f"its sha256 is not {sha256}"], help="delete it to have it fetched again")])
    partial = folder / f"{name}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        resumed = partial.exists()
        _download(address, partial, path, progress or shown_progress, waits)
        found = _digest(partial)
        # The beginning may have been another file's.
        if sha256 is not None and found != sha256 and resumed:
            partial.unlink()
            _download(address, partial, path, progress or shown_progress, waits)
            found = _digest(partial)
    except OSError as error:
        raise SpecError([diagnostic(
            "F0637", f"`{name}` cannot be written to `{folder}`: {error.strerror or error}",
            help="make room, or name another folder in the environment: FLAXSPEC_CACHE")]) from None
    if sha256 is not None and found != sha256:
        partial.unlink()
        raise SpecError([diagnostic(
            "F0638", f"{address} is not the file that it should be",
            notes=[f"its sha256 is {found}", f"it should be {sha256}"],
            help="try again later; if it stays so, the file was changed or replaced")])
    partial.replace(path)
    return path


def _download(
    address: str, partial: Path, path: Path, progress: Progress, waits: tuple[float, ...],
) -> None:
    """Fetch a file to `partial`, from where it ends now; several attempts."""
    for number in range(len(waits) + 1):
        try:
            return _attempt(address, partial, progress)
        except urllib.error.HTTPError as error:
            # Only the server's own troubles pass.
            reason, final = f"the server says {error.code} {error.reason}", error.code < 500
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason, final = str(getattr(error, "reason", error) or type(error).__name__), False
        if final or number == len(waits):
            raise SpecError([diagnostic(
                "F0637", f"{address} cannot be fetched: {reason}",
                help=f"try again, or fetch it by other means and put it at `{path}`")])
        time.sleep(waits[number])


def _attempt(address: str, partial: Path, progress: Progress) -> None:
    """One connection."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "flaxspec"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # Nothing lies beyond: it is complete, or longer than it should be.
        return
    with answer:
        if answer.status != 206:  # the server begins at the beginning
            have = 0
        length = int(answer.headers.get("Content-Length") or 0)
        total = have + length if length else 0
        with partial.open("ab" if have else "wb") as file:
            progress(partial.stem, have, total)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(partial.stem, have, total)
    if total and have < total:
        raise ConnectionError("the connection ended early")


def unpacked(archive: Path) -> Path:
    """The folder with an archive's files, beside it; unpacked if it is not there yet.

    Raises:
        SpecError: F0630 it is no archive, or holds what would lie outside.
    """
    folder = archive.with_name(f"{archive.name}.unpacked")
    if folder.is_dir():
        return folder
    fresh = Path(tempfile.mkdtemp(dir=archive.parent, prefix=f"{archive.name}."))
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                file.extractall(fresh)  # leaves out `..` and roots
        else:
            with tarfile.open(archive) as file:
                file.extractall(fresh, filter="data")
        fresh.replace(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise SpecError([diagnostic(
            "F0630", f"`{archive}` cannot be unpacked: {error}",
            help="delete it to have it fetched again")]) from None
    except OSError as error:
        if not folder.is_dir():  # another process was quicker otherwise
            raise SpecError([diagnostic(
                "F0637", f"`{archive}` cannot be unpacked: {error.strerror or error}",
                help="make room, or name another folder in the environment: FLAXSPEC_CACHE",
            )]) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def check_contents(archive: Path, folder: Path, wanted: Mapping[str, str]) -> None:
    """Check what was in an archive, by its files and not by how they are packed.

    Args:
        archive: the archive.
        folder: what was in it.
        wanted: for folders in it the digest of a list of their files, by name, as `sha256sum *`
            writes it.

    Raises:
        SpecError: F0638 something else was in it.
    """
    for name, digest in wanted.items():
        inside = folder / name
        files = sorted(path.name for path in inside.iterdir() if path.is_file()) if (
            inside.is_dir()) else []
        lines = "".join(f"{_digest(inside / file)}  {file}\n" for file in files)
        found = hashlib.sha256(lines.encode()).hexdigest()
        if found != digest:
            raise SpecError([diagnostic(
                "F0638", f"`{archive}` does not hold the files that it should",
                notes=[f"the digest of the {len(files):,} files in `{name}` is {found}",
                       f"it should be {digest}"],
                help=f"delete it and `{folder}` to have it fetched again")])


def gathered(archive: Path, tables: Mapping[str, str], classes: Sequence[str]) -> None:
    """Tables of texts beside an archive, from the text files in it; made once.

    Args:
        archive: a tar file.
        tables: for each table to write, JSON lines with `text` and `label`, the folder in the
            archive that has a folder for each class.
        classes: the classes; other folders are passed by.

    Raises:
        SpecError: F0630 it is no archive, or has no such files.
    """
    if all((archive.parent / name).is_file() for name in tables):
        return
    wanted = {(folder, label): name for name, folder in tables.items() for label in classes}
    rows: dict[str, list[tuple[str, str, str]]] = {name: [] for name in tables}
    try:
        with tarfile.open(archive) as file:
            for member in file:
                path = PurePosixPath(member.name)
                name = wanted.get((str(path.parent.parent), path.parent.name))
                content = file.extractfile(member) if name and member.isfile() else None
                if name and content is not None:
                    text = content.read().decode("utf-8", "replace")
                    rows[name].append((path.parent.name, path.name, text))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SpecError([diagnostic(
            "F0630", f"`{archive}` cannot be read: {error}",
            help="delete it to have it fetched again")]) from None
    for name, found in rows.items():
        if not found:
            raise SpecError([diagnostic("F0630", f"`{archive}` has no texts in `{tables[name]}`")])
        partial = archive.with_name(f"{name}.{os.getpid()}.partial")
        with partial.open("w", encoding="utf-8") as out:
            for label, _, text in sorted(found):
                out.write(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")
        partial.replace(archive.with_name(name))


def shown_progress(name: str, have: int, total: int) -> None:
    """A line on standard error that changes on a terminal, and is written once elsewhere."""
    size = f"{have / 1e6:,.1f} of {total / 1e6:,.1f} MB" if total else f"{have / 1e6:,.1f} MB"
    if sys.stderr.isatty():
        end = "\n" if have == total else ""
        print(f"\rfetching {name}: {size}", end=end, file=sys.stderr, flush=True)
    elif not have:
        print(f"fetching {name}" + (f", {total / 1e6:,.1f} MB" if total else ""), file=sys.stderr)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
