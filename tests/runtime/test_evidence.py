"""What a report shows of each task's predictions, from predictions that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from pydantic import TypeAdapter

from compiler.types import TensorType
from runtime.data.dataset import Dataset, Meaning, Part
from runtime.report.evidence import WAYS
from runtime.report.evidence.masks import coloured, wheel
from runtime.report.evidence.seen import Seen
from runtime.tasks import AnyTask

FLAT = TensorType(("channels",), (2,))


class Known(Seen):
    """Examples whose predictions and truths a test gives."""

    def __init__(
        self, task: Any, part: Part, said: Sequence[Mapping[str, Any]],
        true: Sequence[Mapping[str, Any]], details: Mapping[str, Any],
        fields: Mapping[str, TensorType], labels: Mapping[str, tuple[str, ...]] | None = None,
        logits: np.ndarray | None = None,
    ):
        chosen = TypeAdapter(AnyTask).validate_python(task)

        def outputs(part: Part, size: int) -> Any:
            tensor = SimpleNamespace(array=logits)
            yield {"output": tensor}, SimpleNamespace(rows=np.ones(part.size, bool))

        trained = SimpleNamespace(
            task=chosen, outputs=outputs, predictions=lambda part: said, truths=lambda part: true,
            training=SimpleNamespace(data=SimpleNamespace(targets=lambda: ("mask", "tags"))))
        dataset = SimpleNamespace(fields=fields, meaning=Meaning(fields, labels or {}), scales={})
        super().__init__(cast(Any, trained), cast(Dataset, dataset), part, details)

    def shown(self) -> str:
        """What the report says of them."""
        return WAYS[self.trained.task.word](self)


def rows(count: int) -> Part:
    return Part({"features": np.zeros((count, 2), np.float32)},
                names=np.array([f"t.csv:{n}" for n in range(count)], object))


def classes(*names: str, **scores: float) -> list[dict[str, Any]]:
    return [{"name": name, "examples": 3, **scores} for name in names]


def test_mistaken_rows_of_a_table_stand_in_a_table_the_surest_first() -> None:
    said = [{"label": "a", "probability": p} for p in (0.6, 0.9, 0.99)]
    true = [{"label": "b"}, {"label": "b"}, {"label": "a"}]
    text = Known("classification", rows(3), said, true,
                 {"classes": classes("a", "b", f1=0.5), "confusion": [[1, 0], [2, 0]]},
                 {"features": FLAT}).shown()
    assert "2 of 3 examples are mistaken" in text
    assert text.index("t.csv:1") < text.index("t.csv:0") and "t.csv:2" not in text


def test_labels_have_the_threshold_that_would_be_best() -> None:
    given = [0.9, 0.45, 0.4, 0.1]
    said = [{"labels": ["war"] if p > 0.5 else [], "probabilities": {"war": p}} for p in given]
    true = [{"labels": ["war"]} for _ in range(3)] + [{"labels": []}]
    text = Known("multi_label", rows(4), said, true, {"classes": classes("war", f1=0.5, ap=1.0)},
                 {"features": FLAT}).shown()
    # One of three is found at 0.5, all at any threshold from 0.1 to 0.4.
    assert "<td>war</td><td class=\"n\">0.5</td><td class=\"n\">50.00 %</td>" in text
    best = text.split("50.00 %</td><td class=\"n\">")[-1]
    assert 0.1 <= float(best[:4]) <= 0.4 and best[4:].startswith('</td><td class="n">100.00 %')
    assert "war 40 %" in text and text.index("war 40 %") < text.index("war 45 %")


def test_tags_are_told_below_their_words_and_spans_are_counted() -> None:
    part = Part({"text": np.array([[1, 2, 3], [3, 0, 0]])}, {"text": np.array([3, 1])},
                names=np.array(["s:1", "s:2"], object))
    fields = {"text": TensorType(("time",), (3,), "int", 4)}
    labels = {"text": ("?", "Ada", "Lovelace", "<wrote>")}
    said = [{"tags": ["B-PER", "O", "O"]}, {"tags": ["O"]}]
    true = [{"tags": ["B-PER", "I-PER", None]}, {"tags": ["O"]}]
    text = Known("tagging", part, said, true,
                 {"classes": classes("O", "B-PER", "I-PER", f1=0.5)}, fields, labels).shown()
    assert '<b>Ada</b><i class="dim">B-PER</i>' in text
    assert '<b>Lovelace</b><i class="said">O</i><i class="true">I-PER</i>' in text
    assert "<b>&lt;wrote&gt;</b></span>" in text  # a step without a class has nothing to be told
    assert "1 of 2 examples have one" in text and "s:2" not in text
    # One person is there and one is said, but its end is another.
    assert '<td>PER</td><td class="n">1</td><td class="n">1</td><td class="n">0</td>' in text


def test_masks_are_sorted_by_their_wrong_pixels_and_pixels_without_a_class_count_nowhere() -> None:
    true = np.zeros((3, 2, 2), np.int32)
    true[0], true[1, 0, 0] = 255, 1
    logits = np.zeros((3, 2, 2, 2))
    logits[..., 0] = 1
    logits[2, 0, :, 1] = 9
    part = Part({"image": np.zeros((3, 2, 2, 3), np.uint8), "mask": true})
    fields = {"image": TensorType(("height", "width", "channels"), (2, 2, 3)),
              "mask": TensorType(("height", "width"), (2, 2), "int", 2)}
    text = Known({"segmentation": {"ignore": 255}}, part, [], [], {
        "classes": classes("sky", "sea", iou=0.5)}, fields, {"mask": ("sky", "sea")},
        logits).shown()
    found = [text.index(words) for words in (
        "number 2: 50.0 %", "number 1: 25.0 %", "number 0: 0.0 %")]
    assert found == sorted(found)
    assert text.count("<img") == 12 and "without a class" in text and "sea</span>" in text


def test_every_class_of_a_mask_has_a_colour_of_its_own() -> None:
    colours = wheel(12)
    assert len({tuple(colour) for colour in colours.tolist()}) == 12
    assert coloured(np.array([[0, 255]]), colours)[0].tolist() == [
        colours[0].tolist(), [128, 128, 128]]


@pytest.mark.parametrize("task, key", [("regression", "values")])
def test_numbers_are_drawn_against_the_truth_and_the_largest_errors_are_named(
    task: str, key: str,
) -> None:
    true = [{key: {"price": 100000.0 * n}} for n in range(40)]
    said = [{key: {"price": 100000.0 * n + (50000 if n == 7 else 10)}} for n in range(40)]
    text = Known(task, rows(40), said, true, {}, {"features": FLAT}).shown()
    assert text.count('class="cloud" cx') == 80
    assert '<td>t.csv:7</td><td class="n">750,000</td><td class="n">700,000</td>' in text
    assert "how large errors are" in text and "1 M" in text
