"""Files that hold arrays, read without ever running what they hold."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.data.files import failure, read_bytes, shown

# The element types of IDX, by the third byte of the file.
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
SUFFIXES = (".gz", ".npy", ".idx")
# Files of npy that are larger, in bytes, stay on disk.
IN_MEMORY = 2**30
# How much of a row on disk tells it from others, in bytes.
BEGINNING = 2**16


class Mapped:
    """An array (examples, …) in a file that is too large for the memory."""

    def __init__(self, array: np.ndarray, rows: np.ndarray | None = None):
        """
        Args:
            array: as `numpy.load` gives it with `mmap_mode`.
            rows: the rows of it that are meant; all where not given.
        """
        self._array = array
        self._rows = np.arange(len(array)) if rows is None else rows
        self.shape, self.dtype = (len(self._rows), *array.shape[1:]), array.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Any) -> np.ndarray:
        return np.asarray(self._array[self._rows[indices]])

    def subset(self, indices: np.ndarray) -> Mapped:
        return Mapped(self._array, self._rows[indices])

    def digests(self) -> list[bytes]:
        """Digests of the beginnings of rows."""
        return [hashlib.blake2b(np.ascontiguousarray(self._array[row]).tobytes()[:BEGINNING],
                                digest_size=16).digest() for row in self._rows]


@dataclass(frozen=True)
class Archive:
    """Named arrays: those of an npz file, or the files of a folder.

    Attributes:
        shown: what messages call it, in backticks.
        names: the arrays' names. A file goes by its path in the folder, and by the same
            without `.npy`, `.idx` and `.gz`.
        load: gives the bytes or the array of a name.
    """

    shown: str
    names: list[str]
    load: Callable[[str], bytes | np.ndarray]

    def read(
        self, name: str, record: int | None = None, at: int = 0, shape: Sequence[int] = (),
    ) -> np.ndarray:
        """An array (examples, …).

        Args:
            name: one of its names.
            record: for files of bytes without a head: the length of a record.
            at: where in its record the array's row begins.
            shape: and its shape, of as many bytes; channels in front, if the file has them so.

        Raises:
            SpecError: F0630 there is no such array, or it is broken.
        """
        if name not in self.names:
            raise failure("F0630", f"{self.shown} has no array `{name}`",
                          notes=[f"arrays: {', '.join(self.names[:12])}"])
        found = self.load(name)
        if not isinstance(found, bytes):
            return found
        where = f"`{name}` of {self.shown}"
        if found[:2] == b"\x1f\x8b":
            try:
                found = gzip.decompress(found)
            except (OSError, EOFError, zlib.error) as error:
                raise failure("F0630", f"{where} is a broken gzip file: {error}",
                              help="fetch or write it again") from None
        if record is not None:
            return records(found, where, record, at, shape)
        if found[:6] == b"\x93NUMPY":
            return npy(found, where)
        return idx(found, where)


def open_archive(path: Path) -> Archive:
    """The arrays of an npz file or of a folder.

    Raises:
        SpecError: F0630 it is neither.
    """
    called = f"`{shown(path)}`"
    if os.path.isdir(path):  # `Path.is_dir` fails where a name is too long
        files: dict[str, Path] = {}
        for file in sorted(p for p in path.rglob("*") if p.is_file() and p.name[0] != "."):
            name = file.relative_to(path).as_posix()
            files.setdefault(name, file)
            for suffix in SUFFIXES:
                name = name.removesuffix(suffix)
            files.setdefault(name, file)
        return Archive(called, list(files), lambda name: _content(files[name]))
    read_bytes(path)  # tells what is wrong with a file that cannot be read
    if path.suffix == ".npz":
        try:
            archive = np.load(path, allow_pickle=False)
        except (OSError, ValueError, zipfile.BadZipFile):
            raise failure("F0630", f"{called} is not an npz file, or a broken one",
                          help="write it with `numpy.savez`") from None

        def member(name: str) -> np.ndarray:
            try:
                return archive[name]
            except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
                raise _unreadable(f"`{name}` of {called}", error) from None

        return Archive(called, list(archive.files), member)
    stems = {path.name}
    for suffix in SUFFIXES:
        stems |= {name.removesuffix(suffix) for name in stems}
    return Archive(called, sorted(stems), lambda name: read_bytes(path))


def _content(path: Path) -> bytes | np.ndarray:
    """What a file holds; of a large npy file an array that stays on disk."""
    if path.suffix == ".npy" and path.stat().st_size > IN_MEMORY:
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _unreadable(f"`{shown(path)}`", error) from None
    return read_bytes(path)


def npy(data: bytes, where: str) -> np.ndarray:
    """The array of an npy file."""
    import io

    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(where, error) from None


def idx(data: bytes, where: str) -> np.ndarray:
    """The array of an IDX file: http://yann.lecun.com/exdb/mnist/ describes them."""
    kind = IDX_TYPES.get(data[2]) if len(data) >= 4 and data[:2] == b"\0\0" else None
    if kind is None:
        raise failure("F0630", f"{where} is neither an npy nor an IDX file",
                      help="for bytes without a head, say how long a `record` is")
    rank = data[3]
    head = 4 + 4 * rank
    if len(data) < head:
        raise failure("F0630", f"{where} ends within its head")
    shape = struct.unpack(f">{rank}I", data[4:head])
    dtype = np.dtype(kind)
    wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(data) - head != wanted:
        raise failure(
            "F0630", f"{where} has {len(data) - head:,} bytes of values, and its head says "
                     f"{wanted:,}",
            notes=[f"its head says {' × '.join(map(str, shape))} values of {dtype.itemsize} bytes"],
            help="fetch or write it again")
    return np.frombuffer(data, dtype, offset=head).reshape(shape).astype(dtype.newbyteorder("="))


def records(
    data: bytes, where: str, record: int, at: int, shape: Sequence[int],
) -> np.ndarray:
    """The bytes from `at` on of every record: (records, *shape)."""
    length = int(np.prod(shape, dtype=np.int64))
    if at + length > record:
        raise failure("F0634", f"a field of {length} bytes from byte {at} on does not fit into "
                               f"records of {record} bytes")
    if not data or len(data) % record:
        raise failure(
            "F0630", f"{where} has {len(data):,} bytes, which is no multiple of {record:,}",
            help="correct `record`, or fetch the file again")
    rows = np.frombuffer(data, np.uint8).reshape(-1, record)[:, at:at + length]
    return rows.reshape(len(rows), *shape)


def _unreadable(where: str, error: Exception) -> Exception:
    """What is wrong with an array that NumPy does not read."""
    if "pickle" in str(error) or "Object arrays" in str(error):
        return failure("F0630", f"{where} holds Python objects, which could run anything",
                       help="convert it to an array of numbers and save that")
    return failure("F0630", f"{where} is broken: {str(error).partition(chr(10))[0]}",
                   help="fetch or write it again")
