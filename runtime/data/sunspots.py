"""The yearly mean sunspot number that comes with the package.

Source: WDC-SILSO, Royal Observatory of Belgium, through the US National Geophysical Data
Center (NOAA), public domain: see NOTICE. It is version 1 of the series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from runtime.data.embedded import path
from runtime.data.series import Series
from runtime.data.source import Origin

if TYPE_CHECKING:
    import numpy as np


class Sunspots(Series):
    """The yearly mean sunspot number, 1700 to 2008: 309 years.

    Columns: `sunspots`. The season of the naive forecast is the solar cycle, 11 years.
    """

    available: ClassVar[tuple[str, ...]] = ("sunspots",)
    standard: ClassVar[tuple[str, ...]] = ("sunspots",)
    standard_targets: ClassVar[tuple[str, ...]] = ("sunspots",)
    season: ClassVar[int] = 11
    time: ClassVar[str] = "YEAR"

    embedded: ClassVar[Origin] = Origin(
        "the yearly mean sunspot number, 1700 to 2008",
        "http://www.ngdc.noaa.gov/stp/solar/solarda3.html", "public domain")

    dataset: Literal["sunspots"] = Field(description="the word that chooses this source")

    def table(self) -> dict[str, np.ndarray]:
        from runtime.data.tabular import read_table

        return {"sunspots": read_table(path("sunspots.csv")).numbers("SUNACTIVITY")}

    def times(self) -> np.ndarray:
        import numpy as np

        from runtime.data.tabular import read_table

        years = read_table(path("sunspots.csv")).numbers("YEAR")
        return np.array([f"{year:.0f}" for year in years], object)
