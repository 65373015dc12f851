"""Landscapes with a style to paint them in: pictures made from a seed, for style transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from compiler.types import TensorType
from runtime.data.source import Fraction, Origin, Source
from runtime.data.textures import AXES

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset

# How often the pattern comes again across a picture: small enough for a classifier to see it whole.
OFTEN = (9.0, 12.0)
Style = Literal["stripes", "checks", "dots", "rings", "waves", "zigzag", "bricks", "clouds"]


class Landscapes(Source):
    """Skies, suns, hills, houses and water in flat colours, and one pattern beside all of them.

    Gives `content`, a landscape, and `style`, the same texture for every one of them; both
    (size, size, 3), between 0 and 1.
    """

    embedded: ClassVar[Origin] = Origin("landscapes and a pattern, made from a seed")

    dataset: Literal["landscapes"] = Field(description="the word that chooses this source")
    validation: Fraction = Field(
        default=0.0, description="the part of all examples that validates; 0 for none")
    test: Fraction = Field(
        default=0.0, description="the part of all examples that is looked at once, at the end")
    size: int = Field(default=128, ge=16, le=512, description="height and width in pixels")
    count: int = Field(default=1, ge=1, le=10_000, description="how many landscapes to make")
    repeat: int = Field(
        default=1, ge=1, le=10_000, description="how often an epoch shows each of them")
    style: Style = Field(default="waves", description="the kind of the pattern")
    seed: int = Field(
        default=0, ge=0, description="chooses them, and their parts, whatever the training seed")

    def fields(self) -> dict[str, TensorType]:
        kind = TensorType(AXES, (self.size, self.size, 3))
        return {"content": kind, "style": kind}

    def targets(self) -> tuple[str, ...]:
        return ()

    def load(self) -> Dataset:
        import numpy as np

        from runtime.data.dataset import Dataset, Part
        from runtime.data.split import stratified
        from runtime.data.textures import texture

        content = np.stack([landscape(self.size, np.random.default_rng([self.seed, 1, number]))
                            for number in range(self.count)])
        style = texture(self.style, self.size, np.random.default_rng([self.seed, 2]), OFTEN)
        whole = Part({"content": content,
                      "style": np.broadcast_to(style, content.shape).copy()})
        cut = stratified(np.zeros(self.count, np.int32), self.validation, self.test, self.seed)
        return Dataset(self.fields(), whole.take(np.repeat(cut.train, self.repeat)),
                       whole.take(cut.validation), whole.take(cut.test))


def landscape(size: int, draw: np.random.Generator) -> np.ndarray:
    """A landscape: (size, size, 3) float32 between 0 and 1."""
    import numpy as np

    y, x = np.mgrid[:size, :size] / size
    picture = _mixed(np.array([0.25, 0.5, 0.85]) + draw.uniform(-0.15, 0.15, 3),
                     np.array([0.95, 0.85, 0.7]) + draw.uniform(-0.05, 0.05, 3), y / 0.7)

    def paint(where: np.ndarray, colour: np.ndarray) -> None:
        # Edges are two pixels wide.
        share = np.clip(0.5 + where * size / 2, 0, 1)[..., None]
        picture[:] = picture * (1 - share) + colour * share

    sun = draw.uniform(0.2, 0.8), draw.uniform(0.12, 0.35)
    paint(draw.uniform(0.07, 0.12) - np.hypot(x - sun[0], y - sun[1]), np.array([1, 0.9, 0.4]))
    for level, green in ((0.5, 0.35), (0.62, 0.5)):
        ridge = level + sum(draw.uniform(0.02, 0.07) * np.sin(
            2 * np.pi * (rate * x + draw.uniform())) for rate in (1, 2.3))
        paint(y - ridge, np.array([0.3, green, 0.35]) + draw.uniform(-0.1, 0.1, 3))
    left, floor = draw.uniform(0.15, 0.6), draw.uniform(0.76, 0.84)
    wide, high = draw.uniform(0.18, 0.26), draw.uniform(0.14, 0.2)
    wall = np.minimum(wide / 2 - np.abs(x - left - wide / 2), high / 2 - np.abs(
        y - floor + high / 2))
    paint(wall, draw.uniform(0.5, 0.95, 3))
    roof = np.minimum(y - floor + 1.7 * high, floor - high - y) - np.maximum(
        0, np.abs(x - left - wide / 2) - (y - floor + 1.7 * high))
    paint(roof, np.array([0.65, 0.2, 0.15]) + draw.uniform(-0.1, 0.1, 3))
    paint(np.minimum(wide / 10 - np.abs(x - left - wide / 2), high / 4 - np.abs(
        y - floor + high / 4)), np.array([0.3, 0.2, 0.15]))
    paint(y - draw.uniform(0.87, 0.92) - 0.01 * np.sin(40 * x), np.array([0.2, 0.4, 0.6]))
    return np.clip(picture, 0, 1).astype(np.float32)


def _mixed(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Colours from one to the other: (height, width, 3)."""
    import numpy as np

    share = np.clip(share, 0, 1)[..., None]
    return first * (1 - share) + second * share
