"""How long a model takes on this machine, for inputs of several lengths."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compiler.graph import Graph
from compiler.lower.build import build_model
from compiler.passes import optimise
from runtime.random_inputs import random_input
from runtime.step import PureModel

# A figure is the median of so many calls, after one that compiles.
CALLS = 7


@dataclass(frozen=True)
class Taken:
    """Seconds of one batch.

    Attributes:
        prediction: forward, as in evaluation.
        training: forward and backward, without an optimiser.
    """

    prediction: float
    training: float


def taken(graph: Graph, length: int, batch: int, seed: int = 0) -> Taken:
    """How long a model with fresh weights takes on random inputs.

    Args:
        graph: the model; its open lengths are all taken to be `length`.
        length: steps.
        batch: examples at once.
        seed: of weights and inputs.
    """
    model = build_model(optimise(graph), seed=seed)
    rng = np.random.default_rng(seed)
    inputs = {v.name: random_input(v.type, length, batch, rng) for v in graph.inputs}
    pure, params, rest = PureModel.split(model, {})

    def run(params: Any, inputs: Any, key: jax.Array, training: bool) -> jax.Array:
        outputs = pure.merge(params, rest).run(inputs, training=training, key=key)
        return outputs["output"].array

    def loss(params: Any, inputs: Any, key: jax.Array) -> jax.Array:
        return jnp.square(run(params, inputs, key, True).astype(jnp.float32)).mean()

    key = jax.random.key(seed)
    return Taken(_median(jax.jit(lambda p, i, k: run(p, i, k, False)), params, inputs, key),
                 _median(jax.jit(jax.value_and_grad(loss)), params, inputs, key))


def _median(function: Callable[..., Any], *arguments: Any) -> float:
    jax.block_until_ready(function(*arguments))
    seconds = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)
