"""A model's arrays under the names, and in the layout, of another library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.graph import Graph
from compiler.weights import names as naming
from compiler.weights.moves import Module, joined
from compiler.weights.order import by_path
from compiler.weights.slots import Slots, layers
from compiler.weights.torch_layers import COUNT

TARGETS = ("flaxspec", *naming.LIBRARIES, "torch", "keras")


def weights_to(
    graph: Graph, arrays: Mapping[str, np.ndarray], names: str,
) -> dict[str, np.ndarray]:
    """A model's arrays under the names of `TARGETS` or of a YAML file, in their layout.

    Raises:
        SpecError: as `weights_to_torch`.
    """
    if names == "flaxspec":
        return dict(arrays)
    if names == "keras":
        from compiler.weights.keras_layers import weights_to_keras

        return weights_to_keras(graph, arrays)
    return weights_to_torch(graph, arrays, names)


def weights_to_torch(
    graph: Graph, arrays: Mapping[str, np.ndarray], names: str = "auto",
) -> dict[str, np.ndarray]:
    """A model's arrays as a PyTorch state dict, which `load_state_dict(strict=True)` takes.

    Args:
        graph: the model.
        arrays: its arrays by path, as `weights.safetensors` of a run has them.
        names: "torchvision" or "timm", or the path of a YAML file with names of one's own;
            "torch" for our paths with PyTorch's names of arrays;
            "auto" for torchvision's where it has such a model, else our paths.

    Raises:
        SpecError: F0881 the library has no names for this model, F0884 a layer has no
            counterpart in PyTorch.
    """
    own = layers(graph)
    found: dict[str, np.ndarray] = {}
    for name, module in _modules(own, names).items():
        inner = {p: arrays[f"{module.path}.{p}"] for t in module.tensors
                 for p in (part.ours for part in t.parts)}
        found |= {joined(name, t.name): t.there(inner) for t in module.tensors}
        if COUNT in module.idle:
            found[joined(name, COUNT)] = np.zeros((), np.int64)
    return found


def _modules(own: tuple[Slots, ...], names: str) -> dict[str, Module]:
    """The layers by their names in a library, in the order they run."""
    if names == "torch":
        return by_path(own)
    if names.endswith((".yaml", ".yml")):
        known = naming.read_maps(Path(names), f"`{names}`'s")
    elif names in ("auto", *naming.LIBRARIES):
        known = naming.maps("torchvision" if names == "auto" else names)
    else:
        raise SpecError([diagnostic(
            "F0881", f"`{names}` are not names that flaxspec can write",
            notes=[f"there are: {', '.join(TARGETS)}; or a YAML file with a map of your own"],
            help=nearest(names, TARGETS))])
    fitting = [(m.unused(own), modules) for m in known
               if (modules := m.modules(own)) is not None]
    if fitting:
        return min(fitting, key=lambda pair: pair[0])[1]
    if names == "auto":
        return by_path(own)
    families = [m.name.rpartition(" ")[2] for m in known]
    raise SpecError([diagnostic(
        "F0881", f"{names} has no model with these layers", notes=[
            f"families with names there: {', '.join(families)}, as the zoo writes them",
            f"this model's first layers: {', '.join(s.path for s in own[:4])}"],
        help="`torch` writes our paths with PyTorch's names of arrays")])
