"""The scan of long short-term memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp

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
)


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
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        cell = f * c + i * g
        state = o * jnp.tanh(cell)
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
        squashed = jnp.tanh(f * c + i * g)
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
        out = o * jnp.tanh(f * c + i * g)
        d_projection = weight_gradient(out, d_live, projection)
    d_mask = None if mask is None else mask_gradient(mask, before, how.multiply(dz, back))
    return (*entry_gradients(how, x, entry, dz), bias_gradient(bias, dz), d_kernel, d_projection,
            d_mask, dh0, dc0, None)


scan = jax.custom_vjp(plain_scan, nondiff_argnums=(0,))
scan.defvjp(_forward, _backward)
