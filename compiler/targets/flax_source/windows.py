"""Convolutions and pools: the layers that move a window."""

from __future__ import annotations

from typing import assert_never

from compiler.ops.convolution import Conv, ConvolutionOperator, ConvTranspose
from compiler.ops.pooling import (
    AdaptiveAveragePool,
    AveragePool,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    Pool,
    PoolingOperator,
)
from compiler.ops.windows import Geometry
from compiler.targets.flax_source.code import Code, call
from compiler.targets.flax_source.site import Piece, Site, dim, dims, one_or_all, options
from compiler.types import Pads, TensorType, same_pads


def convolution(op: ConvolutionOperator, site: Site) -> Piece:
    """nnx.Conv; a local class for a standardised kernel and for a transposed convolution."""
    match op:
        case Conv():
            return _conv(op, site)
        case ConvTranspose():
            return _conv_transpose(op, site)
        case _:
            assert_never(op)


def _conv(op: Conv, site: Site) -> Piece:
    g, x = op.geometry(site.x), site.x
    channels, filters = int(x.channels or 0), int(site.out.channels or 0)
    head = site.file.need("StandardisedConv") if op.standardise else "nnx.Conv"
    made = call(
        head, ("inputs", channels), ("filters", filters), ("kernel", g.window), rngs=True,
        **options(
            strides=(one_or_all(g.stride), 1), padding=(_padding(g), "SAME"),
            kernel_dilation=(one_or_all(g.dilation), 1),
            feature_group_count=(op.groups_on(channels), 1), use_bias=(op.bias, True),
            kernel_init=(site.begins("kernel", "lecun_normal"), None),
            bias_init=(site.begins("bias", "zeros") if op.bias else None, None)))
    made = Code(made.text, {**made.values, "_same": _is_same(g, x)}, made.options)
    return Piece(Code(f"{{self}}({site.real()})"), made, _lengths(g, site))


def _padding(g: Geometry) -> int | tuple[Pads, ...]:
    """Padding as nnx.Conv takes it: one number where it is the same on all sides."""
    flat = {p for pads in g.pads for p in pads}
    return flat.pop() if len(flat) == 1 else g.pads


def _is_same(g: Geometry, x: TensorType) -> bool:
    """Whether "SAME", which nnx.Conv takes by itself, pads like this whatever the size is."""
    for i, axis in enumerate(g.axes):
        size = x.size(axis)
        if g.stride[i] == 1:
            upper = same_pads(0, g.window[i], 1, g.dilation[i], True)
        elif g.reach[i] == 1 and isinstance(size, int):
            upper = (0, 0)
        else:
            return False
        if g.pads[i] != upper:
            return False
    return True


def _lengths(g: Geometry, site: Site) -> int | Code | None:
    """The lengths that a window leaves of the first input's."""
    if not site.timed or "time" not in g.axes:
        return site.same
    i = g.axes.index("time")
    window, stride, (before, after) = g.reach[i], g.stride[i], g.pads[i]
    if stride == 1 and before + after == window - 1:
        return 0
    site.file.need("window_lengths")
    return call("window_lengths", ("window", window), ("stride", stride), first="{n0}",
                pads=((before, after), (0, 0)), ceil=(g.ceil, False))


def _conv_transpose(op: ConvTranspose, site: Site) -> Piece:
    g = op.geometry(site.x)
    head = site.file.need("ConvTranspose")
    made = call(
        head, ("inputs", site.x.channels), ("filters", op.filters), ("kernel", g.window),
        ("pads", g.pads), rngs=True,
        **options(
            strides=(one_or_all(g.stride), 1), dilation=(one_or_all(g.dilation), 1),
            groups=(op.groups, 1), use_bias=(op.bias, True),
            kernel_init=(site.begins("kernel", "lecun_normal"), None),
            bias_init=(site.begins("bias", "zeros") if op.bias else None, None)))
    lengths = site.same
    if site.timed and "time" in g.axes:
        i = g.axes.index("time")
        site.file.need("spread_lengths")
        lengths = Code("spread_lengths({n0}, {stride}, {more})",
                       {"stride": g.stride[i], "more": g.reach[i] - sum(g.pads[i])})
    return Piece(Code(f"{{self}}({site.real()})"), made, lengths)


# -- pools -------------------------------------------------------------------------------------


def pooling(op: PoolingOperator, site: Site) -> Piece:
    """nnx.max_pool, nnx.avg_pool and reductions; helpers where steps or overhangs do not count."""
    match op:
        case MaxPool():
            return _max_pool(op, site)
        case AveragePool():
            return _average_pool(op, site)
        case GlobalAveragePool():
            return _whole(site, "mean", op.axes(site.x.axes))
        case GlobalMaxPool():
            return _whole(site, "max", op.axes(site.x.axes))
        case AdaptiveAveragePool():
            return _adaptive(op, site)
        case Pool(how="last"):
            return _last(site)
        case Pool():
            return _whole(site, op.how, ("time",))
        case _:
            assert_never(op)


def _fitted(g: Geometry, site: Site) -> tuple[Pads, ...] | None:
    """The padding with the overhang of `ceil`; None where a size is not known."""
    pads = []
    for i, axis in enumerate(g.axes):
        size, places, (before, after) = site.x.size(axis), site.out.size(axis), g.pads[i]
        if g.ceil:
            if not isinstance(size, int) or not isinstance(places, int):
                return None
            after = max(after, (places - 1) * g.stride[i] + g.reach[i] - size - before)
        pads.append((before, after))
    return tuple(pads)


def _window(head: str, x: str, g: Geometry, pads: tuple[Pads, ...], **more) -> Code:
    """A pool of Flax over an expression."""
    same = all(p == (0, 0) for p in pads)
    return call(head, ("window", g.window), ("stride", g.stride), first=x,
                padding=("VALID" if same else pads, "VALID"), **more)


def _max_pool(op: MaxPool, site: Site) -> Piece:
    g = op.geometry(site.x)
    lengths, pads = _lengths(g, site), _fitted(g, site)
    if pads is None or any(d > 1 for d in g.dilation):
        site.file.need("max_pool", *(["dilation"] if any(d > 1 for d in g.dilation) else []))
        run = call("max_pool", ("window", g.window), ("stride", g.stride),
                   ("pads", g.pads), first=site.real(fill="-jnp.inf"),
                   dilation=(g.dilation, (1,) * len(g.window)), ceil=(g.ceil, False))
    else:
        run = _channelled(site, lambda x: _window("nnx.max_pool", x, g, pads),
                          site.real(fill="-jnp.inf"))
    if site.timed and "time" in g.axes:
        # A window without a real step has the largest of nothing, which must not spread.
        after = "{n0}" if lengths == 0 else "{lengths}"
        axis = dim(site.out, "time")
        run = Code(f"only_real({run.text}, {after}{f', axis={axis}' if axis != 1 else ''})",
                   run.values, run.options)
    return Piece(run, None, lengths)


def _channelled(site: Site, pool, x: str) -> Code:
    """A pool of an array, which has channels only for the time of pooling if it has none."""
    if "channels" in site.x.axes:
        return pool(x)
    code = pool(f"{x}[..., None]")
    return Code(f"{code.text}[..., 0]", code.values, code.options)


def _average_pool(op: AveragePool, site: Site) -> Piece:
    g = op.geometry(site.x)
    pads, timed = _fitted(g, site), site.timed and "time" in g.axes
    if timed or pads is None or (op.count_padding and pads != g.pads):
        site.file.need("average_pool")
        run = call("average_pool", ("window", g.window), ("stride", g.stride), ("pads", g.pads),
                   first=f"{site.real()}, {dims(site.x, g.axes)}",
                   ceil=(g.ceil, False), count_padding=(op.count_padding, True))
        if timed:
            time = dim(site.x, "time")
            run = Code(run.text[:-1] + f", lengths={{n0}}{f', time={time}' if time != 1 else ''})",
                       run.values, run.options)
    else:
        run = _channelled(site, lambda x: _window(
            "nnx.avg_pool", x, g, pads, count_include_pad=(op.count_padding, True)), site.real())
    return Piece(run, None, _lengths(g, site))


def _whole(site: Site, how: str, axes: tuple[str, ...]) -> Piece:
    """A reduction of whole axes."""
    over: int | tuple[int, ...] = dims(site.x, axes)
    if len(axes) == 1:
        over = dims(site.x, axes)[0]
    if site.timed and "time" in axes:
        head = site.file.need(f"{how}_of_real")
        axis = dim(site.x, "time")
        more = f", time={axis}" if axis != 1 else ""
        return Piece(Code(f"{head}({{0}}, {{n0}}, {over}{more})"))
    return Piece(Code(f"{{0}}.{how}({over})"), None, site.same)


def _last(site: Site) -> Piece:
    axis = dim(site.x, "time")
    if site.timed:
        head = site.file.need("last_step")
        return Piece(Code(f"{head}({{0}}, {{n0}}{f', axis={axis}' if axis != 1 else ''})"))
    return Piece(Code(f"{{0}}[{':, ' * axis}-1]"))


def _adaptive(op: AdaptiveAveragePool, site: Site) -> Piece:
    bins = op.bins(site.x)
    sizes = [site.x.size(axis) for axis in bins]
    if not (site.timed and "time" in bins):
        if all(size == n for size, n in zip(sizes, bins.values())):
            return Piece(Code("{0}"))
        if all(isinstance(size, int) and size % n == 0 for size, n in zip(sizes, bins.values())):
            window = tuple(int(size) // n for size, n in zip(sizes, bins.values()))  # type: ignore[arg-type]
            return Piece(_channelled(site, lambda x: call(
                "nnx.avg_pool", ("window", window), ("stride", window), first=x), site.real()))
    head = site.file.need("adaptive_average_pool")
    axes = dims(site.x, tuple(bins))
    by_axis = dict(zip(axes, bins.values()))
    if site.timed and "time" in bins:
        return Piece(Code(f"{head}({site.real()}, {{bins}}, lengths={{n0}}, "
                          f"time={dim(site.x, 'time')})", {"bins": by_axis}))
    return Piece(Code(f"{head}({site.real()}, {{bins}})", {"bins": by_axis}), None, site.same)
