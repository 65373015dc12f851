"""The daily weather in Seattle that comes with the package.

Source: NOAA, public domain; the table was put together by the Vega project: see NOTICE.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from runtime.data.embedded import path
from runtime.data.series import Series
from runtime.data.source import Origin

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.tabular import Table

MEASURED = ("precipitation", "temp_max", "temp_min", "wind")


class SeattleWeather(Series):
    """Daily weather in Seattle, 2012 to 2015: 1,461 days.

    Columns: `precipitation` (mm), `temp_max` and `temp_min` (°C), `wind` (m/s), and the
    season as a place on a circle, `year_sin` and `year_cos`. The season of the naive
    forecast is a year.
    """

    available: ClassVar[tuple[str, ...]] = (*MEASURED, "year_sin", "year_cos")
    standard: ClassVar[tuple[str, ...]] = MEASURED
    standard_targets: ClassVar[tuple[str, ...]] = ("temp_max",)
    units: ClassVar[Mapping[str, str]] = {
        "precipitation": "mm", "temp_max": "°C", "temp_min": "°C", "wind": "m/s"}
    season: ClassVar[int] = 365
    time: ClassVar[str] = "date"

    embedded: ClassVar[Origin] = Origin(
        "daily weather in Seattle, 2012 to 2015", "https://github.com/vega/vega-datasets",
        "public domain")

    dataset: Literal["seattle_weather"] = Field(description="the word that chooses this source")

    def table(self) -> dict[str, np.ndarray]:
        import numpy as np

        from runtime.data.calendar import place

        rows = self._rows()
        table = {name: rows.numbers(name) for name in MEASURED}
        days = [datetime.strptime(day, "%Y/%m/%d") for day in rows.column("date")]
        return table | {name: np.array([place(name, day) for day in days])
                        for name in ("year_sin", "year_cos")}

    def times(self) -> np.ndarray:
        import numpy as np

        return np.array([day.replace("/", "-") for day in self._rows().column("date")], object)

    @staticmethod
    def _rows() -> Table:
        from runtime.data.tabular import read_table

        return read_table(path("seattle_weather.csv"))
