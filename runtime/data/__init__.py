"""The data sources. A new one is its own file and a line in the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from runtime.data.digits import Digits
from runtime.data.help_texts import HelpTexts
from runtime.data.seattle_weather import SeattleWeather
from runtime.data.sunspots import Sunspots

DataSource = Annotated[
    Digits | HelpTexts | SeattleWeather | Sunspots,
    Field(discriminator="dataset"),
]
