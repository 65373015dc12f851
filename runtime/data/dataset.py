"""A data set in memory: its parts, as arrays by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np

from compiler.types import TensorType

# What integers that stand for fractions are fractions of, by the name of their type.
FULL_SCALE = {"uint8": 255.0, "int16": 32768.0}


class Stored(Protocol):
    """A field whose examples are read when they are asked for: (examples, *axes).

    It is indexed as an array is, with an array of indices, and gives an array.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any) -> np.ndarray:
        """The examples at `indices`: (len(indices), *axes)."""
        ...

    def subset(self, indices: np.ndarray) -> Self:
        """The examples at `indices`, still unread."""
        ...

    def digests(self) -> list[bytes]:
        """A digest of each example; equal for equal ones only."""
        ...


@dataclass(frozen=True)
class Part:
    """Examples that are used for one purpose.

    Attributes:
        arrays: for each field, (examples, *axes). Fields of floats may be held as `uint8` or
            `int16`, as pictures and sounds are stored: batches turn them into fractions of
            their full scale, 255 or 32,768. Whole numbers are `int32`.
        lengths: for fields with a time axis whose rows are not all full, (examples,)
            integers: how many steps of each row are real.
        names: (examples,) what people call each example, such as its file; None where
            nothing but its number tells it from others.
        buckets: lengths, in order, that batches of rows of different lengths are cut to, the
            last that of the arrays; () to leave them as they are.
    """

    arrays: Mapping[str, Any]
    lengths: Mapping[str, np.ndarray] = field(default_factory=dict)
    names: np.ndarray | None = None
    buckets: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """The number of examples."""
        return len(next(iter(self.arrays.values())))

    def take(self, indices: np.ndarray) -> Part:
        """The part that holds only the examples at `indices`, in that order."""
        def taken(array: Any) -> Any:
            return array[indices] if isinstance(array, np.ndarray) else array.subset(indices)

        return Part({name: taken(array) for name, array in self.arrays.items()},
                    {name: lengths[indices] for name, lengths in self.lengths.items()},
                    None if self.names is None else self.names[indices], self.buckets)

    def called(self, number: int) -> str:
        """What messages call an example."""
        return f"number {number}" if self.names is None else str(self.names[number])


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

    def normalised(self, array: Any) -> Any:
        """An array (..., channels), of NumPy or JAX, with mean 0 and deviation 1."""
        mean, deviation = self.mean.astype(np.float32), self.deviation.astype(np.float32)
        return (array - mean) / deviation


@dataclass(frozen=True)
class Meaning:
    """What the numbers in a data set's fields mean: all that a prediction needs of it.

    Attributes:
        fields: the type of every field, without the axis of the examples.
        labels: for fields of classes, tokens or several labels, what each number or channel
            is called, in order.
        scales: how fields were normalised.
        fitted: what else the training part taught, such as vocabularies.
    """

    fields: Mapping[str, TensorType]
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)
    fitted: Mapping[str, Any] = field(default_factory=dict)

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
        normalise: how inputs are normalised on their way into the model. They are kept as they
            were, so that augmentation sees real colours and sounds.
    """

    fields: Mapping[str, TensorType]
    train: Part
    validation: Part
    test: Part
    scales: Mapping[str, Scale] = field(default_factory=dict)
    references: Mapping[str, np.ndarray] = field(default_factory=dict)
    fitted: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    normalise: Mapping[str, Scale] = field(default_factory=dict)

    @property
    def described(self) -> str:
        """"1,257 train, 180 validation": how large it is, and the lengths of its batches."""
        sizes = {"train": self.train.size, "validation": self.validation.size,
                 "test": self.test.size}
        told = ", ".join(f"{size:,} {name}" for name, size in sizes.items() if size)
        buckets = self.train.buckets
        return told if not buckets else (
            f"{told}; batches of {len(buckets)} length{'s' if len(buckets) > 1 else ''}: "
            f"{', '.join(map(str, buckets))}")

    @property
    def meaning(self) -> Meaning:
        """What is known of the fields, without the examples."""
        return Meaning(self.fields, self.labels, self.scales, self.fitted)
