"""The task of detection: what it takes, measures, says and draws."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiler.diagnostics import Report
from compiler.lower.tensor import Tensor
from compiler.pipeline import Request, make_graph
from compiler.source import Source
from compiler.types import TensorType
from runtime import preprocessing
from runtime.batch import Batch
from runtime.data.boxes import CROWD, OBJECT, Boxed, box_arrays, box_fields, frame
from runtime.data.dataset import Dataset, Meaning, Part
from runtime.data.digit_scenes import MOST, DigitScenes
from runtime.preprocessing import Preprocessing
from runtime.tasks.detection import Detection, focal_loss

CLASSES = 3
FIELDS = box_fields((64, 64, 1), 4, CLASSES)
LEVELS = {"p3": 8, "p4": 4}
MAP = ("height", "width", "channels")


def kinds(**changes: TensorType) -> dict[str, TensorType]:
    """The types of a detector's outputs over two levels."""
    made = {f"{piece}_{level}": TensorType(MAP, (size, size, channels))
            for level, size in LEVELS.items()
            for piece, channels in (("classes", CLASSES), ("distances", 4), ("centreness", 1))}
    return made | changes


def said_by(
    places: dict[tuple[str, int, int], tuple[int, float, list[float]]],
) -> dict[str, Tensor]:
    """Outputs for one picture that are sure of what some places say, and of nothing elsewhere.

    Args:
        places: by level, row and column a class, its logit, and the distances in strides.
    """
    arrays = {name: np.full((1, *kind.shape), -9.0 if name.startswith("classes") else 0.0,
                            np.float32) for name, kind in kinds().items()}
    for (level, row, column), (label, logit, distances) in places.items():
        arrays[f"classes_{level}"][0, row, column, label] = logit
        arrays[f"distances_{level}"][0, row, column] = distances
        arrays[f"centreness_{level}"][0, row, column] = 9
    return {name: Tensor(jnp.asarray(array), MAP) for name, array in arrays.items()}


def batch_of(boxed: Boxed, original: tuple[int, int] = (64, 64)) -> Batch:
    arrays = box_arrays([boxed], np.array([frame(original, (64, 64), "pad")]), 4)
    arrays["image"] = np.zeros((1, 64, 64, 1), np.float32)
    return Batch({name: jnp.asarray(array) for name, array in arrays.items()}, {},
                 jnp.ones(1, bool))


ONE = Boxed([[16, 16, 40, 40]], [1], [OBJECT], [576])
MEASURE = jax.jit(partial(Detection.measure, training=False), static_argnums=0)
# What the place at row 3, column 3 of p3, at (28, 28), says of it, in strides of 8 pixels.
RIGHT = {("p3", 3, 3): (1, 9.0, [1.5, 1.5, 1.5, 1.5])}


def measured(task: Detection, outputs: Any, batch: Batch) -> dict[str, float]:
    """The figures of a batch, outside training."""
    found = MEASURE(task, outputs, batch)
    means = {name: np.asarray(value[0]) / np.maximum(np.asarray(value[1]), 1e-9)
             for name, value in found.items() if name not in ("found", "true")}
    means |= {name: np.asarray(found[name].values)[np.asarray(batch.rows)]
              for name in ("found", "true")}
    part = Part({"image": np.zeros((0, 64, 64, 1))})
    return task.finish(means, Dataset(FIELDS, part, part, part))


@pytest.fixture(scope="module")
def task() -> Detection:
    return Detection(reach=3.0)


# ------------------------------------------------------------------------------- what it takes


@pytest.mark.parametrize(("outputs", "code"), [
    (kinds(), ""), ({"output": TensorType(("channels",), (10,))}, "F0680"),
    ({n: k for n, k in kinds().items() if n != "centreness_p4"}, "F0680"),
    (kinds(classes_p3=TensorType(MAP, (8, 8, 5))), "F0680"),
    (kinds(distances_p3=TensorType(MAP, (8, 8, 2))), "F0680"),
    (kinds(distances_p3=TensorType(MAP, (4, 4, 4))), "F0680"),
    ({n: TensorType(MAP, (8, 5, k.shape[-1])) for n, k in kinds().items()}, "F0681")])
def test_a_detector_has_outputs_for_each_level(
    outputs: dict[str, TensorType], code: str, task: Detection,
) -> None:
    report = Report()
    task.check(outputs, FIELDS, report, None)
    assert {found.code for found in report.diagnostics} == ({code} if code else set())


def test_other_data_is_refused_with_the_data_that_would_do(task: Detection) -> None:
    report = Report()
    fields = {"image": FIELDS["image"], "label": TensorType((), (), "int", vocabulary=CLASSES)}
    task.check(kinds(), fields, report, None)
    assert [found.code for found in report.diagnostics] == ["F0617"]


@pytest.mark.parametrize("reference", ["resnet18", "vgg11_bn", "resnet20"])
def test_fcos_stands_on_any_backbone_of_the_zoo(reference: str) -> None:
    """With its features by name and dot; the strides follow from the sizes."""
    stages = {"resnet18": [1, 2, 3], "vgg11_bn": [2, 3, 4], "resnet20": [0, 1, 2]}[reference]
    values = "{image: =image, classes: 2}"
    spec = Source("det.yaml", f"""\
flaxspec: 1
extends: fcos
params: {{classes: 5, image: [64, 64, 3], width: 16, depth: 1, groups: 4}}
use: {{backbone: {{spec: {reference}, with: {values}}}}}
patch: {{model.pyramid: {{set: {{from: [{', '.join(f'body.stage{i}' for i in stages)}]}}}}}}
""")
    graph = make_graph(Request(spec), Report())
    outputs = {name: value.type for name, value in graph.outputs.items()}
    report = Report()
    Detection().check(outputs, box_fields((64, 64, 3), 4, 5), report, None)
    assert not report.diagnostics and len(outputs) == 15


# ---------------------------------------------------------------------------- what it measures


def test_right_boxes_have_a_perfect_score_and_a_small_loss(task: Detection) -> None:
    figures = measured(task, said_by(RIGHT), batch_of(ONE))
    assert [figures[name] for name in ("map", "map50", "recall")] == pytest.approx([1, 1, 1])
    assert set(figures) == set(task.figures({}))
    wrong = measured(task, said_by({("p3", 3, 3): (2, 9.0, [1.5] * 4)}), batch_of(ONE))
    assert wrong["map"] == 0 and wrong["class_loss"] > figures["class_loss"]


def test_the_box_loss_is_one_less_giou_weighed_by_centreness(task: Detection) -> None:
    # Within 1.5 strides of the centre lie nine places; only the middle one is right.
    figures = measured(task, said_by(RIGHT), batch_of(ONE))
    side = np.array([4.0, 12, 20])  # of the places at 20, 28 and 36 to the left, or the top
    central = np.minimum(side, 24 - side) / np.maximum(side, 24 - side)
    weights = np.sqrt(central[:, None] * central)
    # The others say boxes without an area, whose GIoU is -(hull - union) / hull = 0 inside.
    assert figures["box_loss"] == pytest.approx(1 - weights[1, 1] / weights.sum(), abs=1e-5)


def test_what_fills_up_a_batch_and_crowds_cost_nothing(task: Detection) -> None:
    alone = batch_of(ONE)
    filled = Batch({n: jnp.concatenate([a, a + 1]) for n, a in alone.arrays.items()}, {},
                   jnp.array([True, False]))
    outputs = said_by(RIGHT)
    twice = {n: Tensor(jnp.concatenate([t.array, t.array + 3]), MAP) for n, t in outputs.items()}
    assert measured(task, twice, filled) == pytest.approx(measured(task, outputs, alone),
                                                          nan_ok=True)
    crowded = Boxed([[16, 16, 40, 40], [41, 41, 64, 64]], [1, 2], [OBJECT, CROWD], [576, 529])
    loud = said_by(RIGHT | {("p3", 6, 6): (2, 9.0, [1.0] * 4)})
    in_crowd, beside = (measured(task, loud, batch_of(b)) for b in (crowded, ONE))
    assert in_crowd["class_loss"] < beside["class_loss"]
    assert (in_crowd["map"], beside["map"]) == pytest.approx((1, 1))


def test_pictures_without_objects_have_a_loss_and_no_score(task: Detection) -> None:
    figures = measured(task, said_by({}), batch_of(Boxed([], [], [], [])))
    assert np.isfinite(figures["loss"]) and np.isnan(figures["map"])


def test_focal_loss_is_cross_entropy_where_it_does_not_focus() -> None:
    logits, labels = jnp.array([[1.0, -2.0], [0.5, 3.0]]), jnp.array([0, -1])
    plain = -(jnp.log(jax.nn.sigmoid(logits[0, 0])) + jnp.log(jax.nn.sigmoid(-logits[0, 1])))
    np.testing.assert_allclose(2 * focal_loss(logits, labels, 0.5, 0.0)[0], plain, rtol=1e-5)
    eased = focal_loss(logits, labels, 0.25, 2.0)
    p = 1 / (1 + np.exp(-np.array([0.5, 3.0])))
    np.testing.assert_allclose(eased[1], (-0.75 * p**2 * np.log(1 - p)).sum(), rtol=1e-5)


# -------------------------------------------------------------------------------- what it says


def test_predictions_and_truths_are_in_pixels_of_the_original_picture(task: Detection) -> None:
    # A picture of 256 × 128 in one of 64 × 64: a quarter as large, and 16 pixels lower.
    boxed = Boxed([[64, 0, 160, 96]], [1], [OBJECT], [9216])
    batch = batch_of(boxed, (256, 128))
    meaning = Meaning(FIELDS, {"label": ("ant", "bee", "cow")})
    (said,), (true,) = (task.predictions(said_by(RIGHT), batch, meaning),
                        task.truths(batch, meaning))
    (found,) = said["objects"]
    assert found["label"] == "bee" and found["box"] == [64.0, 0.0, 160.0, 96.0]
    assert 0.99 < found["score"] < 1
    assert true["objects"] == [{"label": "bee", "box": [64.0, 0.0, 160.0, 96.0]}]


def test_drawings_are_svg_with_a_box_for_each_object(task: Detection) -> None:
    arrays = {name: np.asarray(array) for name, array in batch_of(ONE).arrays.items()}
    trained: Any = SimpleNamespace(
        training=SimpleNamespace(data=DigitScenes(dataset="digit_scenes")),
        preprocessing=SimpleNamespace(meaning=Meaning(FIELDS, {"label": ("ant", "<b>", "cow")})))
    objects = [{"label": "<b>", "score": 0.9, "box": [16.0, 16.0, 40.0, 40.0]}]
    nothing, one = (next(iter(task.drawings(trained, Part(arrays), [{"objects": o}])))
                    for o in ([], objects))
    assert nothing is not None and one is not None and one.suffix == ".svg"
    text = one.content.decode()
    assert text.count("<rect") == nothing.content.decode().count("<rect") + 1
    assert "&lt;b&gt; 0.90" in text and "<b>" not in text


def test_what_the_data_taught_is_read_again(tmp_path: Path) -> None:
    known = Preprocessing.of(DigitScenes(dataset="digit_scenes", scenes=10, size=32).load())
    preprocessing.write(tmp_path / "known.json", known)
    assert preprocessing.read(tmp_path / "known.json").meaning == known.meaning


# -------------------------------------------------------------------------------- digit scenes


def test_scenes_are_seeded_and_their_digits_are_in_one_part_only() -> None:
    make = DigitScenes(dataset="digit_scenes", scenes=40, size=64)
    one, again = make.load(), make.load()
    other = make.model_copy(update={"scene_seed": 1}).load()
    assert (one.train.size, one.validation.size, one.test.size) == (28, 4, 8)
    for name, array in one.train.arrays.items():
        np.testing.assert_array_equal(array, again.train.arrays[name])
    assert (one.train.arrays["image"] != other.train.arrays["image"]).any()


def test_boxes_of_scenes_are_in_the_picture_around_ink_and_hide_one_another_little() -> None:
    part = DigitScenes(dataset="digit_scenes", scenes=60, size=64).load().train
    arrays = part.arrays
    there = arrays["status"] == OBJECT
    assert there.any(axis=1).all() and there.sum(axis=1).max() <= MOST
    boxes = arrays["boxes"][there]
    assert boxes.min() >= 0 and boxes.max() <= 64
    assert (boxes[:, 2:] > boxes[:, :2]).all() and (boxes == boxes.round()).all()
    for image, own in zip(arrays["image"][..., 0], (b[t] for b, t in zip(arrays["boxes"], there))):
        for left, top, right, bottom in own.astype(int):
            ink = image[top:bottom, left:right] > 0.25 * 0.75 * 255
            assert ink.any(axis=1).all() and ink.any(axis=0).all(), "every side touches ink"
