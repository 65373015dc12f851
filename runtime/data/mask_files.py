"""Mask files on disk as an array of class numbers, read through Pillow."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from runtime.data.pictures import Form, library

# How many files a message names.
SHOWN = 5


class Masks:
    """Mask files as an array (masks, height, width) of int32.

    They are read when they are asked for, by as many threads as there are cores.
    """

    ndim = 3

    def __init__(
        self, files: Iterable[str], form: Form, root: Path, classes: int, ignore: int | None,
    ):
        """
        Args:
            files: paths, relative to `root`.
            form: the size to bring them to, as their pictures are.
            root: the folder that holds them all.
            classes: how many there are.
            ignore: the number that marks pixels without one.
        """
        self.files, self.form, self.root = np.array(list(files), object), form, root
        self.classes, self.ignore, self.dtype = classes, ignore, np.dtype(np.int32)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.files), self.form.height, self.form.width

    @property
    def nbytes(self) -> int:
        """How much memory they would take."""
        return 4 * int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, indices: Any) -> np.ndarray:
        files = self.files[indices]
        return self._read([files])[0] if isinstance(files, str) else self._read(list(files))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def subset(self, indices: np.ndarray) -> Masks:
        return Masks(self.files[indices], self.form, self.root, self.classes, self.ignore)

    def digests(self) -> list[bytes]:
        """Digests of the files."""
        return [hashlib.blake2b((self.root / name).read_bytes(), digest_size=16).digest()
                for name in self.files]

    def _read(self, files: Sequence[str]) -> np.ndarray:
        """The masks: (files, height, width).

        Raises:
            SpecError: F0630 one cannot be read, F0633 it holds what is no class.
        """
        library()
        if not files:
            return np.empty((0, *self.shape[1:]), np.int32)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return np.stack(list(pool.map(self._one, files)))

    def _one(self, name: str) -> np.ndarray:
        """A mask (height, width), checked."""
        path = self.root / name
        found = class_numbers(path, self.form)
        wrong = (found < 0) | (found >= self.classes)
        if self.ignore is not None:
            wrong &= found != self.ignore
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise SpecError([diagnostic(
                "F0633", f"`{path}` holds {found[row, column]}, which is no class: they go from 0 "
                         f"to {self.classes - 1}",
                notes=[f"{int(wrong.sum()):,} of its pixels are wrong"],
                help="correct `classes`, or say `ignore: "
                     f"{found[row, column]}` if it marks pixels without a class")])
        return found


def class_numbers(path: Path, form: Form) -> np.ndarray:
    """The numbers in a mask, at a size: (height, width) int32; no new numbers are made.

    Raises:
        SpecError: F0630 it cannot be read, or has colours.
    """
    image_module = library()
    from PIL import ImageOps, UnidentifiedImageError

    nearest, size = image_module.Resampling.NEAREST, (form.width, form.height)
    try:
        with image_module.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode not in ("1", "L", "P", "I", "I;16"):
                raise ValueError("it has colours, not the numbers of classes")
            numbers = image_module.fromarray(np.asarray(image).astype(np.int32))
            if numbers.size != size:
                numbers = ImageOps.fit(numbers, size, nearest) if form.fit == "crop" else (
                    numbers.resize(size, nearest))
            return np.asarray(numbers, np.int32)
    except UnidentifiedImageError:
        reason = "the file is empty" if not path.stat().st_size else "it is not a picture"
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise SpecError([diagnostic(
        "F0630", f"the mask `{path}` cannot be read: {reason}",
        help="write masks as PNG files with one channel, or with a palette")])


def check_sizes(files: Sequence[tuple[Path, Path]]) -> None:
    """Raise F0634 where a mask is not as large as its picture.

    Files that cannot be read at all are left to those who read them.
    """
    wrong = []
    for picture, mask in files:
        sizes = [upright_size(path) for path in (picture, mask)]
        if None not in sizes and sizes[0] != sizes[1]:
            wrong.append((mask, sizes))
    if wrong:
        mask, ((width, height), (mask_width, mask_height)) = wrong[0]
        more = [str(path) for path, _ in wrong[1:SHOWN]]
        raise SpecError([diagnostic(
            "F0634", f"the mask `{mask}` has {mask_height} × {mask_width} pixels, and its picture "
                     f"{height} × {width}",
            notes=[f"{len(wrong):,} masks are of another size: {', '.join([str(mask), *more])}"
                   + (", …" if len(wrong) > SHOWN else "")] if len(wrong) > 1 else (),
            help="a mask has a pixel for each pixel of its picture")])


def upright_size(path: Path) -> tuple[int, int] | None:
    """The width and height of a picture, upright; None where it cannot be read."""
    image_module = library()
    try:
        with image_module.open(path) as file:
            turned = file.getexif().get(0x0112, 1) >= 5
            return file.size[::-1] if turned else file.size
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError):
        return None
