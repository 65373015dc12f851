"""A convolution of images that stand side by side in one wide image.

XLA hands a convolution on a CPU to a library that cuts it into pieces for its threads by filters
and by the columns of one image, never by rows or by the batch. Narrow images with few filters are
one piece, and one thread computes them: 32 columns and 64 filters ran at half the speed of the
machine's two cores. So the batch's images are set into one, with columns of zeros between them
that serve both neighbours as padding. The copies are part of loops that XLA runs anyway, and
the output's superfluous columns are few.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from compiler.lower.kernels.direct import Pads, plain


def gap(width: int, window: int, stride: int, pads: tuple[int, int]) -> int | None:
    """Columns between two images, so that no window meets both; None where there is no such form.

    Args:
        width: of an image.
        window, stride, pads: of the convolution's columns; it is not dilated.
    """
    if min(pads) < 0 or pads[0] >= window:
        return None
    columns = max(pads)
    return columns + -(width + columns) % stride


def convolve(x: jax.Array, kernel: jax.Array, stride: Sequence[int], pads: Pads) -> jax.Array:
    """A convolution over two axes, as one over a single image of the whole batch.

    Args:
        x: (batch, height, width, channels).
        kernel: (window rows, window columns, channels, filters).
        stride, pads: for both axes; `gap` is not None for them.

    Returns:
        (batch, height, width, filters).
    """
    batch, height, width, channels = x.shape
    rows, (before, after) = pads
    window, step = kernel.shape[1], stride[1]
    columns = gap(width, window, step, (before, after))
    assert columns is not None
    places = (width + before + after - window) // step + 1
    images = jnp.pad(x, ((0, 0), (0, 0), (0, columns), (0, 0))).swapaxes(0, 1)
    wide = images.reshape(1, height, batch * (width + columns), channels)
    # What ends the last image as the next one's zeros end the others.
    end = max(0, window - step - before)
    y = plain(wide, kernel, stride, (rows, (before, end)), (1, 1))
    y = y.reshape(y.shape[1], batch, (width + columns) // step, -1)[:, :, :places]
    return y.swapaxes(0, 1)
