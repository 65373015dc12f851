"""What is said of forecasts before any array is there."""

from __future__ import annotations

from collections.abc import Sequence

RECURSIVE = ("name as `columns` those of `forecast`, then those of `known`, in the same order; or "
             "say `strategy: direct`")


def intervals(quantiles: Sequence[float]) -> dict[str, tuple[int, int]]:
    """The intervals in the middle that quantiles span, by their percentage: the widest first.

    Example:
        >>> intervals([0.1, 0.25, 0.5, 0.75, 0.9])
        {'80': (0, 4), '50': (1, 3)}
    """
    found = {}
    for low, level in enumerate(quantiles):
        for high in range(low + 1, len(quantiles)):
            if abs(level + quantiles[high] - 1) < 1e-9:
                found[f"{100 * (quantiles[high] - level):.6g}"] = (low, high)
    return found
