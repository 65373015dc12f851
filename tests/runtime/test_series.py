"""Time-series tables: windows, parts, several series, gaps, and new rows."""

import json
from datetime import date, timedelta

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from compiler.diagnostics import SpecError
from runtime.data import DataSource
from runtime.data.moments import WHEN, after, stored, told
from runtime.data.timeline import Step, likely_step, moment, step_of

FIRST = date(2024, 1, 1)
FIELDS = {"forecast": "load", "window": 3, "horizon": 2, "validation": 0.2, "test": 0.3}


def day(n):
    return (FIRST + timedelta(days=n)).isoformat()


def rows_of(numbers, name="", base=0.0):
    return [{"day": day(n), "town": name, "load": base + n, "heat": base + n * n,
             "feast": n % 2} for n in numbers]


def written(rows, path):
    lines = [",".join(map(str, row.values())) for row in [dict(zip(rows[0], rows[0])), *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def file(tmp_path):
    return written(rows_of(range(20)), tmp_path / "load.csv")


def source(**fields):
    return TypeAdapter(DataSource).validate_python(FIELDS | fields)


def complaint(load):
    with pytest.raises(SpecError) as caught:
        load()
    (found,) = caught.value.diagnostics
    return found


def real(data, part, field):
    """A field of a part in the data's own units."""
    scale = data.scales[field]
    return getattr(data, part).arrays[field] * scale.deviation + scale.mean


# ----------------------------------------------------------------------------- windows


def test_windows_end_where_their_future_begins_and_parts_follow_each_other(file):
    data = source(series=file, time="day").load()
    past, future = real(data, "train", "past"), real(data, "train", "future")
    np.testing.assert_allclose(past[0, :, 0], [0, 1, 2], atol=1e-5)
    np.testing.assert_allclose(future[:, :, 0], [[n, n + 1] for n in range(3, 9)], rtol=1e-5)
    np.testing.assert_allclose(real(data, "validation", "future")[:, 0, 0], [10, 11, 12],
                               rtol=1e-5)
    np.testing.assert_allclose(real(data, "test", "future")[:, 0, 0], range(14, 19), rtol=1e-5)
    assert data.train.names is not None and data.train.names[0] == day(3)


def test_columns_that_are_known_ahead_go_with_the_future(file):
    it = source(series=file, columns=["load", "heat"], known=["feast"])
    data = it.load()
    assert list(it.fields()) == ["past", "known", "future"]
    assert data.train.arrays["past"].shape[1:] == (3, 2)
    np.testing.assert_allclose(real(data, "train", "known")[0, :, 0], [1, 0], atol=1e-6)


def test_rows_out_of_order_are_put_in_order_by_their_time(tmp_path):
    rows = rows_of(range(20))
    path = written(rows[::-1], tmp_path / "t.csv")
    np.testing.assert_allclose(real(source(series=path, time="day").load(), "train", "past")[0],
                               [[0], [1], [2]], atol=1e-5)


def test_a_series_is_normalised_by_its_training_part(file):
    data = source(series=file).load()
    assert data.scales["past"].mean == pytest.approx(4.5)


def test_the_seasonal_forecast_is_there_where_a_season_is_given(file):
    assert list(source(series=file).load().references) == ["naive"]
    data = source(series=file, season=7).load()
    forecast = data.references["seasonal_naive"] * data.scales["future"].deviation
    np.testing.assert_allclose((forecast + data.scales["future"].mean)[0, :, 0], [7, 8],
                               rtol=1e-5)


# ------------------------------------------------------------------------- several series


def test_windows_never_run_from_one_series_into_another(tmp_path):
    rows = [row for pair in zip(rows_of(range(20), "b", 1000), rows_of(range(20), "a"))
            for row in pair]
    data = source(series=written(rows, tmp_path / "t.csv"), time="day", key="town").load()
    for part in ("train", "validation", "test"):
        past = real(data, part, "past")[:, :, 0]
        np.testing.assert_allclose(np.diff(past, axis=1), 1, atol=1e-2)
        np.testing.assert_allclose(real(data, part, "future")[:, 0, 0] - past[:, -1], 1, atol=1e-2)
        assert (past[:, 0] >= 999).astype(int).tolist() == (
            getattr(data, part).arrays["series"].tolist())
    assert data.labels["series"] == ("a", "b") and data.fields["series"].vocabulary == 2


def test_series_of_different_days_are_cut_on_the_same_day(tmp_path):
    rows = rows_of(range(20), "a") + rows_of(range(8, 20), "b")
    data = source(series=written(rows, tmp_path / "t.csv"), time="day", key="town").load()
    assert data.test.names is not None
    first = {name.split()[0]: name.split()[1] for name in data.test.names[::-1]}
    assert first == {"a": day(14), "b": day(14)}


def test_the_declared_number_of_series_is_held_against_the_data(tmp_path):
    rows = rows_of(range(20), "a") + rows_of(range(20), "b")
    path = written(rows, tmp_path / "t.csv")
    found = complaint(source(series=path, time="day", key="town", series_count=3).load)
    assert found.headline == "`t.csv` has 2 series, and the recipe declares 3"


# --------------------------------------------------------------------------------- gaps


def test_a_gap_is_an_error_with_its_place_and_the_rules_that_fill_it(tmp_path):
    path = written(rows_of([*range(5), *range(8, 20)]), tmp_path / "t.csv")
    found = complaint(source(series=path, time="day").load)
    assert found.headline == f"3 steps are missing before {day(8)}"
    assert found.labels[0].span.line == 7
    assert "gaps: previous" in found.help and found.notes == ("a step is 1 day",)


def test_a_gap_as_of_a_mistyped_year_is_never_filled(tmp_path):
    rows = rows_of(range(20))
    rows[19]["day"] = "9024-01-20"
    it = source(series=written(rows, tmp_path / "t.csv"), time="day", gaps="previous")
    found = complaint(it.load)
    assert "steps are missing before 9024-01-20" in found.headline and "correct" in found.help


@pytest.mark.parametrize("rule, filled", [("previous", [4, 4, 4, 4]),
                                          ("interpolate", [4, 5, 6, 7])])
def test_a_gap_is_filled_by_the_declared_rule(tmp_path, rule, filled):
    path = written(rows_of([*range(5), *range(8, 20)]), tmp_path / "t.csv")
    data = source(series=path, time="day", gaps=rule, window=4).load()
    np.testing.assert_allclose(real(data, "train", "past")[4, :, 0], filled, rtol=1e-5)


def test_a_missing_value_is_filled_as_a_missing_row_is(tmp_path):
    rows = rows_of(range(20))
    rows[5]["load"] = ""
    path = written(rows, tmp_path / "t.csv")
    assert complaint(source(series=path).load).headline == "`load` has no value"
    data = source(series=path, gaps="previous").load()
    np.testing.assert_allclose(real(data, "train", "past")[3, :, 0], [3, 4, 4], rtol=1e-5)


def test_nothing_comes_before_the_first_value(tmp_path):
    rows = rows_of(range(20))
    rows[0]["load"] = ""
    path = written(rows, tmp_path / "t.csv")
    assert complaint(source(series=path, gaps="previous").load).code == "F0633"


@pytest.mark.parametrize("change, headline", [
    ({"day": day(4)}, "two rows are at 2024-01-05"),
    ({"day": "soon"}, "`soon` is no time like the others"),
    ({"day": "7"}, "`7` is no time like the others"),
    ({"load": "high"}, "`load` is a number, and `high` is none"),
])
def test_a_wrong_row_is_told(tmp_path, change, headline):
    rows = rows_of(range(20))
    rows[5] |= change
    found = complaint(source(series=written(rows, tmp_path / "t.csv"), time="day").load)
    assert found.headline == headline and found.labels[0].span.line == 7


def test_a_time_between_two_steps_is_told(tmp_path):
    rows = rows_of(range(20))
    rows[5]["day"] += "T12:00"
    path = written(rows, tmp_path / "t.csv")
    found = complaint(source(series=path, time="day", step="day").load)
    assert "not a whole number of steps of 1 day" in found.headline


@pytest.mark.parametrize("fields", [
    {"step": "day"}, {"time": "day", "step": "fortnight"}, {"time": "day", "step": -1},
])
def test_a_step_that_is_none_is_refused(file, fields):
    with pytest.raises(ValidationError) as caught:
        source(series=file, **fields)
    assert [error["type"] for error in caught.value.errors()] == ["problem"]


@pytest.mark.parametrize("texts, step", [
    (["2024-01-31", "2024-03-31", "2024-04-30"], "30 days"),
    (["2024-01-01", "2024-02-01", "2024-03-01"], "1 month"),
    (["2024-01-01 00:00", "2024-01-01 00:15"], "15 minutes"),
    (["2024/01/01", "2024/01/02", "2024/01/09"], "1 day"),
    (["1700", "1701"], "1"),
])
def test_the_step_is_the_smallest_in_the_file(texts, step):
    moments = [found for text in texts if (found := moment(text)) is not None]
    assert str(likely_step(moments)) == step


def test_a_step_is_a_number_and_a_unit():
    assert str(step_of("15 minutes")) == "15 minutes" and str(step_of("day")) == "1 day"
    assert str(step_of("0.5")) == "0.5" and step_of("0") is None and step_of("soon") is None


# -------------------------------------------------------------------------------- new rows


def test_new_rows_are_read_as_those_of_the_training_were(tmp_path):
    rows = rows_of(range(20), "a") + rows_of(range(20), "b", 100)
    it = source(series=written(rows, tmp_path / "t.csv"), time="day", key="town",
                columns=["load", "heat"], known="feast")
    data = it.load()
    fitted = json.loads(json.dumps(data.fitted))
    part = it.encode([rows[:20], rows[20:]], fitted)
    assert part.arrays["series"].tolist() == [0, 1]
    for field in ("past", "known"):
        np.testing.assert_allclose(part.arrays[field][0], data.test.arrays[field][4], rtol=1e-6)
    for wrong, headline in [(rows[:4], "input 1 has 4 rows, and a forecast needs 5"),
                            (rows, "input 1 holds 2 series"),
                            (rows_of(range(9), "c"), "the model does not know the series `c`")]:
        assert complaint(lambda wrong=wrong: it.encode([wrong], fitted)).headline == headline


@pytest.mark.parametrize("rule", ["previous", "interpolate"])
def test_gaps_in_new_rows_are_filled_as_those_of_the_training_were(tmp_path, rule):
    every = rows_of(range(30))
    rows = [row for n, row in enumerate(every) if n not in (22, 25, 26)]
    it = source(series=written(rows, tmp_path / "t.csv"), time="day", gaps=rule, known="feast",
                columns=["load", "heat"], window=6)
    data = it.load()
    fitted = json.loads(json.dumps(data.fitted))
    part = it.encode([rows], fitted)
    # The last window of the test part forecasts the same two days.
    for field in ("past", "known"):
        np.testing.assert_allclose(part.arrays[field][0], data.test.arrays[field][-1], rtol=1e-5)


# ------------------------------------------------------------------ the calendar, and times


def test_the_part_until_which_a_series_is_used_ends_its_test_part(file):
    whole, half = source(series=file).load(), source(series=file, until=0.5).load()
    np.testing.assert_allclose(real(half, "test", "future")[-1, :, 0], [8, 9], rtol=1e-5)
    assert half.train.size < whole.train.size


def test_the_scaled_error_divides_by_the_naive_error_of_the_training_part(file):
    # heat = n²: neighbours of 0 … 9 differ by 1, 3, …, 17, and those 3 apart by 9, 15, …, 45.
    data = source(series=file, forecast="heat").load()
    assert data.fitted["naive_errors"] == [[9.0]]
    assert source(series=file, forecast="heat", season=3).load().fitted["naive_errors"] == [[27.0]]


def test_what_is_to_be_forecast_is_not_known(file):
    with pytest.raises(ValidationError, match="not known of the steps to come"):
        source(series=file, known=["load"])


def test_columns_of_the_calendar_are_worked_out_of_the_dates(file):
    data = source(series=file, time="day", known=["week_sin", "week_cos"]).load()
    ahead = real(data, "train", "known")
    # The first future begins on 4 January 2024, a Thursday; weeks begin on Mondays.
    turn = 2 * np.pi * (date(2024, 1, 4).toordinal() + np.arange(2)) / 7
    np.testing.assert_allclose(ahead[0], np.stack([np.sin(turn), np.cos(turn)], -1), atol=1e-6)


def test_new_rows_need_no_calendar_and_tell_the_times_to_come(file):
    it = source(series=file, time="day", known=["week_sin", "week_cos"])
    data = it.load()
    rows = [{"day": day(n), "load": n} for n in range(4)]
    part = it.encode([rows], data.fitted)
    assert told(part.arrays[WHEN][0]) == [day(4), day(5)]
    np.testing.assert_allclose(part.arrays["known"][0], data.train.arrays["known"][1], atol=1e-5)


def test_months_to_come_keep_their_day():
    first = moment("2023-11-01")
    assert first is not None
    found = after(first, Step(1, "month"), 3)
    assert found is not None
    assert told(stored(found)) == ["2023-12-01", "2024-01-01", "2024-02-01"]
