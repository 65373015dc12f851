"""The shipped specs, and how a reference becomes a file.

A reference is a path, beside the file that makes it, or a zoo name: a file's stem
(`resnet`) or one of its variants (`resnet50`). On the command line a local file goes before a
zoo name; in a spec, what has no suffix is a zoo name.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from compiler.diagnostics import nearest
from compiler.home import Home, home_of

SUFFIXES = (".yaml", ".yml")


class NotFound(Exception):
    """A reference that leads nowhere.

    Attributes:
        near: "did you mean …?", or "".
        help: the remedy.
        code: of the diagnostic that it becomes.
    """

    def __init__(self, message: str, near: str = "", help: str = "", code: str = "F0217"):
        super().__init__(message)
        self.near, self.help, self.code = near, help, code


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


def find(reference: str, home: Home | None = None) -> tuple[Path, str]:
    """The file of a reference, and the variant that its name implies or "".

    Args:
        reference: a path or a zoo name.
        home: where the spec lies that the reference stands in: only YAML files that its root
            holds may be read, and the zoo's. None for the user's own reference, which begins
            in the working directory and may lead anywhere.

    Raises:
        NotFound: there is no such file or name, or the spec may not read it.
    """
    path = Path(reference)
    base = home.folder if home else Path()
    if path.suffix in SUFFIXES:
        if home is not None and (path.is_absolute() or not home.admits(base / path)):
            how = "leads by a link" if _seems_inside(base / path, home) else "is"
            raise NotFound(
                f"`{reference}` {how} outside the folder that the spec was opened from",
                help="a spec reads the specs of its own project, or where there is none, of its "
                     "own folder, by paths relative to itself", code="F0234")
        if home is None or _is_file(base / path):
            return base / path, ""
        near = nearest(reference, [p.name for p in _beside(base / path)])
        raise NotFound(f"there is no file `{reference}`", near,
                       help=f"looked in `{base.as_posix()}`")
    if home is None and _is_file(path):
        return path, ""
    if reference in index():
        return index()[reference]
    if home is None and _exists(path):
        return path, ""  # a folder, say: whoever reads it tells
    if reference in {path.stem for path in (directory() / "datasets").glob("*.yaml")}:
        raise NotFound(f"`{reference}` is a data set, not a model",
                       help=f"train on it in a recipe: `data: {{dataset: {reference}}}`")
    raise NotFound(f"there is no file and no zoo model `{reference}`",
                   nearest(reference[:100], index()), help="`flaxspec list` shows the zoo")


def home_in(path: Path, home: Home | None) -> Home:
    """The home of a file that `find` found for a spec at home there, or for the user."""
    if path.is_relative_to(directory()):
        return Home(path.parent, directory().resolve())
    return home.beside(path) if home else home_of(path)


def _seems_inside(path: Path, home: Home) -> bool:
    """Whether a path would stay within a home's root if it held no link."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(home.root))


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
