"""Speech recognition: the loss against PyTorch's, searches against all paths, error rates."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiler.diagnostics import Report, SpecError
from compiler.lower.tensor import Tensor
from compiler.types import TensorType
from runtime.batch import Batch
from runtime.data.dataset import Dataset, Meaning, Part
from runtime.meter import Meter
from runtime.tasks.alignment_drawing import EDGE, drawn
from runtime.tasks.ctc import ctc_loss, needed_frames
from runtime.tasks.ctc_search import aligned, beam_search, greedy
from runtime.tasks.edits import distance, edits, errors
from runtime.tasks.speech_recognition import SpeechRecognition

REFERENCES = Path(__file__).parent.parent / "conformance"
NAMES = ("", " ", "a", "b")


# ---- the loss


def test_losses_and_gradients_are_those_of_pytorch_and_finite_where_a_text_does_not_fit():
    given = np.load(REFERENCES / "ctc_reference.npz")
    rows = [given[name] for name in ("frames", "labels", "lengths")]
    with jax.enable_x64(True):
        logits = jnp.asarray(given["logits"])
        losses = ctc_loss(logits, *rows)
        np.testing.assert_allclose(losses, given["loss"], rtol=1e-12)
        assert np.isinf(losses[-1])

        def total(x):
            return (jnp.where(jnp.isfinite(ctc_loss(x, *rows)), ctc_loss(x, *rows), 0)
                    * given["weights"]).sum()

        slope = jax.jit(jax.grad(total))(logits)
        np.testing.assert_allclose(slope[:-1], given["gradient"][:-1], atol=1e-12)
        assert not np.asarray(slope[-1]).any()
    np.testing.assert_array_equal(
        needed_frames(given["labels"], given["lengths"]), [4, 4, 1, 0, 4, 5])


def test_what_lies_behind_the_frames_and_units_of_a_row_changes_nothing():
    given = np.load(REFERENCES / "ctc_reference.npz")
    frames, lengths = given["frames"], given["lengths"]
    logits, labels = given["logits"].astype(np.float32), given["labels"].copy()
    plain = ctc_loss(logits, frames, labels, lengths)
    for row, (end, units) in enumerate(zip(frames, lengths)):
        logits[row, end:] = 50
        labels[row, units:] = 3
    np.testing.assert_array_equal(ctc_loss(logits, frames, labels, lengths), plain)


# ---- searches


def every_text(logs: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of every text, by adding up all paths."""
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        text = tuple(unit for unit, _ in itertools.groupby(path) if unit)
        share = np.exp(sum(logs[frame, unit] for frame, unit in enumerate(path)))
        found[text] = found.get(text, 0) + share
    return found


def test_a_wide_beam_finds_the_most_probable_text_of_all():
    rng = np.random.default_rng(3)
    logits = rng.standard_normal((12, 5, 3)).astype(np.float32)
    frames = rng.integers(1, 6, 12)
    texts, scores = jax.jit(beam_search, static_argnums=2)(logits, frames, 40)
    logs = np.asarray(jax.nn.log_softmax(logits.astype(np.float64)))
    other = 0
    for row in range(12):
        found = every_text(logs[row, :frames[row]])
        best = max(found, key=lambda text: found[text])
        assert tuple(unit for unit in texts[row].tolist() if unit >= 0) == best
        assert np.exp(scores[row]) == pytest.approx(found[best], rel=1e-4)
        other += best != tuple(u for u in greedy(logits, frames)[row].tolist() if u >= 0)
    assert other, "no row in which the best path is another text"


def test_the_best_path_is_its_repeats_as_one_without_blanks():
    said = np.array([[1, 1, 0, 1, 2, 2, 0], [0, 2, 2, 1, 0, 1, 1]])
    logits = jax.nn.one_hot(said, 3)
    np.testing.assert_array_equal(greedy(logits, jnp.array([7, 4])), [
        [1, 1, 2, -1, -1, -1, -1], [2, 1, -1, -1, -1, -1, -1]])


def test_the_alignment_is_the_most_probable_path_of_a_text():
    rng = np.random.default_rng(5)
    logs = np.log(rng.dirichlet(np.ones(3), 6))
    units = [1, 1, 2]
    places = aligned(logs, np.array(units))

    def score(path):
        return sum(logs[frame, unit] for frame, unit in enumerate(path))

    paths = [p for p in itertools.product(range(3), repeat=6)
             if [u for u, _ in itertools.groupby(p) if u] == units]
    best = np.array(max(paths, key=score))
    expected = [(g[0], g[-1] + 1) for unit, g in (
        (unit, [frame for frame, _ in run]) for unit, run in itertools.groupby(
            enumerate(best), key=lambda item: item[1])) if unit]
    assert places == expected
    assert aligned(logs[:3], np.array(units)) == []


# ---- error rates


def test_error_rates_are_those_of_jiwer():
    cases = json.loads((REFERENCES / "jiwer_reference.json").read_text(encoding="utf-8"))
    for case in cases:
        found = errors(case["true"], case["said"])
        assert found.wer == pytest.approx(case["wer"], abs=1e-12)
        assert found.cer == pytest.approx(case["cer"], abs=1e-12)


def test_edits_tell_what_was_taken_for_what():
    assert edits("one two three".split(), "one too three four".split()) == [
        ("one", "one"), ("two", "too"), ("three", "three"), (None, "four")]
    assert edits([], ["a"]) == [(None, "a")] and edits(["a"], []) == [("a", None)]
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = ("".join(rng.choice(list("ab "), rng.integers(0, 9))) for _ in range(2))
        assert distance(a, b) == sum(x != y for x, y in edits(a, b))


# ---- the task


def batch_of(units: list[list[int]], lengths: list[int], rows: list[bool]) -> Batch:
    return Batch({"text": jnp.array(units)}, {"text": jnp.array(lengths)}, jnp.array(rows))


def told(task: SpeechRecognition, logits, frames, batch: Batch) -> tuple[dict, dict]:
    output = Tensor(jnp.asarray(logits, jnp.float32), ("time", "channels"), jnp.array(frames))
    meter = Meter()
    meter.add(task.measure({"output": output}, batch, training=False))
    empty = Part({"text": np.zeros((0, 1))})
    dataset = Dataset({}, empty, empty, empty, labels={"text": NAMES})
    return task.finish(meter.means(), dataset), task.details(meter.means(), dataset)


@pytest.mark.parametrize("beams", [None, 4])
def test_a_task_counts_words_and_letters_of_rows_that_count(beams):
    # "a b", "ab", and a row that only fills up.
    said = np.array([[2, 1, 3, 0], [2, 3, 0, 0], [3, 3, 3, 3]])
    batch = batch_of([[2, 1, 3], [2, 2, 0], [2, 0, 0]], [3, 2, 1], [True, True, False])
    figures, details = told(SpeechRecognition(beams=beams), 9 * jax.nn.one_hot(said, 4),
                            [4, 4, 4], batch)
    assert figures["wer"] == pytest.approx(1 / 3) and figures["cer"] == pytest.approx(1 / 5)
    assert figures["exact"] == 0.5 and list(figures)[0] == "loss" and "too_long" not in figures
    assert details["mistakes"] == [{"true": "aa", "said": "ab", "count": 1}]
    assert details["words"] == {"right": 2, "substituted": 1, "deleted": 0, "inserted": 0}


def test_texts_that_do_not_fit_teach_nothing_and_are_told():
    logits = np.random.default_rng(0).standard_normal((3, 4, 4))
    batch = batch_of([[2, 2, 2, 0], [2, 3, 0, 0], [3, 0, 0, 0]], [3, 2, 1], [True] * 3)
    figures, _ = told(SpeechRecognition(), logits, [4, 4, 4], batch)
    assert figures["too_long"] == pytest.approx(1 / 3) and np.isfinite(figures["loss"])
    with pytest.raises(SpecError) as found:
        told(SpeechRecognition(), logits, [1, 1, 4], batch)
    assert found.value.diagnostics[0].code == "F0670"


def test_predictions_are_texts_with_their_probabilities():
    said = np.array([[2, 2, 1, 3]])
    logits = jnp.asarray(9 * jax.nn.one_hot(said, 4))
    output = {"output": Tensor(logits, ("time", "channels"))}
    batch = batch_of([[2, 1, 3]], [3], [True])
    meaning = Meaning({}, {"text": NAMES})
    (found,) = SpeechRecognition().predictions(output, batch, meaning)
    paths = every_text(np.asarray(jax.nn.log_softmax(logits[0])))
    assert found == {"text": "a b", "probability": pytest.approx(paths[2, 1, 3], rel=1e-4)}
    assert SpeechRecognition().truths(batch, meaning) == [{"text": "a b"}]


@pytest.mark.parametrize("output, vocabulary, wanted", [
    (TensorType(("time", "channels"), ("n", 4)), 5, "4 units and the blank need 5 logits"),
    (TensorType(("channels",), (5,)), 5, "dense: 5"),
    (TensorType(("channels",), (5,)), None, "time at every step"),
])
def test_an_output_needs_a_logit_for_each_unit_at_every_step(output, vocabulary, wanted):
    fields = {"text": TensorType(("time",), ("text",), "int", vocabulary)}
    report = Report()
    SpeechRecognition().check({"output": output}, fields, report, None)
    (error,) = report.diagnostics
    assert error.code == "F0617" and wanted in error.headline + str(error.help)


# ---- drawings


def test_a_drawing_shows_each_unit_where_it_is_heard():
    said = np.array([0, 2, 2, 0, 0, 3, 0, 0])
    logs = np.asarray(jax.nn.log_softmax(9 * jax.nn.one_hot(said, 4)), np.float64)
    sound = (1000 * np.random.default_rng(0).standard_normal((1600, 1))).astype(np.int16)
    drawing = drawn(sound, logs, np.array([2, 3]), ("", " ", "a", "<"), 1600)
    page = ElementTree.fromstring(drawing.content)
    texts = {text.text: float(text.attrib["x"]) for text in page.iter()
             if text.tag.endswith("text")}
    width = float(page.attrib["width"]) - 2 * EDGE
    assert drawing.suffix == ".svg" and {"a<", "a", "<", "0.0 s"} <= set(texts)
    # The middles of the frames 1 to 2 and 5, of eight.
    assert texts["a"] == pytest.approx(EDGE + 2 / 8 * width, abs=1)
    assert texts["<"] == pytest.approx(EDGE + 5.5 / 8 * width, abs=1)
    assert drawn(sound[:50], logs[:0], np.array([], int), ("",), None).content
