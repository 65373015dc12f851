"""Time series cut into windows: what the sources of series share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, field_validator

from compiler.diagnostics import nearest
from compiler.types import TensorType
from runtime.data.source import Source
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset

Positive = Annotated[int, Field(gt=0)]


class Series(Source):
    """A table with a row for each step of time, to be forecast.

    Gives `past` (window, columns) and `future` (horizon, targets), both normalised by the
    mean and deviation of the training part. The parts follow each other in time. A part's
    windows are all those whose future lies in it; their past may reach back into the part
    before, as it would be known on the day of the forecast.
    """

    # The columns there are, and those taken where the recipe names none.
    available: ClassVar[tuple[str, ...]]
    standard: ClassVar[tuple[str, ...]]
    standard_targets: ClassVar[tuple[str, ...]]
    # What the columns are measured in.
    units: ClassVar[Mapping[str, str]] = {}
    # Steps after which the series roughly repeats itself, for the seasonal naive forecast.
    season: ClassVar[int]

    window: Positive = Field(description="how many steps of the past the model sees")
    horizon: Positive = Field(default=1, description="how many steps it forecasts")
    columns: list[str] | None = Field(
        default=None, min_length=1, description="the columns of `past`, in this order")
    forecast: list[str] | None = Field(
        default=None, min_length=1, description="the columns of `future`, in this order")

    def table(self) -> dict[str, np.ndarray]:
        """Every available column: (steps,) float64."""
        raise NotImplementedError

    @property
    def past_columns(self) -> list[str]:
        return self.columns or list(self.standard)

    @property
    def future_columns(self) -> list[str]:
        return self.forecast or list(self.standard_targets)

    def fields(self) -> dict[str, TensorType]:
        axes = ("time", "channels")
        return {"past": TensorType(axes, (self.window, len(self.past_columns))),
                "future": TensorType(axes, (self.horizon, len(self.future_columns)))}

    def targets(self) -> tuple[str, ...]:
        return ("future",)

    @field_validator("columns", "forecast")
    @classmethod
    def _columns_exist(cls, names: list[str] | None) -> list[str] | None:
        for name in names or ():
            if name not in cls.available:
                raise problem(f"`{name}` is not a column of this data set",
                              nearest(name, cls.available),
                              notes=[f"its columns: {', '.join(cls.available)}"])
        return names

    def load(self) -> Dataset:
        import numpy as np

        from runtime.data import windows
        from runtime.data.dataset import Dataset, Part, Scale
        from runtime.data.split import ordered

        table = self.table()
        cut = ordered(len(next(iter(table.values()))), self.validation, self.test)
        values, scales = {}, {}
        for field, names in (("past", self.past_columns), ("future", self.future_columns)):
            raw = np.stack([table[name] for name in names], axis=-1)
            mean, deviation = raw[cut.train].mean(axis=0), raw[cut.train].std(axis=0)
            deviation = np.where(deviation > 0, deviation, 1.0)
            values[field] = ((raw - mean) / deviation).astype(np.float32)
            units = tuple(self.units.get(name, "") for name in names)
            scales[field] = Scale(tuple(names), mean, deviation, units)

        def origins(steps: np.ndarray) -> np.ndarray:
            """The first forecast steps of a part that covers `steps`."""
            if not len(steps):
                return steps
            return windows.origins(steps[0], steps[-1] + 1, self.window, self.horizon)

        def part(steps: np.ndarray) -> Part:
            at = origins(steps)
            return Part({"past": windows.past(values["past"], at, self.window),
                         "future": windows.future(values["future"], at, self.horizon)})

        references = {}
        testing = origins(cut.test)
        if len(testing) and testing[0] >= self.season:
            references["seasonal_naive"] = windows.season_before(
                values["future"], testing, self.horizon, self.season)
        return Dataset(self.fields(), part(cut.train), part(cut.validation), part(cut.test),
                       scales, references)
