"""Time series cut into windows: what the sources of series share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from compiler.diagnostics import nearest
from compiler.types import TensorType
from runtime.data.files import failure, shown
from runtime.data.source import Source
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part, Scale
    from runtime.preprocessing import Preprocessing

Positive = Annotated[int, Field(gt=0)]
AXES = ("time", "channels")


@dataclass(frozen=True)
class Run:
    """One series without gaps.

    Attributes:
        columns: by name (steps,) float64.
        cut: the first step of the validation part and of the test part.
        name: what messages call it; "" where there is only one.
        times: (steps,) what people call each step, or None.
    """

    columns: Mapping[str, np.ndarray]
    cut: tuple[int, int]
    name: str = ""
    times: np.ndarray | None = None

    @property
    def size(self) -> int:
        """The number of steps."""
        return len(next(iter(self.columns.values())))


class Windowed(Source):
    """Series to be forecast, cut into windows.

    Gives `past` (window, columns) and `future` (horizon, targets), both normalised by the
    mean and deviation of the training part. The parts follow each other in time. A part's
    windows are all those whose future lies in it; their past may reach back into the part
    before, as it would be known on the day of the forecast.
    """

    window: Positive = Field(description="how many steps of the past the model sees")
    horizon: Positive = Field(default=1, description="how many steps it forecasts")
    until: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="the part of the steps that is used, from the first one on; "
                                 "the others count as not yet known")

    # What the columns are measured in.
    units: ClassVar[Mapping[str, str]] = {}

    @property
    def past_columns(self) -> Sequence[str]:
        """The columns of `past`."""
        raise NotImplementedError

    @property
    def future_columns(self) -> Sequence[str]:
        """The columns of `future`."""
        raise NotImplementedError

    @property
    def known_columns(self) -> Sequence[str]:
        """The columns of `known`, whose values to come are known at the forecast."""
        return ()

    @property
    def seasonal(self) -> int | None:
        """Steps after which the series repeats itself, for the seasonal naive forecast."""
        return None

    def used(self, steps: int) -> int:
        """How many of so many steps are used."""
        return round(self.until * steps)

    def runs(self) -> list[Run]:
        """The series, in the order of their numbers."""
        raise NotImplementedError

    def runs_in(self, path: Path) -> list[Run]:
        """The series of another table."""
        from runtime.data.columns import numbers
        from runtime.data.tabular import read_table

        table = read_table(path)
        names = list(dict.fromkeys([*self.past_columns, *self.future_columns]))
        values = numbers(table, names, {})
        return [Run(dict(zip(names, values.T)), (0, 0))]

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """Every window of a table of series with the steps behind it."""
        from runtime.data import windows

        runs = self.runs_in(path)
        order = known.meaning.labels.get("series", ())
        if "series" in self.fields() and (odd := [r.name for r in runs if r.name not in order]):
            raise failure("F0634", f"`{shown(path)}` has a series `{odd[0]}`, which the model does "
                                   "not know",
                          notes=[f"it knows {', '.join(order[:12])}"],
                          help=nearest(odd[0], order) or "leave its rows out")
        if all(run.size < self.window + self.horizon for run in runs):
            raise failure("F0631", f"`{shown(path)}` is too short: a series of it has "
                                   f"{max(run.size for run in runs)} steps, and a window of "
                                   f"{self.window} with the {self.horizon} to come needs "
                                   f"{self.window + self.horizon}",
                          help="give more steps, those before the first forecast too")
        return windowed(self, runs, known.meaning.scales, order, lambda run: windows.origins(
            0, run.size, self.window, self.horizon))

    def fields(self) -> dict[str, TensorType]:
        found = {"past": TensorType(AXES, (self.window, len(self.past_columns)))}
        if self.known_columns:
            found["known"] = TensorType(AXES, (self.horizon, len(self.known_columns)))
        return {**found, "future": TensorType(AXES, (self.horizon, len(self.future_columns)))}

    def targets(self) -> tuple[str, ...]:
        return ("future",)

    def load(self) -> Dataset:
        return assembled(self, self.runs())


class Series(Windowed):
    """A series that comes with the package."""

    # The columns there are, and those taken where the recipe names none.
    available: ClassVar[tuple[str, ...]]
    standard: ClassVar[tuple[str, ...]]
    standard_targets: ClassVar[tuple[str, ...]]
    season: ClassVar[int]
    # What tables of new steps call the column of their times.
    time: ClassVar[str]

    columns: list[str] | None = Field(
        default=None, min_length=1, description="the columns of `past`, in this order")
    forecast: list[str] | None = Field(
        default=None, min_length=1, description="the columns of `future`, in this order")
    known: list[str] | None = Field(
        default=None, min_length=1,
        description="columns whose values to come are known, such as the season")

    def table(self) -> dict[str, np.ndarray]:
        """Every available column: (steps,) float64."""
        raise NotImplementedError

    @property
    def past_columns(self) -> Sequence[str]:
        return self.columns or self.standard

    @property
    def future_columns(self) -> Sequence[str]:
        return self.forecast or self.standard_targets

    @property
    def known_columns(self) -> Sequence[str]:
        return self.known or ()

    @property
    def seasonal(self) -> int | None:
        return self.season

    def runs(self) -> list[Run]:
        table, times = self.table(), self.times()
        size = self.used(len(times))
        return [Run({name: column[:size] for name, column in table.items()},
                    cut_at(size, self.validation, self.test), times=times[:size])]

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Tables as the model takes them: the last window of each, if they tell their times.

        Args:
            inputs: tables, as lists of maps from column to number.
            fitted: what `load` gave.
            called: what messages call each.
        """
        from runtime.data.series_file import SeriesFile

        if not all(isinstance(table, list | tuple) and table and isinstance(table[0], Mapping)
                   and self.time in table[0] for table in inputs):
            raise NotImplementedError
        return SeriesFile(
            series=self.title, forecast=list(self.future_columns), columns=list(self.past_columns),
            known=list(self.known_columns) or None, time=self.time, window=self.window,
            horizon=self.horizon).encode(inputs, fitted, called)

    def times(self) -> np.ndarray:
        """What people call each step: (steps,)."""
        raise NotImplementedError

    @field_validator("columns", "forecast", "known")
    @classmethod
    def _columns_exist(cls, names: list[str] | None) -> list[str] | None:
        for name in names or ():
            if name not in cls.available:
                raise problem(f"`{name}` is not a column of this data set",
                              nearest(name, cls.available),
                              notes=[f"its columns: {', '.join(cls.available)}"])
        return names

    @model_validator(mode="after")
    def _known_is_not_told(self) -> Self:
        check_known(self.known, self.future_columns)
        return self


def check_known(known: Sequence[str] | None, forecast: Sequence[str]) -> None:
    """Raise a problem where what is to be forecast is said to be known."""
    for name in known or ():
        if name in forecast:
            raise problem(f"`{name}` is to be forecast, and so not known of the steps to come",
                          help="leave it out of `known`; what is known of the past is `columns`")


def cut_at(size: int, validation: float, test: float) -> tuple[int, int]:
    """Where the validation and the test part of so many steps begin."""
    from runtime.data.split import ordered

    cut = ordered(size, validation, test)
    return len(cut.train), len(cut.train) + len(cut.validation)


def assembled(source: Windowed, runs: Sequence[Run]) -> Dataset:
    """The data set of all windows of some series, normalised as one."""
    import numpy as np

    from runtime.data import windows
    from runtime.data.columns import scale_of
    from runtime.data.dataset import Dataset, Scale

    fields = source.fields()
    columns = {"past": source.past_columns, "known": source.known_columns,
               "future": source.future_columns}
    columns = {name: list(names) for name, names in columns.items() if name in fields}
    # A step that no training window can reach teaches nothing, either.
    teaching = [run for run in runs if run.cut[0]] or list(runs)
    scales: dict[str, Scale] = {}
    for name, names in columns.items():
        seen = np.concatenate([_stacked(run, names)[:run.cut[0]] for run in teaching])
        scale = scale_of(seen, names)
        units = tuple(source.units.get(column, "") for column in names)
        scales[name] = Scale(scale.names, scale.mean, scale.deviation, units)
    order = [run.name for run in runs]

    def origins(run: Run, part: str) -> np.ndarray:
        """The first forecast steps of a part of a series."""
        first, second = run.cut
        start, end = {"train": (0, first), "validation": (first, second),
                      "test": (second, run.size)}[part]
        return windows.origins(start, end, source.window, source.horizon)

    def part(name: str) -> Part:
        return windowed(source, runs, scales, order, lambda run: origins(run, name))

    references, season = {}, source.seasonal
    testing = [origins(run, "test") for run in runs]
    for name, back in (("naive", 1), ("seasonal_naive", season or 0)):
        if back and any(map(len, testing)) and all(
                at[0] >= back for at in testing if len(at)):
            references[name] = np.concatenate(
                [windows.season_before(_scaled(run, scales["future"]), at, source.horizon, back)
                 for run, at in zip(runs, testing)])
    fitted: dict[str, Any] = {
        name: {"columns": list(scale.names), "mean": scale.mean.tolist(),
               "deviation": scale.deviation.tolist()} for name, scale in scales.items()}
    fitted["naive_errors"] = _naive_errors(source, runs)
    labels = {}
    if "series" in fields:
        labels["series"] = tuple(order)
        fitted["series"] = list(labels["series"])
    return Dataset(fields, part("train"), part("validation"), part("test"), scales, references,
                   fitted, labels)


def _naive_errors(source: Windowed, runs: Sequence[Run]) -> list[list[float]]:
    """How far the naive forecast was off in the training part of each series, by column.

    A season before, or one step where the training part of a series has no more than a season:
    the same for all, so that their scaled errors can be averaged.
    """
    from runtime.tasks.forecast_scores import naive_errors

    parts = [_stacked(run, list(source.future_columns))[:run.cut[0]] for run in runs]
    season = source.seasonal or 1
    if any(0 < len(part) <= season for part in parts):
        season = 1
    return [naive_errors(part, season).tolist() for part in parts]


def windowed(
    source: Windowed, runs: Sequence[Run], scales: Mapping[str, Scale], order: Sequence[str],
    origins: Callable[[Run], np.ndarray],
) -> Part:
    """Windows of series as the examples of a part.

    Args:
        source: says what they hold.
        runs: the series.
        scales: how their fields are normalised.
        order: the names of all series, in the order of their numbers.
        origins: gives the first step to come of each window of a series.
    """
    import numpy as np

    from runtime.data import windows
    from runtime.data.dataset import Part

    fields = source.fields()
    found: dict[str, list[np.ndarray]] = {field: [] for field in fields}
    called: list[np.ndarray] = []
    for run in runs:
        at = origins(run)
        found["past"].append(windows.past(_scaled(run, scales["past"]), at, source.window))
        for field in ("known", "future"):
            if field in fields:
                found[field].append(
                    windows.future(_scaled(run, scales[field]), at, source.horizon))
        if "series" in fields:
            found["series"].append(np.full(len(at), list(order).index(run.name), np.int32))
        if run.times is not None:
            label = f"{run.name} " if run.name else ""
            called.append(np.array([f"{label}{time}" for time in run.times[at]], object))
    return Part({field: np.concatenate(arrays) for field, arrays in found.items()},
                names=np.concatenate(called) if called else None)


def _scaled(run: Run, scale: Scale) -> np.ndarray:
    """The columns of a scale, normalised: (steps, columns) float32."""
    import numpy as np

    return ((_stacked(run, scale.names) - scale.mean) / scale.deviation).astype(np.float32)


def _stacked(run: Run, names: Sequence[str]) -> np.ndarray:
    """Columns side by side: (steps, columns)."""
    import numpy as np

    return np.stack([run.columns[name] for name in names], axis=-1)
