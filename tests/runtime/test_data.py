"""The data sources and how they are cut into parts."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from compiler.diagnostics import Report
from compiler.parse import parse, plain
from compiler.source import Source as Sheet
from runtime.data import DataSource
from runtime.data.embedded import path
from runtime.data.help_texts import read
from runtime.data.seattle_weather import SeattleWeather
from runtime.data.split import ordered, stratified
from runtime.data.windows import chunks, season_before

PARTS = ("train", "validation", "test")
SOURCES = [
    {"dataset": "dates", "count": 1500},
    {"dataset": "digits"},
    {"dataset": "help_texts"},
    {"dataset": "seattle_weather", "window": 28, "horizon": 7},
    {"dataset": "sunspots", "window": 22, "horizon": 3},
]


def source(**fields):
    return TypeAdapter(DataSource).validate_python(fields)


@pytest.mark.parametrize("fields", SOURCES, ids=lambda fields: fields["dataset"])
def test_a_source_gives_what_its_fields_promise(fields):
    it = source(**fields)
    data = it.load()
    assert set(it.targets()) < set(it.fields())
    for part in (getattr(data, name) for name in PARTS):
        assert part.size > 0
        assert set(part.arrays) == set(it.fields())
        for name, kind in it.fields().items():
            array = part.arrays[name]
            assert array.shape == (part.size, *kind.shape)
            assert array.dtype == {"float": np.float32, "int": np.int32}[kind.dtype]
            if kind.vocabulary is not None:
                assert 0 <= array.min() and array.max() < kind.vocabulary
        for name, lengths in part.lengths.items():
            assert lengths.min() >= 1 and lengths.max() <= it.fields()[name].length


@pytest.mark.parametrize("fields", SOURCES, ids=lambda fields: fields["dataset"])
def test_loading_twice_gives_the_same_arrays(fields):
    first, second = source(**fields).load(), source(**fields).load()
    for name in PARTS:
        for field, array in getattr(first, name).arrays.items():
            np.testing.assert_array_equal(array, getattr(second, name).arrays[field])


# ------------------------------------------------------------------------------ digits


def test_digits_are_the_1797_of_the_repository():
    with np.load(path("digits.npz")) as file:
        images, labels = file["images"], file["labels"]
    assert images.shape == (1797, 8, 8) and images.max() == 16
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert images.sum() == 561718


def test_digits_always_test_on_the_same_360_images():
    test = source(dataset="digits").load().test
    assert test.size == 360
    digest = hashlib.sha256(test.arrays["image"].tobytes() + test.arrays["label"].tobytes())
    assert digest.hexdigest()[:16] == "d67bc50f3f2fca0f"


def test_the_test_part_does_not_depend_on_the_validation_part():
    with_it = source(dataset="digits", validation=0.2).load()
    without = source(dataset="digits", validation=0.0).load()
    assert without.validation.size == 0
    np.testing.assert_array_equal(with_it.test.arrays["image"], without.test.arrays["image"])


# ------------------------------------------------------------------------------- parts


def test_a_stratified_cut_takes_every_example_once():
    labels = np.repeat(np.arange(7), [3, 50, 21, 9, 100, 1, 16])
    cut = stratified(labels, 0.15, 0.25, seed=3)
    everything = np.concatenate([cut.train, cut.validation, cut.test])
    assert sorted(everything) == list(range(200))
    assert (len(cut.validation), len(cut.test)) == (30, 50)


def test_a_stratified_cut_keeps_the_proportions_of_the_classes():
    labels = np.repeat(np.arange(4), [100, 200, 300, 400])
    cut = stratified(labels, 0.1, 0.2, seed=0)
    assert np.bincount(labels[cut.test]).tolist() == [20, 40, 60, 80]
    assert np.bincount(labels[cut.validation]).tolist() == [10, 20, 30, 40]


def test_another_split_seed_gives_another_cut():
    labels = np.arange(100) % 10
    first, second = (stratified(labels, 0.1, 0.2, seed=s) for s in (0, 1))
    assert not np.array_equal(first.test, second.test)


def test_an_ordered_cut_leaves_the_latest_for_the_test():
    cut = ordered(10, validation=0.2, test=0.3)
    assert [c.tolist() for c in (cut.train, cut.validation, cut.test)] == [
        [0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]


# ------------------------------------------------------------------------------ series


def test_a_forecast_never_sees_the_values_it_is_compared_with():
    """Each `past` ends right before its `future`, in one running series."""
    data = source(dataset="sunspots", window=5, horizon=2).load()
    series = np.concatenate([data.train.arrays["past"][0, :, 0],
                             data.train.arrays["future"][:, 0, 0]])
    for at in range(20):
        np.testing.assert_array_equal(data.train.arrays["past"][at, :, 0], series[at:at + 5])
        np.testing.assert_array_equal(data.train.arrays["future"][at, :, 0],
                                      series[at + 5:at + 7])


def test_futures_of_one_part_are_not_futures_of_another():
    data = source(dataset="sunspots", window=11, horizon=4).load()
    sizes = [getattr(data, name).size for name in PARTS]
    years = 309
    # Every part loses the horizon - 1 windows that would reach into the next one.
    assert sum(sizes) == years - 11 - 3 * 3


def test_a_series_is_normalised_by_its_training_part_alone():
    it = SeattleWeather(dataset="seattle_weather", window=7, columns=["temp_max", "wind"])
    data, table = it.load(), it.table()
    days = len(ordered(1461, 0.1, 0.2).train)
    scale = data.scales["past"]
    assert scale.names == ("temp_max", "wind")
    np.testing.assert_allclose(scale.mean, [table[n][:days].mean() for n in scale.names])
    back = data.train.arrays["past"][0] * scale.deviation + scale.mean
    np.testing.assert_allclose(back[:, 0], table["temp_max"][:7], rtol=1e-5)


def test_the_seasonal_forecast_is_the_value_a_season_before():
    values = np.arange(20.0)[:, None]
    forecast = season_before(values, np.array([10]), horizon=5, season=3)
    # Steps 13 and 14 lie a season after steps that are themselves still to come.
    assert forecast[0, :, 0].tolist() == [7, 8, 9, 7, 8]


def test_an_unknown_column_is_answered_with_the_nearest():
    with pytest.raises(ValidationError) as caught:
        source(dataset="seattle_weather", window=7, columns=["tmp_max"])
    error = caught.value.errors()[0]
    assert error["loc"][-1] == "columns"
    assert error.get("ctx", {})["label"] == "did you mean `temp_max`?"


# -------------------------------------------------------------------------------- text


def test_every_token_but_the_first_is_a_target_once():
    tokens = np.arange(1, 12, dtype=np.int32)
    first, second, lengths = chunks(tokens, window=4)
    assert lengths.tolist() == [4, 4, 2]
    assert second[np.arange(4) < lengths[:, None]].tolist() == list(range(2, 12))
    assert first[np.arange(4) < lengths[:, None]].tolist() == list(range(1, 11))
    assert not second[2, 2:].any()


def test_a_part_without_a_second_token_has_no_chunks():
    assert len(chunks(np.array([5], np.int32), 4)[0]) == 0


def test_repeated_paragraphs_are_taken_once():
    paragraphs = [" ".join(p.split()) for p in read().split("\n\n")]
    assert len(paragraphs) == len(set(paragraphs)) > 1000


# ----------------------------------------------------------------------------- the page


def shown_sources():
    """Every `data` section in docs/data.md, as plain data."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    for block in re.findall(r"```yaml\n(data:.*?)```", page, flags=re.S):
        # A block of several lines with one section each, or one section of several lines.
        for text in re.split(r"^(?=data:)", block, flags=re.M)[1:]:
            yield plain(parse(Sheet("data.md", text), Report()))["data"]


@pytest.mark.parametrize("shown", list(shown_sources()), ids=lambda shown: next(iter(shown)))
def test_every_source_on_the_page_is_in_order(shown):
    it = source(**shown)
    assert set(it.targets()) < set(it.fields())


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("fields, place, kind", [
    ({"dataset": "digits", "validation": 0.6, "test": 0.5}, (), "problem"),
    ({"dataset": "digits", "test": 1.0}, ("test",), "less_than"),
    ({"dataset": "digits", "augment": [{"shift": {"pixel": 1}}]},
     ("augment", 0, "shift", "pixel"), "extra_forbidden"),
    ({"dataset": "digits", "augment": ["shift"]}, ("augment", 0, "shift", "pixels"), "missing"),
    ({"dataset": "digits", "split_seed": "0"}, ("split_seed",), "int_type"),
    ({"dataset": "sunspots", "window": 0}, ("window",), "greater_than"),
])
def test_a_wrong_field_is_refused_at_its_place(fields, place, kind):
    with pytest.raises(ValidationError) as caught:
        source(**fields)
    found = {(error["loc"][1:], error["type"]) for error in caught.value.errors()}
    assert (place, kind) in found
