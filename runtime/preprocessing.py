"""preprocessing.json: what a data set taught, and a model is of no use without.

Class names, vocabularies, means and deviations: with it, the spec and the weights, a run
predicts where its training data is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compiler.types import TensorType
from runtime.data.dataset import Dataset, Meaning, Part, Scale

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Preprocessing:
    """What is known of the data without its examples.

    Attributes:
        meaning: what the numbers in its fields mean.
        normalise: how inputs are normalised on their way into the model.
        fitted: what its source needs to read new inputs.
    """

    meaning: Meaning
    normalise: Mapping[str, Scale] = field(default_factory=dict)
    fitted: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset) -> Preprocessing:
        """That of a data set."""
        return cls(dataset.meaning, dataset.normalise, dataset.fitted)

    def around(self, part: Part) -> Dataset:
        """A data set whose only examples are these, as its test part."""
        nothing = part.take(np.arange(0))
        return Dataset(self.meaning.fields, nothing, nothing, part, scales=self.meaning.scales,
                       normalise=self.normalise, labels=self.meaning.labels, fitted=self.fitted)


def write(path: Path, known: Preprocessing) -> None:
    """Write the file."""
    meaning = known.meaning
    content = {
        "fields": {name: {"axes": kind.axes, "shape": kind.shape, "dtype": kind.dtype,
                          "vocabulary": kind.vocabulary}
                   for name, kind in meaning.fields.items()},
        "labels": {name: list(labels) for name, labels in meaning.labels.items()},
        "scales": _scales(meaning.scales), "normalise": _scales(known.normalise),
        "fitted": known.fitted,
    }
    # Escapes keep names of folders and files that are no UTF-8.
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Preprocessing:
    """Read the file.

    Raises:
        OSError: there is none.
        ValueError, KeyError, TypeError: it is damaged.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    fields = {name: TensorType(tuple(kind["axes"]), tuple(kind["shape"]), kind["dtype"],
                               kind["vocabulary"])
              for name, kind in content["fields"].items()}
    labels = {name: tuple(names) for name, names in content["labels"].items()}
    return Preprocessing(Meaning(fields, labels, _read_scales(content["scales"])),
                         _read_scales(content["normalise"]), content["fitted"])


def _scales(scales: Mapping[str, Scale]) -> dict[str, Any]:
    return {name: {"names": list(scale.names), "mean": _numbers(scale.mean),
                   "deviation": _numbers(scale.deviation), "units": list(scale.units)}
            for name, scale in scales.items()}


def _numbers(values: Iterable[Any]) -> list[float]:
    return [float(value) for value in values]


def _read_scales(content: Mapping[str, Any]) -> dict[str, Scale]:
    return {name: Scale(tuple(s["names"]), np.array(s["mean"], np.float64),
                        np.array(s["deviation"], np.float64), tuple(s["units"]))
            for name, s in content.items()}
