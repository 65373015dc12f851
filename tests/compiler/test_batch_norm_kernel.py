"""The batch norm with a gradient of its own: it is the plain one, over rows, steps and types."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.lower.kernels.batch_norm import batch_norm, plain

pytestmark = pytest.mark.usefixtures("compiled_quickly")

EPSILON = 1e-5


def arrays(*shapes: tuple[int, ...], dtype: Any = np.float64) -> list[jax.Array]:
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(s), dtype) for s in shapes]


def outcome(normalise: Any, x, scale, bias, mask, weight) -> list[np.ndarray]:
    """Result, mean, variance and gradients, all at once as a training step has them."""
    @jax.jit
    def both(x, scale, bias, mask, weight):
        y, pull, rest = jax.vjp(lambda *a: (lambda r: (r[0], r[1:]))(
            normalise(*a, mask, EPSILON)), x, scale, bias, has_aux=True)
        return [y, *rest, *pull(weight)]

    return [np.asarray(a, np.float64) for a in both(x, scale, bias, mask, weight)]


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 4), st.lists(st.integers(1, 5), max_size=2), st.integers(1, 3),
       st.sampled_from(["none", "all", "some rows", "no row", "steps"]))
def test_it_is_the_plain_batch_norm_and_its_gradients(batch, axes, channels, real):
    shape = (batch, *axes, channels)
    ones = (1,) * len(axes)
    mask = {"none": None, "all": np.ones(batch, bool), "some rows": np.arange(batch) % 2 == 0,
            "no row": np.zeros(batch, bool), "steps": np.ones(batch, bool)}[real]
    if mask is not None:
        mask = jnp.asarray(mask.reshape(batch, *ones, 1))
        if real == "steps" and axes:
            steps = np.arange(axes[0]) < 1 + np.arange(batch)[:, None]
            mask = jnp.asarray(steps.reshape(batch, axes[0], *ones[1:], 1))
    with jax.enable_x64(True):
        x, weight, scale, bias = arrays(shape, shape, (channels,), (channels,))
        found, expected = (outcome(f, x, scale, bias, mask, weight) for f in (batch_norm, plain))
    for ours, theirs in zip(found, expected, strict=True):
        # One element a channel has no variance: gradients of 1/√ε times rounding.
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-8)


def steps_of(lengths: list[int]) -> np.ndarray:
    return (np.arange(7) < np.array(lengths)[:, None])[:, :, None, None]


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("mask", [None, steps_of([0, 7, *[1, 3] * 7])], ids=["all", "first empty"])
def test_float32_is_within_four_times_the_plain_error_near_and_far_from_zero(offset, mask):
    shape = (16, 7, 7, 8)
    x, weight, scale, bias = arrays(shape, shape, (8,), (8,), dtype=np.float32)
    x = x + offset
    found, direct = (outcome(f, x, scale, bias, mask, weight) for f in (batch_norm, plain))
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(a, np.float64)) for a in (x, scale, bias)]
        exact = outcome(plain, *wide, mask, jnp.asarray(np.asarray(weight, np.float64)))
    for ours, theirs, truth in zip(found, direct, exact, strict=True):
        size = np.abs(truth).max()
        allowed = 4 * max(np.abs(theirs - truth).max() / size, np.finfo(np.float32).eps)
        assert np.abs(ours - truth).max() / size < allowed


def test_rows_that_are_not_real_neither_count_nor_get_a_gradient():
    mask = np.array([True, False, True]).reshape(3, 1, 1)
    x, weight, scale, bias = arrays((3, 4, 2), (3, 4, 2), (2,), (2,), dtype=np.float32)
    spoiled = jnp.where(mask, x, np.nan)
    found = outcome(batch_norm, spoiled, scale, bias, jnp.asarray(mask), weight)
    packed = outcome(batch_norm, x[::2], scale, bias, None, weight[::2])
    for position, (ours, theirs) in enumerate(zip(found, packed, strict=True)):
        if position in (0, 4):
            assert (ours[1] == 0).all()
            ours = ours[::2]
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_it_may_be_recomputed_mapped_over_and_differentiated_twice():
    mask = jnp.asarray([True, True, False, True]).reshape(4, 1, 1)
    with jax.enable_x64(True):
        x, scale, bias, weight = arrays((4, 3, 2), (2,), (2,), (4, 3, 2))

        def loss(normalise, x, scale):
            y = normalise(x, scale, bias, mask, EPSILON)[0]
            return (jnp.sin(y) * weight).sum()

        def steepness(normalise, x, scale):
            of_x, of_scale = jax.grad(partial(loss, normalise), (0, 1))(x, scale)
            return jnp.square(of_x).sum() + jnp.square(of_scale).sum()

        for f in (loss, steepness, lambda n, *a: jax.checkpoint(partial(loss, n))(*a)):
            ours, theirs = (jax.grad(partial(f, n), (0, 1))(x, scale) for n in (batch_norm, plain))
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
        many = jax.vmap(partial(loss, batch_norm), (0, None))(jnp.stack([x, 2 * x]), scale)
        assert np.isclose(many[1], loss(plain, 2 * x, scale), rtol=1e-12)
