"""Texts with classes and tags; batches of few lengths, whose padding changes nothing."""

import json

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from compiler.diagnostics import Report, SpecError
from compiler.source import Source as SpecText
from runtime.data import DataSource
from runtime.data.buckets import chosen, fitting, sorted_in_pools
from runtime.data.pipeline import DeviceArrays, HostArrays, batches_in, epoch_order
from runtime.data.tokens import vocabulary_from
from runtime.run import prepare
from tests.runtime.evaluating import evaluated

WORDS = "alpha beta gamma delta epsilon zeta".split()


def sentence(n):
    return " ".join(WORDS[(n * k) % 6] for k in range(1, 2 + n % 23)) + f" {n}"


ROWS = [{"text": sentence(n), "label": ("good", "bad")[n % 2]} for n in range(60)]
TAGGED = [{"text": row["text"].split(), "tags": ["N" if word.isdigit() else "W"
                                                 for word in row["text"].split()]} for row in ROWS]


def source(**fields):
    return TypeAdapter(DataSource).validate_python(fields)


def written(rows, path):
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        lines = ["\t".join(row.values()) for row in [dict(zip(rows[0], rows[0])), *rows]]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def file(tmp_path):
    return written(ROWS, tmp_path / "reviews.tsv")


def complaint(load):
    with pytest.raises(SpecError) as caught:
        load()
    (found,) = caught.value.diagnostics
    return found


# ------------------------------------------------------------------------------- texts


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl"])
def test_texts_keep_their_lengths_and_get_their_classes(tmp_path, suffix):
    path = written(ROWS, tmp_path / f"r{suffix}")
    data = source(documents=path, split="ordered", test=0, validation=0).load()
    vocabulary = vocabulary_from(data.fitted["vocabulary"])
    for row, ids, length in zip(ROWS, data.train.arrays["text"], data.train.lengths["text"]):
        assert vocabulary.decode(ids[:length]) == row["text"]
        assert not ids[length:].any()
    assert data.labels["label"] == ("bad", "good")
    assert data.train.arrays["label"][:3].tolist() == [1, 0, 1]


def test_tags_stand_beside_their_words(tmp_path):
    it = source(documents=written(TAGGED, tmp_path / "t.jsonl"), tags=["W", "N"],
                split="ordered", test=0, validation=0)
    part = it.load().train
    assert part.lengths["tags"].tolist() == part.lengths["text"].tolist()
    assert part.arrays["tags"][2][:5].tolist() == [0, 0, 0, 1, 0]
    spaced = [{key: " ".join(words) for key, words in row.items()} for row in TAGGED]
    other = source(documents=written(spaced, tmp_path / "t.tsv"), tags=["W", "N"],
                   split="ordered", test=0, validation=0).load().train
    np.testing.assert_array_equal(part.arrays["tags"], other.arrays["tags"])


def test_longer_texts_are_cut_or_an_error(file):
    data = source(documents=file, length=10).load()
    assert data.train.arrays["text"].shape[1] == 10 and data.train.lengths["text"].max() == 10
    found = complaint(source(documents=file, length=10, longer="error").load)
    assert "more than the 10 of `length`" in found.headline
    assert found.labels[0].span.source.name.endswith("reviews.tsv")


def test_new_texts_are_read_as_those_of_the_training_were(file, tmp_path):
    it = source(documents=file, validation=0, test=0, length=12)
    data = it.load()
    fitted = json.loads(json.dumps(data.fitted))
    part = it.encode([row["text"] for row in ROWS], fitted)
    np.testing.assert_array_equal(part.arrays["text"], data.train.arrays["text"])
    part = it.encode([row | {"label": "nobody knows"} for row in ROWS], fitted)
    assert set(part.arrays) == {"text"}
    part = it.encode([{"text": "alpha unheard"}], fitted)
    assert part.arrays["text"].tolist() == [[data.labels["text"].index("alpha"), 0]]


def test_the_same_text_in_two_parts_is_an_error(tmp_path):
    rows = [{"text": "the same every time", "label": ("good", "bad")[n % 2]} for n in range(40)]
    found = complaint(source(documents=written(rows, tmp_path / "r.tsv")).load)
    assert found.code == "F0635"


@pytest.mark.parametrize("change, fields, headline", [
    ({"text": " "}, {}, "`text` is empty"),
    ({"label": ""}, {}, "`label` has no value"),
    ({"label": "ugly"}, {"classes": ["good", "bad"]}, "`ugly` is none of the kinds of `label`"),
    ({"label": "ugly"}, {"classes": 2}, "`label` has 3 kinds, and the recipe declares 2"),
    ({}, {"input": "txt"}, "has no column `txt`"),
    ({}, {"tags": ["a", "b"], "target": "label"}, "a text has 2 words, but 1 tags"),
])
def test_a_wrong_row_is_told(tmp_path, change, fields, headline):
    rows = [dict(row) for row in ROWS]
    rows[3] |= change
    found = complaint(source(documents=written(rows, tmp_path / "r.tsv"), **fields).load)
    assert headline in found.headline


@pytest.mark.parametrize("fields", [
    {"classes": 2, "tags": 2}, {"tags": 2, "tokens": "characters"}, {"buckets": 0},
    {"buckets": [8, 8]}, {"buckets": [8, 16], "length": 20}, {"buckets": "all"},
])
def test_fields_that_do_not_go_together_are_refused(fields):
    with pytest.raises(ValidationError) as caught:
        source(documents="r.tsv", **fields)
    assert [error["type"] for error in caught.value.errors()] == ["problem"]


# ------------------------------------------------------------------------------ buckets


def test_lengths_are_chosen_by_how_many_rows_need_them():
    lengths = np.array([3] * 50 + [20] * 30 + [21] * 15 + [200] * 5)
    assert chosen(lengths, 4, 200) == (8, 24, 200)
    assert chosen(lengths, 1, 200) == (200,)
    assert [fitting((8, 24, 200), length) for length in (1, 8, 9, 200)] == [8, 8, 24, 200]


@pytest.mark.parametrize("kind", [DeviceArrays, HostArrays])
@pytest.mark.parametrize("batch_size", [1, 7, 16, 60, 64])
def test_every_example_is_in_one_batch_and_batches_have_few_lengths(file, kind, batch_size):
    part = source(documents=file, test=0, validation=0, buckets=3).load().train
    batches = list(kind(part).batches(epoch_order(60, 0, 1), batch_size))
    assert len(batches) == batches_in(60, batch_size)
    assert {batch.arrays["text"].shape[1] for batch in batches} <= set(part.buckets)
    rows = [row for batch in batches for row in np.asarray(batch.arrays["text"])[batch.rows]]
    texts = sorted(tuple(row[row > 0]) for row in rows)
    assert texts == sorted(tuple(row[row > 0]) for row in part.arrays["text"])
    for batch in batches:
        assert batch.lengths["text"].max() <= batch.arrays["text"].shape[1]


def test_the_lengths_of_batches_are_told(file):
    data = source(documents=file, test=0, buckets=[8, 24], length=24).load()
    assert data.described == "54 train, 6 validation; batches of 2 lengths: 8, 24"


def test_alike_lengths_meet_and_the_last_examples_stay_the_last():
    lengths = np.arange(1000) % 100
    order = np.random.default_rng(0).permutation(1000)
    found = sorted_in_pools(order, lengths, 48)
    assert sorted(found) == list(range(1000))
    np.testing.assert_array_equal(found[960:], order[960:])
    spread = np.ptp(lengths[found[:960]].reshape(-1, 48), axis=1)
    assert spread.max() < 15
    starts = lengths[found[:960:48]]
    assert (np.diff(starts) < 0).any(), "batches do not come from short to long"


def test_a_later_batch_can_be_begun_with(file):
    part = source(documents=file, test=0, validation=0).load().train
    whole = [b.arrays["text"].tolist() for b in DeviceArrays(part).batches(np.arange(60), 7)]
    rest = DeviceArrays(part).batches(np.arange(60), 7, start=3)
    assert whole[3:] == [batch.arrays["text"].tolist() for batch in rest]


RECIPE = """\
flaxspec: 1
name: reviews
inputs: {{text: {{kind: tokens, vocabulary: 80, length: {length}}}}}
model:
  - embed: 8
  - conv: {{filters: 8, kernel: 3}}
  - {recurrent}
  - dense: 2
data: {{documents: {path}, {more}, duplicates: allow, vocabulary: 80, test: 0.3}}
task: {task}
train: {{epochs: 1, batch_size: 8, optimizer: {{adam: 0.1}}}}
"""
CASES = {"classification": ("bilstm_last", ROWS, "classes: 2"),
         "tagging": ("bilstm_sequence", TAGGED, "tags: 2")}
LAYERS = {"bilstm_last": "lstm: {units: 8, bidirectional: true, return: last}",
          "bilstm_sequence": "lstm: {units: 8, bidirectional: true, return: sequence}"}


def figures(tmp_path, task, batch_size, buckets):
    """Sums and figures of the test part, evaluated in batches of some size."""
    layer, rows, more = CASES[task]
    path = written(rows, tmp_path / "r.jsonl")
    text = RECIPE.format(length="any", recurrent=LAYERS[layer], path=path, task=task,
                         more=f"{more}, buckets: {buckets}")
    return evaluated(text, batch_size)


@pytest.mark.parametrize("task", CASES)
def test_no_figure_depends_on_batches_or_padding(tmp_path, task):
    counted, base, shapes, part = figures(tmp_path, task, part_size := 18, 1)
    expected = part.size if task == "classification" else int(part.lengths["text"].sum())
    assert part.size == part_size and counted == expected and shapes == 1
    for batch_size, buckets in [(4, [4, 12, 40]), (64, 2)]:
        counted, found, shapes, _ = figures(tmp_path, task, batch_size, buckets)
        assert counted == expected
        assert shapes <= (len(buckets) if isinstance(buckets, list) else buckets)
        assert found == pytest.approx(base, rel=1e-6, abs=1e-6)


def test_a_model_of_one_length_needs_one_bucket(file):
    def text(more):
        return RECIPE.format(length=24, recurrent=LAYERS["bilstm_last"], path=file,
                             task="classification", more=f"classes: 2, {more}")

    found = complaint(lambda: prepare(SpecText("r.yaml", text("length: 24")), Report()))
    assert found.code == "F0614" and "buckets: 1" in found.help
    prepare(SpecText("r.yaml", text("length: 24, buckets: 1")), Report())
