"""Bundles in files and folders of this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compiler.diagnostics import SpecError, diagnostic
from runtime.data.files import shown
from runtime.share.archive import SUFFIX, ZipFiles, write_zip
from runtime.share.bundle import Bundle, manifest_of
from runtime.share.manifest import path_problem
from runtime.share.pack import Packed
from runtime.share.reference import MANIFEST


def file_for(out: Path | None, name: str) -> Path:
    """The file of a bundle: `out`, or one called after it, in the folder `out` or here."""
    called = f"{file_name(name)}{SUFFIX}"
    if out is None:
        return Path(called)
    return out / called if out.is_dir() else out


def file_name(name: str) -> str:
    """The name of a bundle as that of a file."""
    clean = "".join(c if c.isalnum() or c in "_.-+" else "-" for c in name).strip(".-")
    return clean if clean and not path_problem(f"{clean}.md") else "bundle"


def save(found: Packed, path: Path) -> None:
    """Write a bundle as one file.

    Raises:
        SpecError: F0807 something else is there already, F0802 it cannot be written.
    """
    with _writing(path):
        if path.exists():
            if holds(path) == found.manifest.sha256:
                return  # the very same
            raise SpecError([diagnostic(
                "F0807", f"there is a file `{shown(path)}` already, with something else in it",
                help="choose another one with `-o FILE`, or delete it")])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_zip(path, found.manifest, found.files)


def holds(path: Path) -> str:
    """The hash of the bundle in a file; "" where it is none."""
    try:
        files = ZipFiles(path)
    except SpecError:
        return ""
    try:
        return manifest_of(files).sha256
    except SpecError:
        return ""
    finally:
        files.close()


def unpack(bundle: Bundle, out: Path | None) -> Path:
    """Copy a bundle's files into a folder of their own, which appears when it is complete.

    Args:
        bundle: a bundle that was looked at.
        out: the folder; one called after the bundle, here, where not given.

    Raises:
        SpecError: F0801 something is there already, F0802 it cannot be written.
    """
    folder = out or Path(file_name(bundle.manifest.name))
    with _writing(folder):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        if os.path.lexists(folder):
            raise SpecError([diagnostic(
                "F0801", f"`{shown(folder)}` is there already",
                help="choose another folder with `-o DIR`")])
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            for name in (MANIFEST, *bundle.manifest.files):
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(bundle.folder / name, fresh / name)
            fresh.chmod(0o755)
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What keeps a file or folder from being written, as a diagnostic.

    Raises:
        SpecError: F0802.
    """
    try:
        yield
    except OSError as error:
        raise SpecError([diagnostic(
            "F0802", f"`{shown(path)}` cannot be written: {error.strerror or error}",
            help="make room, or choose another place")]) from None
