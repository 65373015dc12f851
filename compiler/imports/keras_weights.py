"""Keras's `.weights.h5` for an imported model: the JSON says which layer is which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from compiler.graph import Graph
from compiler.ops.convolution import Conv
from compiler.weights.keras_layers import module_at
from compiler.weights.load import load_by_modules
from compiler.weights.moves import Module
from compiler.weights.slots import layers


def keras_weights(
    path: Path, graph: Graph, origins: Mapping[str, tuple[str, int]],
) -> dict[str, np.ndarray]:
    """The arrays of an imported model by our paths.

    Args:
        path: what `model.save_weights("….weights.h5")` wrote.
        graph: the imported model.
        origins: for each layer's path its group in the file, and the number of its first array.

    Raises:
        SpecError: F0805 the file cannot be read, F0806 it is another model's.
    """
    modules: dict[str, Module] = {}
    for layer in layers(graph):
        group, first = origins[layer.path]
        depthwise = isinstance(layer.operation, Conv) and layer.operation.depthwise
        module = module_at(layer, first, depthwise)
        # Two layers of ours may be one there: each has a name of its own, and its arrays theirs.
        name = group if group not in modules else f"{group}.vars"
        if name != group:
            module = _without(module, "vars.")
        modules[name] = module
    return load_by_modules(path, graph, modules, "Keras's").arrays


def _without(module: Module, prefix: str) -> Module:
    return replace(module, tensors=tuple(
        replace(t, name=t.name.removeprefix(prefix)) for t in module.tensors))
