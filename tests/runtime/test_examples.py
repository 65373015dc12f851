"""Other data of a run's own kind: read as the training data was, by what that taught."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from scipy.io import wavfile

from compiler.diagnostics import Diagnostic, SpecError
from runtime.data import DataSource
from runtime.data.dataset import Part
from runtime.data.source import Source
from runtime.preprocessing import Preprocessing, read, write

RANDOM = np.random.default_rng(0)
WHOLE = {"validation": 0, "test": 0}
WORDS = "ada saw the sea and wrote of it".split()


def source(fields: dict) -> Source:
    return TypeAdapter(DataSource).validate_python(fields)


def known_of(it: Source, folder: Path) -> Preprocessing:
    """What the data taught, as a run's folder keeps it."""
    path = folder / "preprocessing.json"
    write(path, Preprocessing.of(it.load()))
    return read(path)


def complaint(it: Source, path: Path, known: Preprocessing) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        it.examples(path, known)
    (found,) = caught.value.diagnostics
    return found


def said(found: Diagnostic) -> str:
    """A diagnostic's words and its place."""
    place = [f"{span.source.name}:{span.line}" for label in found.labels[:1]
             if (span := label.span) is not None]
    return "\n".join([found.headline, *found.notes, *place])


# -------------------------------------------------------------------------- one of each kind


def pictures(folder: Path) -> dict:
    for word in ("cat", "dog"):
        (folder / "photos" / word).mkdir(parents=True)
        for number in range(3):
            pixels = RANDOM.integers(0, 255, (4, 4, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / word / f"{number}.png")
    return {"images": str(folder / "photos"), "size": 4, "normalise": "from training split"}


def sounds(folder: Path) -> dict:
    for word in ("high", "low"):
        (folder / "wavs" / word).mkdir(parents=True)
        for number in range(3):
            sound = RANDOM.integers(-9000, 9000, 40 + number).astype(np.int16)
            wavfile.write(folder / "wavs" / word / f"{number}.wav", 1000, sound)
    return {"sounds": str(folder / "wavs"), "rate": 1000}


def masks(folder: Path) -> dict:
    np.savez(folder / "scenes.npz", x=RANDOM.random((5, 4, 4, 3)),
             y=RANDOM.integers(0, 3, (5, 4, 4)))
    return {"arrays": str(folder / "scenes.npz"), "predict": ["mask"], "contents": {
        "image": {"array": "x", "shape": [4, 4, 3]},
        "mask": {"array": "y", "shape": [4, 4], "axes": ["height", "width"],
                 "classes": ["sky", "sea", "land"]}}}


def table(folder: Path, **goal: object) -> dict:
    lines = ["size,town,kind,price,old"]
    lines += [f"{n},{('Rome', 'Oslo')[n % 2]},{('cat', 'dog')[n // 5]},{3.5 * n},{n % 2}"
              for n in range(10)]
    (folder / "pets.csv").write_text("\n".join(lines) + "\n")
    return {"table": str(folder / "pets.csv"), "columns": ["size", "town"],
            "categories": {"town": ["Oslo", "Rome"]}, **goal}


def tagged(folder: Path) -> dict:
    rows = [{"text": WORDS[n % 3:], "tags": ["O"] * (8 - n % 3 - 1) + ["X"], "n": n}
            for n in range(6)]
    (folder / "tags.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return {"documents": str(folder / "tags.jsonl"), "tags": ["O", "X"], "duplicates": "allow"}


def documents(folder: Path) -> dict:
    rows = [f"{' '.join(WORDS[n % 4:])}\t{('bad', 'good')[n % 2]}" for n in range(8)]
    (folder / "reviews.tsv").write_text("\n".join(["text\tlabel", *rows]))
    return {"documents": str(folder / "reviews.tsv"), "duplicates": "allow"}


def text(folder: Path) -> dict:
    (folder / "book.txt").write_text(" ".join(WORDS))
    return {"text": str(folder / "book.txt"), "length": 30}


def series(folder: Path) -> dict:
    lines = ["day,town,load,feast"]
    lines += [f"2024-01-{n + 1:02},{town},{n * n + len(town)},{n % 2}"
              for town in ("A", "BB") for n in range(12)]
    (folder / "load.csv").write_text("\n".join(lines))
    return {"series": str(folder / "load.csv"), "time": "day", "key": "town", "known": "feast",
            "forecast": "load", "window": 4, "horizon": 2}


def folders_of_masks(folder: Path) -> dict:
    for number in range(5):
        for name, pixels in (("pictures", RANDOM.integers(0, 255, (6, 4, 3))),
                             ("masks", RANDOM.integers(0, 3, (6, 4)))):
            (folder / "set" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "set" / name / f"{number}.png")
    return {"masks": str(folder / "set" / "masks"), "pictures": str(folder / "set" / "pictures"),
            "size": [3, 2], "classes": ["sky", "sea", "land"]}


KINDS: dict[str, Callable[[Path], dict]] = {
    "pictures": pictures, "sounds": sounds, "masks": masks, "tags": tagged,
    "folders of masks": folders_of_masks,
    "documents": documents, "text": text, "series": series,
    "classes of rows": lambda folder: table(folder, target="kind", classes=["cat", "dog"]),
    "numbers of rows": lambda folder: table(folder, target="price"),
    "labels of rows": lambda folder: table(folder, labels=["old"])}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_the_training_data_itself_is_read_as_it_was_for_training(
    make: Callable[[Path], dict], tmp_path: Path,
) -> None:
    fields = make(tmp_path)
    it = source(fields | WHOLE)
    data, known = it.load(), known_of(it, tmp_path)
    path = Path(next(str(value) for key, value in fields.items() if key == it.word))
    path = path.parent if it.word == "masks" else path
    found = it.examples(path, known)
    assert set(found.arrays) == set(data.fields)
    same(found, data.train)


def same(found: Part, expected: Part) -> None:
    """Assert that parts hold the same examples, whatever the order."""
    def rows(part: Part) -> list[bytes]:
        arrays = [np.asarray(part.arrays[name][np.arange(part.size)])
                  for name in sorted(part.arrays)]
        return sorted(b"".join(np.round(array[i].astype(np.float64), 5).tobytes()
                               for array in arrays) for i in range(part.size))

    assert found.size == expected.size
    for name in expected.arrays:
        assert found.arrays[name].shape == expected.arrays[name].shape
    assert rows(found) == rows(expected)


# ------------------------------------------------------------------------- what is wrong


def test_arrays_that_are_called_as_the_fields_are_suit_data_without_a_file(tmp_path: Path) -> None:
    it = source({"dataset": "digits"})
    known = known_of(it, tmp_path)
    image, label = RANDOM.random((3, 8, 8)), np.array([1, 9, 0])
    np.savez(tmp_path / "mine.npz", image=image, label=label)
    part = it.examples(tmp_path / "mine.npz", known)
    assert part.arrays["image"].shape == (3, 8, 8, 1)
    assert part.arrays["label"].tolist() == [1, 9, 0]
    np.savez(tmp_path / "none.npz", image=image)
    assert "has no array `label`" in complaint(it, tmp_path / "none.npz", known).headline
    np.savez(tmp_path / "ten.npz", image=image, label=label + 1)
    assert "row 1 of `label`" in complaint(it, tmp_path / "ten.npz", known).headline


def spoilt_pictures(folder: Path) -> Path:
    (folder / "photos" / "cat" / "1.png").write_bytes(b"")
    return folder / "photos"


def a_class_too_many(folder: Path) -> Path:
    (folder / "photos" / "dog").rename(folder / "photos" / "dgo")
    return folder / "photos"


def parts_of_pictures(folder: Path) -> Path:
    for part in ("train", "test"):
        (folder / "both" / part).mkdir(parents=True)
    (folder / "photos" / "cat").rename(folder / "both" / "train" / "cat")
    (folder / "photos" / "dog").rename(folder / "both" / "test" / "dog")
    return folder / "both"


def smaller_masks(folder: Path) -> Path:
    np.savez(folder / "small.npz", x=np.zeros((2, 4, 4, 3)), y=np.zeros((2, 4, 2)))
    return folder / "small.npz"


def an_unknown_pixel(folder: Path) -> Path:
    masks = np.zeros((2, 4, 4))
    masks[1, 2, 3] = 7
    np.savez(folder / "seven.npz", x=np.zeros((2, 4, 4, 3)), y=masks)
    return folder / "seven.npz"


def fewer_masks(folder: Path) -> Path:
    np.savez(folder / "few.npz", x=np.zeros((2, 4, 4, 3)), y=np.zeros((1, 4, 4)))
    return folder / "few.npz"


def changed_mask(pixels: np.ndarray | bytes | None) -> Callable[[Path], Path]:
    def change(folder: Path) -> Path:
        path = folder / "set" / "masks" / "3.png"
        if pixels is None:
            path.unlink()
        elif isinstance(pixels, bytes):
            path.write_bytes(pixels)
        else:
            Image.fromarray(pixels.astype(np.uint8)).save(path)
        return folder / "set"

    return change


def with_text(name: str, old: str, new: str) -> Callable[[Path], Path]:
    def change(folder: Path) -> Path:
        text = (folder / name).read_text()
        assert old in text
        (folder / f"other-{name}").write_text(text.replace(old, new, 1))
        return folder / f"other-{name}"

    return change


def empty(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(b"")
        return folder / name

    return make


@pytest.mark.parametrize("kind, spoil, code, reason", [
    ("pictures", spoilt_pictures, "F0630", "photos/cat/1.png` cannot be read: the file is empty"),
    ("pictures", a_class_too_many, "F0634", "a class `dgo`, which the model does not know"),
    ("pictures", parts_of_pictures, "F0634", "has parts, and one can be evaluated"),
    ("pictures", lambda folder: folder / "nowhere", "F0630", "there is no folder"),
    ("sounds", lambda folder: empty("list.csv")(folder), "F0631", "list.csv` is empty"),
    ("masks", smaller_masks, "F0634", "the examples in `y` of `"),
    ("masks", an_unknown_pixel, "F0633", "row 1 of `y` of `"),
    ("masks", fewer_masks, "F0634", "have different numbers of examples"),
    ("folders of masks", changed_mask(np.zeros((5, 4))), "F0634",
     "masks/3.png` has 5 × 4 pixels, and its picture 6 × 4"),
    ("folders of masks", changed_mask(np.full((6, 4), 7)), "F0633",
     "masks/3.png` holds 7, which is no class"),
    ("folders of masks", changed_mask(np.zeros((6, 4, 3))), "F0630",
     "masks/3.png` cannot be read: it has colours"),
    ("folders of masks", changed_mask(b""), "F0630",
     "masks/3.png` cannot be read: the file is empty"),
    ("folders of masks", changed_mask(None), "F0634", "the picture `3.png` has no mask"),
    ("folders of masks", lambda folder: folder, "F0630", "there is no folder"),
    ("numbers of rows", with_text("pets.csv", "price", "cost"), "F0632", "no column `price`"),
    ("numbers of rows", with_text("pets.csv", "3,Oslo", "few,Oslo"), "F0633",
     "other-pets.csv:5"),
    ("numbers of rows", with_text("pets.csv", "7.0", ""), "F0633", "other-pets.csv:4"),
    ("classes of rows", with_text("pets.csv", "cat", "cow"), "F0633", "other-pets.csv:2"),
    ("classes of rows", with_text("pets.csv", "Rome", "Bern"), "F0633", "other-pets.csv:2"),
    ("labels of rows", with_text("pets.csv", "7.0,0", "7.0,2"), "F0633", "other-pets.csv:4"),
    ("numbers of rows", empty("none.csv"), "F0631", "none.csv` is empty"),
    ("tags", with_text("tags.jsonl", '"X"', '"Y"'), "F0633", "other-tags.jsonl:1"),
    ("tags", with_text("tags.jsonl", '["O", ', "["), "F0633", "other-tags.jsonl:1"),
    ("tags", with_text("tags.jsonl", '"tags"', '"tag"'), "F0633", "other-tags.jsonl:1"),
    ("documents", with_text("reviews.tsv", "\tgood", "\tgod"), "F0633", "other-reviews.tsv:3"),
    ("documents", with_text("reviews.tsv", "label", "lable"), "F0632", "no column `label`"),
    ("text", with_text("book.txt", " ".join(WORDS), "a"), "F0631", "too little text"),
    ("series", with_text("load.csv", "load", "lod"), "F0632", "no column `load`"),
    ("series", with_text("load.csv", "2024-01-03,A", "2024-01-03,C"), "F0633", "missing before"),
    ("series", lambda folder: with_text("load.csv", (folder / "load.csv").read_text(), "\n".join(
        (folder / "load.csv").read_text().splitlines()[:5]))(folder), "F0631", "is too short"),
])
def test_other_data_that_is_wrong_is_named_with_its_place(
    kind: str, spoil: Callable[[Path], Path], code: str, reason: str, tmp_path: Path,
) -> None:
    it = source(KINDS[kind](tmp_path) | WHOLE)
    known = known_of(it, tmp_path)
    path = spoil(tmp_path)
    with pytest.raises(SpecError) as caught:
        for array in it.examples(path, known).arrays.values():
            array[np.arange(len(array))]  # pictures are read when they are asked for
    (found,) = caught.value.diagnostics
    assert found.code == code and reason in said(found)


def test_pixels_without_a_class_are_those_that_the_recipe_names(tmp_path: Path) -> None:
    fields = masks(tmp_path)
    archive = np.load(tmp_path / "scenes.npz")
    marked = archive["y"].copy()
    marked[1, 2, 3] = 255
    np.savez(tmp_path / "scenes.npz", x=archive["x"], y=marked)
    with pytest.raises(SpecError, match="row 1 of `y`"):
        source(fields | WHOLE).load()
    fields["contents"]["mask"]["ignore"] = 255
    data = source(fields | WHOLE).load()
    assert data.train.arrays["mask"].max() == 255 and data.fields["mask"].vocabulary == 3
    with pytest.raises(ValidationError, match="belongs to a field with a class for each pixel"):
        source({**fields, "contents": {**fields["contents"], "image": {
            **fields["contents"]["image"], "ignore": 0}}})


def test_masks_are_brought_to_their_size_without_new_numbers(tmp_path: Path) -> None:
    for folder in ("p", "m"):
        (tmp_path / folder).mkdir()
    left = np.zeros((8, 8), np.uint8)
    left[:, :4] = 200
    Image.fromarray(left).save(tmp_path / "p" / "a.jpg")
    palette = Image.fromarray(np.where(left, 255, 1).astype(np.uint8), "P")
    palette.putpalette([n for n in range(256) for _ in range(3)])
    palette.save(tmp_path / "m" / "a.png")
    it = source({"masks": str(tmp_path / "m"), "pictures": str(tmp_path / "p"), "size": 4,
                 "classes": 2, "ignore": 255, **WHOLE})
    data = it.load()
    assert data.train.arrays["mask"][0].tolist() == [[255, 255, 1, 1]] * 4
    assert data.train.arrays["image"].shape == (1, 4, 4, 3)


def test_folders_of_masks_have_parts_and_are_read_when_asked_for(tmp_path: Path) -> None:
    fields = folders_of_masks(tmp_path)
    for name in ("pictures", "masks"):
        for number in range(5):
            part = ("train", "val", "test")[number % 3]
            (tmp_path / "set" / name / part).mkdir(exist_ok=True)
            path = tmp_path / "set" / name / f"{number}.png"
            path.rename(path.parent / part / path.name)
    kept, lazy = (source(fields | {"cache": cache}).load() for cache in ("memory", "none"))
    assert [kept.train.size, kept.validation.size, kept.test.size] == [2, 2, 1]
    for part in ("train", "validation", "test"):
        for field in ("image", "mask"):
            one, other = (getattr(data, part).arrays[field] for data in (kept, lazy))
            np.testing.assert_array_equal(one, other[np.arange(len(one))])
    np.testing.assert_array_equal(np.asarray(lazy.train.arrays["mask"]), kept.train.arrays["mask"])


def test_two_files_that_are_called_alike_are_told_among_pictures_with_masks(
    tmp_path: Path,
) -> None:
    fields = folders_of_masks(tmp_path)
    twin = tmp_path / "set" / "pictures" / "3.bmp"
    Image.open(twin.with_suffix(".png")).save(twin)
    with pytest.raises(SpecError, match="F0634.*has both `3.bmp` and `3.png`"):
        source(fields).load()


def test_columns_that_nobody_asks_for_may_miss_values_in_other_data(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n % 2}\n" for n in range(20))
    (tmp_path / "t.csv").write_text(f"a,b\n{rows}")
    it = source({"table": str(tmp_path / "t.csv"), "target": "b", "classes": 2,
                 "missing": "drop", **WHOLE})
    known = known_of(it, tmp_path)
    (tmp_path / "more.csv").write_text("note,b,a\nhello,1,5\n,0,7\n,0,\n")
    part = it.examples(tmp_path / "more.csv", known)
    assert part.size == 2 and part.arrays["label"].tolist() == [1, 0]


def test_a_series_that_the_model_does_not_know_is_named(tmp_path: Path) -> None:
    it = source(series(tmp_path) | WHOLE)
    known = known_of(it, tmp_path)
    other = tmp_path / "other.csv"
    other.write_text((tmp_path / "load.csv").read_text().replace(",BB,", ",CC,"))
    assert "a series `CC`, which the model does not know" in complaint(it, other, known).headline


def test_a_manifest_names_recordings_beside_it(tmp_path: Path) -> None:
    it = source(sounds(tmp_path) | WHOLE)
    known = known_of(it, tmp_path)
    (tmp_path / "wavs" / "list.csv").write_text(
        "file,label,part\nlow/1.wav,low,test\nhigh/0.wav,high,train\n")
    part = it.examples(tmp_path / "wavs" / "list.csv", known)
    assert sorted(part.arrays["label"].tolist()) == [0, 1]
    assert sorted(part.lengths["sound"].tolist()) == [40, 41]
