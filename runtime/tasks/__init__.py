"""The tasks. A new one is its own file and a line in the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Tag

from runtime.section import word_of
from runtime.tasks.classification import Classification
from runtime.tasks.forecasting import Forecasting
from runtime.tasks.language_modelling import LanguageModelling

AnyTask = Annotated[
    Annotated[Classification, Tag("classification")]
    | Annotated[Forecasting, Tag("forecasting")]
    | Annotated[LanguageModelling, Tag("language_modelling")],
    Discriminator(word_of),
]
