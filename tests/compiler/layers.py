"""One layer by its word and fields, run on arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compiler.lower.context import Context
from compiler.lower.initialise import initial
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops import operator
from compiler.types import DEFAULT_AXES, TensorType

KINDS = {"f": "float", "i": "int", "b": "bool"}


def run(
    word: str, fields: Mapping[str, Any], *arrays: Any, axes: Sequence[Sequence[str]] = (),
    lengths: Sequence[Any] = (), parameters: Mapping[str, Any] | None = None,
    training: bool = False, key: int | None = 0,
) -> Any:
    """Build a layer and apply it.

    Args:
        word: the operator.
        fields: its fields.
        arrays: its inputs, (batch, *axes).
        axes: the axes of each input; those of an input of its rank where not given.
        lengths: the lengths of the rows of each input, or None.
        parameters: its arrays by name; as initialised where not given.
        training: run as in training.
        key: the seed of what it draws, or None for no randomness.

    Returns:
        A tensor, or a tuple of tensors.
    """
    values = [jnp.asarray(a) for a in arrays]
    names = [tuple(a) for a in axes] or [DEFAULT_AXES[v.ndim - 1] for v in values]
    types = [TensorType(a, v.shape[1:], KINDS[v.dtype.kind])  # type: ignore[arg-type]
             for v, a in zip(values, names)]
    op = operator(word)(**fields)
    op.outputs(*types)
    declared = op.parameters(*types)
    given = {n: initial(p.init, p.shape, 0, n) for n, p in declared.items()}
    for name, array in (parameters or {}).items():
        assert given[name].shape == np.shape(array), name
        given[name] = np.asarray(array, np.float32)
    layer = Layer(op, tuple(names), declared, {n: jnp.asarray(a) for n, a in given.items()})
    rows = [None if n is None else jnp.asarray(n) for n in lengths] or [None] * len(values)
    inputs = [Tensor(v, a, n) for v, a, n in zip(values, names, rows, strict=True)]
    seed = None if key is None else jax.random.key(key)
    return layer(*inputs, context=Context(training=training, key=seed))


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal numbers, float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
