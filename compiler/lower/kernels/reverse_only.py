"""Forward mode, which gradients written by hand do not have: an error that names the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reverse_only() -> Iterator[None]:
    """Run a kernel with a gradient of its own.

    Raises:
        TypeError: it is differentiated forwards (`jax.jvp`, `jax.jacfwd`).
    """
    try:
        yield
    except TypeError as error:
        if "forward-mode" not in str(error):
            raise
        raise TypeError(
            "the kernels of convolutions, norms and recurrent layers have gradients of their "
            "own, in reverse mode (jax.grad, jax.vjp) only; for forward mode build the model with "
            'kernels="reference", or say `compile: {kernels: reference}` under `train`') from error
