"""A data set in memory: its parts, as arrays by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compiler.types import TensorType


@dataclass(frozen=True)
class Part:
    """Examples that are used for one purpose.

    Attributes:
        arrays: for each field, (examples, *axes).
        lengths: for fields with a time axis whose rows are not all full, (examples,)
            integers: how many steps of each row are real.
    """

    arrays: Mapping[str, np.ndarray]
    lengths: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The number of examples."""
        return len(next(iter(self.arrays.values())))

    def take(self, indices: np.ndarray) -> Part:
        """The part that holds only the examples at `indices`, in that order."""
        return Part({name: array[indices] for name, array in self.arrays.items()},
                    {name: lengths[indices] for name, lengths in self.lengths.items()})


@dataclass(frozen=True)
class Scale:
    """How a field was normalised: value = normalised · deviation + mean.

    Attributes:
        names: what the channels are called.
        mean: (channels,) in the data's own units, of the training part only.
        deviation: (channels,) likewise.
        units: the unit of each channel, "" where it has none or nobody knows; () for none.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    deviation: np.ndarray
    units: tuple[str, ...] = ()


@dataclass(frozen=True)
class Meaning:
    """What the numbers in a data set's fields mean: all that a prediction needs of it.

    Attributes:
        fields: the type of every field, without the axis of the examples.
        labels: for fields of classes, tokens or several labels, what each number or channel
            is called, in order.
        scales: how fields were normalised.
    """

    fields: Mapping[str, TensorType]
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)

    def names(self, name: str, count: int) -> tuple[str, ...]:
        """What the `count` classes of a field are called; their numbers where nobody says."""
        known = self.labels.get(name, ())
        return (*known[:count], *(str(i) for i in range(len(known), count)))


@dataclass(frozen=True)
class Dataset:
    """A data set cut into parts.

    Attributes:
        fields: the type of every field, without the axis of the examples.
        train: what the optimiser sees.
        validation: what decisions may be based on; it may be empty.
        test: what is looked at once, at the end, and decides nothing.
        scales: how fields were normalised.
        references: forecasts of the test part that cost nothing, by name, to compare with:
            the shape of the target field of the test part.
        fitted: what the training part taught and the model is of no use without, such as a
            vocabulary: plain values that JSON can hold.
        labels: for fields of classes, tokens or several labels, what each number or channel
            is called, in order.
    """

    fields: Mapping[str, TensorType]
    train: Part
    validation: Part
    test: Part
    scales: Mapping[str, Scale] = field(default_factory=dict)
    references: Mapping[str, np.ndarray] = field(default_factory=dict)
    fitted: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def meaning(self) -> Meaning:
        """What is known of the fields, without the examples."""
        return Meaning(self.fields, self.labels, self.scales)
