"""Picture files on disk as an array of pixels, read through Pillow."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from compiler.types import TensorType
from runtime.data.dataset import Part

Fit = Literal["crop", "pad", "stretch"]

# How many broken files a message names.
SHOWN = 5
# How much of a file that is not kept in memory tells it from others, in bytes.
BEGINNING = 2**16


class Broken(Exception):
    """A file that is not a picture that can be read; says why."""


@dataclass(frozen=True)
class Form:
    """What pictures are brought to.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: 3 for colours, 1 for grey.
        fit: `crop` keeps the proportions and cuts off what protrudes, `pad` keeps them and
            fills with black, `stretch` does not keep them.
    """

    height: int
    width: int
    channels: int
    fit: Fit = "crop"

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels


class Pictures:
    """Picture files as an array (pictures, height, width, channels) of uint8.

    They are read when they are asked for, by as many threads as there are cores.
    """

    def __init__(self, files: Iterable[str], form: Form, root: Path):
        """
        Args:
            files: paths, relative to `root`.
            form: what to bring them to.
            root: the folder that holds them all.
        """
        self.files, self.form, self.root = np.array(list(files), object), form, root
        self.dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.files), *self.form.shape

    @property
    def nbytes(self) -> int:
        """How much memory they would take."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, indices: Any) -> np.ndarray:
        files = self.files[indices]
        if isinstance(files, str):
            return self._read([files])[0]
        return self._read(list(files))

    def subset(self, indices: np.ndarray) -> Pictures:
        return Pictures(self.files[indices], self.form, self.root)

    def digests(self) -> list[bytes]:
        """Digests of the files' sizes and beginnings, which tell pictures apart."""
        def digest(name: str) -> bytes:
            with (self.root / name).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                return hashlib.blake2b(b"%d " % size + file.read(BEGINNING),
                                       digest_size=16).digest()

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(digest, self.files))

    def _read(self, files: Sequence[str]) -> np.ndarray:
        """The pictures: (files, height, width, channels).

        Raises:
            SpecError: F0630 some cannot be read, F0636 Pillow is missing.
        """
        library()
        result = np.empty((len(files), *self.form.shape), np.uint8)
        broken: list[tuple[str, str]] = []

        def read(start: int) -> None:
            for number in range(start, min(start + 64, len(files))):
                try:
                    result[number] = decoded(self.root / files[number], self.form)
                except Broken as error:
                    broken.append((files[number], str(error)))

        starts = range(0, len(files), 64)
        if len(starts) < 2:
            for start in starts:
                read(start)
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(read, starts))
        if broken:
            raise _unreadable(sorted(broken), self.root)
        return result


def as_field(files: Sequence[Any], name: str, kind: TensorType, fit: Fit = "crop") -> Part:
    """Picture files as a field of images.

    Args:
        files: their paths.
        name: the field.
        kind: its type: (height, width, channels).
        fit: how pictures of other proportions are made to fit.

    Raises:
        SpecError: F0630 some cannot be read, F0636 Pillow is missing.
        NotImplementedError: the field holds no pictures, but something else.
    """
    if kind.axes != ("height", "width", "channels") or kind.shape[2] not in (1, 3):
        raise NotImplementedError
    height, width, channels = (size for size in kind.shape if isinstance(size, int))
    paths = [str(path) for path in files]
    pixels = Pictures(paths, Form(height, width, channels, fit), Path())[:]
    return Part({name: pixels}, names=np.array(paths, object))


def decoded(path: Path, form: Form) -> np.ndarray:
    """A picture's pixels: (height, width, channels) uint8.

    Raises:
        Broken: it cannot be read.
    """
    image_module = library()
    from PIL import UnidentifiedImageError

    try:
        with image_module.open(path) as file:
            return brought(file, form)
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        raise Broken("the file is empty" if empty else "it is not a picture") from None
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise Broken(said) from None


def whole(path: Path, longest: int) -> tuple[np.ndarray, float]:
    """A picture as it is, upright, in colours: (height, width, 3) uint8.

    Args:
        path: its file.
        longest: it is made smaller where a side has more pixels.

    Returns:
        The pixels, and how many of them there are for one of the file.

    Raises:
        Broken: it cannot be read.
    """
    image_module = library()
    from PIL import ImageOps

    try:
        with image_module.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
            width = image.width
            image.thumbnail((longest, longest))
            return np.asarray(image), image.width / width
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise Broken(str(error)) from None


def brought(image: Any, form: Form) -> np.ndarray:
    """The pixels of one of Pillow's images, brought to a form: (height, width, channels)."""
    image_module = library()
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # Pillow would cut off what lies above 255
        image = image_module.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert("RGB" if form.channels == 3 else "L")
    size = (form.width, form.height)
    if image.size != size:
        bilinear = image_module.Resampling.BILINEAR
        match form.fit:
            case "crop":
                image = ImageOps.fit(image, size, bilinear)
            case "pad":
                image = ImageOps.pad(image, size, bilinear)
            case "stretch":
                image = image.resize(size, bilinear)
    return np.asarray(image).reshape(form.shape)


def library() -> Any:
    """Pillow's `Image` module.

    Raises:
        SpecError: F0636 it is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise SpecError([diagnostic(
            "F0636", "reading pictures needs Pillow, which is not installed",
            help='pip install "flaxspec[images]"')]) from None
    return Image


def _unreadable(broken: list[tuple[str, str]], root: Path) -> SpecError:
    if len(broken) == 1:
        ((file, why),) = broken
        return SpecError([diagnostic("F0630", f"`{root / file}` cannot be read: {why}",
                                     help="replace or remove it")])
    notes = [f"{file}: {why}" for file, why in broken[:SHOWN]]
    if len(broken) > SHOWN:
        notes.append(f"and {len(broken) - SHOWN:,} more")
    return SpecError([diagnostic(
        "F0630", f"{len(broken):,} pictures in `{root}` cannot be read", notes=notes,
        help="replace or remove them")])
