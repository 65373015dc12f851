"""PyTorch's files, read and written without PyTorch, and without running what they say.

A `.pth` file is a zip archive with a pickle, `data.pkl`, which says which tensors there are, and
the bytes of their storages beside it. Before PyTorch 1.6 it was pickles one after another, then
the storages; most of torchvision's trained weights are. Pickles are programs; this reader knows
the few instructions that maps of tensors are made of and calls nothing: a name that the pickle
mentions is only ever compared with the names below.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from compiler.diagnostics import SpecError, diagnostic

MAX_PICKLE = 64 * 2**20  # bytes; a state dict of a thousand tensors takes 200 KiB
MAX_TENSORS, MAX_NAME = 100_000, 1000
BACKWARDS = "its numbers begin with their largest byte"
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how files before PyTorch 1.6 begin
STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool"}
# Where a training script puts the state dict beside its optimiser's.
INSIDE = ("state_dict", "model_state_dict", "model")
HELP = ("save the tensors alone, with `torch.save(model.state_dict(), FILE)` or "
        "`safetensors.torch.save_file(model.state_dict(), FILE)`")


class Refused(Exception):
    """A file that holds more than tensors."""


class Damaged(Exception):
    """A file that is not what it should be."""


@dataclass(frozen=True)
class _Name:
    """A function or class that the pickle mentions: "torch._utils._rebuild_tensor_v2"."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """The bytes of a tensor: their type, their entry in the archive, and how many numbers."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A tensor as a view of a storage."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_pth(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file that `torch.save` wrote, by name, in its order.

    A training script's checkpoint gives the model's part of it; the `module.` that data
    parallelism puts before every name is taken off.

    Raises:
        SpecError: F0805 the file is damaged or not PyTorch's, F0880 it holds more than tensors.
    """
    try:
        found = _arrays(path)
    except Refused as error:
        raise SpecError([diagnostic(
            "F0880", f"`{path}` holds more than tensors",
            notes=[str(error), "nothing of it was run"], help=HELP)]) from None
    except (Damaged, zipfile.BadZipFile, OSError, ValueError, struct.error, EOFError,
            NotImplementedError, RuntimeError, IndexError, TypeError, OverflowError) as error:
        raise SpecError([diagnostic(
            "F0805", f"`{path}` cannot be read as a file of PyTorch's", notes=[
                str(error).partition("\n")[0] or type(error).__name__], help=HELP)]) from None
    if found and all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): array for name, array in found.items()}
    return found


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as file:
        head = file.read(len(LEGACY))
        if head == LEGACY:
            file.seek(0)
            return _from_legacy(file, path.stat().st_size)
    if not head.startswith(b"PK"):
        raise Damaged("it is neither a zip archive nor a series of pickles, as PyTorch writes them")
    with zipfile.ZipFile(path) as archive:
        entries, folder = _entries(archive, path.stat().st_size)
        program = archive.read(entries[f"{folder}data.pkl"])
        order = entries.get(f"{folder}byteorder")
        if order is not None and archive.read(order) != b"little":
            raise Damaged(BACKWARDS)
        state = state_of(run(io.BytesIO(program)))
        read: dict[str, bytes] = {}

        def bytes_of(key: str) -> bytes:
            if key not in read:
                entry = entries.get(f"{folder}data/{key}")
                if entry is None:
                    raise Damaged(f"the storage {key!r} is missing")
                read[key] = archive.read(entry)
            return read[key]

        return {name: _array(name, tensor, bytes_of) for name, tensor in state.items()}


def _from_legacy(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """The tensors of a file of the older format: pickles, then size and bytes of each storage."""
    run(file)  # the number that all such files begin with
    run(file)  # the format's version
    if not isinstance(system := run(file), dict) or system.get("little_endian") is not True:
        raise Damaged(BACKWARDS)
    state, keys = state_of(run(file)), run(file)
    widths = {t.storage.key: _dtype(t.storage.dtype).itemsize for t in state.values()}
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Damaged("it does not list its storages")
    read: dict[str, bytes] = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        # A storage that no tensor here is in says nothing of its width: what follows is lost.
        if key not in widths or key in read or not 0 <= count * widths[key] <= size:
            raise Damaged(f"the storage {key[:60]!r} is of no tensor")
        read[key] = file.read(count * widths[key])

    def bytes_of(key: str) -> bytes:
        if key not in read:
            raise Damaged(f"the storage {key[:60]!r} is missing")
        return read[key]

    return {name: _array(name, tensor, bytes_of) for name, tensor in state.items()}


def _entries(archive: zipfile.ZipFile, size: int) -> tuple[dict[str, zipfile.ZipInfo], str]:
    """The archive's entries by name, and the folder that they are in; nothing is unpacked yet."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise Damaged("two of its entries have one name")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise Damaged("its entries are compressed, which PyTorch's never are")
    if sum(entry.file_size for entry in entries.values()) > size:
        raise Damaged("its entries are larger than the file")
    programs = [name for name in entries if name.endswith("/data.pkl")]
    if len(programs) != 1:
        raise Damaged("it has no `data.pkl`")
    if entries[programs[0]].file_size > MAX_PICKLE:
        raise Damaged("its `data.pkl` is too large")
    return entries, programs[0].removesuffix("data.pkl")


def state_of(value: Any) -> dict[str, _Tensor]:
    """The tensors by name in what a pickle gave; other entries of a state dict are refused."""
    if isinstance(value, dict):
        for name in INSIDE:
            if isinstance(value.get(name), dict):
                value = value[name]
                break
    if not isinstance(value, dict):
        raise Refused("it is not a map from names to tensors")
    if len(value) > MAX_TENSORS:
        raise Damaged(f"it has {len(value):,} tensors")
    for name, tensor in value.items():
        if isinstance(name, str) and len(name) > MAX_NAME:
            raise Damaged(f"the name of a tensor has {len(name):,} letters")
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise Refused(f"its entry {str(name)[:60]!r} is no tensor")
    return value


def _array(name: str, tensor: _Tensor, bytes_of: Any) -> np.ndarray:
    """A tensor as an array, after a look at every number that the pickle gave."""
    dtype, storage = _dtype(tensor.storage.dtype), tensor.storage
    data = bytes_of(storage.key)
    if len(data) != storage.count * dtype.itemsize:
        raise Damaged(f"the storage of `{name}` has {len(data):,} bytes, not "
                      f"{storage.count * dtype.itemsize:,}")
    size, stride = tensor.size, tensor.stride
    if len(size) != len(stride) or len(size) > 32 or min((*size, *stride, 0)) < 0:
        raise Damaged(f"`{name}` has no possible shape")
    if 0 in size:
        return np.zeros(size, dtype)
    last = tensor.offset + sum((n - 1) * s for n, s in zip(size, stride))
    if tensor.offset < 0 or last >= storage.count:
        raise Damaged(f"`{name}` goes beyond its storage")
    # Each axis has to step over all that the finer ones reach: then no number counts twice.
    reach = 0
    for step, count in sorted((s, n) for n, s in zip(size, stride) if n > 1):
        if step <= reach:
            raise Damaged(f"the numbers of `{name}` overlap")
        reach += step * (count - 1)
    flat = np.frombuffer(data, dtype)[tensor.offset:last + 1]
    return np.lib.stride_tricks.as_strided(
        flat, size, [s * dtype.itemsize for s in stride], writeable=False)


def _dtype(name: str) -> np.dtype:
    if name == "bfloat16":
        from ml_dtypes import bfloat16

        return np.dtype(bfloat16)
    return np.dtype(name)


# ------------------------------------------------------------------------------ the pickle


def run(program: BinaryIO) -> Any:
    """What the next pickle of a stream describes: maps, lists, texts, tensors not read yet.

    Raises:
        Refused: it would call something, or has an instruction that no state dict needs.
        Damaged: it is no pickle.
    """
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name == "STOP":
            return machine.pop()
        machine.step(opcode.name, argument)
    raise Damaged("its pickle has no end")


class _Machine:
    """The stack and the memory of a pickle, for the instructions of state dicts."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memory: dict[int, Any] = {}

    def pop(self) -> Any:
        """Take the value on top."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise Damaged("its pickle takes more than it put")
        return self._stack.pop()

    def step(self, name: str, argument: Any) -> None:
        """One instruction."""
        stack = self._stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self._marks.append(len(stack))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
            case ("BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE"
                  | "SHORT_BINUNICODE" | "BINSTRING" | "SHORT_BINSTRING"):
                stack.append(argument)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                values = [self.pop() for _ in range(int(name[-1]))]
                stack.append(tuple(reversed(values)))
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "APPEND":
                value = self.pop()
                self._top(list).append(value)
            case "APPENDS":
                values = self._since_mark()
                self._top(list).extend(values)
            case "SETITEM":
                value, key = self.pop(), self.pop()
                self._set([key, value])
            case "SETITEMS":
                self._set(self._since_mark())
            case "BINPUT" | "LONG_BINPUT":
                self._memory[argument] = self._top(object)
            case "MEMOIZE":
                self._memory[len(self._memory)] = self._top(object)
            case "BINGET" | "LONG_BINGET":
                if argument not in self._memory:
                    raise Damaged("its pickle remembers what it never met")
                stack.append(self._memory[argument])
            case "GLOBAL":
                stack.append(_Name(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                last, first = self.pop(), self.pop()
                stack.append(_Name(f"{first}.{last}"))
            case "BINPERSID":
                stack.append(_storage(self.pop()))
            case "REDUCE":
                arguments, function = self.pop(), self.pop()
                stack.append(_called(function, arguments))
            case "BUILD":
                # What PyTorch notes at a map of tensors: the versions of its layers.
                self.pop()
                if not isinstance(self._top(object), dict):
                    raise Refused("it sets the inside of an object")
            case _:
                raise Refused(f"it has an instruction that no map of tensors needs: {name}")

    def _top(self, kind: type) -> Any:
        value = self._stack[-1] if self._stack else None
        if not self._stack or not isinstance(value, kind):
            raise Damaged("its pickle adds to what is no list or map")
        return value

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise Damaged("its pickle looks for a mark that it never set")
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def _set(self, values: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int):
                raise Refused("a key of its map is no text")
            target[key] = value


def _storage(value: Any) -> _Storage:
    """A storage that the pickle names."""
    match value:
        # The older format has a view of another storage, or None, at the end.
        case ("storage", _Name(name=kind), str(key), str(), int(count), *view) if not any(view):
            word = kind.rpartition(".")[2]
            if kind not in (f"torch.{word}", f"torch.storage.{word}") or word not in STORAGES:
                raise Refused(f"it has a storage of an unknown kind: {kind}")
            return _Storage(STORAGES[word], key, count)
    raise Refused("it names something outside that is no storage")


def _called(function: Any, arguments: Any) -> Any:
    """What one of the few calls that tensors are made by would give."""
    match function, arguments:
        case _Name(name="collections.OrderedDict"), ():
            return {}
        case _Name(name="collections.OrderedDict"), (list(pairs),) if all(
                type(pair) is list and len(pair) == 2 and isinstance(pair[0], str)
                for pair in pairs):  # as Python 2 wrote it
            return dict(pairs)
        case _Name(name="torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor"), (
                _Storage() as storage, int(offset), tuple(size), tuple(stride), *_) if all(
                    type(n) is int for n in (*size, *stride)):
            return _Tensor(storage, offset, size, stride)
        case _Name(name="torch._utils._rebuild_parameter"), (_Tensor() as tensor, *_):
            return tensor
        case _Name(name=name), _:
            raise Refused(f"it asks to call {name[:80]}")
    raise Refused("it asks to call something that has no name")


# -------------------------------------------------------------------------------- writing

_WORDS = {dtype: word for word, dtype in STORAGES.items()}


def write_pth(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file that `torch.load` reads as a state dict."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        def entry(name: str, data: bytes) -> None:
            # Always the same date, so that the same arrays give the same file.
            archive.writestr(zipfile.ZipInfo(f"weights/{name}", (1980, 1, 1, 0, 0, 0)), data)

        entry("data.pkl", b"".join(_program(arrays)))
        entry("byteorder", b"little")
        entry("version", b"3\n")
        for number, array in enumerate(arrays.values()):
            little = array.dtype.newbyteorder("<") if array.dtype.kind in "fiu" else array.dtype
            entry(f"data/{number}", np.ascontiguousarray(array, little).tobytes())


def _program(arrays: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    """The pickle of a state dict, instruction by instruction."""
    yield b"\x80\x02" + b"ccollections\nOrderedDict\n" + b")R("
    for number, (name, array) in enumerate(arrays.items()):
        stride = [1]
        for n in reversed(array.shape[1:]):
            stride.insert(0, stride[0] * n)
        word = _WORDS[array.dtype.name]
        yield _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n" + b"(("
        yield _text("storage") + f"ctorch\n{word}\n".encode() + _text(str(number)) + _text("cpu")
        yield _integer(array.size) + b"tQ" + _integer(0)
        yield b"(" + b"".join(map(_integer, array.shape)) + b"t"
        yield b"(" + b"".join(map(_integer, stride[:array.ndim])) + b"t"
        yield b"\x89" + b"ccollections\nOrderedDict\n" + b")R" + b"tR"
    yield b"u."


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _integer(number: int) -> bytes:
    if number < 2**31:
        return b"J" + struct.pack("<i", number)
    return b"\x8a\x08" + struct.pack("<q", number)
