"""Where `flaxspec predict --draw` puts what a task draws: a file for each input."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.diagnostics import SpecError, diagnostic

if TYPE_CHECKING:
    from runtime.tasks.drawing import Drawing

# What is no letter, digit, dot or dash in an input's name is a dash in a file's, and a file's
# name has at most so many characters before its suffix: every system takes such names.
STRANGE = re.compile(r"[^\w.-]+", re.ASCII)
LONGEST = 80
# The ending of the input's own file: "cat.jpg" and "digits.npy:3" become "cat" and "digits-3".
ENDING = re.compile(r"\.[A-Za-z]\w{0,7}(?=$|:)", re.ASCII)


class DrawingFolder:
    """A folder that drawings are written into, each under a name of its own."""

    def __init__(self, folder: Path, *, force: bool):
        """Make the folder, if it is not there.

        Args:
            folder: where it is.
            force: whether files that are there already are written over.

        Raises:
            SpecError: F0841 it cannot be made.
        """
        self._folder, self._force = folder, force
        self._taken: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_written(folder, error) from None

    def write(self, name: str, drawing: Drawing) -> Path:
        """Write the drawing of an input; its file.

        Args:
            name: what the input is called.
            drawing: what to write.

        Raises:
            SpecError: F0807 there is such a file already, F0841 it cannot be written.
        """
        path = self._folder / (self._free(file_stem(name), drawing.suffix) + drawing.suffix)
        try:
            with open(path, "wb" if self._force else "xb") as file:
                file.write(drawing.content)
        except FileExistsError:
            raise SpecError([diagnostic(
                "F0807", f"`{path}` is there already",
                help="draw into another folder, or say `--force` to write over it")]) from None
        except OSError as error:
            raise _not_written(path, error) from None
        return path

    def _free(self, stem: str, suffix: str) -> str:
        """A stem that no other input has; systems may not tell capitals from small letters."""
        found, number = stem, 1
        while (found + suffix).casefold() in self._taken:
            number += 1
            found = f"{stem}-{number}"
        self._taken.add((found + suffix).casefold())
        return found


def file_stem(name: str) -> str:
    """What the file for an input is called, without its suffix: safe on every system.

    Example:
        >>> file_stem("photos/cat.jpg"), file_stem("digits.npy:3"), file_stem("../.x y")
        ('cat', 'digits-3', 'x-y')
    """
    inner = ENDING.sub("", name.replace("\\", "/").rstrip("/").rpartition("/")[2])
    return STRANGE.sub("-", inner).strip(".-")[:LONGEST] or "input"


def _not_written(path: Path, error: OSError) -> SpecError:
    return SpecError([diagnostic(
        "F0841", f"`{path}` cannot be written: {error.strerror or error}",
        help="look at the rights of the folder, and at the space on the disk")])
