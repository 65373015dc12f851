"""Windows over a sequence."""

from __future__ import annotations

import numpy as np


def origins(first: int, last: int, window: int, horizon: int) -> np.ndarray:
    """Where forecasts begin whose future lies in the steps first … last - 1.

    Returns:
        (examples,) the step of the first forecast value; `window` steps lie before it.
    """
    return np.arange(max(first, window), last - horizon + 1)


def past(values: np.ndarray, origins: np.ndarray, window: int) -> np.ndarray:
    """The `window` steps before each origin: (examples, window, columns)."""
    return values[origins[:, None] + np.arange(-window, 0)]


def future(values: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
    """The `horizon` steps from each origin on: (examples, horizon, columns)."""
    return values[origins[:, None] + np.arange(horizon)]


def season_before(
    values: np.ndarray, origins: np.ndarray, horizon: int, season: int,
) -> np.ndarray:
    """The seasonal naive forecast: the value one season earlier (or as many as it takes to
    lie before the origin).

    Returns:
        (examples, horizon, columns).

    Raises:
        ValueError: the series does not reach back a season before the first origin.
    """
    ahead = np.arange(horizon)
    steps = origins[:, None] + ahead - season * (ahead // season + 1)
    if len(origins) and steps.min() < 0:
        raise ValueError("the series does not reach back a season")
    return values[steps]


def chunks(
    tokens: np.ndarray, window: int, *, whole: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of a text and the same text one token on, as next-token prediction needs.

    Every token but the first is a target exactly once; the last chunk is shorter and
    padded with zeros. With `whole` the last chunk is full, and begins in the one before.

    Args:
        tokens: (tokens,) integers.
        window: the length of a chunk.
        whole: fill the last chunk, if there are tokens enough for one.

    Returns:
        The chunks (examples, window), their successors (examples, window), and how many
        tokens of each are real (examples,).
    """
    last = max(len(tokens) - 1, 0)
    starts = np.arange(0, last, window)
    if whole and last >= window:
        starts = np.minimum(starts, last - window)
    lengths = np.minimum(window, last - starts).astype(np.int32)
    padded = np.concatenate([tokens, np.zeros(window + 1, tokens.dtype)])
    places = starts[:, None] + np.arange(window)
    real = np.arange(window) < lengths[:, None]
    return padded[places] * real, padded[places + 1] * real, lengths
