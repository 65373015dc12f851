"""Recurrent layers give what PyTorch's give: outputs, states and every gradient.

`make_recurrent_reference.py` wrote the numbers and says what they are.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiler.lower.context import Context
from compiler.lower.layer import Layer
from compiler.lower.tensor import Tensor
from compiler.ops import operator
from compiler.types import TensorType

FILE = Path(__file__).with_name("recurrent_reference.npz")
CASES = ("rnn", "rnn_relu", "lstm", "lstm_plain", "lstm_projection", "gru", "gru_plain",
         "gru_before")
# PyTorch's names of parameters, by ours.
ROLES = {"kernel": "weight_ih", "recurrent_kernel": "weight_hh", "bias": "bias_ih",
         "recurrent_bias": "bias_hh", "projection": "weight_hr"}
# One unit in the last place of float32: an error below it is luck, not precision.
ULP = 2.0**-23


@cache
def case(name: str) -> dict[str, np.ndarray]:
    with np.load(FILE) as file:
        return {k.removeprefix(f"{name}/"): file[k] for k in file.files
                if k.startswith(f"{name}/")}


def fields_of(name: str) -> dict[str, Any]:
    """The operator's fields for a case."""
    arrays = case(name)
    settings = {k.removeprefix("setting/"): v.item() for k, v in arrays.items()
                if k.startswith("setting/")}
    found = {"units": arrays["parameter/weight_hh_l0"].shape[0] // {
        "rnn": 1, "lstm": 4, "gru": 3}[word_of(name)], "initial": "start"}
    found["biases"] = sum(f"parameter/bias_{side}_l0" in arrays for side in ("ih", "hh"))
    for ours, theirs in (("layers", "layers"), ("bidirectional", "bidirectional"),
                         ("projection", "proj_size"), ("activation", "nonlinearity")):
        if theirs in settings:
            found[ours] = settings[theirs]
    return found | ({"reset": "before"} if name == "gru_before" else {})


def word_of(name: str) -> str:
    return name.split("_")[0]


def ours(name: str, prefix: str) -> dict[str, np.ndarray]:
    """PyTorch's parameters, or their gradients, by our names and in our layout."""
    found = {}
    op = operator(word_of(name))(**fields_of(name))
    arrays = case(name)
    for parameter in op.parameters(*types_of(name)):
        role, number = parameter.removesuffix("_backward").rsplit("_", 1)
        suffix = "_reverse" if parameter.endswith("_backward") else ""
        found[parameter] = arrays[f"{prefix}/{ROLES[role]}_l{number}{suffix}"].T
    return found


def types_of(name: str) -> tuple[TensorType, TensorType]:
    arrays = case(name)
    state = packed(arrays["input/h0"], arrays.get("input/c0"))
    return (TensorType(("time", "channels"), arrays["input/x"].shape[1:]),
            TensorType(("channels",), state.shape[1:]))


def packed(h: Any, c: Any | None) -> Any:
    """PyTorch's (layers · directions, batch, …) states as one tensor (batch, channels)."""
    parts = [part for i in range(len(h)) for part in ([h[i]] if c is None else [h[i], c[i]])]
    return jnp.concatenate([jnp.asarray(p) for p in parts], axis=-1)


def errors(name: str, dtype: Any, kernels: str) -> dict[str, float]:
    """How far every output and gradient is from PyTorch's in float64: max|a - b| / max|b|."""
    arrays = case(name)
    op = operator(word_of(name))(**fields_of(name))
    types = types_of(name)
    declared = op.parameters(*types)
    assert {k: p.shape for k, p in declared.items()} == {
        k: v.shape for k, v in ours(name, "parameter").items()}
    lengths = arrays.get("input/lengths")

    def run(inputs, parameters):
        layer = Layer(op, tuple(t.axes for t in types), declared, parameters)
        x = Tensor(inputs["x"], ("time", "channels"), None if lengths is None else jnp.asarray(
            lengths))
        state = Tensor(packed(inputs["h0"], inputs.get("c0")), ("channels",))
        sequence, _, state = layer(x, state, context=Context(kernels=kernels))
        return {"sequence": sequence.array, "state": state.array}

    def loss(inputs, parameters):
        outputs = run(inputs, parameters)
        weights = {"sequence": arrays["weight/sequence"],
                   "state": packed(arrays["weight/h"], arrays.get("weight/c"))}
        return sum((outputs[k] * weights[k].astype(dtype)).sum() for k in outputs), outputs

    inputs = {k: jnp.asarray(arrays[f"input/{k}"], dtype) for k in ("x", "h0", "c0")
              if f"input/{k}" in arrays}
    parameters = {k: jnp.asarray(v, dtype) for k, v in ours(name, "parameter").items()}
    step = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    gradients, outputs = step(inputs, parameters)

    wanted = {"sequence": arrays["output/sequence"],
              "state": packed(arrays["output/h"], arrays.get("output/c"))}
    found = {k: distance(v, wanted[k]) for k, v in outputs.items()}
    found |= {k: distance(v, arrays[f"gradient/{k}"]) for k, v in gradients[0].items()}
    of_parameters = ours(name, "gradient")
    return found | {k: distance(v, of_parameters[k]) for k, v in gradients[1].items()}


def distance(found: Any, expected: Any) -> float:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("name", CASES)
def test_outputs_states_and_gradients_are_pytorch_s_in_float64(name, kernels):
    with jax.enable_x64(True):
        for what, error in errors(name, jnp.float64, kernels).items():
            assert error <= 1e-10, what


@pytest.mark.parametrize("name", CASES)
def test_float32_strays_no_further_than_four_times_pytorch_s_own_float32(name):
    arrays = case(name)
    theirs = {k.split("/", 1)[1]: float(v) for k, v in arrays.items() if k.startswith("error/")}
    worst = {
        "sequence": theirs["output/sequence"],
        "state": max(theirs["output/h"], theirs.get("output/c", 0)),
        **{k: theirs[f"gradient/{k}"] for k in ("x", "h0", "c0") if f"gradient/{k}" in theirs},
    }
    for parameter in ours(name, "parameter"):
        role, number = parameter.removesuffix("_backward").rsplit("_", 1)
        suffix = "_reverse" if parameter.endswith("_backward") else ""
        worst[parameter] = theirs[f"gradient/{ROLES[role]}_l{number}{suffix}"]
    for what, error in errors(name, jnp.float32, "auto").items():
        assert error <= 4 * max(worst[what], ULP), what
