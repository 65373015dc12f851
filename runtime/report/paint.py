"""Numbers as colours, and pictures laid over, beside and into one another.

A picture is (height, width, 3) bytes here; `png.png` makes a file of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Colours from the lowest value to the highest: dark to bright, so that they are told apart in
# grey and by the colour-blind, too; and from far below nothing, through it, to far above.
HEAT = np.array([[8, 8, 40], [72, 20, 110], [165, 42, 100], [232, 92, 50], [250, 170, 50],
                 [252, 250, 190]], float)
AROUND = np.array([[33, 82, 190], [150, 180, 235], [247, 247, 247], [245, 170, 130],
                   [190, 45, 20]], float)


def heat(
    values: np.ndarray, low: float | None = None, high: float | None = None,
) -> np.ndarray:
    """Values as colours, from dark to bright: (..., 3) bytes.

    Args:
        values: any shape; what is no number is as dark as the lowest.
        low: the value of the darkest colour; the smallest one where not given.
        high: that of the brightest; the largest one where not given.
    """
    values, (least, most) = np.asarray(values, float), bounds(values)
    low, high = least if low is None else low, most if high is None else high
    return _between(HEAT, (values - low) / (high - low if high > low else 1.0))


def around(values: np.ndarray, reach: float | None = None) -> np.ndarray:
    """Values below 0 as blue, about 0 as white, above 0 as red: (..., 3) bytes.

    Args:
        values: any shape; what is no number is white.
        reach: the value of the reddest colour; the largest one, signs aside, where not given.
    """
    values = np.nan_to_num(np.asarray(values, float))
    reach = max(map(abs, bounds(values))) if reach is None else reach
    return _between(AROUND, values / (2 * reach if reach > 0 else 1.0) + 0.5)


def bounds(values: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest of the values that are numbers; 0 and 0 where none is."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _between(colours: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The colours at places from 0 to 1 along a row of them: (*places, 3) bytes."""
    at = np.clip(np.nan_to_num(places, nan=0.0), 0, 1) * (len(colours) - 1)
    before = np.minimum(at.astype(int), len(colours) - 2)
    share = (at - before)[..., None]
    return np.round(colours[before] * (1 - share) + colours[before + 1] * share).astype(np.uint8)


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """A picture of one or three channels of bytes (see `png.as_pixels`) in colour."""
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]


def enlarged(pixels: np.ndarray, least: int) -> np.ndarray:
    """A picture (height, width, channels) whose shorter side has at least so many pixels.

    Every pixel becomes a square, so that nothing is invented.
    """
    times = max(1, -(-least // max(min(pixels.shape[:2]), 1)))
    return np.repeat(np.repeat(pixels, times, axis=0), times, axis=1)


def stretched(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Values (rows, columns) on a grid of another size, bilinearly: (height, width).

    The outermost values go on to the edge: both grids cover the same rectangle.
    """
    down, across = _lines(values.shape[0], height), _lines(values.shape[1], width)
    return down @ np.asarray(values, float) @ across.T


def _lines(given: int, wanted: int) -> np.ndarray:
    """How much each of `given` values counts at each of `wanted` places: (wanted, given)."""
    at = np.clip((np.arange(wanted) + 0.5) * given / wanted - 0.5, 0, given - 1)
    before = np.minimum(at.astype(int), max(given - 2, 0))
    found = np.zeros((wanted, given))
    found[np.arange(wanted), before] = 1 - (at - before)
    if given > 1:
        found[np.arange(wanted), before + 1] = at - before
    return found


def laid_over(below: np.ndarray, above: np.ndarray, opacity: np.ndarray | float) -> np.ndarray:
    """A picture with another one of its size over it.

    Args:
        below: (height, width, 3) bytes.
        above: likewise.
        opacity: of the upper one, 0 to 1; one number, or (height, width).
    """
    share = np.asarray(opacity, float)
    share = share[..., None] if share.ndim else share
    return np.round(below * (1 - share) + above * share).astype(np.uint8)


def beside(pictures: Sequence[np.ndarray], gap: int = 4, columns: int = 0) -> np.ndarray:
    """Pictures of one size in rows, white between them.

    Args:
        pictures: (height, width, 3) bytes each; at least one.
        gap: how many pixels lie between them.
        columns: how many stand in a row; all of them where 0.
    """
    height, width, channels = pictures[0].shape
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255,
                    np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        sheet[y:y + height, x:x + width] = picture
    return sheet
