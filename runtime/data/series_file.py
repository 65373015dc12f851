"""A table of one or several time series, to be forecast."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from compiler.diagnostics import nearest
from compiler.types import TensorType
from runtime.data.files import failure
from runtime.data.series import Positive, Run, Windowed, check_known, cut_at
from runtime.data.table import Names
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part
    from runtime.data.tabular import Table
    from runtime.data.timeline import Moment, Step

GAPS = "`gaps: previous` repeats the value before, `gaps: interpolate` draws a line"
# A longer gap, in steps, is rather a mistyped date.
LONGEST_GAP = 1_000_000
# Steps behind the first one beyond which floats are no longer exact.
FARTHEST = 2.0**53


class SeriesFile(Windowed):
    """A table with a row for each step of time, of one series or of several.

    Gives `past` (window, columns) and `future` (horizon, targets); `known` (horizon,
    covariates), where there are columns whose values to come are known; and `series`, the
    number of the series, where there are several.
    """

    word: ClassVar[str] = "series"
    paths: ClassVar[tuple[str, ...]] = ("series",)

    series: str = Field(
        min_length=1, description="the file: .csv, .tsv, .jsonl or .parquet, with named columns")
    forecast: Names = Field(description="the columns of `future`, in this order")
    columns: Names | None = Field(
        default=None, description="the columns of `past`; those of `forecast` where not given")
    known: Names | None = Field(
        default=None, description="columns whose values to come are known, such as holidays")
    time: str | None = Field(
        default=None, description="the column with the date or number of each step; the order of "
                                  "the file where not given")
    step: str | int | float | None = Field(
        default=None, description="the time from one row to the next: `15 minutes`, `day`, "
                                  "`month`; the smallest in the file where not given")
    key: str | None = Field(
        default=None, description="the column that says which series a row belongs to")
    series_count: Positive | None = Field(
        default=None, description="how many series there are, where the model has to know")
    gaps: Literal["error", "previous", "interpolate"] = Field(
        default="error", description="what to do about steps and values that are missing: stop, "
                                     "repeat the value before, or draw a line to the next one, "
                                     "which looks ahead")
    season: Positive | None = Field(
        default=None, description="steps after which the series repeats itself, for the seasonal "
                                  "naive forecast to compare with")
    delimiter: str = Field(
        default="", max_length=1, description="what separates the cells of a line; a tab in .tsv "
                                              "files, else a comma")

    @model_validator(mode="after")
    def _has_a_clock(self) -> Self:
        from runtime.data.timeline import step_of

        check_known(self.known, self.forecast)
        if self.step is not None and self.time is None:
            raise problem("`step` needs `time`, the column with the date of each row")
        if self.step is not None and step_of(str(self.step)) is None:
            raise problem(f"`{self.step}` is no step of time",
                          help="say `15 minutes`, `day`, `2 weeks`, `month`, or a number where "
                               "times are numbers")
        return self

    @property
    def past_columns(self) -> Sequence[str]:
        return self.columns or self.forecast

    @property
    def future_columns(self) -> Sequence[str]:
        return self.forecast

    @property
    def known_columns(self) -> Sequence[str]:
        return self.known or ()

    @property
    def seasonal(self) -> int | None:
        return self.season

    @property
    def _wanted(self) -> list[str]:
        """All columns of numbers, each once."""
        return list(dict.fromkeys(
            [*self.past_columns, *self.future_columns, *self.known_columns]))

    def fields(self) -> dict[str, TensorType]:
        found = super().fields()
        if self.key is not None:
            found["series"] = TensorType((), (), "int", vocabulary=self.series_count)
        return found

    def load(self) -> Dataset:
        from dataclasses import replace

        dataset = super().load()
        names = dataset.labels.get("series", ())
        if self.series_count is not None and names and self.series_count != len(names):
            raise failure(
                "F0634", f"`{self.title}` has {len(names)} series, and the recipe declares "
                         f"{self.series_count}",
                help=f"say `series_count: {len(names)}`, and set the model to that number")
        if not names:
            return dataset
        counted = TensorType((), (), "int", vocabulary=len(names))
        return replace(dataset, fields={**dataset.fields, "series": counted})

    def runs(self) -> list[Run]:
        return self._runs(Path(self.series), until=True)

    def runs_in(self, path: Path) -> list[Run]:
        return self._runs(path, until=False)

    def _runs(self, path: Path, *, until: bool) -> list[Run]:
        """The series of a table; `until` where only the part of it counts that the recipe says."""
        from runtime.data.calendar import with_calendar
        from runtime.data.tabular import read_table

        table = with_calendar(read_table(path, delimiter=self.delimiter), self.time, self._wanted)
        groups = self._on_grid(self._by_key(table))
        if until and self.until < 1:
            end = self.used(max(int(at[-1]) for *_, at in groups) + 1)
            groups = [(name, part.take((at < end).nonzero()[0]), at[at < end])
                      for name, part, at in groups if at[0] < end]
        # The same days for every series, so that none tells another's future.
        cut = cut_at(max(int(at[-1]) for *_, at in groups) + 1, self.validation, self.test)
        return [self._run(name, part, at, cut if self.time is not None else None)
                for name, part, at in groups]

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Tables as the model takes them: the last window of each.

        Where columns are known ahead, the last `horizon` rows are steps to come, of which
        nothing else is needed.

        Args:
            inputs: tables of one series each, as lists of maps from column to number.
            fitted: what `load` gave.
            called: what messages call each.
        """
        import numpy as np

        from runtime.data.dataset import Part

        titles = called or [f"input {number}" for number in range(1, len(inputs) + 1)]
        found = [self._last(rows, title, fitted) for title, rows in zip(titles, inputs)]
        return Part({name: np.stack([arrays[name] for arrays in found]) for name in found[0]})

    def _last(self, rows: Any, title: str, fitted: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The inputs for a forecast behind the last rows of a table."""
        import numpy as np

        from runtime.data.calendar import with_calendar
        from runtime.data.moments import WHEN, after, stored
        from runtime.data.tabular import from_records

        ahead = self.horizon if self.known_columns else 0
        rows = list(rows) if isinstance(rows, list | tuple) else []
        given = {name for row in rows if isinstance(row, Mapping) for name in row}
        computed = self._computed(given)
        needed = [name for name in dict.fromkeys(
            [*self.past_columns, *self.known_columns, *filter(None, (self.time, self.key))])
            if name not in computed]
        if ahead and set(self.known_columns) <= computed:
            rows = [*rows, *self._to_come(rows)]
        if len(rows) < self.window + ahead:
            raise failure(
                "F0633", f"{title} has {len(rows) or 'no'} rows, and a forecast needs "
                         f"{self.window + ahead}",
                notes=[f"{self.window} to look at, and {ahead} to come with "
                       f"{', '.join(self.known_columns)}"] if ahead else ())
        seen = {name for row in rows if isinstance(row, dict) for name in row}
        if odd := [name for name in needed if name not in seen]:
            raise failure("F0632", f"{title} has no column `{odd[0]}`",
                          notes=[f"its columns: {', '.join(sorted(map(str, seen)))}"],
                          help=nearest(odd[0], map(str, seen)))
        places = [f"row {number} of {title}" for number in range(1, len(rows) + 1)]
        table = from_records([{**dict.fromkeys(needed), **row} if isinstance(row, dict) else row
                              for row in rows], needed, places)
        table = with_calendar(table, self.time, sorted(computed))
        groups = self._on_grid(self._by_key(table))
        if len(groups) > 1:
            raise failure("F0633", f"{title} holds {len(groups)} series",
                          notes=[", ".join(name for name, *_ in groups[:12])],
                          help="give a table for each")
        ((name, table, at),) = groups
        end = int(at[-1]) + 1 - ahead
        looked_at = {"past": (end - self.window, end), "known": (end, end + ahead)}
        arrays: dict[str, np.ndarray] = {}
        for field in ("past", "known"):
            if field in fitted:
                known = fitted[field]
                values = np.stack([_between(table, column, self.gaps, at, *looked_at[field])
                                   for column in known["columns"]], axis=-1)
                arrays[field] = ((values - np.array(known["mean"]))
                                 / np.array(known["deviation"])).astype(np.float32)
        if self.key is not None:
            if name not in fitted["series"]:
                raise failure("F0633", f"the model does not know the series `{name}`",
                              notes=[f"it knows {', '.join(fitted['series'][:12])}"])
            arrays["series"] = np.array(fitted["series"].index(name), np.int32)
        last, step = self._end(table.columns[self.time]) if self.time is not None else (None, None)
        if last is not None and step is not None:
            moments = after(last, step, self.horizon, ahead)
            when = stored(moments) if moments is not None else None
            arrays[WHEN] = np.zeros((0, 2), np.int32) if when is None else when
        return arrays

    def _computed(self, given: Collection[str]) -> set[str]:
        """The columns of the calendar that tables with these columns leave to be worked out."""
        from runtime.data.calendar import CALENDAR

        return set() if self.time is None else {
            name for name in self._wanted if name in CALENDAR and name not in given}

    def _to_come(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """Rows for the steps to come, where the calendar is all that is known of them."""
        from runtime.data.moments import after

        last, step = self._end([row.get(self.time) for row in rows if isinstance(row, Mapping)])
        moments = after(last, step, self.horizon) if last is not None and step else None
        key = {} if self.key is None or not rows else {self.key: rows[-1].get(self.key)}
        return [{str(self.time): at, **key} for at in moments or ()]

    def _end(self, times: Sequence[Any]) -> tuple[Moment | None, Step | None]:
        """The last one of some times, and the step from it to the next; None where unknown."""
        from runtime.data.timeline import likely_step, moment, step_of

        moments = [moment(value) for value in times]
        if not moments or any(at is None or type(at) is not type(moments[0]) for at in moments):
            return None, None
        known: list[Any] = sorted(set(moments), key=lambda at: at)  # type: ignore[arg-type]
        if self.step is not None:
            return known[-1], step_of(str(self.step))
        return known[-1], likely_step(known) if len(known) > 1 else None

    def _by_key(self, table: Table) -> list[tuple[str, Table]]:
        """The rows of each series, series in the order of their names."""
        import numpy as np

        if self.key is None:
            return [("", table)]
        keys = table.texts(self.key)
        for row, key in enumerate(keys):
            if key is None:
                raise table.wrong(row, self.key, "a row belongs to no series",
                                  help=f"fill in `{self.key}`")
        every = np.array(keys)
        return [(str(key), table.take(np.flatnonzero(every == key)))
                for key in sorted(set(keys), key=str)]

    def _on_grid(self, groups: Sequence[tuple[str, Table]]) -> list[tuple[str, Table, np.ndarray]]:
        """The rows of each series by their time, and the step (rows,) of each in common time."""
        import numpy as np

        from runtime.data.timeline import likely_step, places, step_of

        if self.time is None:
            return [(name, table, np.arange(table.size)) for name, table in groups]
        kind: list[type] = []
        sorted_ones = [(name, *self._by_time(table, kind)) for name, table in groups]
        longest = max((moments for *_, moments in sorted_ones), key=len)
        step = step_of(str(self.step)) if self.step is not None else (
            likely_step(longest) if len(longest) > 1 else None)
        if step is None:
            return [(name, table, np.zeros(table.size, int)) for name, table, _ in sorted_ones]
        if bool(step.unit) != (kind[0] is not float):
            raise failure("F0634", f"`step: {self.step}` does not go with the times in "
                                   f"`{self.time}`, such as {groups[0][1].column(self.time)[0]}",
                          help="give a number where times are numbers, and `day` or the like "
                               "where they are dates")
        first = min(moments[0] for *_, moments in sorted_ones)
        found = []
        for name, table, moments in sorted_ones:
            at = places(moments, step, first)
            self._check_grid(table, at, step)
            found.append((name, table, np.round(at).astype(int)))
        return found

    def _by_time(self, table: Table, kind: list[type]) -> tuple[Table, list[Any]]:
        """A series by its times, and these.

        Args:
            table: its rows.
            kind: the kind of the times, dates or numbers, once there is one.
        """
        import numpy as np

        from runtime.data.timeline import moment

        assert self.time is not None
        moments: list[Any] = []
        for row, value in enumerate(table.column(self.time)):
            found = moment(value)
            kind += [type(found)] if found is not None and not kind else []
            if found is None or type(found) is not kind[0] or (
                    isinstance(found, float) and not math.isfinite(found)):
                raise table.wrong(
                    row, self.time, f"`{value}` is no time like the others",
                    help="write dates as 2024-01-31, times as 2024-01-31 13:45, or numbers")
            moments.append(found)
        order = sorted(range(table.size), key=lambda row: moments[row])
        table, moments = table.take(np.array(order)), [moments[row] for row in order]
        for row in range(1, table.size):
            if moments[row] == moments[row - 1]:
                raise table.wrong(
                    row, self.time, f"two rows are at {table.columns[self.time][row]}",
                    help="name the column that tells the series apart: `key: …`"
                    if self.key is None else f"leave one of them in this `{self.key}`")
        return table, moments

    def _check_grid(self, table: Table, at: np.ndarray, step: Step) -> None:
        """Raise F0633 where a row lies between two steps, or steps are missing."""
        import numpy as np

        assert self.time is not None
        times = table.columns[self.time]
        for row in np.flatnonzero(at > FARTHEST)[:1].tolist():
            raise table.wrong(row, self.time, f"{times[row]} is too far behind the first row",
                              notes=[f"a step is {step}"], help="correct the time, or `step`")
        for row in np.flatnonzero(~(np.abs(at - np.round(at)) < 1e-6))[:1].tolist():
            raise table.wrong(row, self.time, f"{times[row]} is not a whole number of steps of "
                                              f"{step} behind the first row",
                              help="say `step: …`, or correct the time")
        jumps = np.flatnonzero(np.diff(np.round(at)) > 1)
        too_far = np.flatnonzero(np.diff(at) > LONGEST_GAP)
        if len(jumps) and (self.gaps == "error" or len(too_far)):
            row = int((too_far if len(too_far) else jumps)[0]) + 1
            count = round(float(at[row] - at[row - 1])) - 1
            raise table.wrong(
                row, self.time,
                f"{count:,} step{'s are' if count > 1 else ' is'} missing before {times[row]}",
                notes=[f"a step is {step}",
                       *([f"there are {len(jumps):,} such gaps"] if len(jumps) > 1 else [])],
                help=f"no more than {LONGEST_GAP:,} are filled: correct the time, or `step`"
                if len(too_far) else GAPS)

    def _run(
        self, name: str, table: Table, at: np.ndarray, cut: tuple[int, int] | None,
    ) -> Run:
        """A series without gaps.

        Args:
            name: its name.
            table: its rows in order.
            at: (rows,) the step of each.
            cut: where in common time the later parts begin; by its own length if None.
        """
        import numpy as np

        start, at = int(at[0]), at - at[0]
        size = int(at[-1]) + 1
        columns = {column: _filled(table, column, self.gaps, at) for column in self._wanted}
        times = None
        if self.time is not None:
            times = np.full(size, "between", object)
            times[at] = [str(value) for value in table.columns[self.time]]
        first, second = cut_at(size, self.validation, self.test) if cut is None else (
            min(max(place - start, 0), size) for place in cut)
        return Run(columns, (first, second), name, times)


def _between(
    table: Table, name: str, rule: str, at: np.ndarray, first: int, end: int,
) -> np.ndarray:
    """A column with a value at every step from one to before another: (end - first,) float64.

    Args:
        table: rows in order.
        name: the column.
        rule: `gaps`.
        at: (rows,) the step of each row.
        first: a step; where no row is at it, the row before tells its value.
        end: a step; the last value stands for those behind the last row before it.
    """
    import numpy as np

    rows = np.arange(max(np.searchsorted(at, first, side="right") - 1, 0),
                     np.searchsorted(at, end))
    values = _filled(table.take(rows), name, rule, at[rows] - at[rows[0]])
    values = values[first - at[rows[0]]:]
    return np.pad(values, (0, end - first - len(values)), mode="edge")


def _filled(table: Table, name: str, rule: str, at: np.ndarray | None = None) -> np.ndarray:
    """A column with a value at every step: (steps,) float64.

    Args:
        table: rows in order.
        name: the column.
        rule: `gaps`.
        at: (rows,) the step of each row; one after the other if None.
    """
    import numpy as np

    from runtime.data.columns import missing

    read = table.numbers(name)
    absent = np.flatnonzero(np.isnan(read))
    if len(absent) and rule == "error":
        raise table.wrong(int(absent[0]), name, f"`{name}` has no value",
                          help=GAPS)
    if len(absent) == len(read) or (len(absent) and rule == "previous" and absent[0] == 0):
        raise missing(table, 0, name, len(absent), "a series begins with a value")
    at = np.arange(len(read)) if at is None else at
    known = ~np.isnan(read)
    steps = np.arange(at[-1] + 1)
    if rule == "interpolate":
        return np.interp(steps, at[known], read[known])
    return read[known][np.searchsorted(at[known], steps, side="right") - 1]
