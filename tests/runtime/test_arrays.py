"""Arrays in files: every format, and everything that can be wrong with one."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from compiler.diagnostics import SpecError
from compiler.types import TensorType
from runtime.data import DataSource
from runtime.data.array_files import Mapped
from runtime.data.pipeline import HostArrays, examples

CONTENTS = {"image": {"array": "x", "shape": [4, 3, 1]}, "label": {"array": "y", "classes": 3}}
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (30, 4, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3


def source(path, **fields):
    return TypeAdapter(DataSource).validate_python(
        {"arrays": str(path), "contents": CONTENTS, **fields})


def idx(array):
    """The bytes of an IDX file."""
    code = {"uint8": 8, "int32": 12, "float32": 13}[array.dtype.name]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def folder(path, **arrays):
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


def complaint(path, code, **fields):
    with pytest.raises(SpecError) as caught:
        source(path, **fields).load()
    (found,) = caught.value.diagnostics
    assert found.code == code
    return "\n".join([found.headline, *found.notes, found.help])


def everything(data):
    parts = [data.train, data.validation, data.test]
    return {name: np.concatenate([p.arrays[name] for p in parts]) for name in parts[0].arrays}


# ------------------------------------------------------------------------------- formats


def write_npz(path):
    np.savez_compressed(path / "data.npz", x=IMAGES, y=LABELS)
    return path / "data.npz"


def write_npy(path):
    return folder(path, x=IMAGES, y=LABELS.astype(np.int64))


def write_idx(path):
    (path / "x.idx").write_bytes(idx(IMAGES))
    (path / "y.idx").write_bytes(idx(LABELS.astype(np.int32)))
    return path


def write_gz(path):
    (path / "x.gz").write_bytes(gzip.compress(idx(IMAGES)))
    (path / "y.npy.gz").write_bytes(b"")  # replaced below
    np.save(path / "y.npy", LABELS)
    (path / "y.npy.gz").write_bytes(gzip.compress((path / "y.npy").read_bytes()))
    (path / "y.npy").unlink()
    return path


@pytest.mark.parametrize("write", [write_npz, write_npy, write_idx, write_gz])
def test_every_format_gives_the_same_examples(tmp_path, write):
    data = source(write(tmp_path), validation=0.1, test=0.2).load()
    assert [data.train.size, data.validation.size, data.test.size] == [21, 3, 6]
    found = everything(data)
    assert found["image"].dtype == np.uint8 and found["label"].dtype == np.int32
    rows = {image.tobytes(): label for image, label in zip(IMAGES, LABELS)}
    assert all(rows[i.tobytes()] == n for i, n in zip(found["image"], found["label"]))
    assert np.bincount(data.test.arrays["label"]).tolist() == [2, 2, 2]
    assert data.fields["image"] == TensorType(("height", "width", "channels"), (4, 3, 1))


def test_records_of_bytes_are_read_channels_first_and_joined(tmp_path):
    pixels = RANDOM.integers(0, 256, (20, 3, 2, 2), dtype=np.uint8)
    rows = np.concatenate([LABELS[:20, None].astype(np.uint8), pixels.reshape(20, 12)], axis=1)
    (tmp_path / "a.bin").write_bytes(rows[:12].tobytes())
    (tmp_path / "b.bin").write_bytes(rows[12:].tobytes())
    both = {"train": ["a.bin", "b.bin"]}
    data = source(tmp_path, validation=0.0, test=0.0, contents={
        "image": {"array": both, "record": 13, "at": 1, "shape": [2, 2, 3], "channels": "first"},
        "label": {"array": both, "record": 13, "classes": ["a", "b", "c"]}}).load()
    np.testing.assert_array_equal(data.train.arrays["image"], pixels.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(data.train.arrays["label"], LABELS[:20])
    assert data.labels == {"label": ("a", "b", "c")}


def test_arrays_of_parts_are_found_by_their_names(tmp_path):
    folder(tmp_path, x_train=IMAGES[:20], y_train=LABELS[:20], x_test=IMAGES[20:],
           y_test=LABELS[20:])
    data = source(tmp_path, validation=0.2).load()
    assert [data.train.size, data.validation.size, data.test.size] == [16, 4, 10]
    np.testing.assert_array_equal(data.test.arrays["image"][..., 0], IMAGES[20:])


def test_folders_of_parts_are_found_too(tmp_path):
    for part, rows in (("train", slice(0, 20)), ("val", slice(20, 25)), ("test", slice(25, 30))):
        (tmp_path / part).mkdir()
        folder(tmp_path / part, x=IMAGES[rows], y=LABELS[rows])
    data = source(tmp_path).load()
    assert [data.train.size, data.validation.size, data.test.size] == [20, 5, 5]


def test_numbers_that_are_no_images_become_floats_as_they_are(tmp_path):
    folder(tmp_path, x=np.arange(60, dtype=np.uint8).reshape(20, 3), target=np.arange(20.0))
    data = source(tmp_path, validation=0.0, test=0.0, contents={
        "x": {"array": "x", "shape": [3]}, "target": {"array": "target"}}).load()
    assert data.train.arrays["x"].dtype == data.train.arrays["target"].dtype == np.float32
    assert data.train.arrays["x"][1].tolist() == [3, 4, 5]
    assert data.fields["target"] == TensorType((), ())


def test_a_mask_has_a_class_for_each_pixel(tmp_path):
    folder(tmp_path, x=IMAGES, mask=IMAGES % 3)
    it = source(tmp_path, predict=["mask"], contents={
        "image": CONTENTS["image"],
        "mask": {"array": "mask", "shape": [4, 3], "axes": ["height", "width"], "classes": 3}})
    data = it.load()
    assert it.targets() == ("mask",)
    assert data.fields["mask"] == TensorType(("height", "width"), (4, 3), "int", vocabulary=3)
    np.testing.assert_array_equal(data.train.arrays["mask"],
                                  data.train.arrays["image"][..., 0] % 3)


def test_inputs_with_channels_are_normalised_and_targets_are_not(tmp_path):
    folder(tmp_path, x=RANDOM.normal(5, 2, (40, 6)).astype(np.float32), y=LABELS.repeat(2)[:40])
    data = source(tmp_path, normalise="from training split", contents={
        "x": {"array": "x", "shape": [6]}, "label": {"array": "y", "classes": 3}}).load()
    assert list(data.normalise) == ["x"]
    values = data.train.arrays["x"]
    np.testing.assert_allclose(data.normalise["x"].mean, values.mean(0), rtol=1e-5)


def test_what_is_too_large_for_the_memory_stays_on_disk(tmp_path, monkeypatch):
    folder(tmp_path, x=IMAGES[..., None], y=LABELS)
    memory = source(tmp_path, normalise="from training split").load()
    monkeypatch.setattr("runtime.data.array_files.IN_MEMORY", 100)
    disk = source(tmp_path, normalise="from training split").load()
    assert isinstance(disk.train.arrays["image"], Mapped)
    assert isinstance(examples(disk.train), HostArrays)
    np.testing.assert_array_equal(disk.train.arrays["image"][:], memory.train.arrays["image"])
    np.testing.assert_allclose(disk.normalise["image"].mean, memory.normalise["image"].mean)
    batch = next(examples(disk.train).batches(np.arange(5), 5))
    np.testing.assert_allclose(batch.arrays["image"], memory.train.arrays["image"][:5] / 255,
                               rtol=1e-6)


def test_leaks_are_found_on_disk_too(tmp_path, monkeypatch):
    monkeypatch.setattr("runtime.data.array_files.IN_MEMORY", 100)
    images = IMAGES[..., None]
    folder(tmp_path, x_train=images[:20], y_train=LABELS[:20], x_test=images[19:],
           y_test=LABELS[19:])
    assert "number 19 (train)" in complaint(tmp_path, "F0635", validation=0.0)


def test_new_pictures_are_encoded_from_their_files(tmp_path):
    it = source(folder(tmp_path, x=IMAGES, y=LABELS))
    Image.fromarray(IMAGES[7]).save(tmp_path / "7.png")
    part = it.encode([tmp_path / "7.png"], {})
    np.testing.assert_array_equal(part.arrays["image"][0, :, :, 0], IMAGES[7])


# -------------------------------------------------------------------------------- errors


def test_a_missing_file_is_named(tmp_path):
    assert "does not exist" in complaint(tmp_path / "data.npz", "F0630")


def test_a_missing_array_is_answered_with_those_there_are(tmp_path):
    text = complaint(folder(tmp_path, xs=IMAGES, y=LABELS), "F0630")
    assert "no array `x`" in text and "xs" in text


def test_a_part_of_one_field_alone_is_refused(tmp_path):
    folder(tmp_path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES)
    assert "has a test part of `image`, but not of `label`" in complaint(tmp_path, "F0634")


def test_fields_of_different_lengths_are_refused_with_both(tmp_path):
    text = complaint(folder(tmp_path, x=IMAGES, y=LABELS[:-1]), "F0634")
    assert "`image` has 30" in text and "`label` has 29" in text


def test_another_shape_is_refused_with_both(tmp_path):
    text = complaint(folder(tmp_path, x=IMAGES.transpose(0, 2, 1), y=LABELS), "F0634")
    assert "are 3×4, and the recipe declares 4×3×1" in text


@pytest.mark.parametrize("value", [-1, 3, 0.5])
def test_a_label_that_is_no_class_is_named_with_its_row(tmp_path, value):
    labels = LABELS.astype(float)
    labels[17] = value
    text = complaint(folder(tmp_path, x=IMAGES, y=labels), "F0633")
    assert "row 17 of `y`" in text and "no whole number from 0 to 2" in text


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e39])
def test_a_value_that_is_not_finite_as_float32_is_named_with_its_row(tmp_path, value):
    values = IMAGES.astype(np.float64)
    values[4, 1, 1] = value
    assert "row 4 of `x`" in complaint(folder(tmp_path, x=values, y=LABELS), "F0633")


def test_an_empty_array_is_refused(tmp_path):
    assert "no examples" in complaint(folder(tmp_path, x=IMAGES[:0], y=LABELS[:0]), "F0631")


def test_python_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}, []], object), allow_pickle=True)
    np.save(tmp_path / "y.npy", LABELS)
    assert "could run anything" in complaint(tmp_path, "F0630")


@pytest.mark.parametrize("name, content, said", [
    ("x.npy", b"\x93NUMPY\x01\x00broken", "is broken"),
    ("x.idx", idx(IMAGES)[:-1], "has 359 bytes of values, and its head says 360"),
    ("x.idx", b"\0\0\x08\x03\0\0", "ends within its head"),
    ("x.idx", b"hello world", "neither an npy nor an IDX file"),
    ("x.gz", gzip.compress(idx(IMAGES))[:-9], "is a broken gzip file")])
def test_a_broken_file_is_told_as_such(tmp_path, name, content, said):
    folder(tmp_path, y=LABELS)
    (tmp_path / name).write_bytes(content)
    assert said in complaint(tmp_path, "F0630")


def test_a_broken_npz_is_told_as_such(tmp_path):
    path = write_npz(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    assert "not an npz file" in complaint(path, "F0630")


def test_bytes_that_are_no_whole_records_are_refused(tmp_path):
    (tmp_path / "x.bin").write_bytes(bytes(25))
    text = complaint(tmp_path, "F0630", contents={
        "x": {"array": "x.bin", "record": 13, "shape": [12]},
        "label": {"array": "x.bin", "record": 13, "at": 12, "classes": 2}})
    assert "25 bytes, which is no multiple of 13" in text


def test_the_same_example_in_two_parts_is_an_error(tmp_path):
    folder(tmp_path, x_train=IMAGES[:20], y_train=LABELS[:20], x_test=IMAGES[19:],
           y_test=LABELS[19:])
    assert "an example of" in complaint(tmp_path, "F0635", validation=0.0)


@pytest.mark.parametrize("contents, said", [
    ({"x": {"array": "x", "shape": [3]}}, "none of the fields is a target"),
    ({"label": {"array": "x", "classes": 3}}, "all of the fields are targets"),
    ({"x": {"array": {"test": "a"}}, "label": {"array": "y"}}, "`array` is the name of an array"),
    ({"x": {"array": "x", "shape": [3], "axes": ["wide"]}, "label": {"array": "y"}},
     "there is no axis `wide`"),
    ({"x": {"array": "x", "classes": 2, "vocabulary": 2}, "label": {"array": "y"}},
     "a field has `classes` or a `vocabulary`, not both")])
def test_contents_that_cannot_be_are_refused(contents, said):
    with pytest.raises(ValidationError) as caught:
        source("a.npz", contents=contents)
    assert caught.value.errors()[0]["msg"].startswith(said)
