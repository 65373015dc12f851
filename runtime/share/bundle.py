"""Opening a bundle: every file is looked at before any is used; nothing of it is run.

A bundle comes as a zip, as a folder, or file by file from a repository. Whatever it comes as,
its manifest is read first, and then each file that it lists, and only those: hashed while it is
copied into the cache, where the bundle appears under its hash when all of them are right.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from compiler.diagnostics import SpecError, diagnostic
from runtime.data.fetch import cache_folder
from runtime.data.files import shown
from runtime.folder import SPEC, WRITTEN
from runtime.share.archive import CHUNK
from runtime.share.confined import check_spec
from runtime.share.manifest import (
    ELSEWHERE,
    MAX_FILES,
    MAX_MANIFEST,
    WEIGHTS,
    Entry,
    Manifest,
    check_paths,
    read_manifest,
)
from runtime.share.reference import MANIFEST

# Bytes of a bundle, where the environment does not say otherwise.
LIMIT, LIMIT_NAME = 16 * 2**30, "FLAXSPEC_BUNDLE_LIMIT"
MAX_HEADER = 100_000_000  # bytes of a safetensors file's header, as its library reads it
_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Bundle:
    """A bundle that was found to be in order.

    Attributes:
        folder: where its files are: it is laid out as the folder of a run is.
        manifest: what it says of itself.
        sha256: its hash.
    """

    folder: Path
    manifest: Manifest
    sha256: str

    @property
    def spec(self) -> Path:
        """The file of its resolved spec."""
        return self.folder / SPEC


class Files(Protocol):
    """Where the files of a bundle come from."""

    @property
    def shown(self) -> str:
        """What messages call the bundle."""
        ...

    def names(self) -> list[str] | None:
        """Every file but the manifest; None where others may lie beside the bundle's."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file, piece by piece; raises KeyError where there is none."""
        ...


def limit() -> int:
    """The bytes that a bundle may have."""
    own = os.environ.get(LIMIT_NAME, "")
    return int(own) if own.isdecimal() else LIMIT


def store() -> Path:
    """Where bundles are kept, each in a folder called by its hash."""
    return cache_folder() / "bundles" / "sha256"


def admit(files: Files, sha256: str = "") -> Bundle:
    """Check the files of a bundle, and keep it in the cache.

    Args:
        files: where they come from.
        sha256: what the bundle's hash has to be, or "".

    Raises:
        SpecError: F0852 to F0857: it is no bundle, not in order, or another one.
    """
    manifest = manifest_of(files, sha256)
    if kept := known(manifest.sha256):
        for name, entry in manifest.files.items():  # a damaged file is told, kept or not
            _copied(files, name, entry, None)
        return kept
    root = store()
    try:
        root.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=root, prefix=".new-"))
    except OSError as error:
        raise cannot_keep(error) from None
    try:
        for name, entry in manifest.files.items():
            _copied(files, name, entry, fresh / name)
        (fresh / MANIFEST).write_bytes(manifest.as_bytes())
        _check_content(fresh, manifest, files.shown)
        target = root / manifest.sha256
        try:
            fresh.replace(target)
        except OSError:
            if known(manifest.sha256) is None:  # no other process was quicker: what lies there
                shutil.rmtree(target, ignore_errors=True)  # is damaged
                fresh.replace(target)
    except OSError as error:
        raise cannot_keep(error) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Bundle(target, manifest, manifest.sha256)


def cannot_keep(error: OSError) -> SpecError:
    """That the cache is full, or somebody else's."""
    return SpecError([diagnostic(
        "F0851", f"the bundle cannot be kept in `{store()}`: {error.strerror or error}",
        help="make room, or name another folder in the environment: FLAXSPEC_CACHE")])


def manifest_of(files: Files, sha256: str = "") -> Manifest:
    """The manifest of a bundle, and that its list of files suits it.

    Raises:
        SpecError: F0852 to F0857.
    """
    content = b""
    try:
        for chunk in files.chunks(MANIFEST):
            content += chunk
            if len(content) > MAX_MANIFEST:
                break
    except KeyError:
        raise SpecError([diagnostic(
            "F0852", f"{files.shown} is no bundle: it has no `{MANIFEST}`",
            help="`flaxspec pack RUN` makes a bundle")]) from None
    manifest = read_manifest(content, files.shown)
    if sha256 and manifest.sha256 != sha256:
        raise SpecError([diagnostic(
            "F0857", f"{files.shown} is another bundle than the one asked for",
            notes=[f"its hash is    {manifest.sha256}", f"it should be   {sha256}"],
            help="it was changed or replaced; ask who named it to you which one is meant")])
    if manifest.size > limit():
        raise SpecError([diagnostic(
            "F0856", f"{files.shown} has {manifest.size:,} bytes; {limit():,} are allowed",
            help=f"allow more in the environment: {LIMIT_NAME}={manifest.size}")])
    if SPEC not in manifest.files:
        raise _other(files.shown, f"`{SPEC}` is not in its list")
    listed = files.names()
    if listed is not None:
        check_paths(listed, files.shown)
        if missing := sorted(manifest.files.keys() - set(listed)):
            raise _other(files.shown, f"`{missing[0]}` is in its list and not there")
        if more := sorted(set(listed) - manifest.files.keys()):
            raise _other(files.shown, f"`{more[0]}` is there and not in its list")
    return manifest


def known(sha256: str) -> Bundle | None:
    """A bundle that the cache has, if it is in order still."""
    folder = store() / sha256
    if not (folder / MANIFEST).is_file():
        return None
    try:
        files = FolderFiles(folder)
        manifest = manifest_of(files, sha256)
        for name, entry in manifest.files.items():
            _copied(files, name, entry, None)
    except SpecError:
        return None
    return Bundle(folder, manifest, sha256)


def in_place(folder: Path, sha256: str = "") -> Bundle:
    """A bundle that lies unpacked in a folder, where it stays.

    Raises:
        SpecError: F0852 to F0857: it is no bundle, not in order, or another one.
    """
    files = FolderFiles(folder)
    manifest = manifest_of(files, sha256)
    for name, entry in manifest.files.items():
        _copied(files, name, entry, None)
    _check_content(folder, manifest, files.shown)
    return Bundle(folder, manifest, manifest.sha256)


class FolderFiles:
    """The files under a folder. What lies at its top and begins with a dot is not looked at.

    Attributes:
        shown: what messages call it.
    """

    def __init__(self, folder: Path):
        self.folder, self.shown = folder, f"`{shown(folder)}`"

    def names(self) -> list[str]:
        """Every file but the manifest.

        Raises:
            SpecError: F0854 a link or a device is among them, F0856 there are too many.
        """
        found: list[str] = []
        for path in self._under(self.folder, ""):
            found.append(path)
            if len(found) > MAX_FILES:
                raise SpecError([diagnostic(
                    "F0856", f"{self.shown} has more than {MAX_FILES:,} files")])
        return found

    def _under(self, folder: Path, prefix: str) -> Iterator[str]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise SpecError([diagnostic(
                "F0851", f"{self.shown} cannot be read: {error.strerror or error}")]) from None
        for entry in entries:
            name = prefix + entry.name
            if not prefix and (entry.name.startswith(".") or entry.name == MANIFEST):
                continue
            if entry.is_dir(follow_symlinks=False):
                if prefix.count("/") > 20:
                    raise _refused(name, self.shown, "it lies too deep")
                yield from self._under(folder / entry.name, f"{name}/")
            elif entry.is_file(follow_symlinks=False):
                yield name
            else:
                what = "link" if entry.is_symlink() else "device"
                raise _refused(name, self.shown, f"it is no file but a {what}")

    def chunks(self, name: str) -> Iterator[bytes]:
        path = self.folder / name
        try:
            # Neither follow a link nor wait for a pipe's other end.
            number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)
                             | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            raise KeyError(name) from None
        except OSError as error:
            raise _refused(name, self.shown, error.strerror or str(error)) from None
        with open(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise _refused(name, self.shown, "it is no file")
            while chunk := file.read(CHUNK):
                yield chunk


def _copied(files: Files, name: str, entry: Entry, target: Path | None) -> None:
    """Read a file, check it against the manifest, and write it where it is to lie.

    Raises:
        SpecError: F0855 it is another file.
    """
    hasher, size, out = hashlib.sha256(), 0, None
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        out = target.open("wb")
    head = b""
    try:
        for chunk in files.chunks(name):
            head = head or chunk[:64]
            size += len(chunk)
            if size > entry.size:
                break
            hasher.update(chunk)
            if out is not None:
                out.write(chunk)
    except KeyError:
        raise _other(files.shown, f"`{name}` is in its list and not there") from None
    except (ValueError, EOFError) as error:  # what zipfile says of a damaged file
        raise _other(files.shown, f"`{name}` cannot be read: {error}") from None
    finally:
        if out is not None:
            out.close()
    if head.startswith(_POINTER):
        raise _other(files.shown, f"`{name}` is only a pointer of Git LFS",
                     "push the bundle to a folder, a server or the Hugging Face hub instead; "
                     "nothing is fetched from LFS")
    if size != entry.size:
        told = f"more than {entry.size:,}" if size > entry.size else f"{size:,}"
        raise _other(files.shown, f"`{name}` has {told} bytes, not {entry.size:,}")
    if (found := hasher.hexdigest()) != entry.sha256:
        raise _other(files.shown, f"the sha256 of `{name}` is {found}, not {entry.sha256}")


def _check_content(folder: Path, manifest: Manifest, shown: str) -> None:
    """That weights are safetensors, and specs keep to the bundle.

    Raises:
        SpecError: F0854 what says that it is safetensors is something else; F0858 a spec reaches
            outside.
    """
    for name, entry in manifest.files.items():
        if name.endswith(".yaml") and name != WRITTEN:
            check_spec(folder / name, f"{shown[1:-1]}/{name}")
        if name.endswith(WEIGHTS):
            with (folder / name).open("rb") as file:
                head = file.read(9)
            length = int.from_bytes(head[:8], "little")
            if len(head) < 9 or head[8:] != b"{" or length > min(entry.size - 8, MAX_HEADER):
                raise _refused(name, shown, "it is no safetensors file, whatever its name says")


def _refused(name: str, shown: str, why: str) -> SpecError:
    return SpecError([diagnostic(
        "F0854", f"{shown} has a file that a bundle may not have: `{name}`", notes=[why],
        help=ELSEWHERE)])


def _other(shown: str, why: str, help: str = "") -> SpecError:
    return SpecError([diagnostic(
        "F0855", f"the files of {shown} are not those of its manifest", notes=[why],
        help=help or "it was changed or damaged on its way; take the bundle from elsewhere")])
