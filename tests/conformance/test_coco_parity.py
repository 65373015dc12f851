"""Mean average precision is pycocotools', on the same objects and detections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.data.boxes import CROWD, DIFFICULT, OBJECT
from runtime.tasks.mean_precision import Picture, Precision, mean_precision

CLASSES = 5


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "coco_reference.npz") as file:
        return dict(file)


def pictures(reference: dict[str, np.ndarray], difficult: bool = False) -> list[Picture]:
    """The reference's pictures; crowds are difficult objects in their place if asked for."""
    true, found = reference["true"], reference["found"]
    uncounted = DIFFICULT if difficult else CROWD
    made = []
    for number in range(40):
        own, said = true[true[:, 0] == number], found[found[:, 0] == number]
        made.append(Picture(
            own[:, 1:5], own[:, 5].astype(int), np.where(own[:, 6] > 0, uncounted, OBJECT),
            own[:, 7], said[:, 1:5], said[:, 6].astype(int), said[:, 5]))
    return made


@pytest.fixture(scope="module")
def ours(reference: dict[str, np.ndarray]) -> Precision:
    return mean_precision(pictures(reference), CLASSES)


def test_precision_is_that_of_pycocotools_at_every_recall_threshold_and_size(
    reference: dict[str, np.ndarray], ours: Precision,
) -> None:
    theirs = np.where(reference["precision"] < 0, np.nan, reference["precision"])
    assert (reference["true"][:, 6] > 0).any(), "crowds are part of the reference"
    np.testing.assert_allclose(ours.precision.transpose(1, 2, 3, 0), theirs, atol=1e-6)


def test_figures_are_those_of_pycocotools(
    reference: dict[str, np.ndarray], ours: Precision,
) -> None:
    figures, stats = ours.figures(), reference["stats"]
    theirs = dict(zip(("map", "map50", "map75", "map_small", "map_medium", "map_large"), stats))
    assert figures == pytest.approx(theirs | {"recall": stats[8]}, abs=1e-12)
    assert 0.1 < figures["map"] < 0.9


def test_classes_without_objects_count_nowhere(ours: Precision) -> None:
    assert ours.objects[-1] == 0 and np.isnan(ours.by_class()[-1]["map"])


def test_difficult_objects_count_neither_when_found_nor_when_missed(
    reference: dict[str, np.ndarray], ours: Precision,
) -> None:
    easy = mean_precision(pictures(reference, difficult=True), CLASSES)
    np.testing.assert_array_equal(easy.objects, ours.objects)
    one = Picture(np.array([[0, 0, 10, 10.0]]), np.array([0]), np.array([DIFFICULT]),
                  np.array([100.0]), np.array([[0, 0, 10, 10.0]]), np.array([0]), np.array([0.9]))
    assert np.isnan(mean_precision([one], 1).figures()["map"])
