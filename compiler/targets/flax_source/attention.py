"""Attention: local classes whose arrays have the spec's names."""

from __future__ import annotations

from typing import assert_never

from compiler.ops.attention import (
    Attention,
    AttentionOperator,
    MultiHeadAttention,
    PositionalEncoding,
)
from compiler.targets.flax_source.code import Code, call
from compiler.targets.flax_source.site import Piece, Site, dim, options


def attention(op: AttentionOperator, site: Site) -> Piece:
    """Local classes, and functions for what owns nothing."""
    match op:
        case Attention():
            return _attention(op, site)
        case MultiHeadAttention():
            return _multi_head(op, site)
        case PositionalEncoding():
            return _positions(op, site)
        case _:
            assert_never(op)


def _mask(site: Site, i: int) -> str:
    """The argument that tells which places of a memory are real."""
    if not site.lens[i]:
        return ""
    site.file.need("real_places")
    axis = dim(site.types[i], "time")
    more = f", axis={axis}" if axis != 1 else ""
    return f", real_places({{{i}}}, {{n{i}}}{more})"


def _attention(op: Attention, site: Site) -> Piece:
    query, memory = site.types
    shown = ""
    if "weights" in site.node.outputs:
        shown = ", shown=True"
        site.file.need("attend", "shown")
    site.file.need("attend", *(["mask"] if site.lens[1] else []))
    site.file.need("weights_of")
    site.file.need("places")
    scale = (op.scaled, False)
    if op.score == "dot":
        run = call("attend", first=f"{{0}}, {{1}}{_mask(site, 1)}{shown}", scaled=scale)
        return Piece(run, None, site.same)
    init = site.begins("kernel" if op.score == "general" else "query_kernel", "lecun_normal")
    given = options(kernel_init=(init, None))
    if op.score == "general":
        head = site.file.need("GeneralAttention")
        made = call(head, ("channels", query.channels), ("seen", memory.channels), rngs=True,
                    scaled=scale, **given)
    else:
        head = site.file.need("AdditiveAttention")
        made = call(head, ("channels", query.channels), ("seen", memory.channels),
                    ("units", op.units or query.channels), rngs=True, scaled=scale, **given)
    return Piece(Code(f"{{self}}({{0}}, {{1}}{_mask(site, 1)}{shown})"), made, site.same)


def _multi_head(op: MultiHeadAttention, site: Site) -> Piece:
    query, memory = site.types[0], site.types[-1]
    features = {"dropout": op.dropout > 0, "causal": op.causal}
    head = site.file.need("MultiHeadAttention", *(name for name, on in features.items() if on))
    site.file.need("weights_of")
    site.file.need("places")
    init = site.begins("query_kernel", "glorot_uniform")
    made = call(head, ("channels", query.channels), ("seen", memory.channels),
                ("units", op.width(query)), ("heads", op.heads), rngs=True,
                causal=(op.causal, False), dropout=(op.dropout, 0.0), use_bias=(op.bias, True),
                **options(kernel_init=(init, None)))
    last = len(site.types) - 1
    return Piece(Code(f"{{self}}({{0}}, {{{last}}}{_mask(site, last)})"), made, site.same)


def _positions(op: PositionalEncoding, site: Site) -> Piece:
    axis = dim(site.x, "time")
    view = "" if axis == len(site.x.axes) - 1 else \
        f"[:{', None' * (len(site.x.axes) - axis - 1)}]"
    if op.kind == "sinusoidal":
        site.file.need("sinusoids")
        return Piece(Code(f"{{0}} + sinusoids({{0}}.shape[{axis}], {{0}}.shape[-1]){view}"), None,
                     site.same)
    head = site.file.need("LearnedPositions")
    made = call(head, ("length", op.table(site.x)), ("channels", site.x.channels), rngs=True,
                **options(init=(site.begins("embedding"), None)))
    return Piece(Code(f"{{0}} + {{self}}({{0}}.shape[{axis}]){view}"), made, site.same)
