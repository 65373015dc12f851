"""The forms of a convolution's products on a CPU: what they compute, when they are chosen."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.lower.kernels import (
    choice,
    max_pool,
    recurrent,
    side_by_side,
    square,
    strided,
    winograd,
)
from compiler.lower.kernels.batch_norm import batch_norm
from compiler.lower.kernels.convolution import convolve, plain
from compiler.lower.kernels.product import product
from compiler.lower.kernels.recurrent_conv import conv_lstm
from compiler.lower.kernels.relu import relu

pytestmark = pytest.mark.usefixtures("compiled_quickly")

ONE = (1, 1)
SIZES = st.tuples(st.integers(3, 7), st.integers(3, 7))
PADS = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2)
# Enough channels and places for Winograd's form, in all three products.
WIDE = (16, 12, 12, 256), (3, 3, 256, 288)


def arrays(*shapes: tuple[int, ...], dtype: Any = np.float64) -> list[jax.Array]:
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(s), dtype) for s in shapes]


def distance(a: Any, b: Any) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


def test_winograd_s_matrices_compute_a_convolution():
    d, g = np.arange(4.0), np.array([2.0, -1.0, 5.0])
    matrices = (np.array(m) for m in (winograd.INPUT, winograd.KERNEL, winograd.OUTPUT))
    of_input, of_kernel, of_output = matrices
    found = of_output @ ((of_kernel @ g) * (of_input @ d))
    assert found.tolist() == [d[:3] @ g, d[1:] @ g]


@settings(max_examples=5, deadline=None)
@given(SIZES, PADS)
def test_winograd_is_the_plain_convolution_and_its_kernel_s_gradient(size, pads):
    with jax.enable_x64(True):
        @jax.jit
        def pairs(x, kernel, weight):
            y, pull = jax.vjp(lambda x, k: plain(x, k, ONE, pads, ONE), x, kernel)
            ours = (winograd.convolve(x, kernel, pads),
                    winograd.input_gradient(weight, kernel, pads),
                    winograd.kernel_gradient(x, weight, pads))
            return list(zip(ours, (y, *pull(weight)), strict=True))

        shape = [n + sum(p) - 2 for n, p in zip(size, pads)]
        given = arrays((2, *size, 3), (3, 3, 3, 2), (2, *shape, 2))
        for ours, theirs in pairs(*given):
            assert distance(ours, theirs) < 1e-13


@settings(max_examples=8, deadline=None)
@given(SIZES, PADS, st.tuples(*[st.integers(1, 3)] * 2), st.tuples(*[st.integers(2, 4)] * 2))
def test_images_side_by_side_are_convolved_as_each_alone(size, pads, stride, window):
    pads = tuple((min(a, k - 1), b) for (a, b), k in zip(pads, window))
    window = tuple(min(k, n + sum(p)) for k, n, p in zip(window, size, pads))
    if side_by_side.gap(size[1], window[1], stride[1], pads[1]) is None:
        return
    with jax.enable_x64(True):
        x, kernel = arrays((3, *size, 2), (*window, 2, 3))
        found = side_by_side.convolve(x, kernel, stride, pads)
        assert distance(found, plain(x, kernel, stride, pads, ONE)) < 1e-13


def test_narrow_images_go_side_by_side_forwards_and_backwards_and_a_lone_one_does_not():
    x, kernel, weight = arrays((4, 8, 12, 8), (3, 3, 8, 16), (4, 8, 12, 16), dtype=np.float32)
    pads = ((1, 1), (1, 1))
    ours = jax.jit(lambda *a: jax.vjp(lambda x, k: convolve(x, k, ONE, pads, ONE), *a[:2])[1](a[2]))
    text = ours.trace(x, kernel, weight).lower(lowering_platforms=("cpu",)).as_text()
    assert "tensor<1x8x52x16xf32>" in text
    exact = jax.vjp(lambda x, k: plain(x, k, ONE, pads, ONE), x, kernel)[1](weight)
    assert all(distance(a, b) < 1e-6 for a, b in zip(ours(x, kernel, weight), exact))
    alone = jax.jit(lambda x, k: convolve(x, k, ONE, pads, ONE)).trace(x[:1], kernel).lower()
    assert "1x8x13x8" not in alone.as_text()


def test_a_rectifier_keeps_what_is_no_number_and_has_the_usual_derivatives():
    (x,) = arrays((6,), dtype=np.float32)
    x = x.at[0].set(jnp.nan).at[1].set(0.0)
    np.testing.assert_array_equal(relu(x), jax.nn.relu(x))
    for derive in (lambda f: jax.vjp(f, x)[1](x + 1)[0], lambda f: jax.jvp(f, (x,), (x + 1,))[1],
                   lambda f: jax.grad(lambda x: jax.grad(lambda x: (f(x) ** 3).sum())(x).sum())(x)):
        np.testing.assert_array_equal(derive(relu)[1:], derive(jax.nn.relu)[1:])


@settings(max_examples=6, deadline=None)
@given(SIZES, PADS, st.tuples(*[st.integers(1, 3)] * 2), st.tuples(*[st.integers(1, 3)] * 2))
def test_a_strided_input_s_gradient_by_phases_is_the_plain_convolution_s(
        size, pads, stride, window):
    with jax.enable_x64(True):
        x, kernel = arrays((2, *size, 3), (*window, 3, 2))
        y, pull = jax.vjp(lambda x: plain(x, kernel, stride, pads, ONE), x)
        (weight,) = arrays(y.shape)
        found = strided.input_gradient(
            weight, kernel, size, stride, pads, lambda a, k, p: plain(a, k, ONE, p, ONE))
        assert distance(found, pull(weight)[0]) < 1e-13


@settings(max_examples=6, deadline=None)
@given(SIZES, st.tuples(*[st.integers(1, 3)] * 2), st.tuples(*[st.integers(1, 3)] * 2),
       st.sampled_from([((0, 0), (0, 0)), ((0, 1), (1, 0)), ((1, 1), (1, 1))]))
def test_a_max_pool_s_gradient_is_that_of_the_first_largest_element(size, stride, window, pads):
    pads = tuple((min(a, k - 1), min(b, k - 1)) for (a, b), k in zip(pads, window))
    (x,) = arrays((2, *size, 3), dtype=np.float32)
    x = jnp.round(x)  # Many are equal.
    y, pull = jax.vjp(lambda x: max_pool.plain(x, window, stride, pads), x)
    (weight,) = arrays(y.shape, dtype=np.float32)
    found, ours = jax.vjp(lambda x: max_pool.max_pool(x, window, stride, pads), x)
    assert (found == y).all()
    assert distance(ours(weight)[0], pull(weight)[0]) < 1e-6


def test_a_wide_layer_goes_by_winograd_within_four_times_the_direct_error():
    x, kernel = arrays(*WIDE, dtype=np.float32)
    (weight,) = arrays((16, 12, 12, 288), dtype=np.float32)
    pads = ((1, 1), (1, 1))

    def errors(f):
        def both(x, kernel, weight):
            y, pull = jax.vjp(f, x, kernel)
            return y, *pull(weight)

        found = jax.jit(both)(x, kernel, weight)
        with jax.enable_x64(True):
            wide = [jnp.asarray(np.asarray(a, np.float64)) for a in (x, kernel, weight)]
            exact = both_of(plain_here, *wide)
        return [distance(a, b) for a, b in zip(found, exact, strict=True)]

    def plain_here(x, kernel):
        return plain(x, kernel, ONE, pads, ONE)

    def both_of(f, x, kernel, weight):
        y, pull = jax.vjp(f, x, kernel)
        return y, *pull(weight)

    taken = choice.Shape(16 * 144, (3, 3), 256, 288, ONE, ONE, exact=False)
    assert choice.forward_by_winograd(taken) and choice.kernel_gradient_by_winograd(taken)
    lowered = jax.jit(lambda x, k: convolve(x, k, ONE, pads, ONE)).trace(x, kernel).lower(
        lowering_platforms=("cpu",)).as_text()
    assert "dot_general" in lowered
    ours = errors(lambda x, k: convolve(x, k, ONE, pads, ONE))
    for error, direct in zip(ours, errors(plain_here)):
        assert error < 4 * max(direct, float(np.finfo(np.float32).eps))


def shape(channels: int, filters: int, places: int, **more: Any) -> choice.Shape:
    values = {"window": (3, 3), "stride": ONE, "dilation": ONE, "exact": False} | more
    return choice.Shape(places=places, channels=channels, filters=filters, **values)


@pytest.mark.parametrize(("case", "expected"), [
    (shape(256, 256, 4096), True),
    (shape(128, 128, 16384), False),                  # the transforms cost more than they save
    (shape(512, 512, 16), False),                     # so does the kernel's, on one small image
    (shape(256, 256, 4096, exact=True), False),       # bfloat16 and float64 keep their own sums
    (shape(256, 256, 4096, stride=(2, 2)), False),
    (shape(256, 256, 4096, window=(5, 5)), False),
])
def test_winograd_is_chosen_where_it_saves_more_than_it_moves(case, expected):
    assert choice.forward_by_winograd(case) is expected


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 4), SIZES, PADS, st.tuples(st.integers(2, 3), st.integers(2, 5)))
def test_moved_rows_and_columns_give_a_kernel_s_gradient(piece, size, pads, window):
    if any(n + sum(p) < k for n, p, k in zip(size, pads, window)):
        return
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        x, kernel = arrays((5, *size, 3), (*window, 3, 2))
        y, pull = jax.vjp(lambda k: plain(x, k, ONE, pads, ONE), kernel)
        (weight,) = arrays(y.shape)
        patch.setattr(square, "PIECE", piece * (x.size * window[1] + y.size * window[0]) // 5)
        assert distance(square.kernel_gradient(x, weight, window, pads), pull(weight)[0]) < 1e-13


def test_a_small_layer_s_kernel_s_gradient_is_not_worth_compiling_winograd_for():
    assert choice.kernel_gradient_by_winograd(shape(128, 128, 65536))
    assert not choice.kernel_gradient_by_winograd(shape(64, 64, 65536))
    assert choice.kernel_gradient_as_square(shape(64, 64, 65536))
    assert not choice.kernel_gradient_as_square(shape(64, 64, 65536, stride=(2, 2)))
    assert not choice.kernel_gradient_by_winograd(shape(112, 224, 3136))


@pytest.mark.parametrize("batch", [1, 5])
def test_a_stem_s_kernel_s_gradient_is_summed_over_pieces_of_the_batch(batch):
    with jax.enable_x64(True):
        x, kernel = arrays((batch, 9, 10, 3), (7, 7, 3, 2))
        stem = (2, 2), ((3, 3), (3, 3)), ONE
        y, pull = jax.vjp(lambda k: plain(x, k, *stem), kernel)
        (weight,) = arrays(y.shape)
        _, ours = jax.vjp(lambda k: convolve(x, k, *stem), kernel)
        assert distance(ours(weight)[0], pull(weight)[0]) < 1e-12


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([(4, 1, 1), (2, 3, 2), (2, 1, 3)]), SIZES, PADS,
       st.tuples(*[st.integers(1, 3)] * 2), st.tuples(*[st.integers(1, 2)] * 2),
       st.sampled_from([(3, 3), (1, 1), (2, 3)]))
def test_groups_have_the_plain_convolution_s_value_and_gradients(
        groups, size, pads, stride, dilation, window):
    groups, channels, filters = groups
    reach = [(k - 1) * d + 1 for k, d in zip(window, dilation)]
    if any(n + sum(p) < r for n, p, r in zip(size, pads, reach)):
        return
    with jax.enable_x64(True):
        x, kernel = arrays((2, *size, groups * channels), (*window, channels, groups * filters))
        rest = stride, pads, dilation, groups

        @partial(jax.jit, static_argnums=0)
        def all_of(f, x, kernel, weight):
            y, pull = jax.vjp(lambda x, k: f(x, k, *rest), x, kernel)
            return y, *pull(weight)

        (weight,) = arrays(jax.eval_shape(lambda x, k: plain(x, k, *rest), x, kernel).shape)
        for a, b in zip(*(all_of(f, x, kernel, weight) for f in (convolve, plain)), strict=True):
            assert distance(a, b) < 1e-13


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_keep_bfloat16_and_may_be_mapped_over(groups):
    x, kernel, weight = arrays((2, 5, 5, 4), (3, 3, 4 // groups, 4), (2, 5, 5, 4),
                               dtype=jnp.bfloat16)
    rest = ONE, ((1, 1), (1, 1)), ONE, groups

    def gradients(f, x, kernel):
        y, pull = jax.vjp(lambda x, k: f(x, k, *rest), x, kernel)
        return y, *pull(weight)

    ours, theirs = (gradients(f, x, kernel) for f in (convolve, plain))
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == jnp.bfloat16 and distance(a, b) < 2e-2
    many = jax.vmap(partial(gradients, convolve), (0, None))(jnp.stack([x, 2 * x]), kernel)
    assert distance(many[2][0], ours[2]) < 2e-2


@pytest.mark.parametrize("dtype", [np.float64, jnp.bfloat16])
@pytest.mark.parametrize(("channels", "filters"), [(3, 5), (5, 3)])
def test_a_product_of_rows_has_its_gradients_in_either_order(channels, filters, dtype):
    with jax.enable_x64(True):
        x, matrix, weight = arrays((2, 4, channels), (channels, filters), (2, 4, filters),
                                   dtype=dtype)
        y, pull = jax.vjp(product, x, matrix)
        of_x, of_matrix = pull(weight)
        wide = [np.asarray(a, np.float64) for a in (x, matrix, weight)]
        limit = 1e-13 if dtype == np.float64 else 1e-2
        assert {a.dtype for a in (y, of_x, of_matrix)} == {jnp.dtype(dtype)}
        assert distance(y, wide[0] @ wide[1]) < limit
        assert distance(of_x, wide[2] @ wide[1].T) < limit
        assert distance(of_matrix, np.einsum("btc,btf->cf", wide[0], wide[2])) < limit


@pytest.mark.parametrize("window", [1, 3])
def test_a_gradient_may_be_differentiated_again(window):
    with jax.enable_x64(True):
        x, kernel = arrays((2, 4, 5, 3), (window, window, 3, 2))

        def steepness(f, x, kernel):
            def loss(x, kernel):
                return jnp.sin(f(x, kernel, (2, 1), ((1, 1), (1, 1)), ONE)).sum()

            return sum(jnp.square(g).sum() for g in jax.grad(loss, (0, 1))(x, kernel))

        ours, theirs = (jax.grad(partial(steepness, f), (0, 1))(x, kernel)
                        for f in (convolve, plain))
        for a, b in zip(ours, theirs, strict=True):
            assert distance(a, b) < 1e-12


def test_layers_may_be_recomputed_and_mapped_over():
    x, kernel = arrays((2, 4, 5, 3), (3, 3, 3, 2), dtype=np.float32)

    def loss(kernel, x):
        return jnp.sin(convolve(x, kernel, (2, 1), ((1, 1), (1, 1)), ONE)).sum()

    gradient = jax.grad(loss)(kernel, x)
    assert distance(jax.grad(jax.checkpoint(loss))(kernel, x), gradient) < 1e-6
    many = jax.vmap(jax.grad(loss), (None, 0))(kernel, jnp.stack([x, 2 * x]))
    assert distance(many[0], gradient) < 1e-6


@pytest.mark.parametrize("name", [
    "convolution", "1×1", "norm", "max pool", "rnn", "lstm", "gru", "conv_lstm"])
def test_forward_mode_is_an_error_that_names_the_switch(name):
    x, kernel = arrays((1, 4, 4, 3), (3, 3, 3, 2), dtype=np.float32)
    steps, into, again = arrays((1, 2, 3), (3, 24), (6, 24), dtype=np.float32)
    gates = {"rnn": 1, "lstm": 4, "gru": 3}.get(name, 0)

    def run(scale):
        if name == "convolution":
            return convolve(scale * x, kernel, ONE, ((1, 1), (1, 1)), ONE)
        if name == "1×1":
            return convolve(scale * x, kernel[:1, :1], ONE, ((0, 0), (0, 0)), ONE)
        if name == "norm":
            return batch_norm(scale * x, jnp.ones(3), jnp.ones(3), None, 1e-5)[0]
        if name == "max pool":
            return max_pool.max_pool(scale * x, (2, 2), (2, 2), ((0, 0), (0, 0)))
        if name == "conv_lstm":  # of its recurrent kernel alone
            return conv_lstm(x[:, None], jnp.ones((1, 1, 3, 8)), scale * jnp.ones((1, 1, 2, 8)))[0]
        layer = getattr(recurrent, name)
        return layer(scale * steps, into[:, :6 * gates], again[:, :6 * gates])[0]

    for forward in (jax.jacfwd(run), lambda s: jax.jvp(run, (s,), (s,))):
        with pytest.raises(TypeError, match="kernels: reference"):
            forward(jnp.float32(1))
