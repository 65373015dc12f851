"""One recurrent layer in one direction: plain, LSTM and GRU.

What happens in the scan and to its gradient is in `recurrent_rnn.py`, `recurrent_lstm.py` and
`recurrent_gru.py`. `recurrent_reference.py` has the same functions in the plainest form.

`lengths` (batch,) says how many steps of each row are real. Steps past it change no result
and no gradient, whatever stands in them, NaN included: the state is carried past them, the
sequence is 0 there, and a reversed layer begins at each row's own last step. A row without
steps gives its initial state.

The order of gates and the equations are PyTorch's: LSTM i, f, g, o; GRU r, z, n.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from compiler.lower.kernels import recurrent_gru, recurrent_lstm, recurrent_rnn
from compiler.lower.kernels.recurrent_core import dense, wide_type
from compiler.lower.kernels.reverse_only import reverse_only

Array = jax.Array

# Fewer are filled up with zeros: products with a few columns are no products to XLA on a CPU.
# 784 steps of 32 rows with one feature into 128 units took 25 ms in place of 55.
FEATURES = 16


def rnn(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None = None,
    recurrent_bias: Array | None = None, h0: Array | None = None,
    lengths: Array | None = None, reverse: bool = False, activation: str = "tanh",
    recurrent_mask: Array | None = None,
) -> tuple[Array, Array]:
    """h' = act(x W + b + h U + b_r), Elman 1990.

    Args:
        x: (batch, time, features).
        kernel: W (features, units).
        recurrent_kernel: U (units, units).
        bias: b (units,).
        recurrent_bias: b_r (units,).
        h0: the initial state (batch, units); zeros where not given.
        lengths: (batch,), real steps of each row.
        reverse: from each row's last step to its first.
        activation: "tanh" or "relu".
        recurrent_mask: (batch, units), multiplies h where it enters the product at every
            step (Gal & Ghahramani 2016).

    Returns:
        The sequence (batch, time, units) in x's type, the last state (batch, units) in
        float32 or wider.
    """
    steps, entry, valid, wide = _prepared(x, kernel, lengths)
    with reverse_only():
        states, h = recurrent_rnn.scan(
            dense(reverse), activation, steps, entry, _sum(bias, recurrent_bias, wide),
            recurrent_kernel.astype(x.dtype), _to(recurrent_mask, wide),
            _initial(h0, x, recurrent_kernel.shape[0], wide), valid)
    return _sequence(states, valid, x.dtype), h


def lstm(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None = None,
    recurrent_bias: Array | None = None, h0: Array | None = None, c0: Array | None = None,
    lengths: Array | None = None, reverse: bool = False, projection: Array | None = None,
    recurrent_mask: Array | None = None,
) -> tuple[Array, Array, Array]:
    """i, f, g, o = x W + b + h U + b_r; c' = σ(f) c + σ(i) tanh(g); h' = σ(o) tanh(c').

    Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000.

    Args:
        x: (batch, time, features).
        kernel: W (features, 4 · units).
        recurrent_kernel: U (state, 4 · units).
        bias: b (4 · units,).
        recurrent_bias: b_r (4 · units,).
        h0: the initial state (batch, state); zeros where not given.
        c0: the initial cell (batch, units); zeros where not given.
        lengths: (batch,), real steps of each row.
        reverse: from each row's last step to its first.
        projection: (units, state), makes the state from the gated cell (Sak et al. 2014);
            without it, state and units are one size.
        recurrent_mask: (batch, state), multiplies h where it enters the product at every
            step (Gal & Ghahramani 2016).

    Returns:
        The sequence (batch, time, state) in x's type; the last state (batch, state) and the
        last cell (batch, units) in float32 or wider.
    """
    steps, entry, valid, wide = _prepared(x, kernel, lengths)
    with reverse_only():
        states, h, c = recurrent_lstm.scan(
            dense(reverse), steps, entry, _sum(bias, recurrent_bias, wide),
            recurrent_kernel.astype(x.dtype), _to(projection, x.dtype), _to(recurrent_mask, wide),
            _initial(h0, x, recurrent_kernel.shape[0], wide),
            _initial(c0, x, recurrent_kernel.shape[1] // 4, wide), valid)
    return _sequence(states, valid, x.dtype), h, c


def gru(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None = None,
    recurrent_bias: Array | None = None, h0: Array | None = None,
    lengths: Array | None = None, reverse: bool = False, reset: str = "after",
    recurrent_mask: Array | None = None,
) -> tuple[Array, Array]:
    """r, z = σ(x W + b + h U + b_r); h' = (1 - z) n + z h, Cho et al. 2014.

    n = tanh(x W_n + b_n + r (h U_n + b_rn)) where the reset comes after the product (cuDNN,
    PyTorch, Keras), n = tanh(x W_n + b_n + (r h) U_n + b_rn) before it (the paper).

    Args:
        x: (batch, time, features).
        kernel: W (features, 3 · units).
        recurrent_kernel: U (units, 3 · units).
        bias: b (3 · units,).
        recurrent_bias: b_r (3 · units,).
        h0: the initial state (batch, units); zeros where not given.
        lengths: (batch,), real steps of each row.
        reverse: from each row's last step to its first.
        reset: "after" or "before".
        recurrent_mask: (batch, units), multiplies h where it enters the product at every
            step (Gal & Ghahramani 2016).

    Returns:
        The sequence (batch, time, units) in x's type, the last state (batch, units) in
        float32 or wider.
    """
    steps, entry, valid, wide = _prepared(x, kernel, lengths)
    units = recurrent_kernel.shape[0]
    hidden = (recurrent_kernel.astype(x.dtype), _to(recurrent_mask, wide),
              _initial(h0, x, units, wide), valid)
    if reset == "before":
        with reverse_only():
            states, h = recurrent_gru.scan_before(
                dense(reverse), steps, entry, _sum(bias, recurrent_bias, wide), *hidden)
        return _sequence(states, valid, x.dtype), h
    inner = None
    if recurrent_bias is not None:
        # The candidate's recurrent bias is inside the reset; the others join the input's.
        inner = recurrent_bias[2 * units:].astype(wide)
        recurrent_bias = recurrent_bias.at[2 * units:].set(0)
    with reverse_only():
        states, h = recurrent_gru.scan_after(
            dense(reverse), steps, entry, _sum(bias, recurrent_bias, wide), inner,
            *hidden)
    return _sequence(states, valid, x.dtype), h


def _prepared(
    x: Array, kernel: Array, lengths: Array | None,
) -> tuple[Array, Array, Array | None, jnp.dtype]:
    """x (time, batch, features), its kernel, which steps are real (time, batch), the wide type."""
    valid, features = None, x.shape[-1]
    x = jnp.swapaxes(x, 0, 1)
    if lengths is not None:
        valid = jnp.arange(x.shape[0])[:, None] < lengths
        x = jnp.where(valid[..., None], x, 0)
    more = max(0, FEATURES - features)
    x, kernel = jnp.pad(x, ((0, 0), (0, 0), (0, more))), jnp.pad(kernel, ((0, more), (0, 0)))
    return x, kernel.astype(x.dtype), valid, wide_type(x.dtype)


def _sequence(states: Array, valid: Array | None, dtype: jnp.dtype) -> Array:
    """(batch, time, state) from (time, batch, state), 0 at padded steps."""
    if valid is not None:
        states = jnp.where(valid[..., None], states, 0)
    return jnp.swapaxes(states, 0, 1).astype(dtype)


def _initial(state: Array | None, x: Array, units: int, dtype: jnp.dtype) -> Array:
    return jnp.zeros((x.shape[0], units), dtype) if state is None else state.astype(dtype)


def _sum(bias: Array | None, other: Array | None, dtype: jnp.dtype) -> Array | None:
    if bias is None or other is None:
        return _to(other if bias is None else bias, dtype)
    return bias.astype(dtype) + other.astype(dtype)


def _to(array: Array | None, dtype: jnp.dtype) -> Array | None:
    return None if array is None else array.astype(dtype)
