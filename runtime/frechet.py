"""How far apart two crowds of feature vectors are."""

from __future__ import annotations

import numpy as np


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The Fréchet distance of the normal distributions fitted to two sets of features.

    |μ₁ - μ₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½), with unbiased covariances (Heusel et al. 2017,
    https://arxiv.org/abs/1706.08500, equation 6). Small sets look farther apart than they are:
    compare distances of sets of one size only.

    Args:
        first: (examples, features), at least two examples.
        second: (examples, features).
    """
    means = [np.asarray(x, np.float64).mean(axis=0) for x in (first, second)]
    spreads = [_covariance(np.asarray(x, np.float64)) for x in (first, second)]
    apart = float(((means[0] - means[1]) ** 2).sum())
    shared = _trace_of_root(*spreads)
    return max(apart + float(np.trace(spreads[0]) + np.trace(spreads[1])) - 2 * shared, 0.0)


def _covariance(features: np.ndarray) -> np.ndarray:
    centred = features - features.mean(axis=0)
    return centred.T @ centred / max(len(features) - 1, 1)


def _trace_of_root(first: np.ndarray, second: np.ndarray) -> float:
    """tr (A B)^½ of two covariances.

    A B has the eigenvalues of A^½ B A^½, which is symmetric: no complex root is needed, and
    features that never vary do no harm.
    """
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = root @ second @ root
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh((inner + inner.T) / 2), 0)).sum())
