"""manifest.json: what a bundle holds, with the hash of every file.

The bundle's own hash is that of this file's bytes: it changes with any of the files, and is the
same whether the bundle is a zip, a folder, a git repository or a model of the hub.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from compiler.diagnostics import SpecError, diagnostic
from runtime.share.reference import MANIFEST, SHA256

FORMAT, VERSION = "flaxspec-bundle", 1

MAX_FILES = 1_000
MAX_MANIFEST = 2**20  # bytes
MAX_TEXT = 2**26  # bytes of a file that is read as a whole: JSON, YAML, text
# What a bundle may hold: texts, and arrays in the one format that cannot hold code.
WEIGHTS = ".safetensors"
SUFFIXES = (WEIGHTS, ".yaml", ".json", ".jsonl", ".md", ".svg", ".txt")
MAX_PATH, MAX_DEPTH = 200, 6
ELSEWHERE = "nothing of it was kept; take the bundle from elsewhere"
# Names that stand for devices on Windows, whatever follows their first dot.
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$",
            *(f"{word}{digit}" for word in ("com", "lpt") for digit in "0123456789¹²³")}


@dataclass(frozen=True)
class Entry:
    """A file of a bundle: its hash, and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        about: all but the files: name, figures, score, versions, licences.
        files: every file but the manifest, by its path.
    """

    about: Mapping[str, Any]
    files: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.about.get("name", ""))

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(entry.size for entry in self.files.values())

    def as_bytes(self) -> bytes:
        """The file: the same bytes for the same content."""
        files = {path: {"sha256": entry.sha256, "bytes": entry.size}
                 for path, entry in sorted(self.files.items())}
        content = {"format": FORMAT, "version": VERSION, **self.about, "files": files}
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()

    @property
    def sha256(self) -> str:
        """The bundle's hash."""
        return digest(self.as_bytes())


def digest(content: bytes) -> str:
    """The sha256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def read_manifest(content: bytes, shown: str) -> Manifest:
    """A manifest from the bytes of a stranger's file.

    Args:
        content: the file, or so much of it that it is seen to be too long.
        shown: what messages call the bundle.

    Raises:
        SpecError: F0852 it is not that of a bundle, F0853 it is damaged, F0854 a bundle may not
            hold such a file, F0856 it is too large.
    """
    if len(content) > MAX_MANIFEST:
        raise SpecError([diagnostic(
            "F0856", f"the `{MANIFEST}` of {shown} is larger than {MAX_MANIFEST:,} bytes",
            help=ELSEWHERE)])
    try:
        told = json.loads(content.decode("utf-8"), object_pairs_hook=_unique,
                          parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _damaged(shown, str(error).partition("\n")[0]) from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise SpecError([diagnostic(
            "F0852", f"{shown} is no bundle: its `{MANIFEST}` is another program's",
            help="`flaxspec pack RUN` makes a bundle")])
    if told.get("version") != VERSION:
        raise SpecError([diagnostic(
            "F0863", f"{shown} is a bundle of the form {told.get('version')!r}; this flaxspec "
                     f"reads {VERSION}", help="use the version of flaxspec that made it"
            + (f", {made}" if isinstance(made := told.get("flaxspec"), str) else ""))])
    listed = told.get("files")
    name = told.get("name")
    if not isinstance(name, str) or not name.isprintable() or not isinstance(listed, dict):
        raise _damaged(shown, "`name` is a line of text, `files` a map")
    if len(listed) > MAX_FILES:
        raise SpecError([diagnostic(
            "F0856", f"{shown} lists {len(listed):,} files; a bundle has at most {MAX_FILES:,}",
            help=ELSEWHERE)])
    check_paths(listed, shown)
    files = {path: _entry(path, value, shown) for path, value in listed.items()}
    about = {key: value for key, value in told.items() if key not in ("format", "version", "files")}
    manifest = Manifest(about, files)
    try:
        same = manifest.as_bytes() == content
    except UnicodeEncodeError:  # half a surrogate pair
        same = False
    if not same:
        raise _damaged(shown, "its bytes are not those that flaxspec writes for its content")
    return manifest


def _entry(path: str, value: Any, shown: str) -> Entry:
    if not isinstance(value, dict) or set(value) != {"sha256", "bytes"}:
        raise _damaged(shown, f"`{path}` has a `sha256` and its `bytes`, and nothing else")
    sha256, size = value["sha256"], value["bytes"]
    if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
        raise _damaged(shown, f"the `sha256` of `{path}` is none")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _damaged(shown, f"the `bytes` of `{path}` are no count")
    if not path.endswith(WEIGHTS) and size > MAX_TEXT:
        raise SpecError([diagnostic(
            "F0856", f"`{path}` of {shown} has {size:,} bytes; a text in a bundle has at most "
                     f"{MAX_TEXT:,}", help=ELSEWHERE)])
    return Entry(sha256, size)


def check_paths(paths: Iterable[str], shown: str) -> None:
    """Refuse paths that would lie outside, or be another file on another system.

    Raises:
        SpecError: F0854.
    """
    known: dict[str, str] = {MANIFEST: MANIFEST}
    folders: dict[str, str] = {}
    for path in paths:
        if problem := path_problem(path):
            raise _refused(path, shown, problem)
        key = _key(path)
        if key in known:
            raise _refused(path, shown, f"`{known[key]}` is the same file where capital letters "
                                        "and accents do not count")
        known[key] = path
        for parent in list(PurePosixPath(path).parents)[:-1]:
            before = folders.setdefault(_key(parent.as_posix()), parent.as_posix())
            if before != parent.as_posix():
                raise _refused(path, shown, f"its folder differs from `{before}` only in capital "
                                            "letters or accents")
    for key in known.keys() & folders.keys():
        raise _refused(known[key], shown, "it is a file and a folder")


def path_problem(path: str) -> str:
    """Why a bundle may not hold a file of this path, or ""."""
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or (len(path) > 1 and path[1] == ":"):
        return "a path in a bundle is relative, with `/` between its parts"
    if any(part in ("", ".", "..") for part in parts):
        return "a path in a bundle leads straight down"
    if len(path) > MAX_PATH or len(parts) > MAX_DEPTH:
        return f"a path in a bundle has at most {MAX_PATH} letters and {MAX_DEPTH} parts"
    for part in parts:
        if part.startswith(".") or part.endswith(".") or not all(
                c.isalnum() or c in "_.-+" for c in part):
            return "names in a bundle are made of letters, digits and `_ . - +`"
        if unicodedata.normalize("NFC", part) != part:
            return "accents in its name are characters of their own"
        if part.partition(".")[0].casefold() in _DEVICES:
            return "on some systems it is the name of a device"
    if not path.endswith(SUFFIXES):
        return f"a bundle holds {', '.join(SUFFIXES)} and nothing else"
    return ""


def _key(path: str) -> str:
    """Equal for paths that are one file on some system."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _refused(path: str, shown: str, why: str) -> SpecError:
    return SpecError([diagnostic(
        "F0854", f"{shown} has a file that a bundle may not have: `{path}`", notes=[why],
        help=ELSEWHERE)])


def _damaged(shown: str, why: str) -> SpecError:
    return SpecError([diagnostic(
        "F0853", f"the `{MANIFEST}` of {shown} is damaged", notes=[why],
        help="take the bundle from elsewhere, or pack the run again")])


def _unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        raise ValueError("a key stands in it twice")
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")
