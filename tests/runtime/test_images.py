"""Image folders: what is found in them, how it is cut, and what is wrong with others."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from compiler.diagnostics import Report, SpecError
from runtime.data import DataSource
from runtime.data.dataset import Part
from runtime.data.leakage import without_leaks
from runtime.data.pictures import Form, Pictures, decoded
from runtime.run import prepare

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


def source(folder, **fields):
    return TypeAdapter(DataSource).validate_python(
        {"images": str(folder), "size": [4, 6], **fields})


def picture(path: Path, colour, size=(6, 4), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


def folder_of(root: Path, count=10, parts=("",), suffix="png"):
    """Pictures of different shades, so that no two are the same."""
    for index, part in enumerate(parts):
        for word, colour in COLOURS.items():
            for number in range(count):
                shade = tuple(max(c - 20 * number - index, 0) for c in colour)
                picture(root / part / word / f"{number}.{suffix}", shade)
    return root


def names(part: Part) -> list[str]:
    return [part.called(number) for number in range(part.size)]


def complaint(*, code, **fields):
    """The one diagnostic of loading a folder, as a text."""
    with pytest.raises(SpecError) as caught:
        source(**fields).load()
    (found,) = caught.value.diagnostics
    assert found.code == code
    return "\n".join([found.headline, *found.notes, found.help])


# ------------------------------------------------------------------------- what is found


def test_classes_are_the_folders_in_the_order_of_their_names(tmp_path):
    data = source(folder_of(tmp_path), validation=0.1, test=0.2).load()
    assert data.labels == {"label": ("blue", "green", "red")}
    assert data.fields["label"].vocabulary == 3
    assert [data.train.size, data.validation.size, data.test.size] == [21, 3, 6]
    for part in (data.train, data.validation, data.test):
        images, labels = part.arrays["image"], part.arrays["label"]
        assert images.shape == (part.size, 4, 6, 3) and images.dtype == np.uint8
        # The strongest colour tells the class: red is channel 0 and class 2.
        assert (2 - images[:, 0, 0].argmax(axis=-1) == labels).all()
        assert all(part.called(n).startswith(("blue", "green", "red")[labels[n]] + "/")
                   for n in range(part.size))


def test_folders_of_parts_are_the_parts(tmp_path):
    folder_of(tmp_path, 5, ("train", "val", "Test"))
    data = source(tmp_path).load()
    assert [data.train.size, data.validation.size, data.test.size] == [15, 15, 15]
    assert data.test.called(0) == "Test/blue/0.png"


def test_what_no_folder_gives_is_cut_from_the_training_folder(tmp_path):
    data = source(folder_of(tmp_path, 10, ("train", "test")), validation=0.2).load()
    assert [data.train.size, data.validation.size, data.test.size] == [24, 6, 30]


def test_a_part_of_nothing_is_left_out(tmp_path):
    data = source(folder_of(tmp_path, 5, ("train", "test")), validation=0.0, test=0.0).load()
    assert [data.train.size, data.validation.size, data.test.size] == [15, 0, 0]


def test_pictures_lie_at_any_depth_and_other_files_are_passed_by(tmp_path):
    folder_of(tmp_path, 5)
    picture(tmp_path / "red" / "more" / "deep.JPEG", (200, 9, 9))
    (tmp_path / "red" / "notes.txt").write_text("no picture")
    (tmp_path / ".git").mkdir()
    data = source(tmp_path, validation=0.0, test=0.0).load()
    assert data.train.size == 16


def test_declared_classes_decide_the_numbers(tmp_path):
    data = source(folder_of(tmp_path, 4), classes=["red", "green", "blue"]).load()
    images = data.train.arrays["image"]
    assert (images[:, 0, 0].argmax(axis=-1) == data.train.arrays["label"]).all()


def test_pictures_kept_on_disk_are_those_kept_in_memory(tmp_path):
    folder_of(tmp_path)
    memory, disk = (source(tmp_path, cache=how, normalise="from training split").load()
                    for how in ("memory", "none"))
    assert isinstance(disk.train.arrays["image"], Pictures)
    np.testing.assert_array_equal(memory.train.arrays["image"], disk.train.arrays["image"][:])
    assert names(memory.train) == names(disk.train)
    np.testing.assert_allclose(memory.normalise["image"].mean, disk.normalise["image"].mean)


# ---------------------------------------------------------------------------- pixels


@pytest.mark.parametrize("fit, corner, centre", [
    ("crop", (255, 0, 0), (255, 0, 0)), ("pad", (0, 0, 0), (255, 0, 0)),
    ("stretch", (255, 0, 0), (255, 0, 0))])
def test_a_picture_of_other_proportions_is_made_to_fit(tmp_path, fit, corner, centre):
    picture(tmp_path / "wide.png", (255, 0, 0), size=(80, 20))
    pixels = decoded(tmp_path / "wide.png", Form(10, 10, 3, fit))
    assert pixels.shape == (10, 10, 3)
    assert tuple(pixels[0, 0]) == corner and tuple(pixels[5, 5]) == centre


def test_one_channel_is_grey(tmp_path):
    picture(tmp_path / "a.png", (90, 90, 90))
    assert (decoded(tmp_path / "a.png", Form(4, 6, 1)) == 90).all()


def test_pictures_of_16_bits_keep_their_brightness(tmp_path):
    Image.fromarray(np.full((4, 6), 0x8040, np.uint16)).save(tmp_path / "a.png")
    assert (decoded(tmp_path / "a.png", Form(4, 6, 1)) == 0x80).all()


def test_the_camera_s_note_of_which_way_is_up_is_heeded(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image = Image.new("RGB", (6, 4))
    image.paste((255, 255, 255), (0, 0, 6, 2))
    image.save(tmp_path / "a.png", exif=exif)
    pixels = decoded(tmp_path / "a.png", Form(4, 6, 3))
    assert (pixels[:2] == 0).all() and (pixels[2:] == 255).all()


def test_normalising_is_by_the_training_part_alone(tmp_path):
    data = source(folder_of(tmp_path), normalise="from training split").load()
    values = data.train.arrays["image"].reshape(-1, 3) / 255
    scale = data.normalise["image"]
    np.testing.assert_allclose(scale.mean, values.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scale.deviation, values.std(axis=0), rtol=1e-6)
    after = scale.normalised((data.train.arrays["image"] / 255).astype(np.float32))
    np.testing.assert_allclose(after.reshape(-1, 3).std(axis=0), 1, rtol=1e-4)


def test_one_number_normalises_every_channel(tmp_path):
    data = source(folder_of(tmp_path, 4), normalise={"mean": 0.5, "deviation": [0.25]}).load()
    assert data.normalise["image"].mean.tolist() == [0.5] * 3


def test_new_pictures_are_encoded_as_those_of_the_training_part(tmp_path):
    it = source(folder_of(tmp_path, 4), validation=0.0, test=0.0)
    data = it.load()
    part = it.encode([tmp_path / "red" / "2.png"], data.fitted)
    at = names(data.train).index("red/2.png")
    np.testing.assert_array_equal(part.arrays["image"][0], data.train.arrays["image"][at])


# ------------------------------------------------------------------------------ leakage


def test_the_same_picture_in_two_parts_is_an_error_that_names_both(tmp_path):
    folder_of(tmp_path, 3, ("train", "test"))
    picture(tmp_path / "test" / "red" / "copy.png", (255, 0, 0))
    text = complaint(code="F0635", folder=tmp_path, validation=0.0)
    assert "train/red/0.png (train) is the same as test/red/copy.png (test)" in text


def test_the_same_picture_twice_in_one_part_is_no_leak(tmp_path):
    folder_of(tmp_path, 3, ("train", "test"))
    picture(tmp_path / "train" / "red" / "copy.png", (255, 0, 0))
    assert source(tmp_path, validation=0.0).load().train.size == 10


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_dropping_leaves_the_test_part_whole(tmp_path, cache):
    folder_of(tmp_path, 3, ("train", "test"))
    picture(tmp_path / "test" / "red" / "copy.png", (255, 0, 0))
    data = source(tmp_path, validation=0.0, duplicates="drop", cache=cache).load()
    assert (data.train.size, data.test.size) == (8, 10)
    assert "train/red/0.png" not in names(data.train)


def test_allowing_keeps_all(tmp_path):
    folder_of(tmp_path, 3, ("train", "test"))
    picture(tmp_path / "test" / "red" / "copy.png", (255, 0, 0))
    data = source(tmp_path, validation=0.0, duplicates="allow").load()
    assert (data.train.size, data.test.size) == (9, 10)


def test_many_leaks_are_counted_and_a_few_named():
    part = Part({"image": np.arange(6, dtype=np.uint8)[:, None]})
    with pytest.raises(SpecError) as caught:
        without_leaks({"train": part, "test": part}, "image", "x", "error")
    (found,) = caught.value.diagnostics
    assert found.headline == "6 examples of x are in more than one part"
    assert found.notes[0] == "number 0 (train) is the same as number 0 (test)"
    assert found.notes[-1] == "and 3 more"


# ------------------------------------------------------------------------------- errors


def test_a_missing_folder_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "photos").mkdir()
    text = complaint(code="F0630", folder=tmp_path / "photo")
    assert "there is no folder" in text and "did you mean `photos`?" in text


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "photos").write_text("")
    assert "it is a file" in complaint(code="F0630", folder=tmp_path / "photos")


def test_a_folder_without_classes_is_told_how_to_get_some(tmp_path):
    picture(tmp_path / "1.png", (1, 1, 1))
    assert "no folders of classes" in complaint(code="F0631", folder=tmp_path)


def test_an_empty_class_is_named(tmp_path):
    folder_of(tmp_path, 3)
    (tmp_path / "yellow").mkdir()
    assert "the class `yellow`" in complaint(code="F0631", folder=tmp_path)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_broken_pictures_are_named_and_counted(tmp_path, cache):
    folder_of(tmp_path, 3, suffix="jpg")
    (tmp_path / "red" / "0.jpg").write_bytes(b"")
    (tmp_path / "red" / "1.jpg").write_text("hello")
    half = (tmp_path / "red" / "2.jpg").read_bytes()
    (tmp_path / "red" / "2.jpg").write_bytes(half[: len(half) // 2])
    it = source(tmp_path, cache=cache, validation=0.0, test=0.0)
    with pytest.raises(SpecError) as caught:
        it.load().train.arrays["image"][:]
    (found,) = caught.value.diagnostics
    assert found.code == "F0630" and found.headline.startswith("3 pictures in")
    assert found.notes[:2] == ("red/0.jpg: the file is empty", "red/1.jpg: it is not a picture")
    assert found.notes[2].startswith("red/2.jpg: ")


def test_a_class_of_the_test_part_alone_is_refused(tmp_path):
    folder_of(tmp_path, 3, ("train", "test"))
    (tmp_path / "train" / "red").rename(tmp_path / "train" / "rde")
    text = complaint(code="F0634", folder=tmp_path)
    assert "a class `red` that the training part does not have" in text
    assert "did you mean `rde`?" in text


def test_a_stray_folder_beside_the_parts_is_refused(tmp_path):
    folder_of(tmp_path, 3, ("train", "extra"))
    assert "a folder `extra` that is none" in complaint(code="F0634", folder=tmp_path)


def test_a_part_is_given_once(tmp_path):
    folder_of(tmp_path, 3, ("train", "test"))
    assert "has one of its own" in complaint(code="F0634", folder=tmp_path, test=0.1)
    folder_of(tmp_path, 3, ("val", "valid"))
    assert "two folders for the validation part" in complaint(code="F0634", folder=tmp_path)


@pytest.mark.parametrize("classes, said", [
    (4, "the recipe declares 4 classes, and"),
    (["red", "green", "bleu"], "the recipe declares a class `bleu` that"),
    (["red", "green"], "the recipe does not declare the class `blue`")])
def test_other_classes_than_declared_are_told_with_both(tmp_path, classes, said):
    text = complaint(code="F0634", folder=folder_of(tmp_path, 3), classes=classes)
    assert said in text and "blue, green, red" in text


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    folder = tmp_path / "a"
    for name in ("x", "y"):
        (folder / name).mkdir(parents=True)
        (folder / name / "1.png").write_text("")
    assert "flaxspec[images]" in complaint(code="F0636", folder=folder)


@pytest.mark.parametrize("fields, place, said", [
    ({"size": [32]}, "size", "`size` is a height and a width in pixels"),
    ({"size": 0}, "size", "`size` is a height and a width in pixels"),
    ({"classes": 1}, "classes", "`classes` needs two classes or more"),
    ({"classes": ["a", "a"]}, "classes", "`classes` has `a` twice"),
    ({"classes": [0, 1]}, "classes", "`classes` is the number of classes, or a list of their"),
    ({"normalise": "yes"}, "normalise", "`normalise` needs a mean and a deviation"),
    ({"normalise": {"mean": 0.5}}, "normalise", "`normalise` needs a mean and a deviation"),
    ({"normalise": {"mean": 0.5, "deviation": 0}}, "normalise", "a deviation is a number above"),
    ({"normalise": {"mean": [0.5, 0.5], "deviation": 1}}, "", "`normalise` has 2 numbers"),
])
def test_a_field_that_cannot_be_is_refused_at_its_place(fields, place, said):
    with pytest.raises(ValidationError) as caught:
        source("somewhere", **fields)
    found = [("".join(map(str, e["loc"][1:2])), e["msg"]) for e in caught.value.errors()]
    assert [loc for loc, _ in found] == [place]
    assert found[0][1].startswith(said)


RECIPE = """\
flaxspec: 1
name: colours
inputs: {image: {shape: [4, 6, 3]}}
model: [global_average_pool, dense: 3]
data: {images: photos, size: [4, 6], validation: 0.1, normalise: from training split}
task: classification
train: {epochs: 40, batch_size: 7, optimizer: {adam: 0.1}}
"""


def recipe(folder, text=RECIPE):
    (folder / "spec.yaml").write_text(text)
    return prepare(folder / "spec.yaml", Report())


def test_a_recipe_is_checked_without_the_pictures(tmp_path):
    assert recipe(tmp_path).inputs == {"image": "image"}


def test_a_model_for_other_pictures_is_refused_without_the_pictures(tmp_path):
    with pytest.raises(SpecError) as caught:
        recipe(tmp_path, RECIPE.replace("shape: [4, 6, 3]", "shape: [6, 4, 3]"))
    (found,) = caught.value.diagnostics
    assert found.code == "F0614" and "height is 4, not 6" in found.headline


def test_pictures_are_found_beside_the_spec_and_learnt_from(tmp_path):
    from runtime.execution import execute

    folder_of(tmp_path / "photos", 10)
    (tmp_path / "run").mkdir()
    result = execute(recipe(tmp_path), tmp_path / "run", "test")
    assert result.test["accuracy"] == 1.0
    assert (tmp_path / "run" / "preprocessing.json").exists()


def test_a_model_for_fewer_classes_than_there_are_folders_is_refused(tmp_path):
    from runtime.execution import execute

    folder_of(tmp_path / "photos", 10)
    (tmp_path / "run").mkdir()
    with pytest.raises(SpecError) as caught:
        execute(recipe(tmp_path, RECIPE.replace("dense: 3", "dense: 2")), tmp_path / "run", "test")
    (found,) = caught.value.diagnostics
    assert found.code == "F0617" and "3 classes" in found.headline


@pytest.mark.parametrize("name", ["a\0b", "long" * 99])
def test_what_can_be_no_name_of_a_folder_is_told(tmp_path, name):
    assert "cannot be read" in complaint(code="F0630", folder=tmp_path / name)
