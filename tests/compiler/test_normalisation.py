"""Statistics of norms: what counts in them, and what is kept of them."""

from __future__ import annotations

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
from tests.compiler.layers import numbers, run

CHANNELS = 3
SEQUENCE = ("time", "channels")


def batch_norm(**fields: Any) -> Layer:
    """A batch norm of three channels with parameters and statistics of its own."""
    op = operator("batch_norm")(**fields)
    declared = op.parameters(TensorType(("channels",), (CHANNELS,)))
    return Layer(op, (("channels",),), declared, {
        name: jnp.asarray(1 + 0.1 * numbers(CHANNELS, seed=i))
        for i, name in enumerate(declared)})


def step(x: Tensor, weight: np.ndarray, **context: Any) -> dict[str, np.ndarray]:
    """Output, gradients of a weighted sum of the real steps, and statistics after training."""
    graphdef, params, rest = nnx.split(batch_norm(), nnx.Param, ...)

    def loss(params, array):
        layer = nnx.merge(graphdef, params, rest, copy=True)
        result = layer(x.with_array(array), context=Context(training=True, **context))
        mask = result.mask()
        part = result.array * weight
        total = (part if mask is None else jnp.where(mask, part, 0)).sum()
        return total, (result.array, layer.get("mean"), layer.get("var"))

    (of_params, of_input), (output, mean, var) = jax.grad(
        loss, argnums=(0, 1), has_aux=True)(params, x.array)
    return {"output": output, "of_input": of_input, "mean": mean, "var": var,
            "of_scale": of_params["scale"][...], "of_bias": of_params["bias"][...]}


def statistics(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Running mean and variance."""
    return np.asarray(layer.get("mean")), np.asarray(layer.get("var"))


def check_equal(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_padded_steps_count_neither_in_statistics_nor_in_gradients():
    lengths = [5, 2, 0, 3]
    real = np.arange(5) < np.asarray(lengths)[:, None]
    x, weight = numbers(4, 5, CHANNELS), numbers(4, 5, CHANNELS, seed=1)
    padded = np.where(real[..., None], x, np.nan)
    found = step(Tensor(jnp.asarray(padded), SEQUENCE, jnp.asarray(lengths)), weight)

    packed = step(Tensor(jnp.asarray(x[real]), ("channels",)), weight[real])
    for name in ("mean", "var", "of_scale", "of_bias"):
        check_equal(found[name], packed[name])
    check_equal(found["output"][real], packed["output"])
    check_equal(found["of_input"][real], packed["of_input"])


def test_rows_that_pad_a_batch_count_neither_in_statistics_nor_in_gradients():
    real = np.asarray([True, True, False, True, False])
    x, weight = numbers(5, 4, CHANNELS), numbers(5, 4, CHANNELS, seed=1)
    weight[~real] = 0
    spoiled = np.where(real[:, None, None], x, np.nan)
    found = step(Tensor(jnp.asarray(spoiled), SEQUENCE), weight, row_mask=jnp.asarray(real))

    packed = step(Tensor(jnp.asarray(x[real]), SEQUENCE), weight[real])
    for name in ("mean", "var", "of_scale", "of_bias"):
        check_equal(found[name], packed[name])
    check_equal(found["output"][real], packed["output"])
    check_equal(found["of_input"][real], packed["of_input"])


def test_padded_steps_and_padding_rows_work_together():
    lengths, rows = [4, 3, 4], [True, True, False]
    real = (np.arange(4) < np.asarray(lengths)[:, None]) & np.asarray(rows)[:, None]
    x, weight = numbers(3, 4, CHANNELS), numbers(3, 4, CHANNELS, seed=1)
    weight[2] = 0
    found = step(Tensor(jnp.asarray(x), SEQUENCE, jnp.asarray(lengths)), weight,
                 row_mask=jnp.asarray(rows))
    packed = step(Tensor(jnp.asarray(x[real]), ("channels",)), weight[real])
    for name in ("mean", "var", "of_scale"):
        check_equal(found[name], packed[name])


def test_a_batch_without_a_real_row_leaves_the_statistics_alone():
    layer = batch_norm()
    before = statistics(layer)
    layer(Tensor(jnp.asarray(numbers(2, CHANNELS)), ("channels",)),
          context=Context(training=True, row_mask=jnp.zeros(2, bool)))
    check_equal(statistics(layer), before)


@pytest.mark.parametrize("context", [Context(), Context(training=True, frozen=True)])
def test_evaluation_and_frozen_training_use_the_running_statistics_and_keep_them(context):
    layer = batch_norm(scale=False, bias=False, epsilon=1e-3)
    mean, var = statistics(layer)
    x = numbers(4, CHANNELS)
    y = layer(Tensor(jnp.asarray(x), ("channels",)), context=context).array
    check_equal(y, (x - mean) / np.sqrt(var + 1e-3))
    check_equal(statistics(layer), (mean, var))


def test_statistics_of_a_bfloat16_batch_are_computed_and_kept_in_float32():
    layer = batch_norm(momentum=0.0)
    x = jnp.asarray(numbers(4096, CHANNELS) + 3, jnp.bfloat16)
    y = layer(Tensor(x, ("channels",)), context=Context(training=True)).array
    exact = np.asarray(x, np.float64)
    mean, var = statistics(layer)
    assert y.dtype == jnp.bfloat16 and mean.dtype == var.dtype == np.float32
    # A sum of 4096 numbers near 3 in bfloat16 would stand still at 1024.
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(var, exact.var(0, ddof=1), rtol=1e-5)


def test_group_and_layer_norms_over_time_take_the_real_steps_only():
    x, lengths = numbers(2, 4, 4), [4, 2]
    spoiled = x.copy()
    spoiled[1, 2:] = np.nan
    for word, fields in (("group_norm", {"groups": 2}), ("instance_norm", {}),
                         ("layer_norm", {"axes": ("time", "channels")})):
        y = np.asarray(run(word, {**fields, "scale": False, "bias": False}, spoiled,
                           lengths=[lengths]).array)[1, :2]
        groups = {"group_norm": 2, "instance_norm": 4, "layer_norm": 1}[word]
        cut = x[1, :2].reshape(2, groups, -1)
        axes = (0, 2)
        expected = (cut - cut.mean(axes, keepdims=True)) / np.sqrt(
            cut.var(axes, keepdims=True) + 1e-5)
        check_equal(y, expected.reshape(2, 4))


def test_normalise_subtracts_and_divides_by_what_it_is_told():
    x = numbers(2, 4, 4, 3)
    y = run("normalise", {"mean": (1.0, 2.0, 3.0), "deviation": 4.0}, x).array
    check_equal(y, (x - np.asarray([1, 2, 3])) / 4)
