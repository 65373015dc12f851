"""Where a spec lies: where its relative paths begin, and the folder that they never leave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# What marks the folder of a project: its specs may use one another wherever in it they lie.
PROJECT = ".git"
# The file by which the folder of a bundle is known, and how it begins.
MANIFEST, BUNDLE = "manifest.json", b'{\n  "format": "flaxspec-bundle"'


@dataclass(frozen=True, slots=True)
class Home:
    """The place of a spec.

    Attributes:
        folder: where its relative paths begin.
        root: the folder that no path of it leads out of, links followed; absolute.
        sealed: it came from elsewhere, as in a bundle: absolute paths are not for it, either.
    """

    folder: Path
    root: Path
    sealed: bool = False

    def admits(self, path: Path) -> bool:
        """Whether a path, links followed, stays within the root."""
        try:
            return path.resolve().is_relative_to(self.root)
        except (OSError, RuntimeError, ValueError):  # a loop of links, a zero byte
            return False

    def beside(self, path: Path) -> Home:
        """The home of a file that a spec at home here refers to: another folder, the same root."""
        return Home(path.parent, self.root, self.sealed)


def home_of(path: Path) -> Home:
    """The home of a file that the user opened.

    Its root is the project that it lies in (the nearest folder with `.git`), or where there is
    none, its own folder. A bundle's spec keeps to its bundle.
    """
    try:
        folder = path.parent.resolve()
        if is_bundle(folder):
            return Home(path.parent, folder, sealed=True)
        project = (f for f in (folder, *folder.parents) if (f / PROJECT).exists())
        return Home(path.parent, next(project, folder))
    except (OSError, RuntimeError, ValueError):
        return Home(path.parent, path.parent.absolute())


def is_bundle(folder: Path) -> bool:
    """Whether a folder is that of an unpacked bundle."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            return file.read(len(BUNDLE)) == BUNDLE
    except OSError:
        return False


def here() -> Home:
    """The home of text without a file: where the user is."""
    return Home(Path(), Path().resolve())
