"""Tables: columns, categories, missing values, parts, and what goes wrong with files."""

import json

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from compiler.diagnostics import Report, SpecError
from compiler.source import Source as SpecText
from runtime.data import DataSource
from runtime.run import load_data, prepare

ROWS = [{"size": 10 * n, "weight": n % 7 + 0.5, "town": ("Rome", "Oslo", "Bern")[n % 3],
         "kind": ("cat", "dog")[n % 2], "price": 3.0 * n, "old": n % 2, "loud": int(n % 5 == 0)}
        for n in range(40)]
NUMBERS = ["size", "weight"]


def source(**fields):
    return TypeAdapter(DataSource).validate_python(fields)


def csv(rows, path, delimiter=","):
    lines = [delimiter.join(map(str, row.values())) for row in [dict(zip(rows[0], rows[0])), *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def written(rows, path):
    """The rows as a file of the kind that its name says."""
    match path.suffix:
        case ".jsonl":
            path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        case ".parquet":
            arrow = pytest.importorskip("pyarrow")
            from pyarrow import parquet

            parquet.write_table(arrow.Table.from_pylist(rows), path)
        case suffix:
            csv(rows, path, "\t" if suffix == ".tsv" else ",")
    return str(path)


@pytest.fixture
def file(tmp_path):
    return csv(ROWS, tmp_path / "pets.csv")


def complaint(load):
    with pytest.raises(SpecError) as caught:
        load()
    (found,) = caught.value.diagnostics
    return found


def changed(tmp_path, row, **values):
    """The file with some values of a row changed."""
    rows = [dict(r) for r in ROWS]
    rows[row].update(values)
    return csv(rows, tmp_path / "pets.csv")


# ------------------------------------------------------------------------------ columns


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_kind_of_table_gives_the_same_arrays(tmp_path, file, suffix):
    fields = {"target": "kind", "classes": 2, "columns": [*NUMBERS, "town"],
              "categories": {"town": 3}}
    first = source(table=file, **fields).load()
    second = source(table=written(ROWS, tmp_path / f"other{suffix}"), **fields).load()
    for name, array in first.train.arrays.items():
        np.testing.assert_array_equal(array, second.train.arrays[name])


def test_numbers_are_normalised_by_the_training_part_and_categories_are_one_hot(file):
    data = source(table=file, target="kind", classes=["cat", "dog"], split="ordered",
                  columns=["size", "town"], categories={"town": ["Oslo", "Rome", "Bern"]}).load()
    size = np.array([row["size"] for row in ROWS[:28]])
    features = data.train.arrays["features"]
    np.testing.assert_allclose(features[:, 0], (size - size.mean()) / size.std(), rtol=1e-5)
    assert features[:3, 1:].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert data.scales["features"].names == ("size", "town=Oslo", "town=Rome", "town=Bern")
    assert data.train.arrays["label"][:4].tolist() == [0, 1, 0, 1]
    assert data.labels["label"] == ("cat", "dog")


def test_categories_may_be_fields_of_their_own(file):
    it = source(table=file, target="price", columns=["size", "town"], categories={"town": 3},
                categories_as="fields", split="ordered")
    data = it.load()
    assert set(it.fields()) == {"features", "town", "target"}
    assert data.labels["town"] == ("Bern", "Oslo", "Rome")
    assert data.train.arrays["town"][:3].tolist() == [2, 1, 0]
    assert data.fields["town"].vocabulary == 3


def test_a_target_of_numbers_is_normalised_and_keeps_its_scale(file):
    data = source(table=file, target=["price", "weight"], columns="size").load()
    scale, target = data.scales["target"], data.train.arrays["target"]
    assert scale.names == ("price", "weight")
    np.testing.assert_allclose(target.mean(axis=0), 0, atol=1e-6)
    features = data.train.arrays["features"] * data.scales["features"].deviation
    np.testing.assert_allclose((features + data.scales["features"].mean)[:, 0] * 0.3,
                               target[:, 0] * scale.deviation[0] + scale.mean[0], rtol=1e-4,
                               atol=1e-4)


def test_labels_are_columns_of_zeros_and_ones(file):
    data = source(table=file, labels=["old", "loud"], columns=NUMBERS, split="ordered").load()
    assert data.train.arrays["labels"][:3].tolist() == [[0, 1], [1, 0], [0, 0]]
    assert data.labels["labels"] == ("old", "loud")


def test_without_columns_all_but_the_target_are_taken(tmp_path):
    rows = [{k: row[k] for k in ("size", "weight", "price")} for row in ROWS]
    data = source(table=csv(rows, tmp_path / "t.csv"), target="price").load()
    assert data.fields["features"].shape == (2,)


def test_new_rows_are_read_as_those_of_the_training_were(file):
    it = source(table=file, target="kind", classes=2, columns=[*NUMBERS, "town"], test=0,
                validation=0, categories={"town": 3})
    data = it.load()
    fitted = json.loads(json.dumps(data.fitted))
    part = it.encode([{k: row[k] for k in (*NUMBERS, "town")} for row in ROWS], fitted)
    np.testing.assert_array_equal(part.arrays["features"], data.train.arrays["features"])
    assert set(part.arrays) == {"features"}


def test_a_number_beyond_float32_is_told(file):
    it = source(table=file, target="kind", classes=2, columns="weight", normalise=False,
                duplicates="allow")
    fitted = it.load().fitted
    with pytest.raises(SpecError, match="F0633.*too large for float32") as caught:
        it.encode([{"weight": 1}, {"weight": -1e39}], fitted)
    assert "input 2" in caught.value.diagnostics[0].notes


def test_an_answer_in_a_new_row_is_passed_by(file):
    it = source(table=file, columns=NUMBERS, target="kind", classes=2)
    fitted = it.load().fitted
    rows = [{k: str(v) for k, v in row.items()} | {"kind": "nobody knows"} for row in ROWS]
    assert set(it.encode(rows, fitted).arrays) == {"features"}


# ------------------------------------------------------------------------ missing values


def test_a_missing_value_is_an_error_with_its_place(tmp_path):
    path = changed(tmp_path, 4, weight="NA")
    found = complaint(source(table=path, target="kind", classes=2, columns=NUMBERS).load)
    assert (found.code, found.headline) == ("F0633", "`weight` has no value")
    assert (found.labels[0].span.line, found.labels[0].span.column) == (6, 4)


def test_rows_with_missing_values_may_be_passed_over(tmp_path):
    path = changed(tmp_path, 4, weight="")
    fields = {"table": path, "columns": NUMBERS, "missing": "drop", "validation": 0, "test": 0}
    assert source(target="kind", classes=2, **fields).load().train.size == 39
    # What is not asked for may be missing.
    assert source(target="kind", classes=2, **fields | {"columns": "size"}).load().train.size == 40


@pytest.mark.parametrize("policy, middle", [("mean", np.mean), ("median", np.median)])
def test_missing_inputs_may_be_filled_in_from_the_training_part(tmp_path, policy, middle):
    path = changed(tmp_path, 35, weight="", town="")
    it = source(table=path, target="kind", classes=2, columns=["weight", "town"], missing=policy,
                categories={"town": ["Rome", "Oslo", "Bern"]}, split="ordered",
                duplicates="allow")
    data = it.load()
    scale = data.scales["features"]
    row = data.test.arrays["features"][3] * scale.deviation + scale.mean
    known = [r["weight"] for r in ROWS[:28]]
    np.testing.assert_allclose(row, [middle(known), 1, 0, 0], rtol=1e-5)


def test_a_missing_target_is_never_made_up(tmp_path):
    path = changed(tmp_path, 4, price="")
    found = complaint(source(table=path, target="price", columns=NUMBERS, missing="mean").load)
    assert found.headline == "`price` has no value"


# -------------------------------------------------------------------------------- parts


def test_parts_have_the_classes_in_the_same_proportions(file):
    data = source(table=file, target="town", classes=3, columns=NUMBERS, duplicates="allow",
                  test=0.3, validation=0.3).load()
    for part in (data.validation, data.test):
        assert np.bincount(part.arrays["label"]).tolist() in ([4, 4, 4],)


def test_a_column_may_say_where_a_row_belongs(tmp_path):
    rows = [{**row, "part": ("train", "Train", "validation", "test")[n % 4]}
            for n, row in enumerate(ROWS)]
    it = source(table=csv(rows, tmp_path / "t.csv"), target="price", columns="size",
                split_column="part")
    data = it.load()
    assert (data.train.size, data.validation.size, data.test.size) == (20, 10, 10)
    rows[7]["part"] = "exam"
    csv(rows, tmp_path / "t.csv")
    assert "`exam` is no part" in complaint(it.load).headline


def test_parts_may_be_files_of_their_own(tmp_path):
    first, second = csv(ROWS[:30], tmp_path / "a.csv"), csv(ROWS[30:], tmp_path / "b.csv")
    it = source(table=first, test_file=second, validation=0, target="price", columns="size")
    data = it.load()
    assert it.has("test") and not it.has("validation")
    assert (data.train.size, data.validation.size, data.test.size) == (30, 0, 10)
    scale = data.scales["features"]
    assert scale.mean == pytest.approx(np.mean([r["size"] for r in ROWS[:30]]))


def test_another_seed_parts_rows_in_another_way(file):
    first, second = (source(table=file, target="price", columns="size", split_seed=s).load()
                     for s in (0, 1))
    assert [first.test.called(i) for i in range(8)] != [second.test.called(i) for i in range(8)]


def test_the_same_row_in_two_parts_is_an_error_that_names_both(tmp_path):
    first, second = csv(ROWS[:30], tmp_path / "a.csv"), csv(ROWS[28:], tmp_path / "b.csv")
    fields = {"table": first, "test_file": second, "validation": 0, "target": "price",
              "columns": ["size", "weight"]}
    found = complaint(source(**fields).load)
    assert found.code == "F0635"
    assert "a.csv:31 (train) is the same as b.csv:3 (test)" in found.notes
    assert source(**fields, duplicates="drop").load().train.size == 28
    assert source(**fields, duplicates="allow").load().train.size == 30


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("text, code, place, headline", [
    ("", "F0631", None, "is empty"),
    ("a,b\n", "F0631", (1, 1), "has no rows"),
    ("a,b\n1,2\n3\n", "F0633", (3, 1), "a row has 1 cells, not 2"),
    ("a,b\n1,2,3\n", "F0633", (2, 1), "a row has 3 cells, not 2"),
    ("a,a\n1,2\n", "F0633", (1, 1), "two columns are called `a`"),
    ("a,\n1,2\n", "F0633", (1, 1), "column 2 has no name"),
    ("a;b\n1;2\n", "F0633", (1, 1), "seem to be separated by `;`"),
    ('a,b\n1,"2\n', "F0633", None, "not well formed"),
    ("a,b\n1,2\n1,x\n", "F0633", (3, 3), "`b` is a number, and `x` is none"),
    ("a,b\n1,2\n1,inf\n", "F0633", (3, 3), "`b` is infinite"),
    ("a,b\n1,2\n1,1e200\n", "F0633", (3, 3), "`b` is too large"),
    ("a,c\n1,2\n", "F0632", None, "has no column `b`"),
])
def test_a_wrong_table_is_told_with_its_line(tmp_path, text, code, place, headline):
    path = tmp_path / "t.csv"
    path.write_text(text)
    found = complaint(source(table=str(path), target="a", columns="b", validation=0, test=0).load)
    assert found.code == code and headline in found.headline
    if place:
        span = found.labels[0].span
        assert (span.line, span.column) == place and span.source.name.endswith("t.csv")


@pytest.mark.parametrize("text, headline", [
    ('{"a": 1}\n{"a": }\n', "the line is not JSON"),
    ('{"a": 1}\n[1]\n', "the line is not a JSON object"),
    ('{"a": 1}\n{"a": 1%s}\n' % ("0" * 5000), "a number with too many digits"),
    ('{"a": 1}\n{"a": %s}\n' % ("[" * 50000), "nested too deep"),
    ('{"a": 1, "b": 1}\n{"a": 1%s, "b": 1}\n' % ("0" * 400), "`a` is too large"),
])
def test_a_wrong_line_of_json_is_told(tmp_path, text, headline):
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    found = complaint(source(table=str(path), target="a", columns="b").load)
    assert headline in found.headline and found.labels[0].span.line == 2


def test_a_damaged_parquet_file_is_told(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    found = complaint(source(table=str(path), target="a").load)
    assert found.code == "F0630" and "t.parquet" in found.headline


def test_an_unknown_kind_of_file_is_told(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    found = complaint(source(table=str(tmp_path / "t.xlsx"), target="a").load)
    assert ".csv, .tsv" in found.help


@pytest.mark.parametrize("fields, headline", [
    ({"target": "kind", "classes": 3}, "`kind` has 2 kinds, and the recipe declares 3"),
    ({"target": "kind", "classes": ["cat", "cow"]}, "`dog` is none of the kinds of `kind`"),
    ({"target": "price", "columns": ["size", "town"], "categories": {"town": 4}},
     "`town` has 3 kinds, and the recipe declares 4"),
    ({"labels": ["old", "price"]}, "the label `price` is neither 0 nor 1"),
    ({"target": "prize"}, "has no column `prize`"),
])
def test_what_the_recipe_declares_is_held_against_the_data(file, fields, headline):
    found = complaint(source(table=file, **{"columns": NUMBERS} | fields).load)
    assert headline in found.headline


@pytest.mark.parametrize("fields", [
    {}, {"target": "price", "labels": ["old"]}, {"target": ["price", "kind"], "classes": 2},
    {"target": "price", "columns": ["price"]}, {"target": "price", "split_column": "p",
                                                "split": "random"},
    {"target": "price", "columns": ["size"], "categories": {"town": 2}},
    {"target": "kind", "classes": 1}, {"target": "kind", "classes": ["a", "a"]},
])
def test_fields_that_do_not_go_together_are_refused(fields):
    with pytest.raises(ValidationError) as caught:
        source(table="t.csv", **fields)
    assert [error["type"] for error in caught.value.errors()] == ["problem"]


def test_files_of_anything_give_data_or_a_diagnostic(tmp_path):
    random = np.random.default_rng(0)
    cells = ["1", "2.5", "", "NA", "a", "a b", '"', '"q"', "2024-01-01", "inf", "é", "\0", "[1]"]
    sources = [{"table": "", "target": "a"}, {"table": "", "target": "b", "classes": 2},
               {"table": "", "target": "a", "missing": "mean", "columns": "b"},
               {"series": "", "forecast": "a", "window": 2, "time": "b", "gaps": "previous"},
               {"documents": "", "input": "a", "target": "b"}, {"text": "", "length": 3}]
    loaded = 0
    for number in range(200):
        fields = dict(sources[number % len(sources)])
        path = tmp_path / ("t.csv", "t.tsv", "t.jsonl")[number % 7 % 3]
        rows = [",".join(random.choice(cells, random.choice([2, 2, 2, 2, 3])))
                for _ in range(number % 9)]
        path.write_text("\n".join(["a,b", *rows]) if number % 10 else bytes(
            random.integers(0, 256, 60, np.uint8)).decode("latin1"), encoding="utf-8")
        fields[next(iter(fields))] = str(path)
        try:
            loaded += source(**fields).load().train.size > 0
        except SpecError as error:
            assert error.diagnostics[0].code.startswith("F063")
    assert loaded > 10


RECIPE = """\
flaxspec: 1
name: pets
inputs: {features: {shape: [INPUTS]}}
model: [{dense: CLASSES}]
data: {table: pets.csv, target: kind, classes: 2, split: ordered}
task: classification
train: {epochs: 1, batch_size: 8, optimizer: {adam: 0.1}}
"""


def test_a_model_for_other_columns_is_refused_when_the_table_is_read(tmp_path, monkeypatch):
    rows = [{k: row[k] for k in ("size", "weight", "kind")} for row in ROWS]
    csv(rows, tmp_path / "pets.csv")
    monkeypatch.chdir(tmp_path)
    text = RECIPE.replace("CLASSES", "2")
    ready = prepare(SpecText("r.yaml", text.replace("INPUTS", "2")), Report())
    assert load_data(ready).train.size == 28
    ready = prepare(SpecText("r.yaml", text.replace("INPUTS", "3")), Report())
    found = complaint(lambda: load_data(ready))
    assert found.code == "F0614" and "channels is 2, not 3" in found.headline


def test_a_missing_file_is_told_where_the_recipe_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = RECIPE.replace("CLASSES", "2").replace("INPUTS", "2")
    found = complaint(lambda: load_data(prepare(SpecText("r.yaml", text), Report())))
    assert found.headline == "`pets.csv` does not exist"
    assert found.labels[0].span.line == 5
