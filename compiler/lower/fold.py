"""A trained model for inference only: the graph of evaluation, weights folded together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

import jax.numpy as jnp
import numpy as np

from compiler.graph import FoldedNorm, Graph, WeightTransform, subgraph
from compiler.lower.module import Model
from compiler.passes import INFERENCE, optimise

# Gives the array at a path such as `stem.conv_1.kernel`, of the model before the passes.
GetArray = Callable[[str], np.ndarray]


def inference_model(model: Model) -> Model:
    """A model that computes in evaluation what `model` does, with less work.

    Its parameters are those of now: later changes of `model` do not reach it. It has other
    paths where layers were folded together, and is not to be trained.

    Example:
        >>> model = inference_model(model)
        >>> model(images)

    Args:
        model: a trained model, with its arrays.
    """
    graph = optimise(model._graph, INFERENCE)

    def get(path: str) -> np.ndarray:
        found: Any = model
        for step in path.split("."):
            found = getattr(found, step)
        return np.asarray(found[...])

    made = folded_arrays(graph, get)

    def make(path: str, parameter: Any, init: Any) -> Any:
        return jnp.asarray(made[path] if path in made else get(path))

    result = Model(graph, make, dtype=model._dtype, kernels=model._kernels,
                   output_dtype=model._output_dtype)
    result.eval()
    return result


def folded_arrays(graph: Graph, get_array: GetArray, prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of all layers under a graph that passes changed, by path.

    Args:
        graph: a graph after the passes.
        get_array: gives the arrays of the model before them.
        prefix: the path of the graph's module, with a dot at its end, or "".
    """
    made: dict[str, np.ndarray] = {}
    for node in graph.nodes:
        if node.transform is not None:
            arrays = apply_transform(node.transform, lambda path: get_array(f"{prefix}{path}"))
            made |= {f"{prefix}{node.weights}.{name}": array for name, array in arrays.items()}
        inner = subgraph(node)
        if inner is not None:
            made |= folded_arrays(inner, get_array, f"{prefix}{node.weights}.")
    return made


def apply_transform(transform: WeightTransform, get_array: GetArray) -> dict[str, np.ndarray]:
    """The arrays of a layer that a pass made of others, by parameter name.

    Args:
        transform: what was done.
        get_array: gives the arrays before, by path within the layer's graph.
    """
    match transform:
        case FoldedNorm():
            return _fold_norm(transform, get_array)
        case _:
            assert_never(transform)


def _fold_norm(fold: FoldedNorm, get_array: GetArray) -> dict[str, np.ndarray]:
    """(x W + b - mean) · scale / √(var + ε) + shift as x W' + b', worked out in float64."""
    kernel = get_array(f"{fold.layer}.kernel")
    wide = {name: np.asarray(get_array(f"{fold.norm}.{name}"), np.float64)
            for name, there in (("mean", True), ("var", True), ("scale", fold.scale),
                                ("bias", fold.shift)) if there}
    factor = wide.get("scale", np.float64(1)) / np.sqrt(wide["var"] + fold.epsilon)
    bias = np.asarray(get_array(f"{fold.layer}.bias"), np.float64) if fold.bias else 0.0
    shifted = (bias - wide["mean"]) * factor + wide.get("bias", np.float64(0))
    scaled = np.asarray(kernel, np.float64) * factor
    return {"kernel": scaled.astype(kernel.dtype), "bias": shifted.astype(kernel.dtype)}
