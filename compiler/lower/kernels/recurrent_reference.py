"""Recurrent layers as one would write them down: a cell, scanned over time, autodiff.

The functions of `recurrent.py` with the same arguments and results, for `kernels:
reference` and to test against. The cells are also operators of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


def rnn_cell(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None,
    recurrent_bias: Array | None, h: Array, activation: str = "tanh",
    recurrent_mask: Array | None = None,
) -> Array:
    """One step of `recurrent.rnn`: x (batch, features), h (batch, units) -> the next h."""
    act = jnp.tanh if activation == "tanh" else jax.nn.relu
    return act(_affine(x, kernel, bias, x.dtype)
               + _affine(_masked(h, recurrent_mask), recurrent_kernel, recurrent_bias, x.dtype))


def lstm_cell(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None,
    recurrent_bias: Array | None, h: Array, c: Array, projection: Array | None = None,
    recurrent_mask: Array | None = None,
) -> tuple[Array, Array]:
    """One step of `recurrent.lstm`: x (batch, features), h (batch, state), c (batch, units)."""
    z = _affine(x, kernel, bias, x.dtype)
    z += _affine(_masked(h, recurrent_mask), recurrent_kernel, recurrent_bias, x.dtype)
    i, f, g, o = jnp.split(z, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h if projection is None else _affine(h, projection, None, x.dtype)), c


def gru_cell(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None,
    recurrent_bias: Array | None, h: Array, reset: str = "after",
    recurrent_mask: Array | None = None,
) -> Array:
    """One step of `recurrent.gru`: x (batch, features), h (batch, units) -> the next h."""
    seen, units = _masked(h, recurrent_mask), h.shape[-1]
    x_r, x_z, x_n = jnp.split(_affine(x, kernel, bias, x.dtype), 3, axis=-1)
    h_r, h_z, h_n = jnp.split(
        _affine(seen, recurrent_kernel, recurrent_bias, x.dtype), 3, axis=-1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    if reset == "before":
        inner = None if recurrent_bias is None else recurrent_bias[2 * units:]
        n = jnp.tanh(x_n + _affine(r * seen, recurrent_kernel[:, 2 * units:], inner, x.dtype))
    else:
        n = jnp.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


def rnn(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None = None,
    recurrent_bias: Array | None = None, h0: Array | None = None,
    lengths: Array | None = None, reverse: bool = False, activation: str = "tanh",
    recurrent_mask: Array | None = None,
) -> tuple[Array, Array]:
    """As `recurrent.rnn`."""

    def cell(state, x_t):
        return (rnn_cell(x_t, kernel, recurrent_kernel, bias, recurrent_bias, state[0],
                         activation, recurrent_mask),)

    sequence, (h,) = _scan(cell, x, lengths, reverse, _initial(h0, x, recurrent_kernel.shape[0]))
    return sequence, h


def lstm(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None = None,
    recurrent_bias: Array | None = None, h0: Array | None = None, c0: Array | None = None,
    lengths: Array | None = None, reverse: bool = False, projection: Array | None = None,
    recurrent_mask: Array | None = None,
) -> tuple[Array, Array, Array]:
    """As `recurrent.lstm`."""

    def cell(state, x_t):
        h, c = state
        return lstm_cell(x_t, kernel, recurrent_kernel, bias, recurrent_bias, h, c,
                         projection, recurrent_mask)

    sequence, (h, c) = _scan(
        cell, x, lengths, reverse, _initial(h0, x, recurrent_kernel.shape[0]),
        _initial(c0, x, recurrent_kernel.shape[1] // 4))
    return sequence, h, c


def gru(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None = None,
    recurrent_bias: Array | None = None, h0: Array | None = None,
    lengths: Array | None = None, reverse: bool = False, reset: str = "after",
    recurrent_mask: Array | None = None,
) -> tuple[Array, Array]:
    """As `recurrent.gru`."""

    def cell(state, x_t):
        return (gru_cell(x_t, kernel, recurrent_kernel, bias, recurrent_bias, state[0],
                         reset, recurrent_mask),)

    sequence, (h,) = _scan(cell, x, lengths, reverse, _initial(h0, x, recurrent_kernel.shape[0]))
    return sequence, h


def _scan(
    cell: Callable[[Any, Array], Any], x: Array, lengths: Array | None, reverse: bool,
    *initial: Array,
) -> tuple[Array, Any]:
    """A cell over the time axis of x (batch, time, features), lengths respected."""
    if lengths is None:
        lengths = jnp.full(x.shape[0], x.shape[1])
    valid = jnp.arange(x.shape[1])[:, None] < lengths

    def step(state, at):
        x_t, valid_t = at
        real = valid_t[:, None]
        new = cell(state, jnp.where(real, x_t, 0))
        state = tuple(jnp.where(real, n, s) for n, s in zip(new, state, strict=True))
        return state, jnp.where(real, state[0], 0).astype(x.dtype)

    state, sequence = jax.lax.scan(step, initial, (jnp.swapaxes(x, 0, 1), valid), reverse=reverse)
    return jnp.swapaxes(sequence, 0, 1), state


def _affine(x: Array, kernel: Array, bias: Array | None, dtype: jnp.dtype) -> Array:
    """x W + b, multiplied in `dtype`, summed in float32 or wider."""
    wide = jnp.promote_types(dtype, jnp.float32)
    y = jnp.matmul(x.astype(dtype), kernel.astype(dtype), preferred_element_type=wide)
    return y if bias is None else y + bias.astype(wide)


def _masked(h: Array, mask: Array | None) -> Array:
    return h if mask is None else h * mask


def _initial(state: Array | None, x: Array, units: int) -> Array:
    wide = jnp.promote_types(x.dtype, jnp.float32)
    return jnp.zeros((x.shape[0], units), wide) if state is None else state.astype(wide)
