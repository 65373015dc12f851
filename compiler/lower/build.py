"""Graph to module: the parameters drawn, or only described."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compiler.graph import Graph
from compiler.lower.initialise import initial
from compiler.lower.module import Model
from compiler.ops.base import Init, Parameter


def build_model(
    graph: Graph, *, seed: int = 0, dtype: Any = jnp.float32, param_dtype: Any = jnp.float32,
    abstract: bool = False, kernels: str = "auto",
) -> Model:
    """The module of a graph.

    Args:
        graph: a typed graph.
        seed: of the initial parameters; each depends on it and on its own path alone.
        dtype: what floats are computed in.
        param_dtype: what parameters and statistics are kept in.
        abstract: describe the arrays (`jax.ShapeDtypeStruct`) and draw none.
        kernels: "auto" for our kernels, "reference" for XLA's plain operations.
    """

    def make(path: str, parameter: Parameter, init: Init) -> Any:
        if abstract:
            return jax.ShapeDtypeStruct(parameter.shape, jnp.dtype(param_dtype))
        array = initial(init, parameter.shape, seed, path)
        return jnp.asarray(array.astype(np.dtype(param_dtype), copy=False))

    return Model(graph, make, dtype=dtype, seed=seed, kernels=kernels)
