"""Vectors of words that others have trained: read with care, put where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.diagnostics import Report, SpecError
from compiler.lower.build import build_model
from compiler.pipeline import Request, make_graph
from compiler.source import Source
from compiler.types import TensorType
from runtime.data.dataset import Meaning
from runtime.recipe import Recipe
from runtime.vectors import LONGEST_LINE, read_vectors, take_vectors

SPEC = """\
flaxspec: 1
name: words
inputs: {text: {kind: tokens, vocabulary: 4, length: any}}
blocks:
  table: {layers: [{embed: 2}]}
model: [LAYER, {pool: mean}, {dense: 3}]
"""
MEANING = Meaning({"words": TensorType(("time",), ("length",), "int", 4)},
                  {"words": ("?", "good", "bad", "film")})


def taken(layer: str, path: Path, meaning: Meaning = MEANING) -> tuple[Any, np.ndarray, Any]:
    graph = make_graph(Request(Source("w.yaml", SPEC.replace("LAYER", layer)), document=Recipe),
                       Report())
    model: Any = build_model(graph, seed=0)
    place = model.table_1.embed_1 if layer == "table" else model.embed_1
    before = np.array(place.embedding[...])
    told = take_vectors(model, graph, {"text": "words"}, meaning, path)
    return told, before, np.asarray(place.embedding[...])


@pytest.mark.parametrize("layer", ["embed: 2", "table"])
@pytest.mark.parametrize("head", ["", "3 2\n"], ids=["GloVe", "word2vec"])
def test_words_of_the_file_get_its_vectors_and_others_keep_theirs(
    layer: str, head: str, tmp_path: Path,
) -> None:
    path = tmp_path / "v.txt"
    path.write_text(f"{head}good 1 -2\n. . 7 7\nzebra 5 5\nfilm 0.5 1e-1 \n")
    told, before, after = taken(layer if layer == "table" else f"{{{layer}}}", path)
    np.testing.assert_allclose(after[[1, 3]], [[1, -2], [0.5, 0.1]])
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert (told.found, told.words) == (2, 3) and "2 of 3 words (66.7 %)" in told.told()


@pytest.mark.parametrize("content, code, words", [
    ("good 1 2 3\n", "F0691", "have 3 numbers, and the model's have 2"),
    ("good 1 2\nbad 1\n", "F0692", "line 2 "),
    ("good 1 2\nbad 1 x\n", "F0692", "what follows `bad` is not 2 numbers"),
    ("bad 1 nan\n", "F0692", "a number that is none"),
    ("Good 1 2\n", "F0693", "none of the 4 words"),
    ("", "F0693", "none of"),
    ("x" * LONGEST_LINE + " 1 2\n", "F0692", "longer than any vector"),
    ("\x00\x01\x02", "F0691", "0 numbers"),
])
def test_a_file_that_does_not_fit_is_told(
    content: str, code: str, words: str, tmp_path: Path,
) -> None:
    path = tmp_path / "v.txt"
    path.write_text(content)
    with pytest.raises(SpecError, match=words) as caught:
        taken("{embed: 2}", path)
    assert caught.value.diagnostics[0].code == code


def test_nothing_but_the_wanted_words_is_kept_and_the_first_of_two_counts(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("a 1 2\nb 3 4\na 5 6\n")
    found = read_vectors(path, {"a"}, 2)
    assert list(found) == ["a"] and found["a"].tolist() == [1, 2]
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        read_vectors(tmp_path / "none.txt", {"a"}, 2)


def test_a_model_without_words_takes_no_vectors(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="the model embeds none"):
        taken("{embed: 2}", tmp_path / "v.txt", Meaning(MEANING.fields))
