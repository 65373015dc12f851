"""Which form of a convolution's three products is the cheapest on a CPU: a small cost model.

Costs count multiply-adds of a fast matrix product for each place of the output and each
channel · filter; moving an element through a transform costs as much as many of them. The
figures are measured ratios, not times of one machine: a form is chosen where it wins clearly.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from compiler.lower.kernels.side_by_side import gap

# Elements that Winograd's transforms move, in multiply-adds: one of an image, one of a kernel.
MOVE_IMAGE, MOVE_KERNEL = 180.0, 200.0
# Multiply-adds of a 3×3 window for each place, direct and by F(2×2, 3×3).
DIRECT, WINOGRAD = 9.0, 4.0
# A form must be this much cheaper than XLA's own: it is thirty loops to compile instead of none.
CLEARLY = 1.6
# And a kernel's gradient is compiled for a second to save half of a work of so many multiply-adds.
WORTH_COMPILING = 1.5e9
# Fewer channels or filters than this leave the matrix unit idle in a product for each tile place.
FEWEST = 64
# The gradient of a kernel is a product for each of a tile's 16 places: it takes more of both.
FEWEST_FOR_KERNEL = 96
# Up to so many input channels the slices of all taps are multiplied at once: one product of
# taps · channels rows uses the machine better than many products of a few rows.
FEW_CHANNELS = 16
# A window of so many taps is large: the slices of all of them are much more than the input.
LARGE_WINDOW = 25
# Matrix products over fewer rows than this are all overhead.
FEWEST_PLACES = 64
# An image with as many columns is cut into pieces enough for a few threads.
WIDE_IMAGE = 128
# Rows of a batch from which a recurrent layer multiplies transposed states, and of which multiple:
# as many numbers as a register holds.
MANY_ROWS, REGISTER = 64, 16
# Between images that are set side by side may be one column of zeros for so many real ones.
COLUMNS_TO_GAP = 6


class Shape(NamedTuple):
    """A convolution's shape.

    Attributes:
        places: of the output, batch included.
        window: of the kernel.
        channels: of the input.
        filters: of the output.
        stride, dilation: for each window axis.
        exact: another type than float32, whose own accuracy Winograd's sums would change.
    """

    places: int
    window: tuple[int, ...]
    channels: int
    filters: int
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    exact: bool

    @property
    def taps(self) -> int:
        """Elements of the window."""
        return math.prod(self.window)


def fits_winograd(shape: Shape) -> bool:
    """Whether F(2×2, 3×3) computes it at all."""
    return (shape.window == (3, 3) and shape.stride == shape.dilation == (1, 1)
            and not shape.exact and min(shape.channels, shape.filters) >= FEWEST
            and shape.places >= FEWEST_PLACES)


def forward_by_winograd(shape: Shape) -> bool:
    """Whether the output, or the input's gradient, is cheaper by Winograd than direct."""
    if not fits_winograd(shape):
        return False
    products = shape.channels * shape.filters
    moved = (shape.channels + shape.filters) * shape.places * MOVE_IMAGE + products * MOVE_KERNEL
    return CLEARLY * (WINOGRAD * products * shape.places + moved) < DIRECT * products * shape.places


def narrow(shape: Shape, width: int, pads: tuple[int, int]) -> bool:
    """Whether images of so many columns are convolved side by side, for threads to share them."""
    columns = gap(width, shape.window[-1], shape.stride[-1], pads)
    return (not shape.exact and shape.taps > 1 and set(shape.dilation) == {1}
            and width // shape.stride[-1] < WIDE_IMAGE
            and columns is not None and COLUMNS_TO_GAP * columns <= width)


def kernel_gradient_by_winograd(shape: Shape) -> bool:
    """Whether the kernel's gradient is: a product a tap costs twice as much, whatever the shape."""
    work = DIRECT * shape.channels * shape.filters * shape.places
    return (fits_winograd(shape) and work >= WORTH_COMPILING
            and min(shape.channels, shape.filters) >= FEWEST_FOR_KERNEL)


def kernel_gradient_as_square(shape: Shape) -> bool:
    """Whether else it is one product over the moved rows and columns of all taps."""
    return (len(shape.window) == 2 and min(shape.window) > 1 and max(shape.window) <= 5
            and set(shape.stride) == set(shape.dilation) == {1}
            and shape.channels > FEW_CHANNELS)


def kernel_gradient_by_pieces(shape: Shape) -> bool:
    """Whether it is XLA's, of a piece of the batch at a time: the stem of a network."""
    return shape.taps >= LARGE_WINDOW and shape.channels <= 4


def states_by_columns(batch: int, exact: bool) -> bool:
    """Whether a recurrent layer without a gradient keeps its states as (state, batch).

    With 20 rows of 650 units that took 1.4 times as long, with 64 and 128 rows 0.9 times. A batch
    whose size an exported program leaves open has rows.
    """
    return (not exact and isinstance(batch, int)
            and batch >= MANY_ROWS and batch % REGISTER == 0)
