"""A bundle as one file: a zip whose files are stored as they are.

Its bytes follow from its content alone: the manifest first, the others by name, no times, no
owners, and no compression, whose bytes differ from one zlib to the next. So none can blow up
either, when it is read.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from compiler.diagnostics import SpecError, diagnostic
from runtime.data.files import shown
from runtime.share.manifest import ELSEWHERE, MAX_FILES, Manifest
from runtime.share.reference import MANIFEST

SUFFIX = ".flaxspec.zip"
CHUNK = 2**20
MAX_DIRECTORY = 2**20  # bytes of the list of files at the end of the zip
_END, _LOCATOR, _END_64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"


class ZipFiles:
    """The files in a zip; nothing is unpacked.

    Attributes:
        shown: what messages call it.
    """

    def __init__(self, path: Path):
        """Read the list of its files.

        Raises:
            SpecError: F0851 it cannot be read, F0852 it is no zip, F0854 it has files that a
                bundle may not have, F0856 it has too many.
        """
        self.shown = f"`{shown(path)}`"
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise SpecError([diagnostic(
                "F0851", f"{self.shown} cannot be read: {error.strerror or error}")]) from None
        try:
            _check_end(self._file, self.shown)
            self._zip = zipfile.ZipFile(self._file)
            self._check()
        except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, ValueError, NotImplementedError,
                struct.error) as error:
            self.close()
            raise _no_zip(self.shown, str(error)) from None
        except BaseException:
            self.close()
            raise

    def names(self) -> list[str]:
        """Every file but the manifest."""
        return [info.filename for info in self._zip.infolist() if info.filename != MANIFEST]

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file, piece by piece.

        Raises:
            KeyError: there is none.
            ValueError: it is damaged.
        """
        try:
            with self._zip.open(name) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except (zipfile.BadZipFile, struct.error) as error:
            raise ValueError(str(error)) from None

    def close(self) -> None:
        self._file.close()

    def _check(self) -> None:
        """Refuse what no bundle has.

        Raises:
            SpecError: F0854, F0856.
        """
        found = self._zip.infolist()
        names = [info.filename for info in found]
        if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
            raise self._refused(twice, "it stands in the zip twice")
        size = self._file.seek(0, 2)
        if sum(info.file_size for info in found) > size:
            raise SpecError([diagnostic(
                "F0856", f"the files of {self.shown} are larger than itself",
                notes=["some of them lie over one another"],
                help=ELSEWHERE)])
        for info in found:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                what = "link" if kind == stat.S_IFLNK else (
                    "folder" if kind == stat.S_IFDIR else "device")
                raise self._refused(info.filename, f"it is no file but a {what}")
            if info.flag_bits & 0x1:
                raise self._refused(info.filename, "it is encrypted")
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                raise SpecError([diagnostic(
                    "F0856", f"`{info.filename}` in {self.shown} is compressed",
                    notes=["a bundle's files are stored as they are, so that none can be larger "
                           "than it seems"],
                    help="make it with `flaxspec pack`, which packs an unpacked bundle, too")])

    def _refused(self, name: str, why: str) -> SpecError:
        return SpecError([diagnostic(
            "F0854", f"{self.shown} has a file that a bundle may not have: `{name}`", notes=[why],
            help=ELSEWHERE)])


def _check_end(file: IO[bytes], shown: str) -> None:
    """Look at what the zip's end says of its list of files, before all of that is read.

    Raises:
        SpecError: F0852 it is no zip, F0856 the list is too long.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - 22 - 20 - 56))
    tail = file.read()
    end = tail[-22:]
    if len(end) < 22 or end[:4] != _END:
        file.seek(0)
        head = file.read(32)
        raise _no_zip(shown, f"it begins with {head!r}" if head else "it is empty")
    count, length = struct.unpack("<H", end[10:12])[0], struct.unpack("<I", end[12:16])[0]
    if tail[-42:-38] == _LOCATOR:
        record = tail[-98:-42]
        if len(record) < 56 or record[:4] != _END_64:
            raise _no_zip(shown, "its end is damaged")
        count, length = struct.unpack("<QQ", record[32:48])
    if count > MAX_FILES + 1 or length > MAX_DIRECTORY:
        raise SpecError([diagnostic(
            "F0856", f"{shown} has too many files: a bundle has at most {MAX_FILES:,}",
            notes=[f"its end tells of {count:,}, in a list of {length:,} bytes"],
            help=ELSEWHERE)])
    file.seek(0)


def _no_zip(shown: str, why: str) -> SpecError:
    return SpecError([diagnostic(
        "F0852", f"{shown} is no bundle: it is no zip", notes=[why] if why else [],
        help="`flaxspec pack RUN` makes a bundle")])


def write_zip(path: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Write a bundle as one file, which appears when it is complete.

    Args:
        path: the file.
        manifest: the bundle's manifest.
        files: where the content of each file lies.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            content = manifest.as_bytes()
            with archive.open(_info(MANIFEST, len(content)), "w") as out:
                out.write(content)
            for name in sorted(manifest.files):
                with files[name].open("rb") as source, archive.open(
                        _info(name, manifest.files[name].size), "w") as out:
                    while chunk := source.read(CHUNK):
                        out.write(chunk)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _info(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    info.file_size = size
    return info
