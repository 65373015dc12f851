"""Pictures with boxes in COCO's and Pascal VOC's form: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from compiler.diagnostics import SpecError
from runtime.data import DataSource
from runtime.data.box_files import BoxFiles
from runtime.data.boxes import CROWD, DIFFICULT, NOTHING, OBJECT
from runtime.data.coco import part_word
from runtime.data.dataset import Part
from runtime.preprocessing import Preprocessing

# A bright rectangle on a dark picture of another shape than what it is brought to.
WIDTH, HEIGHT, BOX = 80, 40, (50, 10, 70, 30)

XML = """<annotation>
  <filename>whatever.jpg</filename>
  <size><width>80</width><height>40</height><depth>1</depth></size>
  <object>
    <name>cat</name><difficult>1</difficult>
    <bndbox><xmin>51</xmin><ymin>11</ymin><xmax>70</xmax><ymax>30</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>
  </object>
  <object>
    <name>dog</name>
    <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20.5</xmax><ymax>40</ymax></bndbox>
  </object>
</annotation>
"""


def picture(path: Path) -> None:
    """Write one; no two are the same."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[BOX[1]:BOX[3], BOX[0]:BOX[2]] = 255
    pixels[-8:, :8] = sum(path.name.encode()) % 100
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def coco(changes: dict[str, Any] | None = None, count: int = 2) -> dict[str, Any]:
    """A file of annotations: a cat and a crowd of dogs in each picture."""
    content: dict[str, Any] = {
        "images": [{"id": 7 + i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT}
                   for i in range(count)],
        "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            entry for i in range(count) for entry in (
                {"id": 2 * i, "image_id": 7 + i, "category_id": 3, "area": 300, "iscrowd": 0,
                 "bbox": [50, 10, 20, 20]},
                {"id": 2 * i + 1, "image_id": 7 + i, "category_id": 9, "iscrowd": 1,
                 "bbox": [-1, 0, 21, 40]})]}
    return content | (changes or {})


def source(folder: Path, **values: Any) -> BoxFiles:
    made = {"size": [32, 32], "channels": 1, "validation": 0, "test": 0, "most": 4, **values}
    found = TypeAdapter(DataSource).validate_python(made)
    assert isinstance(found, BoxFiles)
    return found


def coco_in(folder: Path, content: Any, **values: Any) -> BoxFiles:
    """A source of COCO's form over a file with this content."""
    for i in range(2):
        picture(folder / "pictures" / f"{i}.png")
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "boxes.json").write_text(text, encoding="utf-8")
    return source(folder, coco=str(folder / "boxes.json"), pictures=str(folder / "pictures"),
                  **values)


def voc_in(folder: Path, text: str = XML, **values: Any) -> BoxFiles:
    for name in "ab":
        picture(folder / "JPEGImages" / f"{name}.png")
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8")
    return source(folder, voc=str(folder), **values)


def code_of(data: BoxFiles) -> str:
    with pytest.raises(SpecError) as caught:
        data.load()
    (found,) = caught.value.diagnostics
    assert found.help or found.notes or "is empty" in found.headline, found.headline
    return found.code


# ---------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("fit", ["pad", "stretch"])
@pytest.mark.parametrize("size", [[32, 32], [64, 24], [40, 80]], ids=str)
def test_boxes_are_where_the_pictures_objects_are_after_fitting(
    fit: str, size: list[int], tmp_path: Path,
) -> None:
    part = coco_in(tmp_path, coco(), fit=fit, size=size).load().train
    image, box = part.arrays["image"][0][..., 0], part.arrays["boxes"][0, 0]
    rows, columns = np.flatnonzero(image.max(axis=1) > 127), np.flatnonzero(
        image.max(axis=0) > 127)
    np.testing.assert_allclose(box, [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], atol=1.01)
    scale, offset = part.arrays["frame"][0][[0, 1, 0, 1]], part.arrays["frame"][0][[2, 3, 2, 3]]
    np.testing.assert_allclose((box - offset) / scale, BOX, atol=1e-3)


def test_coco_gives_classes_in_the_order_of_their_numbers_crowds_and_areas(tmp_path: Path) -> None:
    data = coco_in(tmp_path, coco(), fit="stretch", size=[HEIGHT, WIDTH]).load()
    assert data.labels["label"] == ("cat", "dog") and data.fields["label"].vocabulary == 2
    arrays = data.train.arrays
    assert arrays["label"][0].tolist() == [0, 1, 0, 0]
    assert arrays["status"][0].tolist() == [OBJECT, CROWD, NOTHING, NOTHING]
    assert arrays["area"][0].tolist() == [300, 840, 0, 0]
    assert arrays["boxes"][0, 1].tolist() == [0, 0, 20, 40], "cut at the rim"


def test_voc_counts_pixels_from_one_and_marks_what_is_difficult(tmp_path: Path) -> None:
    data = voc_in(tmp_path, fit="stretch", size=[HEIGHT, WIDTH]).load()
    arrays = data.train.arrays
    assert data.labels["label"] == ("cat", "dog")
    assert arrays["boxes"][0, :2].tolist() == [[50, 10, 70, 30], [0, 0, 20.5, 40]]
    assert arrays["status"][0].tolist() == [DIFFICULT, OBJECT, NOTHING, NOTHING]


def test_voc_may_lie_in_one_folder_and_lists_make_parts(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / "flat" / f"{name}.png")
        (tmp_path / "flat" / f"{name}.xml").write_text(XML)
    assert source(tmp_path, voc=str(tmp_path / "flat")).load().train.size == 3
    data = voc_in(tmp_path / "lists", validation=0.1)
    lists = tmp_path / "lists" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("b\n")
    (lists / "val.txt").write_text("a\n\n")
    with pytest.raises(SpecError):  # a part is given by the data and by the recipe
        data.load()
    whole = TypeAdapter(DataSource).validate_python(
        {"voc": str(tmp_path / "lists"), "size": 32, "test": 0}).load()
    assert [list(part.names) for part in (whole.train, whole.validation)] == [["b.png"], ["a.png"]]


def test_files_of_coco_by_part_take_pictures_from_folders_of_their_names(tmp_path: Path) -> None:
    for part in ("train2017", "val2017"):
        (tmp_path / "annotations").mkdir(exist_ok=True)
        picture(tmp_path / part / "0.png")
        (tmp_path / "annotations" / f"instances_{part}.json").write_text(json.dumps(coco(count=1)))
    data = TypeAdapter(DataSource).validate_python(
        {"coco": str(tmp_path / "annotations"), "pictures": str(tmp_path), "size": 16,
         "test": 0, "duplicates": "allow"}).load()
    assert (data.train.names[0], data.validation.names[0]) == ("train2017/0.png", "val2017/0.png")
    assert part_word(Path("instances_val2014.json")) == "val"


def test_other_annotations_are_evaluated_and_their_unknown_classes_told(tmp_path: Path) -> None:
    data = coco_in(tmp_path, coco())
    known = Preprocessing.of(data.load())
    other = coco({"categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "fox"}]})
    path = tmp_path / "other.json"
    path.write_text(json.dumps(coco(count=1)))
    part = data.examples(path, known)
    assert isinstance(part, Part) and part.size == 1
    path.write_text(json.dumps(other))
    with pytest.raises(SpecError, match="fox"):
        data.examples(path, known)


def test_a_picture_to_predict_brings_the_way_back_to_its_own_pixels(tmp_path: Path) -> None:
    picture(tmp_path / "x.png")
    part = coco_in(tmp_path, coco()).encode([str(tmp_path / "x.png")], {})
    assert part.arrays["image"].shape == (1, 32, 32, 1)
    np.testing.assert_allclose(part.arrays["frame"][0], [0.4, 0.4, 0, 8, WIDTH, HEIGHT])


# ------------------------------------------------------------------------- what is refused

FIRST = coco()["annotations"][0]


@pytest.mark.parametrize(("content", "code"), [
    ("[" * 100_000, "F0682"), ("{", "F0682"), ("[]", "F0682"), ("1e999", "F0682"),
    (coco({"images": "all"}), "F0682"), (coco({"images": []}), "F0631"),
    (coco({"categories": []}), "F0682"), (coco({"categories": [{"id": 3}]}), "F0682"),
    (coco({"categories": [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}]}), "F0682"),
    (coco({"annotations": [3]}), "F0682"),
    (coco({"annotations": [FIRST | {"image_id": 99}]}), "F0682"),
    (coco({"annotations": [FIRST | {"category_id": True}]}), "F0682"),
    (coco({"annotations": [FIRST | {"bbox": [1, 2, 3]}]}), "F0682"),
    (coco({"annotations": [FIRST | {"bbox": [1, 2, 3, "4"]}]}), "F0682"),
    (coco({"annotations": [FIRST | {"iscrowd": 2}]}), "F0682"),
    (coco({"annotations": [FIRST | {"area": -1}]}), "F0682"),
    (json.dumps(coco({"annotations": [FIRST | {"bbox": [1, 2, float("nan"), 4]}]})), "F0682"),
    (json.dumps(coco({"annotations": [FIRST | {"bbox": [1, 2, float("inf"), 4]}]})), "F0682"),
    (coco({"annotations": [FIRST | {"bbox": [10, 10, -5, 5]}]}), "F0684"),
    (coco({"annotations": [FIRST | {"bbox": [70, 10, 50, 5]}]}), "F0684"),
    (coco({"annotations": [FIRST] * 5}), "F0685"),
    (coco({"images": [{"id": 7, "file_name": "../x.png", "width": 80, "height": 40}]}), "F0682"),
    (coco({"images": [{"id": 7, "file_name": "/etc/x", "width": 80, "height": 40}]}), "F0682"),
    (coco({"images": [{"id": 7, "file_name": "a\0b", "width": 80, "height": 40}]}), "F0682"),
    (coco({"images": [{"id": 7, "file_name": "9.png", "width": 80, "height": 40}],
           "annotations": []}), "F0630"),
    (coco({"images": [{"id": 7, "file_name": "0.png", "width": 0, "height": 40}]}), "F0682"),
    (coco({"images": [{"id": 7, "file_name": "0.png", "width": 40, "height": 80}],
           "annotations": []}), "F0634"),
    (coco({"images": [{"id": 7, "file_name": "0.png", "width": 10**400, "height": 80}]}), "F0682"),
], ids=str)
def test_a_hostile_or_broken_json_file_is_told(content: Any, code: str, tmp_path: Path) -> None:
    assert code_of(coco_in(tmp_path, content)) == code


BOMB = ('<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>' + XML.replace("cat", "&b;"))
READS = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + XML.replace("cat", "&x;")


@pytest.mark.parametrize(("text", "code"), [
    (BOMB, "F0683"), (READS, "F0683"), ("<!DOCTYPE annotation>" + XML, "F0683"),
    ('<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd">' + XML, "F0683"),
    ("<annotation>" * 40 + "</annotation>" * 40, "F0683"),
    ("<annotation>" + "<a/>" * 100_001 + "</annotation>", "F0683"),
    ("<annotation>" + "x" * 2**22 + "</annotation>", "F0683"),
    ("<annotation><size>", "F0682"), ("no xml", "F0682"), (XML.replace("cat", "&x;"), "F0682"),
    ('<?xml version="1.0" encoding="klingon"?>' + XML, "F0682"),
    (XML.replace("annotation", "other"), "F0682"),
    (XML.replace("size", "scale"), "F0682"), (XML.replace("<width>80", "<width>wide"), "F0682"),
    (XML.replace("<width>80", "<width>0"), "F0682"), (XML.replace("51", "nan"), "F0682"),
    (XML.replace("<name>cat</name>", ""), "F0682"), (XML.replace("xmin", "left"), "F0682"),
    (XML.replace("<xmax>70", "<xmax>20"), "F0684"), (XML.replace("<xmax>70", "<xmax>700"), "F0684"),
    (XML.replace("<width>80", "<width>40"), "F0634"), ("", "F0631"),
], ids=lambda value: str(value)[:40])
def test_a_hostile_or_broken_xml_file_is_told(text: str, code: str, tmp_path: Path) -> None:
    assert code_of(voc_in(tmp_path, text)) == code


def test_xml_and_pictures_that_have_no_partner_are_told(tmp_path: Path) -> None:
    data = voc_in(tmp_path)
    (tmp_path / "JPEGImages" / "b.png").unlink()
    assert code_of(data) == "F0634"
    (tmp_path / "empty").mkdir()
    assert code_of(source(tmp_path, voc=str(tmp_path / "empty"))) == "F0631"
    assert code_of(source(tmp_path, voc=str(tmp_path / "none"))) == "F0630"
