"""How many steps of each row are real, as int64 tensors; and steps taken row by row."""

from __future__ import annotations

from compiler.ops.windows import Geometry
from compiler.targets.onnx.builder import Builder, Size, Tensor


def places(g: Builder, size: Size, geometry: Geometry, i: int) -> Size:
    """How many places the window has on an axis, 0 where it is too short: `window_size`.

    Args:
        g: the graph.
        size: of the axis: a number, an int64 tensor (1,), or the lengths of rows (batch,).
        geometry: the window.
        i: which of its axes.
    """
    stride, pads = geometry.stride[i], geometry.pads[i]
    more = sum(pads) - geometry.reach[i] + (2 * stride - 1 if geometry.ceil else stride)
    # ONNX divides towards zero; what is cut off at 0 here would be 0 places all the same.
    room = g.arithmetic("Max", g.arithmetic("Add", size, more), 0)
    found = g.arithmetic("Div", room, stride)
    if not geometry.ceil:
        return found
    start = g.arithmetic("Mul", g.arithmetic("Sub", found, 1), stride)
    if isinstance(start, int) and isinstance(size, int):
        return found - (1 if start >= size + pads[0] else 0)  # type: ignore[operator]
    beyond = g.node("Not", g.node(
        "Less", g.scalar(start), g.scalar(g.arithmetic("Add", size, pads[0]))))
    return g.arithmetic("Sub", found, g.cast(beyond, "int"))


def window_lengths(g: Builder, lengths: str | None, geometry: Geometry) -> str | None:
    """The lengths that a window leaves; see `compiler.lower.windows.window_lengths`."""
    if lengths is None or "time" not in geometry.axes:
        return lengths
    found = places(g, lengths, geometry, geometry.axes.index("time"))
    return where_any(g, lengths, found)


def where_any(g: Builder, lengths: str, found: Size) -> str:
    """`found`, never below 0, in rows that have a step, 0 in empty ones."""
    positive = g.node("Greater", lengths, g.constant(0, "int64"))
    least = g.arithmetic("Max", found, 0)
    return g.node("Where", positive, g.scalar(least), g.constant(0, "int64"))


def lengths_of(g: Builder, x: Tensor) -> str:
    """The lengths of the rows, all full where nobody says otherwise: (batch,)."""
    if x.lengths is not None:
        return x.lengths
    batch = g.measured(x.name, x.dim("batch"))
    return g.node("Expand", g.scalar(g.size(x, "time")), batch)


def take_rows(g: Builder, x: Tensor, index: str) -> Tensor:
    """Steps of each row by its own indices.

    Args:
        g: the graph.
        x: with a time axis.
        index: (batch, steps); what is out of range takes the nearest step.

    Returns:
        The tensor with batch and time first; its type still has the old number of steps.
    """
    rest = [a for a in x.order if a not in ("batch", "time")]
    x = g.arranged(x, ("batch", "time", *rest))
    last = g.arithmetic("Sub", g.size(x, "time"), 1)
    within = g.node("Min", g.node("Max", index, g.ints(0)), g.scalar(last))
    taken = g.node("GatherND", x.name, g.node("Unsqueeze", within, g.ints(2)), batch_dims=1)
    return Tensor(taken, x.type, x.order, x.lengths)


def column(g: Builder, lengths: str) -> str:
    """(batch,) as (batch, 1)."""
    return g.once(("column", lengths), lambda: g.node("Unsqueeze", lengths, g.ints(1)))


def per_row(g: Builder, lengths: str, rank: int) -> str:
    """(batch,) as (batch, 1, …) of a rank, beside a tensor whose first axis is the batch."""
    if rank == 1:
        return lengths
    return g.node("Unsqueeze", lengths, g.ints(*range(1, rank)))
