"""Mean average precision of detections, as the COCO evaluation defines it.

Lin et al. 2014, https://arxiv.org/abs/1405.0312, and https://cocodataset.org/#detection-eval: the
figures are those of pycocotools. In addition an object may be marked as difficult, as in Pascal
VOC: it counts neither when found nor when missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.data.boxes import CROWD, OBJECT

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
# The least and the largest area of objects, in pixels² of the original pictures.
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2),
         "large": (96.0**2, 1e10)}
# How many detections of a class count in a picture.
MOST = 100


@dataclass(frozen=True)
class Picture:
    """What is true of a picture and what was found in it; boxes are left, top, right, bottom.

    Attributes:
        true: (objects, 4).
        labels: (objects,) their classes.
        status: (objects,) OBJECT, CROWD or DIFFICULT.
        areas: (objects,) in pixels².
        found: (detections, 4).
        found_labels: (detections,) their classes.
        scores: (detections,).
    """

    true: np.ndarray
    labels: np.ndarray
    status: np.ndarray
    areas: np.ndarray
    found: np.ndarray
    found_labels: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Precision:
    """Precision and recall over a data set; NaN where a class has no objects.

    Attributes:
        precision: (areas, thresholds, recalls, classes) in the order of `AREAS`, `THRESHOLDS`
            and `RECALLS`.
        recall: (areas, thresholds, classes) the largest.
        objects: (classes,) how many there are, crowds and difficult ones left out.
    """

    precision: np.ndarray
    recall: np.ndarray
    objects: np.ndarray

    def figures(self) -> dict[str, float]:
        """`map`, the mean over thresholds and classes, and what belongs to it.

        `map50` and `map75` are at one threshold, `map_small` … at objects of a size, `recall` is
        the largest recall; NaN where there are no objects to judge by.
        """
        areas = {name: _mean(self.precision[i]) for i, name in enumerate(AREAS)}
        whole = self.precision[0]
        return {"map": areas["all"], "map50": _mean(whole[0]), "map75": _mean(whole[5]),
                **{f"map_{name}": value for name, value in areas.items() if name != "all"},
                "recall": _mean(self.recall[0])}

    def by_class(self) -> list[dict[str, float]]:
        """`map`, `map50` and `recall` of each class."""
        return [{"map": _mean(self.precision[0, :, :, k]),
                 "map50": _mean(self.precision[0, 0, :, k]), "recall": _mean(self.recall[0, :, k])}
                for k in range(len(self.objects))]


def mean_precision(pictures: Sequence[Picture], classes: int) -> Precision:
    """Precision by recall of what was found in pictures.

    Args:
        pictures: what is true of each, and what was found in it.
        classes: how many there are.
    """
    precision = np.full((len(AREAS), len(THRESHOLDS), len(RECALLS), classes), np.nan)
    recall = np.full((len(AREAS), len(THRESHOLDS), classes), np.nan)
    objects = np.zeros(classes, int)
    for label in range(classes):
        matched = [one for picture in pictures if (one := _Class.of(picture, label)) is not None]
        objects[label] = sum(int((one.status == OBJECT).sum()) for one in matched)
        for number, bounds in enumerate(AREAS.values()):
            curve = _curve([one.matched(bounds) for one in matched])
            if curve is not None:
                precision[number, :, :, label], recall[number, :, label] = curve
    return Precision(precision, recall, objects)


@dataclass(frozen=True)
class _Matches:
    """The detections of a class in a picture, the surest first, at every threshold.

    Attributes:
        scores: (detections,).
        right: (thresholds, detections) whether each is an object.
        ignored: (thresholds, detections) whether it counts neither as right nor as wrong.
        wanted: how many objects count.
    """

    scores: np.ndarray
    right: np.ndarray
    ignored: np.ndarray
    wanted: int


@dataclass(frozen=True)
class _Class:
    """What is of a class in a picture: the detections, the surest first, and the objects."""

    scores: np.ndarray
    sizes: np.ndarray
    status: np.ndarray
    areas: np.ndarray
    overlaps: np.ndarray  # (detections, objects)

    @classmethod
    def of(cls, picture: Picture, label: int) -> _Class | None:
        """What is of a class in a picture; None where nothing is."""
        true, found = picture.labels == label, np.flatnonzero(picture.found_labels == label)
        if not true.any() and not len(found):
            return None
        found = found[np.argsort(-picture.scores[found], kind="stable")][:MOST]
        boxes, status = picture.found[found].astype(np.float64), picture.status[true]
        sizes = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        overlaps = _overlaps(boxes, picture.true[true].astype(np.float64), status == CROWD)
        return cls(picture.scores[found], sizes, status, picture.areas[true], overlaps)

    def matched(self, bounds: tuple[float, float]) -> _Matches:
        """Which detections are which objects, where objects of these areas count."""
        outside = (self.areas < bounds[0]) | (self.areas > bounds[1])
        ignore = (self.status != OBJECT) | outside
        order = np.argsort(ignore, kind="stable")
        overlaps, ignore, crowd = self.overlaps[:, order], ignore[order], (
            self.status == CROWD)[order]
        shape = (len(THRESHOLDS), len(self.scores))
        right, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
        for row, threshold in enumerate(THRESHOLDS):
            taken = np.zeros(len(order), bool)
            # What overlaps nothing enough is nobody's, whatever the others are.
            for number in np.flatnonzero((overlaps >= threshold).any(axis=1)):
                own = _match(overlaps[number], threshold, ignore, crowd, taken)
                if own is not None:
                    taken[own] = True
                    right[row, number], ignored[row, number] = True, ignore[own]
        beyond = (self.sizes < bounds[0]) | (self.sizes > bounds[1])
        return _Matches(self.scores, right, ignored | (~right & beyond), int((~ignore).sum()))


def _match(
    overlaps: np.ndarray, threshold: float, ignore: np.ndarray, crowd: np.ndarray,
    taken: np.ndarray,
) -> int | None:
    """The object that a detection is: the one it overlaps most, if enough; those that count first.

    Of objects that it overlaps equally it is the last.
    """
    least, own = min(threshold, 1 - 1e-10), None
    for number in range(len(overlaps)):
        if taken[number] and not crowd[number]:
            continue
        if own is not None and not ignore[own] and ignore[number]:
            break
        if overlaps[number] >= least:
            least, own = overlaps[number], number
    return own


def _overlaps(found: np.ndarray, true: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Intersection over union (detections, objects); of a crowd over the detection's own area."""
    common = (np.minimum(found[:, None, 2:], true[None, :, 2:])
              - np.maximum(found[:, None, :2], true[None, :, :2])).clip(0).prod(axis=-1)
    own = (found[:, 2:] - found[:, :2]).prod(axis=1)[:, None]
    other = (true[:, 2:] - true[:, :2]).prod(axis=1)
    union = np.where(crowd, own, own + other - common)
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def _curve(pictures: Sequence[_Matches]) -> tuple[np.ndarray, np.ndarray] | None:
    """Precision (thresholds, recalls), the largest recall (thresholds,); None without objects."""
    wanted = sum(one.wanted for one in pictures)
    if not wanted:
        return None
    order = np.argsort(-np.concatenate([one.scores for one in pictures]), kind="stable")
    right, ignored = (np.concatenate([getattr(one, name) for one in pictures], axis=1)[:, order]
                      for name in ("right", "ignored"))
    hits = np.cumsum(right & ~ignored, axis=1, dtype=np.float64)
    misses = np.cumsum(~right & ~ignored, axis=1, dtype=np.float64)
    recall, precision = hits / wanted, hits / (hits + misses + np.spacing(1))
    # Precision at a recall is the best at that recall or a larger one.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    found = np.zeros((len(THRESHOLDS), len(RECALLS)))
    for row in range(len(THRESHOLDS)):
        places = np.searchsorted(recall[row], RECALLS, side="left")
        inside = places < recall.shape[1]
        found[row, inside] = precision[row, places[inside]]
    return found, recall[:, -1] if recall.shape[1] else np.zeros(len(THRESHOLDS))


def _mean(values: np.ndarray) -> float:
    """The mean of what is a number; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
