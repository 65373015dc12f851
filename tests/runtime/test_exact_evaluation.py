"""Every example counts once, and no figure depends on how they are cut into batches."""

import numpy as np
import pytest

from tests.runtime.evaluating import evaluated

HEAD = """\
flaxspec: 1
name: small
train: {epochs: 1, batch_size: 8, optimizer: {adam: 0.1}}
"""
RECIPES = {
    "classification": """\
inputs: {image: {shape: [8, 8, 1]}}
model: [{conv: {filters: 4, kernel: 3}}, batch_norm, relu, flatten, {dense: 10}]
data: {dataset: digits, test: 0.1}
task: classification
""",
    "regression": """\
inputs: {features: {shape: [2]}}
model: [{dense: 8}, tanh, {dense: 2}]
data: {table: rows.csv, target: [c, d], columns: [a, b], test: 0.5}
task: regression
""",
    "multi_label": """\
inputs: {features: {shape: [2]}}
model: [{dense: 8}, tanh, {dense: 2}]
data: {table: rows.csv, labels: [e, f], columns: [a, b], test: 0.5}
task: multi_label
""",
    "forecasting": """\
inputs: {past: {shape: [11, 1]}}
model: [{gru: {units: 4, return: last}}, {dense: 3}]
data: {dataset: sunspots, window: 11, horizon: 3}
task: forecasting
""",
    "language_modelling": """\
inputs: {text: {kind: tokens, vocabulary: 20, length: any}}
model: [{embed: 4}, {lstm: {units: 6}}, {dense: 20}]
data: {text: book.txt, length: 10, test: 0.5, vocabulary: 20}
task: language_modelling
""",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a table and a text, whose last piece is shorter than the others."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=(90, 4)).round(3)
    lines = [",".join(map(str, [*row, int(row[0] > 0), int(row[1] > row[2])])) for row in numbers]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,c,d,e,f", *lines]))
    (tmp_path / "book.txt").write_text("the cat sat on the mat, the dog on the log. " * 25)
    monkeypatch.chdir(tmp_path)


def expected(task, part):
    """How much there is to count: rows, or all their numbers or tokens."""
    match task:
        case "classification":
            return part.size
        case "language_modelling":
            return int(part.lengths["next"].sum())
        case _:
            (target,) = [part.arrays[n] for n in ("target", "labels", "future")
                         if n in part.arrays]
            return target.size


@pytest.mark.parametrize("task", RECIPES)
def test_no_figure_depends_on_the_batches(here, task):
    text = HEAD + RECIPES[task]
    counted, base, _, part = evaluated(text, 16)
    assert part.size % 16 and counted == expected(task, part)
    for batch_size in (1, 7, part.size, part.size + 5):
        counted, found, shapes, _ = evaluated(text, batch_size)
        assert (counted, shapes) == (expected(task, part), 1)
        assert found == pytest.approx(base, rel=1e-6, abs=1e-6)


def test_the_last_piece_of_a_text_is_shorter_and_all_of_it_counts(here):
    _, _, _, part = evaluated(HEAD + RECIPES["language_modelling"], 16)
    assert len(set(part.lengths["next"].tolist())) == 2
    assert part.lengths["next"].sum() == 25 * 44 // 2 - 1
