"""Arrays into what a person or a program reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch
    from runtime.data.dataset import Meaning, Scale

# A prediction tells the probability of every class up to so many, else of the best ten.
ALL_CLASSES, BEST_CLASSES = 100, 10


def rows_of(output: Tensor, batch: Batch) -> np.ndarray:
    """An output (rows, *axes) of the rows that count, in float64."""
    return np.asarray(output.array, np.float64)[np.asarray(batch.rows)]


def lengths_of(output: Tensor, batch: Batch) -> np.ndarray:
    """How many steps of each row that counts are real: (rows,)."""
    rows = np.asarray(batch.rows)
    if output.lengths is None:
        return np.full(rows.sum(), output.array.shape[output.dim("time")])
    return np.asarray(output.lengths)[rows]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The probability of a yes, without overflow."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def number(value: Any) -> float:
    """A number with the six digits that float32 has."""
    return float(f"{float(value):.6g}")


def best(probabilities: np.ndarray, names: tuple[str, ...], limit: int = 0) -> dict[str, float]:
    """Names and probabilities (classes,), the most probable first."""
    count = limit or (len(names) if len(names) <= ALL_CLASSES else BEST_CLASSES)
    order = np.argsort(-probabilities, kind="stable")[:count]
    return {names[i]: number(probabilities[i]) for i in order}


def in_units(values: np.ndarray, scale: Scale | None) -> np.ndarray:
    """Normalised values (..., channels) as the data had them."""
    if scale is None:
        return values
    return values * np.asarray(scale.deviation) + np.asarray(scale.mean)


def channel_names(meaning: Meaning, field: str, count: int) -> tuple[str, ...]:
    """What the channels of a field of numbers are called."""
    scale = meaning.scales.get(field)
    if scale is not None and len(scale.names) == count:
        return scale.names
    known = meaning.labels.get(field, ())
    if len(known) == count:
        return known
    return (field,) if count == 1 else tuple(f"{field}_{i + 1}" for i in range(count))


def units_of(meaning: Meaning, field: str) -> dict[str, str]:
    """The units of a field's channels that have any, by channel."""
    scale = meaning.scales.get(field)
    if scale is None:
        return {}
    return {name: unit for name, unit in zip(scale.names, scale.units) if unit}
