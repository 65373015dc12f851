"""Weights in files: safetensors, one array for each path of the model.

The format holds arrays and nothing else, so that a file from a stranger cannot run code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.graph import Graph, walk
from compiler.lower.layer import Frozen


def variables(module: nnx.Module) -> dict[str, nnx.Variable]:
    """The parameters and running statistics of a module by path."""
    kinds = nnx.Any(nnx.Param, nnx.BatchStat, Frozen)
    return {
        ".".join(map(str, path)): variable
        for path, variable in nnx.to_flat_state(nnx.state(module, kinds))
    }


def save_weights(module: nnx.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write every parameter and running statistic to a file; it replaces an old one whole."""
    arrays = {name: np.asarray(v[...]) for name, v in variables(module).items()}
    partial = path.with_name(path.name + ".partial")
    save_file(arrays, partial, metadata or {})
    partial.replace(path)


def load_weights(module: nnx.Module, path: Path, graph: Graph | None = None) -> None:
    """Put a file's arrays into a module.

    Args:
        module: the model, or a part of it.
        path: a safetensors file whose names are paths inside `module`.
        graph: the module's graph, for the paths that layers had before (`was`).

    Raises:
        SpecError: F0805 the file cannot be read, F0806 it does not fit the model.
    """
    try:
        arrays = load_file(path)
    except FileNotFoundError:
        raise SpecError([diagnostic("F0805", f"there is no file of weights `{path}`")]) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise SpecError(
            [diagnostic("F0805", f"`{path}` is not a safetensors file", notes=(str(error),))]
        ) from None
    targets = variables(module)
    former = {
        old: f"{p.rpartition('.')[0]}.{n.weights}".lstrip(".")
        for p, n in (walk(graph) if graph is not None else ())
        if (old := n.was)
    }
    for name in list(arrays):
        owner, _, parameter = name.rpartition(".")
        if name not in targets and owner in former:
            arrays[f"{former[owner]}.{parameter}"] = arrays.pop(name)
    complaints: list[Any] = []
    for name in targets.keys() - arrays.keys():
        complaints.append(
            diagnostic(
                "F0806",
                f"`{path}` has no array `{name}`",
                help=nearest(name, arrays)
                or "`was: OLD.PATH` beside a layer tells where its weights were",
            )
        )
    for name in arrays.keys() - targets.keys():
        complaints.append(
            diagnostic(
                "F0806",
                f"`{path}` has an array `{name}`, the model does not",
                help=nearest(name, targets),
            )
        )
    for name in targets.keys() & arrays.keys():
        if targets[name].shape != arrays[name].shape:
            complaints.append(
                diagnostic(
                    "F0806",
                    f"`{name}` has the shape {targets[name].shape}, "
                    f"in `{path}` {arrays[name].shape}",
                )
            )
    if complaints:
        raise SpecError(sorted(complaints, key=lambda d: d.headline)[:20])
    state = nnx.state(module, nnx.Any(nnx.Param, nnx.BatchStat, Frozen))
    flat = {path_: variable for path_, variable in nnx.to_flat_state(state)}
    for path_, variable in flat.items():
        name = ".".join(map(str, path_))
        variable[...] = arrays[name].astype(variable.dtype)
    nnx.update(module, state)
