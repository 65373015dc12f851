"""The convolutional LSTM (Shi et al. 2015, without peepholes): images over time.

The input's convolution of all steps is one convolution before the scan, of batch · time
images; the scan and its gradient are those of the dense LSTM with convolutions in place of
products. A convolution's gradient inside a scan is many times slower on CPU than outside,
and here only the state's own is inside.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from compiler.lower.kernels import recurrent_lstm
from compiler.lower.kernels.convolution import convolve, plain
from compiler.lower.kernels.recurrent_core import Recurrence, pick, wide_type
from compiler.lower.kernels.reverse_only import reverse_only

Array = jax.Array


def conv_lstm(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None = None,
    h0: Array | None = None, c0: Array | None = None, lengths: Array | None = None,
    kernels: str = "auto",
) -> tuple[Array, Array, Array]:
    """i, f, g, o = x * W + b + h * U; c' = σ(f) c + σ(i) tanh(g); h' = σ(o) tanh(c').

    Args:
        x: (batch, time, space…, features).
        kernel: W (window…, features, 4 · filters), every side of the window odd.
        recurrent_kernel: U (window…, filters, 4 · filters).
        bias: b (4 · filters,).
        h0: the initial state (batch, space…, filters); zeros where not given.
        c0: the initial cell (batch, space…, filters); zeros where not given.
        lengths: (batch,), real steps of each row; others change nothing.
        kernels: "reference" for a plain scan of XLA's convolutions and autodiff.

    Returns:
        The sequence (batch, time, space…, filters) in x's type, 0 at padded steps; the last
        state and the last cell (batch, space…, filters) in float32 or wider.

    Raises:
        TypeError: it is differentiated forwards.
    """
    batch, time, *space, features = x.shape
    filters, wide = recurrent_kernel.shape[-2], wide_type(x.dtype)
    x = jnp.swapaxes(x, 0, 1)
    valid = None
    if lengths is not None:
        valid = jnp.arange(time)[:, None] < lengths
        x = pick(valid, x, 0)
    images = x.reshape(time * batch, *space, features)
    steps = _same(images, kernel.astype(x.dtype), kernels)
    zeros = jnp.zeros((batch, *space, filters), wide)
    arguments = (
        steps.reshape(time, batch, *space, -1), None, None if bias is None else bias.astype(wide),
        recurrent_kernel.astype(x.dtype), None, None,
        zeros if h0 is None else h0.astype(wide), zeros if c0 is None else c0.astype(wide), valid)
    if kernels == "reference":
        states, h, c = recurrent_lstm.plain_scan(REFERENCE, *arguments)
    else:
        with reverse_only():
            states, h, c = recurrent_lstm.scan(CONVOLUTION, *arguments)
    states = states if valid is None else pick(valid, states, 0)
    return jnp.swapaxes(states, 0, 1).astype(x.dtype), h, c


def conv_lstm_cell(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h: Array, c: Array,
    kernels: str = "auto",
) -> tuple[Array, Array]:
    """One step of `conv_lstm`.

    Args:
        x: (batch, space…, features).
        kernel: W, as for `conv_lstm`; so are `recurrent_kernel` and `bias`.
        h: the state before the step (batch, space…, filters).
        c: the cell before the step (batch, space…, filters).

    Returns:
        The next state and the next cell (batch, space…, filters) in float32 or wider.
    """
    wide = wide_type(x.dtype)
    z = _same(x, kernel.astype(x.dtype), kernels).astype(wide)
    z += _same(h.astype(x.dtype), recurrent_kernel.astype(x.dtype), kernels).astype(wide)
    i, f, g, o = jnp.split(z if bias is None else z + bias.astype(wide), 4, axis=-1)
    c = jax.nn.sigmoid(f) * c.astype(wide) + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _same(x: Array, kernel: Array, kernels: str = "auto") -> Array:
    """(batch, space…, in), (window…, in, out) -> (batch, space…, out), padded with zeros."""
    rank = kernel.ndim - 2
    pads = tuple((k // 2, k // 2) for k in kernel.shape[:-2])
    if kernels == "reference":
        return plain(x, kernel, (1,) * rank, pads, (1,) * rank)
    return convolve(x, kernel, (1,) * rank, pads, (1,) * rank)


def _multiply(h: Array, kernel: Array) -> Array:
    return _same(h.astype(kernel.dtype), kernel).astype(wide_type(kernel.dtype))


def _multiply_plain(h: Array, kernel: Array) -> Array:
    return _same(h.astype(kernel.dtype), kernel, "reference").astype(wide_type(kernel.dtype))


def _transpose(kernel: Array) -> Array:
    # An odd window padded alike on both sides leads back through its mirror image.
    return jnp.swapaxes(lax.rev(kernel, tuple(range(kernel.ndim - 2))), -1, -2)


def _weight_gradient(h: Array, dz: Array, kernel: Array) -> Array:
    images = h.reshape(-1, *h.shape[2:]).astype(kernel.dtype)
    gradient = dz.reshape(-1, *dz.shape[2:]).astype(kernel.dtype)
    return jax.vjp(lambda k: _same(images, k), kernel)[1](gradient)[0]


CONVOLUTION = Recurrence(_multiply, _transpose, _weight_gradient, reverse=False)
REFERENCE = Recurrence(_multiply_plain, _transpose, _weight_gradient, reverse=False)
