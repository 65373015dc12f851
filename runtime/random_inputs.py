"""Random examples of what a model reads."""

from __future__ import annotations

import numpy as np

from compiler.types import TensorType


def random_input(kind: TensorType, length: int, batch: int, rng: np.random.Generator) -> np.ndarray:
    """Random examples of a type: (batch, *axes); normal numbers, or any index of the vocabulary."""
    shape = (batch, *(size if isinstance(size, int) else length for size in kind.shape))
    if kind.dtype == "bool":
        return rng.random(shape) < 0.5
    if kind.dtype == "int":
        return rng.integers(0, kind.vocabulary or 2, shape, dtype=np.int32)
    return rng.standard_normal(shape, dtype=np.float32)
