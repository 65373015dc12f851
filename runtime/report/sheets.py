"""Sheets of pictures that a model draws, while it is trained and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from runtime.report.listener import Beginning, Epoch, Listener
from runtime.report.paint import as_rgb, beside, enlarged
from runtime.report.png import png
from runtime.sampling import Sampler
from runtime.step import PureModel

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset
    from runtime.job import Job
    from runtime.tasks.image_generation import ImageGeneration

FOLDER = "samples"
# Pictures in a row of a sheet, its rows where there are no classes, and classes at most.
COLUMNS, ROWS, CLASSES = 8, 6, 20
# The shorter side of a picture on a sheet has at least so many pixels.
LEAST = 32
SEED = 0


class Sheets(Listener):
    """Writes samples/epoch-NNN.png: what the same latents become as training goes on.

    A row for each class, where the model takes classes, and a latent for each column.
    """

    def __init__(self, task: ImageGeneration, job: Job, dataset: Dataset, folder: Path):
        """Find out how the model draws.

        Raises:
            SpecError: F0702 what pictures are drawn from is not clear.
        """
        pure, _, _ = PureModel.split(job.model, job.inputs, dataset.normalise)
        self._sampler = Sampler(task, job.model, pure, dataset.meaning, dataset.normalise)
        self._folder, self._every, self._last = folder / FOLDER, task.every, 0
        self._latents, self._classes = laid_out(self._sampler, SEED)

    def begin(self, beginning: Beginning) -> None:
        self._last = beginning.epochs

    def epoch(self, epoch: Epoch) -> None:
        if epoch.weights is None or not (
                epoch.epoch in (1, self._last) or epoch.epoch % self._every == 0):
            return
        pictures = self._sampler.pictures(*epoch.weights(), self._latents, self._classes)
        digits = len(str(self._last))
        path = self._folder / f"epoch-{epoch.epoch:0{max(3, digits)}}.png"
        try:
            self._folder.mkdir(exist_ok=True)
            path.write_bytes(png(sheet(pictures, COLUMNS)))
        except OSError as error:
            raise SpecError([diagnostic(
                "F0841", f"`{path}` cannot be written: {error.strerror or error}",
                help="look at the space on the disk; `--resume` goes on from the last checkpoint",
            )]) from None


def laid_out(
    sampler: Sampler, seed: int, columns: int = COLUMNS,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Latents and classes of a sheet: a row for each class, or a few rows where there are none."""
    if not sampler.classes:
        return sampler.latent.drawn(columns * ROWS, seed), None
    rows = min(sampler.classes, CLASSES)
    latents = sampler.latent.drawn(columns, seed)
    return np.concatenate([latents] * rows), np.repeat(np.arange(rows), columns)


def sheet(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Pictures (count, height, width, channels) in rows: (height, width, 3) bytes."""
    return beside([enlarged(as_rgb(pixels), LEAST) for pixels in as_bytes(pictures)],
                  gap=2, columns=columns)


def as_bytes(pictures: np.ndarray) -> np.ndarray:
    """Pictures in 0 to 1 as bytes; what lies beyond is cut off."""
    shown = pictures if pictures.shape[-1] in (1, 3) else pictures[..., :1]
    return np.round(np.clip(np.nan_to_num(shown), 0, 1) * 255).astype(np.uint8)
