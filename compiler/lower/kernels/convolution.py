"""The convolution, channels last, with gradients that are fast on a CPU.

XLA computes the gradient of a convolution's kernel on a CPU as a convolution whose window
is as large as the image, at a fraction of the speed of the forward pass. Here `choice.py` picks
a form for each of the three products by the shape alone: 3×3 windows of stride 1 go by
`winograd.py` where there are channels enough; images too narrow for all threads are set
side by side (`side_by_side.py`); a kernel's gradient else is one product over moved rows and
columns (`square.py`), or with a stride one for each tap, or one over all taps where the input
has few channels; `strided.py` has the input's gradient of the others, `grouped.py` the
convolutions in groups. A 1×1 convolution is a matrix product. On other
platforms, and with `kernels: reference`, everything is XLA's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from compiler.lower.kernels import choice, grouped, side_by_side, square, strided, winograd
from compiler.lower.kernels.direct import Pads, plain, taps
from compiler.lower.kernels.product import over_rows, product
from compiler.lower.kernels.reverse_only import reverse_only

# A kernel of more taps than this is left to XLA: the program would grow with each of them.
MOST_TAPS = 64
# So many pieces of the batch are convolved apart where `choice.py` says so.
PIECES = 4


def convolve(
    x: jax.Array, kernel: jax.Array, stride: Sequence[int], pads: Pads, dilation: Sequence[int],
    groups: int = 1, kernels: str = "auto",
) -> jax.Array:
    """A convolution over any number of axes.

    Args:
        x: (batch, window axes…, channels).
        kernel: (window…, channels / groups, filters), of the same dtype.
        stride, pads, dilation: for each window axis.
        groups: equal groups of channels that do not mix.
        kernels: "reference" for XLA's plain convolution and its own gradients.

    Returns:
        (batch, window axes…, filters), differentiable any number of times in reverse.

    Raises:
        TypeError: it is differentiated forwards.
    """
    stride, dilation = tuple(stride), tuple(dilation)
    pads = tuple((before, after) for before, after in pads)
    size = math.prod(kernel.shape[:-2])
    if kernels == "reference" or size > MOST_TAPS:
        return plain(x, kernel, stride, pads, dilation, groups)
    if groups > 1:
        return grouped.convolve(x, kernel, stride, pads, dilation, groups)
    if size == 1:
        return _pointwise(x, kernel, stride, pads)
    with reverse_only():
        return _convolve(x, kernel, stride, pads, dilation)


def _pointwise(x, kernel, stride, pads):
    """A window of one element: take every stride-th place and multiply."""
    if any(map(any, pads)):
        x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    if any(s > 1 for s in stride):
        x = x[(slice(None), *(slice(None, None, s) for s in stride))]
    return product(x, kernel.reshape(kernel.shape[-2:]))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolve(x, kernel, stride, pads, dilation):
    def direct(x, kernel):
        return plain(x, kernel, stride, pads, dilation)

    if _best(_shape(x, kernel, stride, pads, dilation), x, pads) is plain:
        return direct(x, kernel)
    return lax.platform_dependent(
        x, kernel, cpu=lambda x, kernel: _on_cpu(x, kernel, stride, pads, dilation),
        default=direct)


def _on_cpu(x, kernel, stride, pads, dilation):
    """The cheapest form of a convolution."""
    match _best(_shape(x, kernel, stride, pads, dilation), x, pads):
        case winograd.convolve:
            return winograd.convolve(x, kernel, pads)
        case side_by_side.convolve:
            return side_by_side.convolve(x, kernel, stride, pads)
        case _:
            return plain(x, kernel, stride, pads, dilation)


def _best(shape: choice.Shape, x, pads):
    """The function that computes it the cheapest on a CPU."""
    if choice.forward_by_winograd(shape) and all(0 <= p <= 2 for p in sum(pads, ())):
        return winograd.convolve
    if len(x) > 1 and x.ndim == 4 and choice.narrow(shape, x.shape[2], pads[1]):
        return side_by_side.convolve
    return plain


def _forward(x, kernel, stride, pads, dilation):
    return _convolve(x, kernel, stride, pads, dilation), (x, kernel)


def _backward(stride, pads, dilation, saved, gradient):
    x, kernel = saved
    shape = _shape(x, kernel, stride, pads, dilation)

    def of_input(gradient, kernel):
        return _input_gradient(gradient, kernel, x, shape, pads)

    def of_kernel(x, gradient):
        if choice.kernel_gradient_by_winograd(shape):
            return winograd.kernel_gradient(x, gradient, pads)
        if choice.kernel_gradient_as_square(shape):
            return square.kernel_gradient(x, gradient, shape.window, pads)
        if choice.kernel_gradient_by_pieces(shape):
            # XLA's window is as large as the image, and its batch the channels: it wants few.
            pieces = range(0, len(x), -(-len(x) // PIECES))
            return sum(by_xla(x[i:j], gradient[i:j], kernel)[1]
                       for i, j in zip(pieces, (*pieces[1:], len(x))))
        return _kernel_gradient(x, gradient, kernel.shape, stride, pads, dilation)

    def by_xla(x, gradient, kernel):
        return jax.vjp(lambda x, k: plain(x, k, stride, pads, dilation), x, kernel)[1](gradient)

    return lax.platform_dependent(
        x, gradient, kernel, default=by_xla,
        cpu=lambda x, gradient, kernel: (of_input(gradient, kernel), of_kernel(x, gradient)))


_convolve.defvjp(_forward, _backward)


def _shape(x, kernel, stride, pads, dilation) -> choice.Shape:
    """The shape that a form is chosen by; a window longer than its input has no places."""
    places = [max(0, (n + sum(p) - (k - 1) * d - 1) // s + 1) for n, p, k, d, s in zip(
        x.shape[1:-1], pads, kernel.shape, dilation, stride)]
    *window, channels, filters = kernel.shape
    return choice.Shape(len(x) * math.prod(places), tuple(window), channels, filters, stride,
                        dilation, exact=x.dtype != jnp.float32)


def _input_gradient(gradient, kernel, x, shape: choice.Shape, pads):
    one = (1,) * len(shape.stride)
    if shape.dilation == one:
        if shape.stride != one:
            return strided.input_gradient(
                gradient, kernel, x.shape[1:-1], shape.stride, pads,
                lambda g, k, p: _on_cpu(g, k, one, tuple(p), one))
        back = shape._replace(channels=shape.filters, filters=shape.channels)
        if _best(back, gradient, pads) is winograd.convolve:
            return winograd.input_gradient(gradient, kernel, pads)
        room = tuple((k - 1 - a, k - 1 - b) for k, (a, b) in zip(shape.window, pads))
        if all(p >= 0 for p in sum(room, ())):
            # The gradient meets the kernel upside down, and fills what the window took.
            back = jnp.swapaxes(lax.rev(kernel, tuple(range(len(one)))), -1, -2)
            return _on_cpu(gradient, back, one, room, one)
    return jax.vjp(lambda x: plain(x, kernel, shape.stride, pads, shape.dilation), x)[1](
        gradient)[0]


def _kernel_gradient(x, gradient, shape, stride, pads, dilation):
    """The gradient of a kernel (window…, channels, filters): a product with all a tap meets."""
    channels, filters = shape[-2:]
    pieces = [piece.reshape(-1, channels) for piece in taps(
        x, shape[:-2], stride, pads, dilation, gradient.shape[1:-1])]
    flat = gradient.reshape(-1, filters)
    if channels <= choice.FEW_CHANNELS:
        result = over_rows(jnp.concatenate(pieces, axis=1), flat)
    else:
        result = jnp.stack([over_rows(piece, flat) for piece in pieces])
    return result.reshape(shape).astype(x.dtype)
