"""What the scans of recurrent layers share; their gradients are written by hand.

The forward scan multiplies each step's input by its kernel where it needs it, and keeps the
gates. One product for all steps before the scan would be as fast by itself, but its slices,
whose place is known only at run time, keep XLA from vectorising the gates that read them, and
it is written to memory and read again. The backward scan multiplies by the transposed recurrent
kernel alone and leaves the gradient of every pre-activation; gradients of the input, the
kernels and the biases follow from those as one product or sum over all steps. JAX
differentiates the forward rule and the backward pass like any other code, so second
derivatives work.

Shapes in words: `x` is (time, batch, …, features), pre-activations are
(batch, …, gates · units), states (batch, …, units); the dots are nothing for dense layers,
space for convolutional ones. Where there is no `entry`, the kernel of the input, `x` has been
multiplied by it already and is (time, batch, …, gates · units). Gates, cells and states are
float32 or wider whatever the type of the input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array

# Columns up to which a kernel's gradient is faster with its operand written out transposed:
# 17 in place of 23 ms for (8192, 128 and 256 columns, 1024), 43 and 43 for (4480, 650, 2600).
NARROW = 512


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
    columns = h.reshape(-1, h.shape[-1]).astype(kernel.dtype).T
    if h.shape[-1] <= NARROW:
        # Written out transposed; XLA would otherwise multiply by strides.
        columns = jax.lax.optimization_barrier(columns)
    return columns @ dz.reshape(-1, dz.shape[-1]).astype(kernel.dtype)


def enter(how: Recurrence, x: Array, entry: Array | None) -> Array:
    """The input's part of a step's pre-activations, or of all steps at once."""
    return x if entry is None else how.multiply(x, entry)


def entry_gradients(
    how: Recurrence, x: Array, entry: Array | None, dz: Array,
) -> tuple[Array, Array | None]:
    """Gradients of the input (time, batch, …, features) and its kernel, from those of all steps."""
    if entry is None:
        return dz.astype(x.dtype), None
    rows = dz.reshape(-1, dz.shape[-1])
    d_x = how.multiply(rows, how.transpose(entry)).reshape(x.shape).astype(x.dtype)
    return d_x, how.weight_gradient(x, dz, entry)


def dense(reverse: bool) -> Recurrence:
    """A state that is multiplied by a matrix."""
    return Recurrence(multiply, jnp.transpose, weight_gradient, reverse)


def backward_scan(
    step: Callable[[Any, Any], tuple[Any, Any]], first: Any, at: Any, states: Array,
    how: Recurrence,
) -> tuple[Any, Any]:
    """`lax.scan` against the direction of `how`, with memory for its results only when they come.

    `lax.scan` begins with zeros, which XLA makes as early as it can: the room for the gradients
    of all steps would stand there while the forward pass needs its own. What the room is filled
    with does not matter; a number from the forward pass makes it wait for that.

    Args:
        step: of a carry and a step's slices: the next carry, and arrays to stack.
        first: the carry to begin with.
        at: arrays (time, …) to slice.
        states: (time, …), made by the forward pass.
        how: its direction is that of the forward pass.
    """
    slices = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape[1:], array.dtype), at)
    _, shapes = jax.eval_shape(step, first, slices)
    any_number = jax.lax.stop_gradient(states[0].reshape(-1)[0])
    room = jax.tree.map(lambda shape: jnp.broadcast_to(
        any_number.astype(shape.dtype), (len(states), *shape.shape)), shapes)

    def turn(carry: Any, number_at: Any) -> tuple[Any, None]:
        (carry, room), (number, at) = carry, number_at
        carry, made = step(carry, at)
        return (carry, jax.tree.map(
            lambda all, one: jax.lax.dynamic_update_index_in_dim(all, one, number, 0),
            room, made)), None

    ended, _ = jax.lax.scan(
        turn, (first, room), (jnp.arange(len(states)), at), reverse=not how.reverse)
    return ended


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
