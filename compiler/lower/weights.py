"""A module's arrays by path: into a safetensors file, and out of files of any known format."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors.numpy import save_file

from compiler.graph import Graph
from compiler.lower.layer import Frozen
from compiler.lower.module import GraphModule
from compiler.weights.load import Loaded, load

KINDS = nnx.Any(nnx.Param, nnx.BatchStat, Frozen)


def variables(module: nnx.Module) -> dict[str, nnx.Variable]:
    """The parameters and running statistics of a module by path."""
    return {
        ".".join(map(str, path)): variable
        for path, variable in nnx.to_flat_state(nnx.state(module, KINDS))
    }


def save_weights(module: nnx.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write every parameter and running statistic to a file; it replaces an old one whole."""
    arrays = {name: np.asarray(v[...]) for name, v in variables(module).items()}
    partial = path.with_name(path.name + ".partial")
    save_file(arrays, partial, metadata or {})
    partial.replace(path)


def load_weights(
    module: GraphModule, path: Path, graph: Graph | None = None, *, names: str = "auto",
    drawn: Collection[str] = (),
) -> Loaded:
    """Put a file's arrays into a module.

    Args:
        module: the model, or a part of it.
        path: a file of arrays: our own, or one of PyTorch's or Keras's.
        graph: the module's graph, where it is not the one that it runs.
        names: whose names the file has; "auto" finds out.
        drawn: paths of arrays that stay as they were drawn; the file may have others there.

    Raises:
        SpecError: F0805, F0880 the file cannot be read, F0806 it does not fit the model.
    """
    loaded = load(path, graph or module.graph, names, drawn=drawn, partial=bool(drawn))
    state = nnx.state(module, KINDS)
    for place, variable in nnx.to_flat_state(state):
        array = loaded.arrays.get(".".join(map(str, place)))
        if array is not None:
            variable[...] = jnp.asarray(array.astype(variable.dtype))
    nnx.update(module, state)
    return loaded
