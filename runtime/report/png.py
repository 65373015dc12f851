"""Pictures in a page: arrays as PNG, made with the standard library alone."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6
KINDS = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGBA}


def png(pixels: np.ndarray) -> bytes:
    """A PNG file (ISO/IEC 15948).

    Args:
        pixels: (height, width, channels) uint8; 1 channel is grey, 3 are colours, 2 and 4
            have opacity behind.
    """
    height, width, channels = pixels.shape
    if channels not in KINDS:
        raise ValueError(f"no kind of picture has {channels} channels")
    # Each row begins with its filter; 0 is none.
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, KINDS[channels], 0, 0, 0)
    return (SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9))
            + _chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def data_uri(pixels: np.ndarray) -> str:
    """A picture as the `src` of an `img`."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def as_pixels(image: np.ndarray) -> np.ndarray:
    """An image of any range as bytes, from its smallest value to its largest.

    Values between 0 and 1 stay as they are. Of images with other numbers of channels than a
    picture has, the first one is shown.

    Args:
        image: (height, width, channels), floats or uint8.
    """
    import numpy as np

    image = image if image.shape[-1] in (1, 3) else image[..., :1]
    if image.dtype == np.uint8:
        return image
    image = np.nan_to_num(np.asarray(image, np.float64))
    low, high = float(image.min(initial=0)), float(image.max(initial=1))
    if low < 0 or high > 1:
        image = (image - low) / (high - low)
    return np.round(image * 255).astype(np.uint8)
