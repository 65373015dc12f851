"""Cutting a data set into training, validation and test parts.

The cuts do not depend on the training seed, so that runs with different seeds are
compared on the same examples. Random cuts use the raw output of a bit generator, which
NumPy promises never to change, unlike the methods of `numpy.random.Generator`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cut:
    """The indices of each part's examples; disjoint, together all examples."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def stratified(labels: np.ndarray, validation: float, test: float, seed: int) -> Cut:
    """A random cut in which every part has the classes in the proportions of the whole.

    The test part is chosen first, so that it stays the same whatever `validation` is.

    Args:
        labels: (examples,) the class of each example.
        validation: the fraction of all examples that validate.
        test: the fraction of all examples that test.
        seed: chooses the cut.
    """
    order = shuffled(len(labels), seed)
    chosen = _pick(labels[order], math.ceil(len(labels) * test))
    rest = order[~chosen]
    validating = _pick(labels[rest], math.ceil(len(labels) * validation))
    return Cut(np.sort(rest[~validating]), np.sort(rest[validating]), np.sort(order[chosen]))


def grouped(keys: Sequence[str], validation: float, test: float, seed: int) -> Cut:
    """A random cut that keeps examples with the same key together.

    The parts have about the sizes that are asked for, counted in examples.

    Args:
        keys: of each example.
        validation: the fraction of all examples that validate.
        test: the fraction of all examples that test.
        seed: chooses the cut.
    """
    groups: dict[str, list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    rows = list(groups.values())
    sizes = [math.ceil(len(keys) * test), math.ceil(len(keys) * validation), len(keys)]
    parts: list[list[int]] = [[], [], []]
    at = 0
    for group in shuffled(len(rows), seed):
        while len(parts[at]) >= sizes[at]:
            at += 1
        parts[at] += rows[group]
    testing, validating, train = (np.sort(np.array(part, np.int64)) for part in parts)
    return Cut(train, validating, testing)


def ordered(size: int, validation: float, test: float) -> Cut:
    """A cut in time: first the training part, then validation, the latest for the test."""
    testing, validating = math.ceil(size * test), math.ceil(size * validation)
    indices = np.arange(size)
    first, second = size - testing - validating, size - testing
    return Cut(indices[:first], indices[first:second], indices[second:])


def shuffled(size: int, seed: int) -> np.ndarray:
    """The numbers below `size` in an order that `seed` decides, the same for ever."""
    return np.argsort(np.random.PCG64(seed).random_raw(size), kind="stable")


def _pick(labels: np.ndarray, total: int) -> np.ndarray:
    """True for the first few of each class: `total` in all, in proportion.

    What rounding leaves over goes to the classes with the largest remainders.
    """
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * total / len(labels)
    takes = np.floor(shares).astype(int)
    missing = total - takes.sum()
    takes[np.argsort(takes - shares, kind="stable")[:missing]] += 1
    picked = np.zeros(len(labels), bool)
    for label, take in zip(classes, takes):
        picked[np.flatnonzero(labels == label)[:take]] = True
    return picked
