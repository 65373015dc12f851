"""Spectrograms as a local function."""

from __future__ import annotations

from compiler.ops.spectrum import SpectrumOperator
from compiler.targets.flax_source.code import Code
from compiler.targets.flax_source.site import Piece, Site


def spectrum(op: SpectrumOperator, site: Site) -> Piece:
    """The local function `log_mel`, with what the fields come to."""
    site.file.need("log_mel")
    site.file.need("mel_filters")
    values = {"rate": op.rate, "bands": op.bands, "size": op.size, "hop": op.hop,
              "points": op.transformed}
    more = (("low", float(op.low), 0.0), ("high", op.high, None), ("scale", op.scale, "htk"),
            ("floor", op.floor, 1e-6))
    options = tuple((name, default) for name, _, default in more)
    holes = "{rate}, {bands}, {size}, {hop}, {points}{*}"
    values |= {name: value for name, value, _ in more}
    text = f"log_mel({site.real()}, {holes})"
    lengths: Code | None = None
    if site.timed:
        site.file.need("frame_lengths")
        lengths = Code("frame_lengths({n0}, {size}, {hop})", {"size": op.size, "hop": op.hop})
    if op.normalise != "none":
        site.file.need("normalised_steps")
        rows = (f", frame_lengths({{n0}}, {op.size}, {op.hop})" if site.timed else ", None")
        text = f"normalised_steps({text}{rows}, {op.normalise == 'band'})"
        if site.timed:
            site.file.need("real_steps")
    return Piece(Code(text, values, options), None, lengths)
