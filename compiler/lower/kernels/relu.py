"""The rectifier, written so that XLA on a CPU computes it once.

XLA fuses elementwise operations into every kernel that reads them, and on a CPU computes them again
in each. A maximum with a constant reads one tensor and is free to be repeated; with it goes all
that it is of. So in a residual network the output of a block was computed anew, from the outputs
of all convolutions before it, by the next convolution, the next sum and the gradient's mask:
of the sixth block of a ResNet-50 stage from seven tensors. A choice reads the tensor and the
condition, and what reads two XLA does not repeat.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

Array = jax.Array


@jax.custom_jvp
def relu(x: Array) -> Array:
    """The larger of `x` and 0, element by element; NaN where it is NaN."""
    return jnp.where(x <= 0, jnp.zeros((), x.dtype), x)


@relu.defjvp
def _derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """The mask is the output's sign: the input need not be kept, nor computed again."""
    y = relu(*primals)
    (tangent,) = tangents
    return y, jnp.where(y > 0, tangent, jnp.zeros((), tangent.dtype))
