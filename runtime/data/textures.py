"""Coloured patterns of eight kinds, made from a seed: to be told apart, and to paint with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from compiler.types import TensorType
from runtime.data.source import Origin, Source

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset

KINDS = ("stripes", "checks", "dots", "rings", "waves", "zigzag", "bricks", "clouds")
AXES = ("height", "width", "channels")


class Textures(Source):
    """Patterns in colours: stripes, checks, dots, rings, waves, zigzag, bricks, clouds.

    Gives `image` (size, size, 3), between 0 and 1, and `label`, its kind. Scale, direction,
    colours and a little noise are drawn for each.
    """

    embedded: ClassVar[Origin] = Origin("coloured patterns of eight kinds, made from a seed")

    dataset: Literal["textures"] = Field(description="the word that chooses this source")
    size: int = Field(default=32, ge=8, le=512, description="height and width in pixels")
    count: int = Field(default=2000, ge=16, le=100_000, description="how many to make")
    seed: int = Field(
        default=0, ge=0, description="chooses them, and their parts, whatever the training seed")

    def fields(self) -> dict[str, TensorType]:
        return {"image": TensorType(AXES, (self.size, self.size, 3)),
                "label": TensorType((), (), "int", vocabulary=len(KINDS))}

    def targets(self) -> tuple[str, ...]:
        return ("label",)

    def load(self) -> Dataset:
        import numpy as np

        from runtime.data.dataset import Dataset, Part
        from runtime.data.split import stratified

        labels = np.arange(self.count, dtype=np.int32) % len(KINDS)
        images = np.stack([texture(KINDS[label], self.size, np.random.default_rng(
            [self.seed, number])) for number, label in enumerate(labels)])
        whole = Part({"image": images, "label": labels})
        cut = stratified(labels, self.validation, self.test, self.seed)
        return Dataset(self.fields(), whole.take(cut.train), whole.take(cut.validation),
                       whole.take(cut.test), labels={"label": KINDS})


def texture(
    kind: str, size: int, draw: np.random.Generator, often: tuple[float, float] = (4, 9),
) -> np.ndarray:
    """A pattern: (size, size, 3) float32 between 0 and 1.

    Args:
        kind: one of `KINDS`.
        size: in pixels.
        draw: gives the numbers that it is made of.
        often: how often a pattern comes again across the picture: from, to.
    """
    import numpy as np

    angle, times = draw.uniform(0, np.pi), draw.uniform(*often)
    y, x = np.mgrid[:size, :size] / size + draw.uniform(0, 1, (2, 1, 1))
    u = times * (np.cos(angle) * x + np.sin(angle) * y)
    v = times * (np.cos(angle) * y - np.sin(angle) * x)
    heights: Mapping[str, object] = {
        "stripes": lambda: np.sin(2 * np.pi * u),
        "checks": lambda: np.sin(2 * np.pi * u) * np.sin(2 * np.pi * v) * 3,
        "dots": lambda: 2 - 6 * np.hypot(u % 1 - 0.5, v % 1 - 0.5),
        "rings": lambda: np.sin(2 * np.pi * times * np.hypot(x - x.mean(), y - y.mean())),
        "waves": lambda: np.sin(2 * np.pi * (u + 0.3 * np.sin(2 * np.pi * v / 2))),
        "zigzag": lambda: np.sin(2 * np.pi * (u + np.abs(v % 1 - 0.5))),
        "bricks": lambda: 8 * np.minimum(_edge(v), _edge(u / 2 + 0.5 * (v // 1 % 2))) - 1,
        "clouds": lambda: _clouds(u, v, draw),
    }
    found = heights[kind]
    assert callable(found)
    share = np.clip(0.5 + found(), 0, 1)[..., None]
    first, second = _colours(draw)
    noise = draw.normal(0, 0.03, (size, size, 3))
    return np.clip(first * share + second * (1 - share) + noise, 0, 1).astype(np.float32)


def _edge(u: np.ndarray) -> np.ndarray:
    """How far each place is from a whole number: 0 to 0.5."""
    import numpy as np

    return 0.5 - np.abs(u % 1 - 0.5)


def _clouds(u: np.ndarray, v: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Waves of many lengths and directions, one on another."""
    import numpy as np

    found = np.zeros_like(u)
    for octave in range(1, 5):
        for _ in range(3):
            turn, begin = draw.uniform(0, 2 * np.pi, 2)
            found += np.sin(octave * (np.cos(turn) * u + np.sin(turn) * v) * 2 + begin) / octave
    return found / 3


def _colours(draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two colours that can be told apart."""
    import numpy as np

    first = draw.uniform(0, 1, 3)
    while True:
        second = draw.uniform(0, 1, 3)
        if np.abs(first - second).sum() > 0.9:
            return first, second
