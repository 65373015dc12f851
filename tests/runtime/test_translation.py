"""Translation: what is counted, what is found by searching, what is drawn of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compiler.diagnostics import Report, SpecError
from compiler.lower.tensor import Tensor
from compiler.source import Source
from compiler.types import TensorType
from runtime.batch import Batch, Ratio
from runtime.data.dataset import Dataset, Meaning
from runtime.data.tokens import Characters, ListVocabulary, MarkedVocabulary
from runtime.execution import execute
from runtime.optim import rate
from runtime.optim_document import Run
from runtime.run import prepare
from runtime.saved import load
from runtime.step import PureModel
from runtime.tasks.alignment import alignments
from runtime.tasks.overlap import bleu, chrf
from runtime.tasks.translation import Translation

SPEC = """\
flaxspec: 1
name: tiny
model:
  use: bahdanau
  with: {source_vocabulary: 64, target_vocabulary: 14, embedding: 8, units: 16, sample: 0.2,
         beam: 3, length: 12}
data: {dataset: dates, count: 200}
task: {translation: {examples: 8}}
train: {steps: 2, batch_size: 64, optimizer: {adam: 0.01}}
"""
TEXT = TensorType(("time",), ("text",), "int", vocabulary=6)
VOCABULARY = MarkedVocabulary(ListVocabulary(Characters(), "abc"))  # a is 3, b is 4, c is 5


def known(**arrays: Any) -> Dataset:
    """A data set that is known by its vocabulary."""
    meaning = Meaning({"next": TEXT}, {}, {}, {"target_vocabulary": VOCABULARY.as_json()})
    return cast(Dataset, SimpleNamespace(meaning=meaning))


def codes(*texts: str) -> np.ndarray:
    rows = np.zeros((len(texts), 6), np.int32)
    for row, text in zip(rows, texts):
        row[:len(text)] = [ord(c) for c in text]
    return rows


def test_exact_bleu_and_chrf_are_of_what_was_found_and_what_is_written():
    found = np.array([[3, 4, 2, 0], [3, 2, 0, 0], [5, 5, 5, 5], [0, 2, 0, 0]])
    true = np.array([[3, 4, 2, -1], [4, 2, 0, 0], [5, 5, 5, 5], [0, 2, 0, 0]])
    written = codes("ab", "b", "cccc", "x")
    figures = Translation().finish(
        {"loss": np.float64(0.5), "found": found, "true": true, "written": written}, known())
    texts, references = ["ab", "a", "cccc", "�"], ["ab", "b", "cccc", "x"]
    assert list(figures)[0] == "loss"
    # An unknown token is never right, though it is the same number.
    assert figures["exact"] == 0.5
    assert figures["bleu"] == bleu(texts, references)
    assert figures["chrf"] == chrf(texts, references)


def test_without_a_search_there_are_the_figures_of_the_loss():
    assert Translation().finish({"loss": np.float64(1)}, known()) == {"loss": 1.0}


def test_the_sampling_factor_follows_the_steps():
    recipe = prepare(Source("tiny.yaml", SPEC), Report(), assignments=(
        "train.sample_factor={linear_schedule: {init_value: 0, end_value: 1, "
        "transition_steps: 50%}}",)).training.train
    seen = []

    class Told(nnx.Module):
        def run(self, *_: Any, sampling: Any, **__: Any) -> dict[str, Tensor]:
            seen.append(sampling if sampling is None else float(sampling))
            return {}

    structure, _ = nnx.split(Told())
    model = PureModel(structure, {}, sampling=rate(recipe.sample_factor, Run(8, 4)))
    for step in (0, 2, 6, None):
        at = None if step is None else jnp.int32(step)
        model.run({}, {}, Batch({}, {}, jnp.ones(1, bool), step=at), training=True, key=None)
    assert seen == [0, 0.5, 1, None]


def test_a_sampling_factor_needs_a_scan_that_samples():
    with pytest.raises(SpecError) as caught:
        prepare(Source("tiny.yaml", SPEC), Report(), assignments=(
            "train.sample_factor=0.5", "model.with.sample=0"))
    assert "none of the model has it" in caught.value.diagnostics[0].headline


def test_padded_steps_count_nowhere():
    logits = jnp.zeros((2, 3, 6)).at[:, :, 4].set(3.0)
    batch = Batch({"next": jnp.array([[4, 4, 2], [4, 2, 2]])}, {"next": jnp.array([2, 1])},
                  jnp.ones(2, bool))
    measured = Translation().measure(
        {"output": Tensor(logits, ("time", "channels"))}, batch, training=False)
    loss, accuracy = cast(Ratio, measured["loss"]), cast(Ratio, measured["accuracy"])
    assert loss.weight == 3 and accuracy.total == 3
    np.testing.assert_allclose(loss.total / 3, np.log(np.exp(3) + 5) - 3, rtol=1e-6)


def told(text: str) -> list[str]:
    report = Report()
    try:
        prepare(Source("tiny.yaml", text), report)
    except SpecError as error:
        return [d.code for d in error.diagnostics]
    return []


@pytest.mark.parametrize("change, codes", [
    (("", ""), []),
    (("target_vocabulary: 14", "target_vocabulary: 13"), ["F0617", "F0614"]),
    (("task: {translation: {examples: 8}}", "task: {translation: {target: said}}"), ["F0615"]),
    (("dataset: dates, count: 200", "dataset: digits"), None),
])
def test_a_recipe_that_does_not_fit_is_told_before_anything_runs(change, codes):
    found = told(SPEC.replace(*change))
    assert found if codes is None else found == codes


PLAIN = """\
flaxspec: 1
name: plain
inputs:
  source: {kind: tokens, vocabulary: 64, length: any}
  target: {kind: tokens, vocabulary: 14, length: any}
model:
  - {embed: 4, from: source}
  - {gru: 4, name: encoder}
  - scan:
      over: {token: target}
      carry: {h: encoder.state}
      layers: [{embed: 4, from: token}, {gru_cell: {units: 4, state: h}, name: h}, dense: 14]
      decode: {start: 1, end: 2, length: 12}
data: {dataset: dates, count: 200}
task: translation
train: {steps: 1, batch_size: 8, optimizer: {adam: 0.01}}
"""


@pytest.mark.parametrize("change, codes", [
    (("", ""), []),
    (("      decode: {start: 1, end: 2, length: 12}\n", ""), ["F0662"]),
    (("start: 1", "start: 0"), ["F0662"]),
    (("start: 1, end: 2", "start: start, end: end"), []),
    (("end: 2", "end: stop"), ["F0662"]),
])
def test_a_model_has_to_say_how_it_is_searched_with_the_marks_of_the_data(change, codes):
    assert told(PLAIN.replace(*change)) == codes


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two steps."""
    folder = tmp_path_factory.mktemp("translation") / "tiny-1"
    folder.mkdir()
    execute(prepare(Source("tiny.yaml", SPEC), Report()), folder, "compile-and-train tiny.yaml")
    return folder


@pytest.mark.slow
def test_a_run_translates_tells_draws_and_is_told_of(run: Path):
    summary = json.loads((run / "summary.json").read_text())
    assert set(summary["test"]) == {"loss", "accuracy", "exact", "bleu", "chrf"}
    trained = load(run)
    figures, _ = trained.evaluate(batch_size=7)
    for name, value in summary["test"].items():  # no figure depends on the batch size
        assert figures[name] == pytest.approx(value, rel=1e-4, abs=1e-6)

    texts = ["Tuesday, 5 May 1998", "9.3.58"]
    said = trained.predict(texts)
    for one in said:
        scores = [one["score"], *(other["score"] for other in one["alternatives"])]
        assert len(scores) == 3 and scores == sorted(scores, reverse=True) and scores[0] <= 0
    assert trained.predict(texts[1:])[0]["translation"] == said[1]["translation"]

    part = trained.encode(texts)
    task = cast(Translation, trained.task)
    for found, text in zip(alignments(task, trained, part), texts):
        assert "".join(found.source) == text.replace(" ", "␣")
        assert found.weights.shape == (len(found.target), len(text))
        np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=1e-5)
    drawings = list(task.drawings(trained, part, said))
    assert [d.suffix for d in drawings if d] == [".svg", ".svg"]
    for drawing in drawings:
        assert drawing and ElementTree.fromstring(drawing.content).tag.endswith("svg")
    page = (run / "report.html").read_text()
    assert "Some translations" in page and "Where the decoder looked" in page


@pytest.mark.slow
def test_a_decoder_that_does_not_tell_where_it_looks_has_no_drawings(run: Path):
    trained = load(run)
    task = Translation(attention="elsewhere")
    with pytest.raises(SpecError) as caught:
        list(task.drawings(trained, trained.encode(["x"]), []))
    assert caught.value.diagnostics[0].code == "F0690"
