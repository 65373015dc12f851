"""What XLA is given: the model in evaluation as StableHLO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from compiler.graph import Graph
from compiler.lower.build import build_model

_DTYPES = {"float": jnp.float32, "int": jnp.int32, "bool": jnp.bool_}


def hlo_text(graph: Graph, *, batch: int = 1) -> str:
    """The StableHLO that JAX makes of a model in evaluation; no parameter is drawn.

    Args:
        graph: a graph whose sizes are all known.
        batch: examples at once.
    """
    model = build_model(graph, abstract=True)
    model.eval()
    definition, state = nnx.split(model)
    inputs = {v.name: jax.ShapeDtypeStruct((batch, *v.type.shape), _DTYPES[v.type.dtype])
              for v in graph.inputs}

    def forward(state: Any, inputs: Mapping[str, Any]) -> Any:
        return nnx.merge(definition, state)(**inputs)

    return jax.jit(forward).lower(state, inputs).as_text()
