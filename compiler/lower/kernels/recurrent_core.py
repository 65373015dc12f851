"""What the scans of recurrent layers share; their gradients are written by hand.

What arrives here is time-major and already multiplied by the input kernel, so that a
scan holds the recurrent product and nothing else that could be done before or after it.
The forward scan keeps the gates. The backward scan multiplies by the transposed recurrent
kernel alone and leaves the gradient of every pre-activation; gradients of kernels and
biases follow from those as one product or sum over all steps. JAX differentiates the
forward rule and the backward pass like any other code, so second derivatives work.

Shapes in words: `steps` are pre-activations (time, batch, …, gates · units), states are
(batch, …, units); the dots are nothing for dense layers, space for convolutional ones.
Gates, cells and states are float32 or wider whatever the type of the input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Recurrence(NamedTuple):
    """How a state meets its kernel, and in which direction time runs.

    Attributes:
        multiply: (batch, …, in), kernel -> (batch, …, out), linear in both.
        transpose: the kernel with which `multiply` leads back from out to in.
        weight_gradient: (time, batch, …, in), gradient (time, batch, …, out), the kernel
            -> its gradient.
        reverse: from the last step to the first.
    """

    multiply: Callable[[Array, Array], Array]
    transpose: Callable[[Array], Array]
    weight_gradient: Callable[[Array, Array, Array], Array]
    reverse: bool


def wide_type(dtype: jnp.dtype) -> jnp.dtype:
    """The type that gates, cells and sums have where arrays are of type `dtype`."""
    return jnp.promote_types(dtype, jnp.float32)


def multiply(h: Array, kernel: Array) -> Array:
    """(…, in) times (in, out) in the kernel's type, summed in a wide one."""
    wide = wide_type(kernel.dtype)
    return jnp.matmul(h.astype(kernel.dtype), kernel, preferred_element_type=wide)


def weight_gradient(h: Array, dz: Array, kernel: Array) -> Array:
    """The gradient of `multiply`'s kernel over all steps, (…, in) and (…, out) to (in, out)."""
    # Flat rows: a contraction over two axes is several times slower on CPU.
    rows = h.reshape(-1, h.shape[-1]).astype(kernel.dtype)
    return rows.T @ dz.reshape(-1, dz.shape[-1]).astype(kernel.dtype)


def dense(reverse: bool) -> Recurrence:
    """A state that is multiplied by a matrix."""
    return Recurrence(multiply, jnp.transpose, weight_gradient, reverse)


def pick(valid: Array | None, new: Array, old: Array | float) -> Array:
    """`new` in the rows for which this step is real, `old` in the others."""
    if valid is None:
        return new
    return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - valid.ndim)), new, old)


def states_before(states: Array, first: Array, reverse: bool) -> Array:
    """The state that each step began with, from those that the steps ended with."""
    if reverse:
        return jnp.concatenate([states[1:], first[None]])
    return jnp.concatenate([first[None], states[:-1]])


def masked(h: Array, mask: Array | None) -> Array:
    return h if mask is None else h * mask


def bias_gradient(bias: Array | None, dz: Array) -> Array | None:
    return None if bias is None else dz.sum(range(dz.ndim - 1)).astype(bias.dtype)


def mask_gradient(mask: Array | None, h: Array, dh: Array) -> Array | None:
    """`h` and the gradient `dh` of its masked value are (time, batch, …, state)."""
    return None if mask is None else (h * dh).sum(0).astype(mask.dtype)
