"""The scan of the plain recurrent network: h' = act(x W + b + h U)."""

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
    pick,
    states_before,
)


def _scan(
    how: Recurrence, activation: str, x: Array, entry: Array | None, bias: Array | None,
    kernel: Array, mask: Array | None, h0: Array, valid: Array | None,
) -> tuple[Array, Array]:
    """Elman's network (1990).

    Args:
        how: product and direction.
        activation: "tanh" or "relu".
        x: (time, batch, features).
        entry: the kernel of the input (features, units), or None.
        bias: (units,).
        kernel: the recurrent kernel (units, units).
        mask: (batch, units), multiplies h where it enters the product.
        h0: (batch, units).
        valid: (time, batch), False at padded steps, which carry the state on.

    Returns:
        The states after each step (time, batch, units), and the last one.
    """
    act = jnp.tanh if activation == "tanh" else jax.nn.relu

    def step(h, at):
        x_t, valid_t = at
        z = enter(how, x_t, entry) + how.multiply(masked(h, mask), kernel)
        h = pick(valid_t, act(z if bias is None else z + bias), h)
        return h, h

    h, states = jax.lax.scan(step, h0, (x, valid), reverse=how.reverse)
    return states, h


def _forward(how, activation, x, entry, bias, kernel, mask, h0, valid):
    states, h = _scan(how, activation, x, entry, bias, kernel, mask, h0, valid)
    return (states, h), (x, entry, states, bias, kernel, mask, h0, valid)


def _backward(how, activation, kept, gradients):
    x, entry, states, bias, kernel, mask, h0, valid = kept
    d_states, dh = gradients
    back = how.transpose(kernel)

    def step(dh, at):
        d_state, state, valid_t = at
        dh = dh + d_state
        # Both derivatives are functions of the activation's value.
        slope = 1 - state * state if activation == "tanh" else (state > 0).astype(state.dtype)
        dz = pick(valid_t, dh * slope, 0)
        return pick(valid_t, masked(how.multiply(dz, back), mask), dh), dz

    dh0, dz = backward_scan(step, dh, (d_states, states, valid), states, how)
    before = states_before(states, h0, how.reverse)
    d_kernel = how.weight_gradient(masked(before, mask), dz, kernel)
    d_mask = None if mask is None else mask_gradient(mask, before, how.multiply(dz, back))
    return (*entry_gradients(how, x, entry, dz), bias_gradient(bias, dz), d_kernel, d_mask, dh0,
            None)


scan = jax.custom_vjp(_scan, nondiff_argnums=(0, 1))
scan.defvjp(_forward, _backward)
