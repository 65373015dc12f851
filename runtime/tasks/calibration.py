"""Whether probabilities can be believed: of what is said with 80 %, are 80 % right?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import jax

    from runtime.batch import Ratio

# Bins of equal width between 0 and 1, as Guo et al. have them.
BINS = 15


def confidence_bins(logits: jax.Array, labels: jax.Array, mask: jax.Array) -> Ratio:
    """For each bin of the highest probability: how many, how sure in sum, how many right.

    A probability of exactly i / BINS belongs to the bin below it.

    Args:
        logits: (batch, classes).
        labels: (batch,) integers.
        mask: (batch,) True for what counts.

    Returns:
        (3, BINS), a plain count.
    """
    import jax
    import jax.numpy as jnp

    from runtime.batch import Ratio

    sure = jax.nn.softmax(logits.astype(jnp.float32), axis=-1).max(axis=-1)
    place = jnp.clip(jnp.ceil(sure * BINS).astype(jnp.int32) - 1, 0, BINS - 1)
    inside = jax.nn.one_hot(place, BINS, axis=0) * mask
    right = logits.argmax(axis=-1) == labels
    # A model that is lost says no number; it is not sure of anything then.
    sure = jnp.nan_to_num(sure)
    return Ratio(jnp.stack([inside.sum(-1), inside @ sure, inside @ right.astype(jnp.float32)]),
                 jnp.zeros((), jnp.float32))


def calibration(bins: np.ndarray) -> dict[str, Any]:
    """The expected calibration error, and the bins that it is made of.

    The mean over the examples of the distance, in each bin, between how many are right and how
    sure the model is (Naeini et al. 2015; Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Args:
        bins: (3, BINS) as `confidence_bins` counts them.

    Returns:
        `ece`, and for each bin that is not empty `from`, `to`, `examples`, `confidence`,
        `accuracy`.
    """
    counts, sure, right = np.asarray(bins, np.float64)
    width = 1 / len(counts)
    return {"ece": float(np.abs(right - sure).sum() / max(counts.sum(), 1)), "bins": [
        {"from": round(i * width, 6), "to": round((i + 1) * width, 6), "examples": int(counts[i]),
         "confidence": float(sure[i] / counts[i]), "accuracy": float(right[i] / counts[i])}
        for i in np.flatnonzero(counts)]}


def binned(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What `confidence_bins` counts, of probabilities (examples, classes): (3, BINS)."""
    sure = probabilities.max(axis=-1)
    place = np.clip(np.ceil(sure * BINS).astype(int) - 1, 0, BINS - 1)
    right = probabilities.argmax(axis=-1) == labels
    return np.stack([np.bincount(place, weights, BINS)
                     for weights in (np.ones(len(sure)), sure, right)])


def fitted_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The number that logits are divided by for the smallest cross entropy (Guo et al. 2017).

    It changes no answer, only how sure the model is of it. The cross entropy is convex in
    1 / temperature, so that halving an interval finds it.

    Args:
        logits: (examples, classes).
        labels: (examples,) integers.

    Returns:
        Between 0.05 and 20.
    """
    logits = np.asarray(logits, np.float64)
    own = logits[np.arange(len(labels)), labels]

    def slope(scale: float) -> float:
        """The derivative of the mean cross entropy by the scale, which is 1 / temperature."""
        scaled = logits * scale
        odds = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        return float((((odds * logits).sum(-1) / odds.sum(-1)) - own).mean())

    low, high = np.log(1 / 20), np.log(1 / 0.05)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))
