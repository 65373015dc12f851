"""Joins: axes are aligned by name, lengths are brought together."""

from __future__ import annotations

from typing import assert_never

from compiler.ops.combine import (
    Add,
    Average,
    CombineOperator,
    Concat,
    Matmul,
    Maximum,
    Multiply,
    Stack,
    Subtract,
)
from compiler.targets.flax_source.code import Code
from compiler.targets.flax_source.site import Piece, Site, dim
from compiler.types import AXES, TensorType


def join(op: CombineOperator, site: Site) -> Piece:
    """Operators of Python and functions of jnp."""
    match op:
        case Add():
            return _elementwise(site, " + ")
        case Subtract():
            return _elementwise(site, " - ")
        case Multiply():
            return _elementwise(site, " * ")
        case Average():
            piece = _elementwise(site, " + ")
            return Piece(Code(f"({piece.run.text}) / {len(site.types)}"), None, piece.lengths)
        case Maximum():
            operands = _aligned(site)
            text = operands[0]
            for other in operands[1:]:
                text = f"jnp.maximum({text}, {other})"
            return Piece(Code(text), None, _shortest(site))
        case Concat():
            return _concat(op, site)
        case Stack():
            return _stack(op, site)
        case Matmul():
            return _matmul(op, site)
        case _:
            assert_never(op)


def _elementwise(site: Site, sign: str) -> Piece:
    return Piece(Code(sign.join(_aligned(site))), None, _shortest(site))


def _axes(site: Site) -> tuple[str, ...]:
    """The axes of all inputs together."""
    return tuple(a for a in AXES if any(a in t.axes for t in site.types))


def _aligned(site: Site) -> list[str]:
    """The inputs with the same axes in the same order, of size 1 where one lacks an axis."""
    axes = _axes(site)
    return [f"{{{i}}}{_view(t, axes)}" for i, t in enumerate(site.types)]


def _view(type: TensorType, axes: tuple[str, ...]) -> str:
    """What makes a tensor of `type` one of `axes`: a transposition, an index with None."""
    order = [a for a in axes if a in type.axes]
    text = ""
    if tuple(order) != type.axes:
        text = f".transpose(0, {', '.join(str(dim(type, a)) for a in order)})"
    if set(axes) - set(type.axes):
        index = [":", *(":" if a in type.axes else "None" for a in axes)]
        while index[-1] == ":":
            index.pop()
        text += f"[{', '.join(index)}]"
    return text


def _shortest(site: Site) -> int | Code | None:
    """The lengths of a join: a step is real where it is real in every input."""
    sizes = [t.length if "time" in t.axes else 1 for t in site.types]
    whole = [s for s in sizes if s != 1]
    having = [i for i, lens in enumerate(site.lens)
              if lens and "time" in site.types[i].axes and (sizes[i] != 1 or not whole)]
    if len(having) <= 1:
        return having[0] if having else None
    site.file.need("shortest")
    return Code(f"shortest({', '.join(f'{{n{i}}}' for i in having)})")


def _concat(op: Concat, site: Site) -> Piece:
    if len(site.types) == 1:
        return Piece(Code("{0}"), None, site.same)
    axes, operands = _axes(site), _aligned(site)
    axis = axes.index(op.axis) + 1
    last = axis == len(axes)
    if not _alike(site.types, op.axis):
        site.file.need("broadcast")
        inside = f"broadcast({', '.join(operands)}, axis={axis})"
    else:
        inside = f"[{', '.join(operands)}]"
    text = f"jnp.concatenate({inside}, axis={-1 if last else axis})"
    if op.axis != "time":
        return Piece(Code(text), None, _shortest(site))
    if not any(site.lens):
        return Piece(Code(text))
    lengths = [f"{{n{i}}}" if lens else "None" for i, lens in enumerate(site.lens)]
    both = f"({', '.join(operands)}), ({', '.join(lengths)}), {axis}"
    site.file.need("concat_steps")
    site.file.need("concat_lengths")
    if not _alike(site.types, op.axis):
        both = both.replace(f"({', '.join(operands)})", inside)
    return Piece(Code(f"concat_steps({both})"), None, Code(f"concat_lengths({both})"))


def _alike(types: tuple[TensorType, ...], axis: str) -> bool:
    """Whether tensors have the same axes and sizes but along one."""
    first = types[0].without(axis)
    return all(set(t.axes) == set(types[0].axes) and
               all(t.size(a) == first.size(a) for a in first.axes) for t in types)


def _stack(op: Stack, site: Site) -> Piece:
    axes = _axes(site)
    together = tuple(a for a in AXES if a in (*axes, op.axis))
    operands = ", ".join(_aligned(site))
    same = all(set(t.axes) == set(site.types[0].axes) and t.shape == site.types[0].shape
               for t in site.types)
    inside = f"[{operands}]" if same else f"jnp.broadcast_arrays({operands})"
    lengths = _shortest(site) if "time" in axes else None
    return Piece(Code(f"jnp.stack({inside}, axis={together.index(op.axis) + 1})"), None, lengths)


def _matmul(op: Matmul, site: Site) -> Piece:
    a, b = site.types
    columns = op.columns(b.axes)
    letters = {name: letter for name, letter in zip(AXES, "tdhwf")}
    rows = "".join(letters[x] for x in a.window_axes)
    other = "".join("c" if x == op.axis else "k" if x == columns else letters[x] for x in b.axes)
    left, right = "{0}", "{1}"
    if site.lens[1]:
        site.file.need("only_real")
        right = site.real(1)
        if op.axis == "time":
            left = f"only_real({{0}}, {{n1}}, axis={len(a.axes)})"
    in_step = "time" in b.axes and "time" not in (op.axis, columns)
    lengths = _shortest(site) if in_step else site.same
    return Piece(Code(f'jnp.einsum("b{rows}c,b{other}->b{rows}k", {left}, {right})'), None, lengths)
