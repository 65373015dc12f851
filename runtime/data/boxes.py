"""Pictures with boxes: the fields that every source of them gives, and how pictures are fitted.

Boxes are left, top, right and bottom in pixels of the field `image`, the corner of its first pixel
being (0, 0). A picture has room for so many boxes; `status` tells which are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compiler.types import TensorType

if TYPE_CHECKING:
    import numpy as np

# What `status` says of a box: nothing is there; an object; a crowd of objects, in which what is
# found counts neither as right nor as wrong; an object too difficult to be counted when missed.
NOTHING, OBJECT, CROWD, DIFFICULT = range(4)
BOX_AXES = ("boxes", "channels")
TARGETS = ("boxes", "label", "status", "area", "frame")


def box_fields(
    shape: tuple[int, int, int], most: int, classes: int | None,
) -> dict[str, TensorType]:
    """The fields of pictures with boxes.

    `area` is that of each object in the original picture, in pixels². `frame` leads from
    `image` to the original picture: horizontal and vertical scale, offset from the left and from
    the top, and the original's width and height: original = (place - offset) / scale.

    Args:
        shape: height, width and channels of a picture.
        most: how many boxes there is room for.
        classes: how many classes there are; None where only the data knows.
    """
    return {
        "image": TensorType(("height", "width", "channels"), shape),
        "boxes": TensorType(BOX_AXES, (most, 4)),
        "label": TensorType(("boxes",), (most,), "int", vocabulary=classes),
        "status": TensorType(("boxes",), (most,), "int", vocabulary=4),
        "area": TensorType(("boxes",), (most,)),
        "frame": TensorType(("channels",), (6,)),
    }


@dataclass(frozen=True)
class Boxed:
    """The boxes of one picture, in pixels of the picture as it is stored.

    Attributes:
        boxes: left, top, right, bottom of each.
        labels: the number of the class of each.
        status: OBJECT, CROWD or DIFFICULT.
        areas: in pixels²; those of masks where the data has them.
    """

    boxes: Sequence[Sequence[float]]
    labels: Sequence[int]
    status: Sequence[int]
    areas: Sequence[float]


def frame(
    original: tuple[int, int], size: tuple[int, int], fit: str,
) -> tuple[float, float, float, float, float, float]:
    """The way from a picture brought to a size to the original, as the field `frame` tells it.

    It is what `pictures.brought` does with `fit: pad` (Pillow's `ImageOps.pad`) and `stretch`.

    Args:
        original: width and height.
        size: width and height of the result.
        fit: `pad`, black beside or above and below the whole picture, or `stretch`.
    """
    width, height = original
    if fit == "stretch" or width * size[1] == height * size[0]:
        return (size[0] / width, size[1] / height, 0.0, 0.0, float(width), float(height))
    if width * size[1] > height * size[0]:  # wider than what it goes into
        inner = (size[0], max(1, round(height / width * size[0])))
    else:
        inner = (max(1, round(width / height * size[1])), size[1])
    left, top = round((size[0] - inner[0]) * 0.5), round((size[1] - inner[1]) * 0.5)
    return (inner[0] / width, inner[1] / height, float(left), float(top),
            float(width), float(height))


def box_arrays(pictures: Sequence[Boxed], frames: np.ndarray, most: int) -> dict[str, np.ndarray]:
    """The fields of the boxes of pictures: (pictures, most, …) and `frame` (pictures, 6).

    Args:
        pictures: the boxes of each, at most `most`.
        frames: (pictures, 6) how each is fitted.
        most: how many boxes there is room for.
    """
    import numpy as np

    count = len(pictures)
    boxes = np.zeros((count, most, 4), np.float32)
    label, status = np.zeros((2, count, most), np.int32)
    area = np.zeros((count, most), np.float32)
    for i, picture in enumerate(pictures):
        number = len(picture.boxes)
        if number:
            boxes[i, :number] = to_picture(np.asarray(picture.boxes, np.float64), frames[i])
        label[i, :number], status[i, :number] = picture.labels, picture.status
        area[i, :number] = picture.areas
    return {"boxes": boxes, "label": label, "status": status, "area": area,
            "frame": np.asarray(frames, np.float32)}


def to_picture(boxes: np.ndarray, frame: Any) -> np.ndarray:
    """Boxes (boxes, 4) of the original picture, in pixels of the fitted one."""
    import numpy as np

    scale, offset = np.asarray(frame)[[0, 1, 0, 1]], np.asarray(frame)[[2, 3, 2, 3]]
    return np.asarray(boxes) * scale + offset
