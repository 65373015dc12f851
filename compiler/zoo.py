"""The shipped specs, and how a reference becomes a file.

A reference is a path, beside the file that makes it, or a zoo name: a file's stem
(`resnet`) or one of its variants (`resnet50`). A local file goes before a zoo name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from compiler.diagnostics import nearest

SUFFIXES = (".yaml", ".yml")


class NotFound(Exception):
    """A reference that leads nowhere.

    Attributes:
        near: "did you mean …?", or "".
        help: the remedy.
    """

    def __init__(self, message: str, near: str = "", help: str = ""):
        super().__init__(message)
        self.near, self.help = near, help


@lru_cache(maxsize=1)
def directory() -> Path:
    """Where the zoo is: `specs/` of a checkout, or the installed package's data."""
    checkout = Path(__file__).resolve().parent.parent / "specs"
    if checkout.is_dir():
        return checkout
    import flaxspec_specs  # type: ignore[import-not-found]

    return Path(next(iter(flaxspec_specs.__path__)))


def files() -> list[Path]:
    """The shipped specs, those of data sets left out."""
    return sorted(path for path in directory().rglob("*.yaml")
                  if path.parent != directory() / "datasets")


@lru_cache(maxsize=1)
def index() -> dict[str, tuple[Path, str]]:
    """Every zoo name: the file it is in, and the variant it stands for or ""."""
    names: dict[str, tuple[Path, str]] = {}
    variants: dict[str, tuple[Path, str]] = {}
    for path in files():
        names[path.stem] = (path, "")
        for variant in _variants(path.read_text(encoding="utf-8")):
            variants.setdefault(variant, (path, variant))
    return variants | names


def _variants(text: str) -> list[str]:
    """The keys under `variants:`, without parsing the file: the zoo is ours and well formed."""
    found = re.search(r"^variants:[^\n]*\n((?:[ \t]+[^\n]*\n|[ \t]*\n|#[^\n]*\n)*)", text, re.M)
    if not found:
        return []
    keys = re.findall(r"^([ \t]+)([A-Za-z_]\w*):", found[1], re.M)
    shallowest = min((len(indent) for indent, _ in keys), default=0)
    return [key for indent, key in keys if len(indent) == shallowest]


def find(reference: str, base: Path | None = None, *, untrusted: bool = False) -> tuple[Path, str]:
    """The file of a reference, and the variant that its name implies or "".

    Args:
        reference: a path or a zoo name.
        base: the directory that a relative path starts from; the working one where None.
        untrusted: the reference stands in a spec, not on the command line: only YAML files
            in the folder of the spec, the folder above it and those below may be read.

    Raises:
        NotFound: there is no such file or name, or the spec may not read it.
    """
    path = Path(reference)
    if path.suffix in SUFFIXES:
        if untrusted and not _is_near(path):
            raise NotFound(f"`{reference}` is outside the spec's own folder",
                           help="a spec uses files by a path relative to itself")
        if not untrusted or _is_file((base or Path()) / path):
            return (base or Path()) / path, ""
        near = nearest(reference, [p.name for p in _beside((base or Path()) / path)])
        raise NotFound(f"there is no file `{reference}`", near,
                       help=f"looked in `{(base or Path()).as_posix()}`")
    if not untrusted and _is_file((base or Path()) / path):
        return (base or Path()) / path, ""
    if reference in index():
        return index()[reference]
    if not untrusted and _exists((base or Path()) / path):
        return (base or Path()) / path, ""  # a folder, say: whoever reads it tells
    if reference in {path.stem for path in (directory() / "datasets").glob("*.yaml")}:
        raise NotFound(f"`{reference}` is a data set, not a model",
                       help=f"train on it in a recipe: `data: {{dataset: {reference}}}`")
    raise NotFound(f"there is no file and no zoo model `{reference}`",
                   nearest(reference[:100], index()), help="`flaxspec list` shows the zoo")


def _is_near(path: Path) -> bool:
    """Whether a path stays within the folder above the one it starts from."""
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        if depth < -1:
            return False
    return not path.is_absolute()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists() and bool(path.parts)
    except (OSError, ValueError):
        return False


def _beside(path: Path) -> list[Path]:
    """The specs in the folder of a path."""
    try:
        return [p for p in path.parent.iterdir() if p.suffix in SUFFIXES][:500]
    except (OSError, ValueError):
        return []


def shown(path: Path, reference: str) -> str:
    """The name of a file in messages: as the user wrote it, or its place in the zoo."""
    try:
        return f"specs/{path.resolve().relative_to(directory()).as_posix()}"
    except (OSError, RuntimeError, ValueError):  # a loop of links is one of the first two
        return path.as_posix() if Path(reference).suffix not in SUFFIXES else str(path)
