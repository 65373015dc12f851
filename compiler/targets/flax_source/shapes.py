"""Operators that rearrange. Along time each row is treated by its own length."""

from __future__ import annotations

from math import prod
from typing import assert_never

from compiler.ops.extent import Crop, Pad, Range, Shift, Slice, sides
from compiler.ops.shape import (
    Flatten,
    PixelShuffle,
    Reshape,
    Select,
    ShapeOperator,
    Split,
    Transpose,
    Upsample,
)
from compiler.targets.flax_source.code import Code, Text
from compiler.targets.flax_source.site import Piece, Site, dim, dims
from compiler.types import TensorType

MODES = {"zeros": "constant", "reflect": "reflect", "edge": "edge"}


def shape(op: ShapeOperator, site: Site) -> Piece:
    """Indexing and jnp's own functions; helpers where rows have lengths of their own."""
    match op:
        case Flatten():
            x = site.real()
            return Piece(Code(f"{x}.reshape({{0}}.shape[0], -1)"))
        case Reshape():
            return _reshape(op, site)
        case Transpose():
            return _transpose(op, site)
        case Pad():
            return _pad(op, site)
        case Crop():
            return _crop(op, site)
        case Slice():
            return _slice(op, site)
        case Shift():
            return _shift(op, site)
        case Upsample():
            return _upsample(op, site)
        case PixelShuffle():
            return _pixel_shuffle(op, site)
        case Split():
            return _split(op, site)
        case Select():
            return _select(op, site)
        case _:
            assert_never(op)


def _axis(axis: int) -> str:
    """The argument that names the time axis, where it is not the first one."""
    return f", axis={axis}" if axis != 1 else ""


def _index(type: TensorType, parts: dict[str, str]) -> str:
    """ "[:, ::2, :3]": an index that takes a part of some axes."""
    found = [":", *(parts.get(axis, ":") for axis in type.axes)]
    while found[-1] == ":":
        found.pop()
    return f"[{', '.join(found)}]"


def _reshape(op: Reshape, site: Site) -> Piece:
    sizes = ", ".join(map(str, op.shape))
    code = f".reshape({{0}}.shape[0], {sizes})"
    x, names = site.x, op.names()
    if not site.timed or x.axes[0] != "time" or names[:1] != ("time",):
        return Piece(Code(site.real() + code))
    before = prod(s for s in x.shape[1:] if isinstance(s, int))
    after = prod(s for s in site.out.shape[1:] if isinstance(s, int))
    if before == after:
        return Piece(Code("{0}" + code), None, 0)
    site.file.need("scaled_lengths")
    return Piece(Code(site.real() + code), None,
                 Code("scaled_lengths({n0}, {before}, {after})",
                      {"before": before, "after": after}))


def _transpose(op: Transpose, site: Site) -> Piece:
    names = op.names or op.axes
    stays = ("time", "time") in zip(op.axes, names)
    order = ", ".join(map(str, (0, *dims(site.x, op.axes))))
    x = "{0}" if stays else site.real()
    return Piece(Code(f"{x}.transpose({order})"), None, 0 if stays and site.timed else None)


def _pad(op: Pad, site: Site) -> Piece:
    pads = {axis: sides(value) for axis, value in op.chosen(site.x).items()}
    x, lengths = "{0}", site.same
    if site.timed and "time" in pads:
        site.file.need("pad_rows")
        before, after = pads.pop("time")
        site.file.need("longer_rows")
        empty = ", empty=True" if op.mode == "zeros" else ""
        lengths = Code(f"longer_rows({{n0}}, {{more}}{empty})", {"more": before + after})
        if op.mode != "zeros":
            site.file.need("take_steps")
        axis = dim(site.x, "time")
        x = f"pad_rows({{0}}, {{n0}}, {before}, {after}, \"{MODES[op.mode]}\"{_axis(axis)})"
        if op.mode == "zeros":
            site.file.need("only_real")
        if not pads:
            return Piece(Code(x), None, lengths)
    widths = ((0, 0), *(pads.get(axis, (0, 0)) for axis in site.x.axes))
    mode = "" if op.mode == "zeros" else f', mode="{MODES[op.mode]}"'
    return Piece(Code(f"jnp.pad({x}, {{widths}}{mode})", {"widths": widths}), None, lengths)


def _crop(op: Crop, site: Site) -> Piece:
    cuts = op.cuts(site.x)
    parts, lengths = {}, site.same
    for axis, (before, after) in cuts.items():
        if before or after:
            parts[axis] = f"{before or ''}:{f'-{after}' if after else ''}"
    if site.timed and "time" in parts:
        site.file.need("longer_rows")
        lengths = Code("longer_rows({n0}, {more}, empty=True)", {"more": -sum(cuts["time"])})
    return Piece(Code("{0}" + _index(site.x, parts)), None, lengths)


def _slice(op: Slice, site: Site) -> Piece:
    chosen = op.chosen(site.x)
    time: Range | None = chosen.pop("time", None) if site.timed else None
    parts = {axis: _range(part) for axis, part in chosen.items()}
    index = _index(site.x, parts) if parts else ""
    if time is None:
        return Piece(Code("{0}" + index), None, site.same)
    site.file.need("slice_rows")
    site.file.need("take_steps")
    site.file.need("slice_lengths")
    values = f"{time.start}, {time.stop}, {time.step}"
    axis = dim(site.x, "time")
    return Piece(Code(f"slice_rows({{0}}, {{n0}}, {values}{_axis(axis)}){index}"), None,
                 Code(f"slice_lengths({{n0}}, {values})"))


def _range(part: Range) -> str:
    start, stop = ("" if v is None else str(v) for v in (part.start, part.stop))
    return f"{start}:{stop}" + (f":{part.step}" if part.step != 1 else "")


def _shift(op: Shift, site: Site) -> Piece:
    site.file.need("shift")
    fill = Text(repr(int(op.fill) if site.x.dtype == "int" else float(op.fill)))
    text = "{0}"
    for axis, by in op.chosen(site.x).items():
        x = text
        if axis == "time":
            fills = repr(float(op.fill)) if site.x.dtype == "float" else fill
            x = site.real(fill=fills if float(op.fill) else 0)
        text = f"shift({x}, {by}, {dim(site.x, axis)}" + (f", {fill})" if op.fill else ")")
    return Piece(Code(text), None, site.same)


def _upsample(op: Upsample, site: Site) -> Piece:
    scales = {axis: scale for axis, scale in op.scales(site.x).items() if scale > 1}
    lengths: int | Code | None = site.same
    if site.timed and scales.get("time", 1) > 1:
        site.file.need("scaled_lengths")
        lengths = Code("scaled_lengths({n0}, {scale}, 1)", {"scale": scales["time"]})
    if op.method == "nearest":
        text = "{0}"
        for axis, scale in scales.items():
            text += f".repeat({scale}, {dim(site.x, axis)})"
        return Piece(Code(text), None, lengths)
    site.file.need("resize")
    factors = {dim(site.x, axis): scale for axis, scale in scales.items()}
    x = "{0}"
    if site.timed:
        site.file.need("take_steps")
        site.file.need("last_step_goes_on")
        x = f"last_step_goes_on({{0}}, {{n0}}{_axis(dim(site.x, 'time'))})"
    return Piece(Code(f"resize({x}, {{factors}})", {"factors": factors}), None, lengths)


def _pixel_shuffle(op: PixelShuffle, site: Site) -> Piece:
    site.file.need("pixel_shuffle")
    factors = op.factors(site.x.window_axes)
    lengths: int | Code | None = site.same
    factor = dict(zip(site.x.window_axes, factors)).get("time", 1)
    if site.timed and factor > 1:
        site.file.need("scaled_lengths")
        lengths = Code("scaled_lengths({n0}, {scale}, 1)", {"scale": factor})
    return Piece(Code("pixel_shuffle({0}, {factors})", {"factors": factors}), None, lengths)


def _split(op: Split, site: Site) -> Piece:
    sizes, axis = op.pieces(site.x), dim(site.x, op.axis)
    if len(sizes) == 1:
        return Piece(Code("{0}"), None, site.same)
    ends = [sum(sizes[:i + 1]) for i in range(len(sizes) - 1)]
    how = Text(len(sizes)) if len(set(sizes)) == 1 else Text(ends)
    lengths = site.same
    if site.timed and op.axis == "time":
        # Each part has lengths of its own; the node's outputs take them one by one.
        site.file.need("split_lengths")
        lengths = Code(f"split_lengths({{n0}}, {sizes})")
    return Piece(Code(f"jnp.split({{0}}, {how}, axis={axis})"), None, lengths)


def _select(op: Select, site: Site) -> Piece:
    axis, place = dim(site.x, op.axis), op.place
    if op.axis == "time" and site.timed:
        site.file.need("select_step")
        site.file.need("take_steps")
        return Piece(Code(f"select_step({{0}}, {{n0}}, {place}{_axis(axis)})"))
    return Piece(Code(f"{{0}}[{':, ' * axis}{place}]"), None, site.same)
