"""Scenes of real handwritten digits on clutter, with exact boxes, for object detection.

The digits are those of `digits.py`; the rest is drawn by a seeded generator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from compiler.types import TensorType
from runtime.data.boxes import TARGETS, box_fields
from runtime.data.embedded import path as embedded
from runtime.data.source import Origin, Source
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part
    from runtime.preprocessing import Preprocessing

# The fewest and the most digits of a scene.
FEWEST, MOST = 1, 6
# The side of the square that a digit is drawn on, in pixels: the least, and as a part of the
# picture's the largest. All sizes are equally frequent on a logarithmic scale.
LEAST, LARGEST = 14, 0.5
# Boxes of a scene may share this much of the smaller one.
SHARED = 0.1
# What is darker than this is no ink; boxes go around the ink.
INK = 0.25


class DigitScenes(Source):
    """Grey scenes of one to six real digits of many sizes on clutter, with exact boxes.

    Gives `image` (size, size, 1) between 0 and 1, and the boxes in ten classes. The digits of a
    part are in no other part.
    """

    embedded: ClassVar[Origin] = Origin(
        "scenes of handwritten digits on clutter, for object detection",
        "https://doi.org/10.24432/C50P49", "CC BY 4.0")

    dataset: Literal["digit_scenes"] = Field(description="the word that chooses this source")
    scenes: int = Field(
        default=2400, ge=10, le=200_000, description="how many there are, all parts together")
    size: int = Field(
        default=96, ge=32, le=1024, description="the height and width of a scene, in pixels")
    scene_seed: int = Field(
        default=0, ge=0, description="decides the scenes, whatever the training seed")

    @model_validator(mode="after")
    def _fits_memory(self) -> Self:
        if self.scenes * self.size**2 > 2**31:
            raise problem("so many scenes of this size take more than 2 GiB",
                          help="ask for fewer `scenes`, or a smaller `size`")
        return self

    def fields(self) -> dict[str, TensorType]:
        return box_fields((self.size, self.size, 1), MOST, 10)

    def targets(self) -> tuple[str, ...]:
        return TARGETS

    def load(self) -> Dataset:
        import numpy as np

        from runtime.data.dataset import Dataset, Part
        from runtime.data.split import stratified

        with np.load(embedded("digits.npz")) as file:
            digits, labels = file["images"].astype(np.float32) / 16, file["labels"]
        cut = stratified(labels, self.validation or 0.1, self.test or 0.1, 0)
        sizes = {"validation": round(self.scenes * self.validation),
                 "test": round(self.scenes * self.test)}
        sizes["train"] = self.scenes - sum(sizes.values())
        parts = {}
        for number, name in enumerate(("train", "validation", "test")):
            chosen = getattr(cut, name)
            random = np.random.Generator(np.random.PCG64([self.scene_seed, number]))
            parts[name] = Part(compose(digits[chosen], labels[chosen], sizes[name], self.size,
                                       random))
        return Dataset(self.fields(), parts["train"], parts["validation"], parts["test"],
                       labels={"label": tuple("0123456789")})

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Picture files, filled up with black where they are no squares."""
        from runtime.data.box_files import framed

        if not all(isinstance(each, str | Path) for each in inputs):
            raise NotImplementedError
        return framed(inputs, self.fields()["image"], "pad")

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """Other scenes: a JSON file in COCO's form, with its pictures beside it."""
        from runtime.data.coco import Coco

        return Coco(coco=str(path), pictures=str(path.parent), size=[self.size, self.size],
                    channels=1).examples(path, known)


def compose(
    digits: np.ndarray, labels: np.ndarray, count: int, size: int, random: np.random.Generator,
) -> dict[str, np.ndarray]:
    """The fields of `count` scenes.

    Args:
        digits: (digits, 8, 8) between 0 and 1.
        labels: (digits,) their classes.
        count: how many scenes.
        size: their height and width, in pixels.
        random: decides everything.
    """
    import numpy as np

    from runtime.data.boxes import OBJECT, Boxed, box_arrays

    images = np.empty((count, size, size, 1), np.uint8)
    boxed = []
    for i in range(count):
        canvas = clutter(size, random)
        boxes: list[list[int]] = []
        kinds: list[int] = []
        for _ in range(int(random.integers(FEWEST, MOST + 1))):
            chosen = int(random.integers(len(digits)))
            placed = _place(canvas, digits[chosen], boxes, random)
            if placed is not None:
                boxes.append(placed)
                kinds.append(int(labels[chosen]))
        images[i, :, :, 0] = np.round(canvas.clip(0, 1) * 255)
        areas = [float((r - x) * (b - y)) for x, y, r, b in boxes]
        boxed.append(Boxed(boxes, kinds, [OBJECT] * len(boxes), areas))
    frames = np.tile(np.array([1, 1, 0, 0, size, size], np.float32), (count, 1))
    return {"image": images, **box_arrays(boxed, frames, MOST)}


def clutter(size: int, random: np.random.Generator) -> np.ndarray:
    """A ground of uneven light, strokes, patches and grain: (size, size) about 0 to 0.6."""
    import numpy as np

    coarse = random.uniform(0.0, 0.4, (5, 5))
    canvas = resized(coarse, size, size)
    for _ in range(int(random.integers(2, 7))):  # patches
        height, width = random.integers(3, max(4, size // 3), 2)
        y, x = random.integers(0, size, 2)
        canvas[y:y + height, x:x + width] += random.uniform(-0.2, 0.2)
    for _ in range(int(random.integers(2, 7))):  # strokes, as thick as those of digits
        half, thick = int(random.integers(2, size // 10 + 2)), random.uniform(0.5, 2.5)
        angle, light = random.uniform(0, np.pi), random.uniform(-0.3, 0.5)
        places = np.arange(-half, half + 1)
        across = places[:, None] * np.cos(angle) - places * np.sin(angle)
        y, x = random.integers(0, size - 2 * half, 2)
        canvas[y:y + len(places), x:x + len(places)] += light * (np.abs(across) < thick)
    return (canvas + random.normal(0, 0.03, (size, size))).clip(0, 0.8)


def _place(
    canvas: np.ndarray, digit: np.ndarray, others: list[list[int]], random: np.random.Generator,
) -> list[int] | None:
    """Draw a digit where it hides no other; its box, or None where there was no room."""
    import numpy as np

    size = len(canvas)
    side = int(round(np.exp(random.uniform(np.log(LEAST), np.log(LARGEST * size)))))
    stretch = random.uniform(0.8, 1.2)
    ink = resized(digit, side, max(8, min(size, round(side * stretch)))).clip(0, 1)
    down, right = np.flatnonzero(ink.max(axis=1) > INK), np.flatnonzero(ink.max(axis=0) > INK)
    ink = ink[down[0]:down[-1] + 1, right[0]:right[-1] + 1]
    height, width = ink.shape
    light = random.uniform(0.75, 1.0)
    for _ in range(20):
        y, x = (int(random.integers(0, size - length + 1)) for length in (height, width))
        box = [x, y, x + width, y + height]
        if all(_shared(box, other) <= SHARED for other in others):
            under = canvas[y:y + height, x:x + width]
            under += (light - under) * ink
            return box
    return None


def _shared(box: list[int], other: list[int]) -> float:
    """What two boxes have in common, as a part of the smaller one's area."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    least = min((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return max(width, 0) * max(height, 0) / least


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image (rows, columns) enlarged by linear interpolation: (height, width)."""
    return _weights(height, image.shape[0]) @ image @ _weights(width, image.shape[1]).T


def _weights(size: int, given: int) -> np.ndarray:
    """What each of `size` places takes of each of `given`: (size, given)."""
    import numpy as np

    places = ((np.arange(size) + 0.5) * given / size - 0.5).clip(0, given - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(given)))
