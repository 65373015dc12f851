"""The convolution kernel against XLA's plain one, paddings against XLA's, standardised kernels."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compiler.lower.convolution import standardised
from compiler.lower.kernels.choice import FEW_CHANNELS
from compiler.lower.kernels.convolution import convolve, plain
from compiler.lower.layer import Layer
from compiler.ops import operator
from compiler.ops.base import ShapeError
from compiler.types import TensorType
from tests.compiler.layers import numbers, run

MANY = FEW_CHANNELS + 1
# Half of XLA's time is optimisation, which arrays as tiny as these have no use for.
QUICKLY = {"xla_backend_optimization_level": 0}

# (input, kernel, stride, pads, dilation): few and many channels, every rank, every field.
GEOMETRIES = {
    "1-d": ((2, 7, 3), (3, 3, 4), (1,), ((1, 1),), (1,)),
    "1-d causal, dilated": ((2, 9, MANY), (3, MANY, 4), (1,), ((4, 0),), (2,)),
    "2-d": ((2, 5, 6, 3), (3, 3, 3, 4), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "2-d, many channels": ((2, 5, 6, MANY), (3, 3, MANY, 4), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "strided beyond the end": ((2, 6, 5, MANY), (3, 2, MANY, 3), (2, 3), ((1, 0), (0, 0)), (1, 1)),
    "dilated": ((1, 8, 7, MANY), (2, 3, MANY, 3), (1, 2), ((2, 1), (0, 3)), (3, 2)),
    "3-d": ((1, 3, 4, 5, MANY), (2, 3, 1, MANY, 3), (1, 2, 1), ((0, 1), (1, 1), (0, 0)),
            (1, 1, 1)),
    "one element, strided": ((2, 5, 6, 3), (1, 1, 3, 4), (2, 3), ((0, 0), (0, 0)), (1, 1)),
    "one element, padded": ((2, 4, 3, 3), (1, 1, 3, 4), (2, 1), ((1, 0), (0, 2)), (1, 1)),
    "too many taps": ((1, 70, 2), (65, 2, 3), (1,), ((0, 0),), (1,)),
}
each_geometry = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)


def both(geometry: Any, dtype: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Input, kernel, a weight for the output, our convolution and XLA's."""
    x, kernel, stride, pads, dilation = geometry

    def ours(x, kernel):
        return convolve(x, kernel, stride, pads, dilation)

    def theirs(x, kernel):
        return plain(x, kernel, stride, pads, dilation)

    x, kernel = (jnp.asarray(numbers(*s, seed=i), dtype) for i, s in enumerate((x, kernel)))
    weight = jnp.asarray(numbers(*jax.eval_shape(theirs, x, kernel).shape, seed=2), dtype)
    return x, kernel, weight, ours, theirs


def distance(a: Any, b: Any) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


@each_geometry
def test_results_and_gradients_are_those_of_the_plain_convolution(geometry):
    with jax.enable_x64(True):
        x, kernel, weight, ours, theirs = both(geometry, jnp.float64)

        def everything(f):
            y, pull = jax.vjp(f, x, kernel)
            return y, *pull(weight)

        quick = jax.jit(everything, static_argnums=0, compiler_options=QUICKLY)
        found, expected = quick(ours), quick(theirs)
        for a, b in zip(found, expected, strict=True):
            assert distance(a, b) < 1e-12


@each_geometry
def test_the_gradient_can_be_differentiated_again(geometry):
    with jax.enable_x64(True):
        x, kernel, weight, ours, theirs = both(geometry, jnp.float64)

        def penalty(f):
            """Length of the gradient of a loss that is not linear in either argument."""
            def gradient(x, kernel):
                return jax.grad(lambda *a: (jnp.sin(f(*a)) * weight).sum(), (0, 1))(x, kernel)

            return jax.jit(jax.grad(
                lambda *a: sum((g * g).sum() for g in gradient(*a)), (0, 1)),
                compiler_options=QUICKLY)(x, kernel)

        for a, b in zip(penalty(ours), penalty(theirs), strict=True):
            assert distance(a, b) < 1e-11


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", ["2-d", "2-d, many channels", "one element, strided"])
def test_every_dtype_keeps_its_width_and_its_precision(name, dtype):
    x, kernel, weight, ours, theirs = both(GEOMETRIES[name], dtype)
    y, pull = jax.vjp(ours, x, kernel)
    exact, exactly = jax.vjp(theirs, *(a.astype(jnp.float32) for a in (x, kernel)))
    epsilon = float(jnp.finfo(dtype).eps)
    for a, b in zip((y, *pull(weight)), (exact, *exactly(weight.astype(jnp.float32)))):
        assert a.dtype == dtype
        assert distance(a, b) < 4 * epsilon


def test_a_cpu_gets_matrix_products_for_the_kernel_s_gradient_and_others_xla_s_convolution():
    x, kernel, weight, ours, _ = both(GEOMETRIES["2-d, many channels"], jnp.float32)

    def of_kernel(kernel):
        return jax.vjp(lambda k: ours(x, k), kernel)[1](weight)

    traced = jax.jit(of_kernel).trace(kernel)
    on_cpu = traced.lower(lowering_platforms=("cpu",)).as_text()
    assert "dot_general" in on_cpu
    for platform in ("cuda", "tpu"):
        elsewhere = traced.lower(lowering_platforms=(platform,)).as_text()
        assert "dot_general" not in elsewhere and "convolution" in elsewhere


def test_reference_kernels_are_xla_s_own():
    x, kernel, stride, pads, dilation = GEOMETRIES["one element, strided"]

    def convolution(kernels):
        return str(jax.make_jaxpr(lambda x, k: convolve(
            x, k, stride, pads, dilation, kernels=kernels))(jnp.ones(x), jnp.ones(kernel)))

    assert "conv_general_dilated" in convolution("reference")
    assert "conv_general_dilated" not in convolution("auto")


@pytest.mark.parametrize(
    ("size", "window", "stride"), list(itertools.product((5, 6), (2, 3, 4), (1, 2, 3))))
def test_same_upper_is_what_tensorflow_calls_same(size, window, stride):
    x, kernel = jnp.asarray(numbers(1, size, 2)), jnp.asarray(numbers(window, 2, 3, seed=1))
    fields = {"filters": 3, "kernel": window, "stride": stride, "padding": "same_upper"}
    y = run("conv", fields, x, parameters={"kernel": kernel})
    expected = lax.conv_general_dilated(
        x, kernel, (stride,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    np.testing.assert_allclose(y.array, expected, atol=1e-5)

    z = run("conv_transpose", fields, x, parameters={"kernel": kernel})
    expected = lax.conv_transpose(x, kernel[::-1], (stride,), "SAME",
                                  dimension_numbers=("NWC", "WIO", "NWC"))
    np.testing.assert_allclose(z.array, expected, atol=1e-5)


def test_a_standardised_kernel_has_mean_0_and_variance_1_for_each_output_channel():
    kernel = np.asarray(standardised(jnp.asarray(5 + 0.1 * numbers(3, 3, 4, 6))))
    np.testing.assert_allclose(kernel.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(kernel.var((0, 1, 2)), 1, rtol=1e-4)


def test_a_batch_shorter_than_the_window_is_refused_by_name():
    op = operator("conv")(**{"filters": 2, "kernel": 5, "padding": "valid"})
    text = TensorType(("time", "channels"), ("text", 3))
    layer = Layer(op, (text.axes,), op.parameters(text),
                  {"kernel": jnp.ones((5, 3, 2)), "bias": jnp.ones(2)})
    with pytest.raises(ShapeError, match="window of 5 does not fit on the time axis"):
        layer(jnp.ones((2, 4, 3)))
