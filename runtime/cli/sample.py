"""`flaxspec sample`: a finished run draws pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from runtime.report.png import png
from runtime.report.sheets import COLUMNS, as_bytes, sheet
from runtime.sampling import Sampler
from runtime.saved import load

# Rows of a sheet of interpolations, where the model takes no classes.
WAYS = 6


@dataclass(frozen=True)
class Order:
    """What is to be drawn.

    Attributes:
        count: how many pictures; with `steps`, how many rows.
        classes: names or numbers; all where none.
        seed: what the latents are drawn with.
        steps: pictures from one latent to the next; None for pictures apart from one another.
    """

    count: int | None
    classes: tuple[str, ...]
    seed: int
    steps: int | None


@dataclass(frozen=True)
class Targets:
    """The files to write, and whether they may be there already."""

    sheet: Path | None
    arrays: Path | None
    pictures: Path | None
    force: bool


def run(run: str, order: Order, targets: Targets) -> None:
    """Draw pictures and write them; print what was written.

    Raises:
        SpecError: F0702 and following: the run cannot draw them; F0807 a file is there already,
            F0841 it cannot be written.
    """
    files = [path for path in (targets.sheet, targets.arrays) if path is not None]
    for path in files:
        if path.exists() and not targets.force:
            raise SpecError([diagnostic(
                "F0807", f"`{path}` is there already",
                help="give another name, or say `--force` to write over it")])
    trained = load(run)
    sampler = Sampler.of(trained)
    latents, classes, columns = _laid_out(sampler, order)
    images = sampler.pictures(trained.params, trained.rest, latents, classes)
    if targets.sheet is not None:
        _write(targets.sheet, png(sheet(images, columns)))
        print(f"wrote {targets.sheet}: {len(images):,} pictures in rows of {columns}")
    if targets.arrays is not None:
        _write_arrays(targets.arrays, images, latents, classes)
        print(f"wrote {targets.arrays}: {len(images):,} pictures and their latents")
    if targets.pictures is not None:
        _write_pictures(targets.pictures, images, sampler, classes, force=targets.force)
        print(f"wrote {len(images):,} pictures into {targets.pictures}")


def _laid_out(
    sampler: Sampler, order: Order,
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Latents, the class of each, and how many pictures stand in a row.

    With classes, a row is one class and a column one latent; where a row would be too long, it
    is broken.
    """
    kinds = sampler.numbers(order.classes)
    if order.steps is not None:
        rows = order.count or len(kinds) or WAYS
        ends = sampler.latent.drawn(2 * rows, order.seed).reshape(
            rows, 2, *sampler.latent.shape)
        ways = np.concatenate([sampler.latent.between(a, b, order.steps) for a, b in ends])
        asked = np.repeat(np.resize(kinds, rows), order.steps) if kinds else None
        return ways, asked, order.steps
    count = order.count or (COLUMNS * len(kinds) or COLUMNS * COLUMNS)
    if not kinds:
        return sampler.latent.drawn(count, order.seed), None, min(count, COLUMNS)
    each = -(-count // len(kinds))
    latents = np.concatenate([sampler.latent.drawn(each, order.seed)] * len(kinds))[:count]
    columns = each if each <= 2 * COLUMNS else COLUMNS
    return latents, np.repeat(kinds, each)[:count], columns


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise _not_written(path, error) from None


def _write_arrays(
    path: Path, images: np.ndarray, latents: np.ndarray, classes: np.ndarray | None,
) -> None:
    """images (count, height, width, channels), latents (count, …), labels (count,)."""
    more: dict[str, Any] = {} if classes is None else {"labels": classes}
    try:
        with open(path, "wb") as file:
            np.savez_compressed(file, images=images, latents=latents, **more)
    except OSError as error:
        raise _not_written(path, error) from None


def _write_pictures(
    folder: Path, images: np.ndarray, sampler: Sampler, classes: np.ndarray | None, *, force: bool,
) -> None:
    """A file for each picture, as large as the model draws it."""
    from runtime.cli.drawings import DrawingFolder
    from runtime.tasks.drawing import Drawing

    out = DrawingFolder(folder, force=force)
    digits = max(4, len(str(len(images))))
    for number, pixels in enumerate(as_bytes(images)):
        kind = "" if classes is None else f"-{sampler.names[int(classes[number])]}"
        out.write(f"{number:0{digits}}{kind}", Drawing(".png", png(pixels)))


def _not_written(path: Path, error: OSError) -> SpecError:
    return SpecError([diagnostic(
        "F0841", f"`{path}` cannot be written: {error.strerror or error}",
        help="look at the rights of the folder, and at the space on the disk")])
