"""Convolutions, pools and norms give what PyTorch's give: outputs, gradients and statistics.

`make_convolution_reference.py` wrote the numbers and says what they are.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compiler.lower.context import Context
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops import operator
from compiler.types import TensorType

pytestmark = pytest.mark.usefixtures("compiled_quickly")

FILE = Path(__file__).with_name("convolution_reference.npz")
# One unit in the last place of float32: an error below it is luck, not precision.
ULP = 2.0**-23


@cache
def cases() -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {}
    with np.load(FILE) as file:
        for key in file.files:
            name, _, what = key.partition("/")
            found.setdefault(name, {})[what] = file[key]
    return found


def under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def errors(name: str, dtype: Any, kernels: str) -> dict[str, float]:
    """How far everything is from PyTorch's float64: max|a - b| / max|b|, by what it is."""
    arrays = cases()[name]
    about = json.loads(str(arrays["operator"]))
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in about["fields"].items()}
    op, axes = operator(about["word"])(**fields), tuple(about["axes"])
    type = TensorType(axes, arrays["input"].shape[1:])
    declared, given = op.parameters(type), under(arrays, "parameter/")
    assert {k: p.shape for k, p in declared.items()} == {k: v.shape for k, v in given.items()}
    assert op.infer(type).shape == arrays["output"].shape[1:]

    layer = Layer(op, (axes,), declared, {k: jnp.asarray(v, dtype) for k, v in given.items()})
    graphdef, params, statistics = nnx.split(layer, nnx.Param, ...)
    context = Context(training=about["training"], kernels=kernels)

    @jax.jit
    def step(params, x, statistics, weight):
        def loss(params, x):
            layer = nnx.merge(graphdef, params, statistics, copy=True)
            output = layer(Tensor(x, axes), context=context).array
            return (output * weight).sum(), (output, nnx.state(layer, nnx.BatchStat))

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)

    (of_params, of_input), (output, after) = step(
        params, jnp.asarray(arrays["input"], dtype), statistics,
        jnp.asarray(arrays["weight"], dtype))
    found = {"output": output, "gradient/input": of_input}
    found |= {f"gradient/{path[-1]}": v[...] for path, v in nnx.to_flat_state(of_params)}
    found |= {f"after/{path[-1]}": v[...] for path, v in nnx.to_flat_state(after)}
    assert set(found) == set(under(arrays, "torch32/"))
    return {what: distance(value, arrays[what]) for what, value in found.items()}


def distance(found: Any, expected: np.ndarray) -> float:
    found = np.asarray(found, np.float64)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(("name", "kernels"), [
    (name, kernels) for name in cases()
    for kernels in (("auto", "reference") if name.startswith("conv") else ("auto",))])
def test_outputs_gradients_and_statistics_are_pytorch_s_in_float64(name, kernels):
    with jax.enable_x64(True):
        for what, error in errors(name, jnp.float64, kernels).items():
            assert error <= 1e-10, what


@pytest.mark.parametrize("name", cases())
def test_float32_strays_no_further_than_four_times_pytorch_s_own_float32(name):
    theirs = under(cases()[name], "torch32/")
    for what, error in errors(name, jnp.float32, "auto").items():
        assert error <= 4 * max(float(theirs[what]), ULP), what
