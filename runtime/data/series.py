"""Time series cut into windows: what the sources of series share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from compiler.diagnostics import nearest
from compiler.types import TensorType
from runtime.data.source import Source
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part

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

    def runs(self) -> list[Run]:
        """The series, in the order of their numbers."""
        raise NotImplementedError

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

    columns: list[str] | None = Field(
        default=None, min_length=1, description="the columns of `past`, in this order")
    forecast: list[str] | None = Field(
        default=None, min_length=1, description="the columns of `future`, in this order")

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
    def seasonal(self) -> int | None:
        return self.season

    def runs(self) -> list[Run]:
        table = self.table()
        return [Run(table, cut_at(len(next(iter(table.values()))), self.validation, self.test))]

    @field_validator("columns", "forecast")
    @classmethod
    def _columns_exist(cls, names: list[str] | None) -> list[str] | None:
        for name in names or ():
            if name not in cls.available:
                raise problem(f"`{name}` is not a column of this data set",
                              nearest(name, cls.available),
                              notes=[f"its columns: {', '.join(cls.available)}"])
        return names


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
    from runtime.data.dataset import Dataset, Part, Scale

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
    values = [{name: ((_stacked(run, names) - scales[name].mean) / scales[name].deviation)
               .astype(np.float32) for name, names in columns.items()} for run in runs]

    def origins(run: Run, part: str) -> np.ndarray:
        """The first forecast steps of a part of a series."""
        first, second = run.cut
        start, end = {"train": (0, first), "validation": (first, second),
                      "test": (second, run.size)}[part]
        return windows.origins(start, end, source.window, source.horizon)

    def part(name: str) -> Part:
        found: dict[str, list[np.ndarray]] = {field: [] for field in fields}
        called: list[np.ndarray] = []
        for number, (run, ready) in enumerate(zip(runs, values)):
            at = origins(run, name)
            found["past"].append(windows.past(ready["past"], at, source.window))
            for field in ("known", "future"):
                if field in fields:
                    found[field].append(windows.future(ready[field], at, source.horizon))
            if "series" in fields:
                found["series"].append(np.full(len(at), number, np.int32))
            if run.times is not None:
                label = f"{run.name} " if run.name else ""
                called.append(np.array([f"{label}{time}" for time in run.times[at]], object))
        return Part({field: np.concatenate(arrays) for field, arrays in found.items()},
                    names=np.concatenate(called) if called else None)

    references, season = {}, source.seasonal
    testing = [origins(run, "test") for run in runs]
    if season and any(map(len, testing)) and all(
            at[0] >= season for at in testing if len(at)):
        references["seasonal_naive"] = np.concatenate(
            [windows.season_before(ready["future"], at, source.horizon, season)
             for ready, at in zip(values, testing)])
    fitted: dict[str, Any] = {
        name: {"columns": list(scale.names), "mean": scale.mean.tolist(),
               "deviation": scale.deviation.tolist()} for name, scale in scales.items()}
    labels = {}
    if "series" in fields:
        labels["series"] = tuple(run.name for run in runs)
        fitted["series"] = list(labels["series"])
    return Dataset(fields, part("train"), part("validation"), part("test"), scales, references,
                   fitted, labels)


def _stacked(run: Run, names: Sequence[str]) -> np.ndarray:
    """Columns side by side: (steps, columns)."""
    import numpy as np

    return np.stack([run.columns[name] for name in names], axis=-1)
