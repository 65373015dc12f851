"""Scores made on the host from exact counts, or from the values of every example."""

from __future__ import annotations

import numpy as np


def by_class(matches: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and intersection over union of each class.

    What would divide by nothing is 0, as in scikit-learn.

    Args:
        matches: (3, classes) how often each class was right, predicted, and true.

    Returns:
        (classes,) each.
    """
    right, predicted, true = np.asarray(matches, np.float64)
    return {"precision": _divided(right, predicted), "recall": _divided(right, true),
            "f1": _divided(2 * right, predicted + true),
            "iou": _divided(right, predicted + true - right)}


def macro(values: np.ndarray, matches: np.ndarray) -> float:
    """The mean over the classes that are there, or were predicted to be."""
    seen = (matches[1] + matches[2]) > 0
    return float(values[seen].mean()) if seen.any() else 0.0


def matches_of(confusion: np.ndarray) -> np.ndarray:
    """(3, classes) how often each class was right, predicted, and true.

    Args:
        confusion: (classes, classes), a row for each true class.
    """
    return np.stack([np.diagonal(confusion), confusion.sum(axis=0), confusion.sum(axis=1)])


def auroc(scores: np.ndarray, truths: np.ndarray) -> float:
    """The area under the receiver operating characteristic of one yes-or-no question.

    The chance that a yes scores higher than a no, ties counting half: the Mann-Whitney
    statistic (Hanley & McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747).

    Args:
        scores: (examples,) higher for yes.
        truths: (examples,) True for yes.

    Returns:
        Between 0 and 1; NaN where all examples have the same answer.
    """
    truths = np.asarray(truths, bool)
    yes, no = truths.sum(), (~truths).sum()
    if not yes or not no or np.isnan(scores).any():
        return float("nan")
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # The mean rank of each group of equal scores, from 1 on.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse.reshape(-1)]
    return float((ranks[truths].sum() - yes * (yes + 1) / 2) / (yes * no))


def average_precision(scores: np.ndarray, truths: np.ndarray) -> float:
    """The area under the precision-recall steps of one yes-or-no question.

    The sum over thresholds of (recall gained) · precision, without interpolation.

    Args:
        scores: (examples,) higher for yes.
        truths: (examples,) True for yes.

    Returns:
        Between 0 and 1; NaN where no example is a yes.
    """
    truths = np.asarray(truths, bool)
    if not truths.any() or np.isnan(scores).any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, scores = truths[order], scores[order]
    last = np.append(scores[1:] != scores[:-1], True)  # of each group of equal scores
    found = np.cumsum(ranked)[last]
    precision = found / (np.flatnonzero(last) + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / truths.sum())


def _divided(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
