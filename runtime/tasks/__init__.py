"""The tasks. A new one is its own file and a line in the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Tag

from runtime.section import word_of
from runtime.tasks.classification import Classification
from runtime.tasks.detection import Detection
from runtime.tasks.forecasting import Forecasting
from runtime.tasks.image_generation import ImageGeneration
from runtime.tasks.language_modelling import LanguageModelling
from runtime.tasks.multi_label import MultiLabel
from runtime.tasks.regression import Regression
from runtime.tasks.segmentation import Segmentation
from runtime.tasks.speech_recognition import SpeechRecognition
from runtime.tasks.tagging import Tagging
from runtime.tasks.translation import Translation

AnyTask = Annotated[
    Annotated[Classification, Tag("classification")]
    | Annotated[MultiLabel, Tag("multi_label")]
    | Annotated[Regression, Tag("regression")]
    | Annotated[Tagging, Tag("tagging")]
    | Annotated[Segmentation, Tag("segmentation")]
    | Annotated[Detection, Tag("detection")]
    | Annotated[ImageGeneration, Tag("image_generation")]
    | Annotated[LanguageModelling, Tag("language_modelling")]
    | Annotated[Forecasting, Tag("forecasting")]
    | Annotated[Translation, Tag("translation")]
    | Annotated[SpeechRecognition, Tag("speech_recognition")],
    Discriminator(word_of),
]
