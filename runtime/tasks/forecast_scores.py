"""What forecasts are measured by, as formulas over arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def naive_errors(values: np.ndarray, season: int) -> np.ndarray:
    """How far values lie from those one season before, on average: (columns,).

    Of a series of at most one season nothing is known: 0.

    Args:
        values: (steps, columns), of the training part only.
        season: in steps.
    """
    if len(values) <= season:
        return np.zeros(values.shape[1])
    return np.abs(values[season:] - values[:-season]).mean(axis=0)


def mase(errors: np.ndarray, naive: np.ndarray) -> float:
    """The mean absolute scaled error (Hyndman and Koehler 2006).

    mean |y - f| / (mean over the training part of |y_t - y_{t-season}|): below 1, the forecast is
    better than the naive one was on the training part. Columns of 0 naive error are left out.

    Args:
        errors: (examples, horizon, columns), forecast minus truth.
        naive: (examples, columns) from `naive_errors`, each that of the example's series.
    """
    known = naive > 0
    if not known.any():
        return float("nan")
    return float((np.abs(errors).mean(axis=1)[known] / naive[known]).mean())


def smape(forecast: np.ndarray, truth: np.ndarray) -> float:
    """The symmetric mean absolute percentage error: mean 200 · |y - f| / (|y| + |f|).

    Between 0 and 200, as in the M4 competition (Makridakis et al. 2020); 0 where both are 0. It
    says little of data that crosses 0, such as temperatures in °C.
    """
    size = np.abs(forecast) + np.abs(truth)
    return float((200 * np.abs(forecast - truth) / np.where(size > 0, size, 1)).mean())


def pinball(forecast: np.ndarray, truth: np.ndarray, quantiles: Sequence[float]) -> float:
    """The quantile loss: mean max(q · (y - f), (q - 1) · (y - f)) (Koenker and Bassett 1978).

    Args:
        forecast: (..., quantiles).
        truth: (...).
        quantiles: between 0 and 1.
    """
    levels, error = np.asarray(quantiles), truth[..., None] - forecast
    return float(np.maximum(levels * error, (levels - 1) * error).mean())


def coverage(low: np.ndarray, high: np.ndarray, truth: np.ndarray) -> float:
    """How much of the truth lies between two quantiles, their values included."""
    return float(((low <= truth) & (truth <= high)).mean())
