"""The scans of gated recurrent units, reset after and before the product."""

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


def _scan_after(
    how: Recurrence, x: Array, entry: Array | None, bias: Array | None,
    inner_bias: Array | None, kernel: Array, mask: Array | None, h0: Array, valid: Array | None,
) -> tuple[Array, Array]:
    """Cho et al. 2014 as in cuDNN, PyTorch and Keras: reset after the product; gates r, z, n.

    n = tanh((x W)_n + b_n + r · ((h U)_n + inner_bias)), h' = (1 - z) · n + z · h.

    Args:
        how: product and direction.
        x: (time, batch, features).
        entry: W, the kernel of the input (features, 3 · units), or None.
        bias: (3 · units,).
        inner_bias: (units,), of the candidate, inside the reset.
        kernel: U, the recurrent kernel (units, 3 · units).
        mask: (batch, units), multiplies h where it enters the product.
        h0: (batch, units).
        valid: (time, batch), False at padded steps, which carry the state on.

    Returns:
        The states after each step (time, batch, units), and the last one.
    """
    h, (states, *_) = _run_after(
        how, x, entry, bias, inner_bias, kernel, mask, h0, valid, keep=False)
    return states, h


def _run_after(how, x, entry, bias, inner_bias, kernel, mask, h0, valid, keep):
    def step(h, at):
        x_t, valid_t = at
        part = enter(how, x_t, entry)
        x_r, x_z, x_n = jnp.split(part if bias is None else part + bias, 3, axis=-1)
        h_r, h_z, q = jnp.split(how.multiply(masked(h, mask), kernel), 3, axis=-1)
        r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
        q = q if inner_bias is None else q + inner_bias
        n = jnp.tanh(x_n + r * q)
        state = pick(valid_t, n + z * (h - n), h)
        return state, ((state, r, z, n, q) if keep else (state,))

    return jax.lax.scan(step, h0, (x, valid), reverse=how.reverse)


def _after_forward(how, x, entry, bias, inner_bias, kernel, mask, h0, valid):
    h, (states, *gates) = _run_after(
        how, x, entry, bias, inner_bias, kernel, mask, h0, valid, keep=True)
    kept = x, entry, states, tuple(gates), bias, inner_bias, kernel, mask, h0, valid
    return (states, h), kept


def _after_backward(how, kept, gradients):
    x, entry, states, gates, bias, inner_bias, kernel, mask, h0, valid = kept
    d_states, dh = gradients
    back = how.transpose(kernel)
    before = states_before(states, h0, how.reverse)

    def step(dh, at):
        d_state, h, (r, z, n, q), valid_t = at
        dh = dh + d_state
        live = pick(valid_t, dh, 0)
        dz = live * (h - n) * z * (1 - z)
        dn = live * (1 - z) * (1 - n * n)
        dr = dn * q * r * (1 - r)
        d_product = jnp.concatenate([dr, dz, dn * r], axis=-1)
        dh_before = live * z + masked(how.multiply(d_product, back), mask)
        return pick(valid_t, dh_before, dh), jnp.concatenate([dr, dz, dn], axis=-1)

    dh0, d_steps = backward_scan(
        step, dh, (d_states, before, gates, valid), states, how)
    units, seen = dh0.shape[-1], masked(before, mask)
    # The gradient of the product differs in the candidate's part alone: one array less to keep.
    d_gates, d_inside = d_steps[..., :2 * units], d_steps[..., 2 * units:] * gates[0]
    gates_kernel, candidate = _split(kernel)
    d_kernel = jnp.concatenate([
        how.weight_gradient(seen, d_gates, gates_kernel),
        how.weight_gradient(seen, d_inside, candidate)], axis=-1)
    d_inner = bias_gradient(inner_bias, d_inside)
    d_mask = None if mask is None else mask_gradient(mask, before, how.multiply(
        jnp.concatenate([d_gates, d_inside], axis=-1), back))
    return (*entry_gradients(how, x, entry, d_steps), bias_gradient(bias, d_steps), d_inner,
            d_kernel, d_mask, dh0, None)


scan_after = jax.custom_vjp(_scan_after, nondiff_argnums=(0,))
scan_after.defvjp(_after_forward, _after_backward)


def _scan_before(
    how: Recurrence, x: Array, entry: Array | None, bias: Array | None, kernel: Array,
    mask: Array | None, h0: Array, valid: Array | None,
) -> tuple[Array, Array]:
    """Cho et al. 2014 as first published: reset before the product; gates r, z, n.

    n = tanh((x W)_n + b_n + (r · h) U_n), h' = (1 - z) · n + z · h. Two products a step
    that wait for each other. Arguments and results as of `scan_after`.
    """
    h, (states, *_) = _run_before(how, x, entry, bias, kernel, mask, h0, valid, keep=False)
    return states, h


def _run_before(how, x, entry, bias, kernel, mask, h0, valid, keep):
    gates, candidate = _split(kernel)

    def step(h, at):
        x_t, valid_t = at
        part = enter(how, x_t, entry)
        x_r, x_z, x_n = jnp.split(part if bias is None else part + bias, 3, axis=-1)
        seen = masked(h, mask)
        h_r, h_z = jnp.split(how.multiply(seen, gates), 2, axis=-1)
        r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + how.multiply(r * seen, candidate))
        state = pick(valid_t, n + z * (h - n), h)
        return state, ((state, r, z, n) if keep else (state,))

    return jax.lax.scan(step, h0, (x, valid), reverse=how.reverse)


def _split(kernel: Array) -> tuple[Array, Array]:
    """The kernels of the two products: r and z together, the candidate."""
    units = kernel.shape[-1] // 3
    return kernel[..., :2 * units], kernel[..., 2 * units:]


def _before_forward(how, x, entry, bias, kernel, mask, h0, valid):
    h, (states, *gates) = _run_before(
        how, x, entry, bias, kernel, mask, h0, valid, keep=True)
    return (states, h), (x, entry, states, tuple(gates), bias, kernel, mask, h0, valid)


def _before_backward(how, kept, gradients):
    x, entry, states, gates, bias, kernel, mask, h0, valid = kept
    d_states, dh = gradients
    back_gates, back_candidate = (how.transpose(k) for k in _split(kernel))
    before = states_before(states, h0, how.reverse)

    def step(dh, at):
        d_state, h, (r, z, n), valid_t = at
        dh = dh + d_state
        live = pick(valid_t, dh, 0)
        dz = live * (h - n) * z * (1 - z)
        dn = live * (1 - z) * (1 - n * n)
        d_reset = how.multiply(dn, back_candidate)
        dr = d_reset * masked(h, mask) * r * (1 - r)
        d_seen = d_reset * r + how.multiply(jnp.concatenate([dr, dz], axis=-1), back_gates)
        d_steps = jnp.concatenate([dr, dz, dn], axis=-1)
        carry = pick(valid_t, live * z + masked(d_seen, mask), dh)
        return carry, (d_steps, d_seen)

    dh0, (d_steps, d_seen) = backward_scan(
        step, dh, (d_states, before, gates, valid), states, how)
    seen, (r, _, _), units = masked(before, mask), gates, dh0.shape[-1]
    gates, candidate = _split(kernel)
    d_kernel = jnp.concatenate([
        how.weight_gradient(seen, d_steps[..., :2 * units], gates),
        how.weight_gradient(r * seen, d_steps[..., 2 * units:], candidate),
    ], axis=-1)
    d_mask = mask_gradient(mask, before, d_seen)
    return (*entry_gradients(how, x, entry, d_steps), bias_gradient(bias, d_steps), d_kernel,
            d_mask, dh0, None)


scan_before = jax.custom_vjp(_scan_before, nondiff_argnums=(0,))
scan_before.defvjp(_before_forward, _before_backward)
