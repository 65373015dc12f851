"""Data sets of Hugging Face, as their library saves them; nothing is fetched."""

import sys

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from compiler.diagnostics import SpecError
from runtime.data import DataSource
from runtime.preprocessing import Preprocessing

datasets = pytest.importorskip("datasets")

CONTENTS = {"image": {"column": "img", "size": [4, 6]}, "label": {"column": "kind", "classes": 2}}


def saved(folder, parts=("train", "test"), **columns):
    """A data set of a few pictures of one colour, with names for its classes."""
    features = datasets.Features({"img": datasets.Image(), "kind": datasets.ClassLabel(
        names=["dark", "light"]), "row": datasets.Sequence(datasets.Value("float32"))})
    splits = {}
    for index, part in enumerate(parts):
        shades = [number * 8 + index for number in range(30)]
        splits[part] = datasets.Dataset.from_dict({
            "img": [Image.new("RGB", (6, 4), (shade,) * 3) for shade in shades],
            "kind": [shade // 120 for shade in shades],
            "row": [[shade, 1.0] for shade in shades], **columns}, features)
    datasets.DatasetDict(splits).save_to_disk(folder)
    return folder


def source(folder, **fields):
    return TypeAdapter(DataSource).validate_python(
        {"huggingface": "me/shades", "folder": str(folder), "contents": CONTENTS, **fields})


def complaint(folder, code, **fields):
    with pytest.raises(SpecError) as caught:
        source(folder, **fields).load()
    (found,) = caught.value.diagnostics
    assert found.code == code
    return "\n".join([found.headline, *found.notes, found.help])


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("hf") / "shades")


def test_splits_are_parts_and_classes_keep_their_names(shades):
    data = source(shades, validation=0.2).load()
    assert [data.train.size, data.validation.size, data.test.size] == [24, 6, 30]
    assert data.labels == {"label": ("dark", "light")}
    images, labels = data.test.arrays["image"], data.test.arrays["label"]
    assert images.shape == (30, 4, 6, 3) and images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == [number * 8 + 1 for number in range(30)]
    np.testing.assert_array_equal(labels, images[:, 0, 0, 0] // 120)


def test_columns_of_numbers_are_read_too(shades):
    data = source(shades, validation=0.0, predict=["kind"], contents={
        "row": {"column": "row", "shape": [2]}, "kind": {"column": "kind", "classes": 2}}).load()
    assert data.train.arrays["row"][3].tolist() == [24.0, 1.0]


@pytest.mark.parametrize("contents, code, said", [
    ({"column": "kinds", "classes": 2}, "F0632", "no column `kinds`"),
    ({"column": "kind", "classes": 3}, "F0634", "has 2 classes, and the recipe declares others"),
    ({"column": "kind", "classes": ["light", "dark"]}, "F0634", "dark, light"),
    ({"column": "row", "shape": [3]}, "F0634", "are 2, and the recipe declares 3")])
def test_what_the_data_set_does_not_have_is_told(shades, contents, code, said):
    assert said in complaint(shades, code, contents={**CONTENTS, "label": contents})


def test_a_column_of_numbers_is_no_column_of_pictures(shades):
    text = complaint(shades, "F0633", contents={
        **CONTENTS, "image": {"column": "row", "size": 4}})
    assert "row 0 of `row`" in text and "is no picture" in text


def test_a_data_set_without_a_training_part_is_refused(tmp_path):
    assert "no split `train`" in complaint(saved(tmp_path / "x", ("test",)), "F0634")


def test_a_folder_that_holds_no_data_set_is_refused(tmp_path):
    assert "cannot be had" in complaint(tmp_path, "F0637")


def test_without_the_library_the_extra_is_named(shades, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "flaxspec[huggingface]" in complaint(shades, "F0636")


@pytest.mark.parametrize("fields, said", [
    ({"subset": "x"}, "a data set in a `folder` has no `subset`"),
    ({"contents": {**CONTENTS, "image": {"column": "img", "size": 4, "shape": [4, 4, 3]}}},
     "a picture has a `size`, from which its `shape` follows")])
def test_fields_that_exclude_each_other_are_refused(shades, fields, said):
    with pytest.raises(ValidationError) as caught:
        source(shades, **fields)
    assert caught.value.errors()[0]["msg"].startswith(said)


def test_classes_in_another_order_are_refused_in_other_data(shades, tmp_path):
    it = source(shades)
    known = Preprocessing.of(it.load())
    assert it.examples(shades, known).size == 30
    turned = datasets.load_from_disk(str(shades))["test"].cast_column(
        "kind", datasets.ClassLabel(names=["light", "dark"]))
    turned.save_to_disk(tmp_path / "turned")
    with pytest.raises(SpecError, match="F0634"):
        it.examples(tmp_path / "turned", known)
