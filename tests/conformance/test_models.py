"""A small VGG, GoogLeNet and ResNet compute what PyTorch's do, on copied weights.

`make_model_reference.py` made the reference. In float64 every tensor agrees to 1e-10 of its
largest element; in float32 we are no further from float64 than four times PyTorch's own float32.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import flaxspec
from compiler.lower.weights import variables

pytestmark = pytest.mark.usefixtures("compiled_quickly")

REFERENCE = np.load(Path(__file__).parent / "model_reference.npz")
MODELS = {
    "vgg": (
        "vgg",
        {
            "classes": 5,
            "image": [40, 40, 3],
            "depths": [1, 1, 1, 1, 1],
            "widths": [4, 6, 8, 8, 8],
            "norm": True,
            "grid": 2,
            "hidden": 16,
            "dropout": 0.0,
        },
    ),
    "googlenet": (
        "googlenet",
        {"classes": 5, "image": [96, 96, 3], "width": 0.0625, "dropout": 0.0},
    ),
    "resnet": ("resnet", {"classes": 5, "image": [40, 40, 3], "depths": [2, 1], "width": 4}),
}


def names(mark: pytest.MarkDecorator) -> list:
    """All models; compiling GoogLeNet takes most of a minute."""
    return [pytest.param(name, marks=mark) if name == "googlenet" else name for name in MODELS]


def computed(name: str, dtype: str) -> dict[str, np.ndarray]:
    """Output, gradients and running statistics of one training step."""
    spec, params = MODELS[name]
    model = flaxspec.build(spec, params=params, dtype=dtype, param_dtype=dtype)
    prefix = f"{name}/weight/"
    weights = {
        k.removeprefix(prefix): REFERENCE[k] for k in REFERENCE.files if k.startswith(prefix)
    }
    held = variables(model)
    trained = {k for k, v in held.items() if isinstance(v, nnx.Param)}
    assert trained == set(weights), "every parameter has its counterpart"
    for path, array in weights.items():
        owner, _, leaf = path.rpartition(".")
        layer = model
        for step in owner.split("."):
            layer = getattr(layer, step)
        getattr(layer, leaf)[...] = jnp.asarray(array, dtype)
    graphdef, params_, rest = nnx.split(model, nnx.Param, ...)

    def loss(params_, x):
        merged = nnx.merge(graphdef, params_, rest, copy=True)
        output = merged(x)
        return (output**2).mean(), (output, nnx.state(merged, nnx.BatchStat))

    x = jnp.asarray(REFERENCE[f"{name}/x"], dtype)
    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, (output, statistics)), (gradients, by_input) = step(params_, x)
    found = {"output": output, "input": by_input}
    for path, variable in nnx.to_flat_state(gradients):
        found[f"gradient/{'.'.join(map(str, path))}"] = variable[...]
    for path, variable in nnx.to_flat_state(statistics):
        found[f"statistic/{'.'.join(map(str, path))}"] = variable[...]
    return {k: np.asarray(v, np.float64) for k, v in found.items()}


def compared(name: str, found: dict[str, np.ndarray]):
    """(tensor, relative distance from the reference, PyTorch's own distance in float32)."""
    largest = max(
        np.abs(REFERENCE[k]).max() for k in REFERENCE.files if k.startswith(f"{name}/gradient/")
    )
    for key in REFERENCE.files:
        tensor = key.removeprefix(f"{name}/")
        if not key.startswith(f"{name}/") or tensor not in found:
            continue
        exact = REFERENCE[key]
        if np.abs(exact).max() < 1e-12 * largest:
            # A bias before a norm: its gradient is 0, and what is left is rounding.
            assert np.abs(found[tensor]).max() < 1e-5 * largest
            continue
        yield (
            tensor,
            np.abs(found[tensor] - exact).max() / np.abs(exact).max(),
            float(REFERENCE[f"{name}/error/{tensor}"]),
        )


@pytest.mark.parametrize("name", names(pytest.mark.slow))
def test_float64_agrees_to_1e_10(name):
    with jax.enable_x64(True):
        rows = list(compared(name, computed(name, "float64")))
    assert len(rows) > 20
    assert [row for row in rows if not row[1] <= 1e-10] == []


@pytest.mark.parametrize("name", names(pytest.mark.scores))
def test_float32_is_as_near_to_float64_as_pytorchs(name):
    rows = list(compared(name, computed(name, "float32")))
    # Where PyTorch happens to be exact, one step of float32 still counts.
    assert [row for row in rows if not row[1] <= 4 * max(row[2], 1.2e-7)] == []
