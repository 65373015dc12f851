"""The scan of long short-term memory."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from compiler.lower.kernels.choice import states_by_columns
from compiler.lower.kernels.recurrent_core import (
    Array,
    Recurrence,
    backward_scan,
    bias_gradient,
    enter,
    entry_gradients,
    mask_gradient,
    masked,
    multiply,
    pick,
    states_before,
    weight_gradient,
    wide_type,
)
from compiler.lower.kernels.squash import sigmoid, tanh


def plain_scan(
    how: Recurrence, x: Array, entry: Array | None, bias: Array | None, kernel: Array,
    projection: Array | None, mask: Array | None, h0: Array, c0: Array, valid: Array | None,
) -> tuple[Array, Array, Array]:
    """Hochreiter & Schmidhuber 1997 with forget gates (Gers et al. 2000), gates i, f, g, o.

    Args:
        how: product and direction.
        x: (time, batch, …, features).
        entry: the kernel of the input, (features, 4 · units) for dense ones, or None.
        bias: (4 · units,).
        kernel: the recurrent kernel, (state, 4 · units) for dense ones.
        projection: (units, state), from the gated cell to the state (Sak et al. 2014).
        mask: (batch, …, state), multiplies h where it enters the product.
        h0, c0: (batch, …, state), (batch, …, units).
        valid: (time, batch), False at padded steps, which carry the state on.

    Returns:
        The states after each step (time, batch, …, state), the last state, the last cell.
    """
    (h, c), (states, *_) = _run(
        how, x, entry, bias, kernel, projection, mask, h0, c0, valid, keep=False)
    return states, h, c


def _run(how, x, entry, bias, kernel, projection, mask, h0, c0, valid, keep):
    def step(carry, at):
        h, c = carry
        x_t, valid_t = at
        z = enter(how, x_t, entry) + how.multiply(masked(h, mask), kernel)
        i, f, g, o = jnp.split(z if bias is None else z + bias, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        cell = f * c + i * g
        state = o * tanh(cell)
        if projection is not None:
            state = multiply(state, projection)
        state, cell = pick(valid_t, state, h), pick(valid_t, cell, c)
        # The gates are kept apart: writing them as one array costs a copy at every step.
        return (state, cell), ((state, i, f, g, o, c) if keep else (state,))

    return jax.lax.scan(step, (h0, c0), (x, valid), reverse=how.reverse)


def _forward(how, x, entry, bias, kernel, projection, mask, h0, c0, valid):
    (h, c), (states, *gates) = _run(
        how, x, entry, bias, kernel, projection, mask, h0, c0, valid, keep=True)
    kept = x, entry, states, tuple(gates), bias, kernel, projection, mask, h0, valid
    return (states, h, c), kept


def _backward(how, kept, gradients):
    x, entry, states, gates, bias, kernel, projection, mask, h0, valid = kept
    d_states, dh, dc = gradients
    back = how.transpose(kernel)
    unproject = None if projection is None else projection.T

    def step(carry, at):
        dh, dc = carry
        d_state, (i, f, g, o, c), valid_t = at
        dh = dh + d_state
        d_live, dc_live = pick(valid_t, dh, 0), pick(valid_t, dc, 0)
        d_out = d_live if unproject is None else multiply(d_live, unproject)
        squashed = tanh(f * c + i * g)
        d_cell = dc_live + d_out * o * (1 - squashed * squashed)
        dz = jnp.concatenate([
            d_cell * g * i * (1 - i),
            d_cell * c * f * (1 - f),
            d_cell * i * (1 - g * g),
            d_out * squashed * o * (1 - o),
        ], axis=-1)
        dh_before = masked(how.multiply(dz, back), mask)
        carry = pick(valid_t, dh_before, dh), pick(valid_t, d_cell * f, dc)
        return carry, (dz, d_live)

    (dh0, dc0), (dz, d_live) = backward_scan(
        step, (dh, dc), (d_states, gates, valid), states, how)
    before = states_before(states, h0, how.reverse)
    d_kernel = how.weight_gradient(masked(before, mask), dz, kernel)
    d_projection = None
    if projection is not None:
        i, f, g, o, c = gates
        out = o * tanh(f * c + i * g)
        d_projection = weight_gradient(out, d_live, projection)
    d_mask = None if mask is None else mask_gradient(mask, before, how.multiply(dz, back))
    return (*entry_gradients(how, x, entry, dz), bias_gradient(bias, dz), d_kernel, d_projection,
            d_mask, dh0, dc0, None)


def _undifferentiated(how, x, entry, bias, kernel, projection, mask, h0, c0, valid):
    """`plain_scan`, by columns where that is faster."""
    rows = partial(plain_scan, how, x, entry, bias, kernel, projection, mask, h0, c0, valid)
    by_columns = states_by_columns(x.shape[1], exact=x.dtype != jnp.float32)
    if entry is None or projection is not None or not by_columns:
        return rows()
    columns = partial(_by_columns, how.reverse, x, entry, bias, kernel, mask, h0, c0, valid)
    return jax.lax.platform_dependent(cpu=columns, default=rows)


def _by_columns(reverse, x, entry, bias, kernel, mask, h0, c0, valid):
    """Dense `plain_scan` of transposed arrays: a step multiplies weights (4 · units, state) by
    states (state, batch).

    XLA on a CPU copies the second operand of each product to an order of its own: here the states,
    not the weights, which are many times larger. With a gradient the transposed arrays of all steps
    would have to be turned around for the kernels' gradients.
    """
    entry, kernel = entry.T, kernel.T
    bias = None if bias is None else bias[:, None]
    mask = None if mask is None else mask.T

    def step(carry, at):
        h, c = carry
        x_t, valid_t = at
        z = _times(entry, x_t) + _times(kernel, masked(h, mask))
        i, f, g, o = jnp.split(z if bias is None else z + bias, 4)
        cell = sigmoid(f) * c + sigmoid(i) * tanh(g)
        state = sigmoid(o) * tanh(cell)
        if valid_t is not None:
            state, cell = jnp.where(valid_t, state, h), jnp.where(valid_t, cell, c)
        return (state, cell), state

    (h, c), states = jax.lax.scan(
        step, (h0.T, c0.T), (jnp.swapaxes(x, 1, 2), valid), reverse=reverse)
    return jnp.swapaxes(states, 1, 2), h.T, c.T


def _times(weights: Array, columns: Array) -> Array:
    """(out, in) times (in, batch), as `multiply` does it."""
    wide = wide_type(weights.dtype)
    return jnp.matmul(weights, columns.astype(weights.dtype), preferred_element_type=wide)


scan = jax.custom_vjp(_undifferentiated, nondiff_argnums=(0,))
scan.defvjp(_forward, _backward)
