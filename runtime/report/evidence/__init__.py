"""What a model says of examples it never saw, beside the truth: the middle of the report.

Each task has its own way to be looked at, each in its own file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from runtime.data.dataset import Dataset
from runtime.report.evidence.classes import labels
from runtime.report.evidence.found import found
from runtime.report.evidence.label_sets import label_sets
from runtime.report.evidence.masks import masks
from runtime.report.evidence.numbers import forecasts, values
from runtime.report.evidence.outputs import outputs
from runtime.report.evidence.samples import samples
from runtime.report.evidence.seen import LOOKED_AT, Seen
from runtime.report.evidence.speech import speech
from runtime.report.evidence.tags import tags
from runtime.report.evidence.texts import texts
from runtime.report.evidence.translations import translations
from runtime.saved import Trained

WAYS: Mapping[str, Callable[[Seen], str]] = {
    "classification": labels, "multi_label": label_sets, "regression": values, "tagging": tags,
    "segmentation": masks, "detection": found, "forecasting": forecasts,
    "image_generation": samples, "language_modelling": texts, "translation": translations,
    "speech_recognition": speech, "written": outputs}


def evidence(trained: Trained, dataset: Dataset, details: Mapping[str, Any]) -> str:
    """The body of the section, for the test part or, where there is none, for validation.

    Args:
        trained: the model.
        dataset: its data.
        details: scores by class, counted over every example of that part.
    """
    part = dataset.test if dataset.test.size else dataset.validation
    if not part.size:
        return ""
    chosen = np.unique(np.linspace(0, part.size - 1, min(part.size, LOOKED_AT)).astype(int))
    return WAYS[trained.task.word](Seen(trained, dataset, part.take(chosen), details))
