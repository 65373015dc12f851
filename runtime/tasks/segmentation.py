"""Segmentation: one class for every pixel of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from runtime.tasks.labelling import Labelling

if TYPE_CHECKING:
    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch
    from runtime.data.dataset import Meaning


class Segmentation(Labelling):
    """One class for every pixel: cross entropy in nats per pixel, accuracy, and `miou`.

    `miou` is the mean over the classes of intersection over union, all pixels of all images
    taken together, as in Pascal VOC.
    """

    word: ClassVar[str] = "segmentation"
    monitor: ClassVar[str] = "miou"
    axes: ClassVar[tuple[str, ...]] = ("height", "width")
    place: ClassVar[str] = "pixel"
    class_score: ClassVar[str] = "iou"
    summary_score: ClassVar[str] = "miou"
    class_scores: ClassVar[tuple[str, ...]] = ("iou", "precision", "recall", "f1")

    target: str = Field(default="mask", description="the field that holds the classes")
    ignore: int | None = Field(
        default=None, description="the number that marks pixels without a class, such as 255")

    @property
    def ignored(self) -> int | None:
        return self.ignore

    def advice(self, classes: int | None) -> str:
        return (f"end the model with `conv: {{filters: {classes}, kernel: 1}}` at the size of the "
                "image; `upsample` brings a smaller map back to it")

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """What each image shows.

        `shares`, the part of the image by class; `probability`, that of the class said, as a
        mean over the pixels; `mask`, a list of rows of class numbers.
        """
        from runtime.tasks.naming import number, rows_of, softmax

        logits = rows_of(outputs[self.chosen(outputs)], batch)
        found = []
        for scores in logits:
            mask = scores.argmax(axis=-1)
            found.append({**self._shares(mask, scores.shape[-1], meaning),
                          "probability": number(softmax(scores).max(axis=-1).mean()),
                          "mask": mask.tolist()})
        return found

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        """`mask`, with the number that marks pixels without a class."""
        import numpy as np

        masks = np.asarray(batch.arrays[self.target])[np.asarray(batch.rows)]
        return [{"mask": mask.tolist()} for mask in masks]

    def _shares(self, mask: Any, classes: int, meaning: Meaning) -> dict[str, Any]:
        import numpy as np

        from runtime.tasks.naming import number

        names = meaning.names(self.target, classes)
        counts = np.bincount(mask.reshape(-1), minlength=classes)
        order = np.argsort(-counts, kind="stable")
        return {"shares": {names[i]: number(counts[i] / mask.size) for i in order if counts[i]}}
