"""preprocessing.json: what a data set taught, and a model is of no use without.

Class names, vocabularies, means and deviations: with it, the spec and the weights, a run
predicts where its training data is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from compiler.types import AXES, TensorType
from runtime.data.boxes import BOX_AXES
from runtime.data.dataset import Dataset, Meaning, Part, Scale

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")
KNOWN_AXES = {*AXES, *BOX_AXES}
LARGEST = 2**31 - 1  # of sizes and vocabularies


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
    fields = {name: _kind(kind) for name, kind in content["fields"].items()}
    labels = {name: _texts(names) for name, names in content["labels"].items()}
    fitted = _of(content["fitted"], dict)
    return Preprocessing(Meaning(fields, labels, _read_scales(content["scales"]), fitted),
                         _read_scales(content["normalise"]), fitted)


def check_fits(known: Preprocessing, wanted: Iterable[str]) -> None:
    """That what is known speaks of the fields that a model takes, and agrees with itself.

    Args:
        known: what the data taught.
        wanted: the fields that the model takes.

    Raises:
        ValueError: a field is missing, or is normalised as something else.
    """
    fields = known.meaning.fields
    for name in wanted:
        if name not in fields:
            raise ValueError(f"it says nothing of `{name}`, which the model takes")
    for scales in (known.normalise, known.meaning.scales):
        for name, scale in scales.items():
            channels = fields[name].channels if name in fields else None
            if channels is not None and len(scale.mean) not in (1, channels):
                raise ValueError(f"`{name}` has {channels} channels and {len(scale.mean)} means")


def _kind(content: Mapping[str, Any]) -> TensorType:
    """The type of a field."""
    axes, shape, vocabulary = _texts(content["axes"]), content["shape"], content["vocabulary"]
    sizes = tuple(size if isinstance(size, str) else _count(size) for size in shape)
    if len(sizes) != len(axes) or len(set(axes)) < len(axes) or not set(axes) <= KNOWN_AXES:
        raise ValueError(f"these are no axes and sizes: {axes}, {sizes}")
    dtype = content["dtype"]
    if dtype not in ("float", "int", "bool"):
        raise ValueError(f"{dtype!r} is no kind of numbers")
    return TensorType(axes, sizes, dtype, None if vocabulary is None else _count(vocabulary))


def _texts(content: Any) -> tuple[str, ...]:
    return tuple(_of(text, str) for text in _of(content, list))


def _count(content: Any) -> int:
    if isinstance(content, bool) or not 0 <= _of(content, int) <= LARGEST:
        raise ValueError(f"{content} is no size")
    return content


def _of(content: Any, kind: type[T]) -> T:
    """A value that has to be of a kind."""
    if not isinstance(content, kind):
        raise TypeError(f"a {kind.__name__} is wanted where {str(content)[:60]!r} stands")
    return content


def _scales(scales: Mapping[str, Scale]) -> dict[str, Any]:
    return {name: {"names": list(scale.names), "mean": _numbers(scale.mean),
                   "deviation": _numbers(scale.deviation), "units": list(scale.units)}
            for name, scale in scales.items()}


def _numbers(values: Iterable[Any]) -> list[float]:
    return [float(value) for value in values]


def _read_scales(content: Mapping[str, Any]) -> dict[str, Scale]:
    return {name: _scale(s) for name, s in content.items()}


def _scale(content: Mapping[str, Any]) -> Scale:
    names, units = _texts(content["names"]), _texts(content["units"])
    mean, deviation = (np.array(content[key], np.float64) for key in ("mean", "deviation"))
    if mean.ndim != 1 or mean.shape != deviation.shape or not (
            np.isfinite(mean).all() and np.isfinite(deviation).all()):
        raise ValueError("means and deviations are a number for each channel")
    return Scale(names, mean, deviation, units)
