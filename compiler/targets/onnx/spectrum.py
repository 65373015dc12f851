"""Spectrograms: the Fourier transform as a convolution with cosines and sines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compiler.lower.spectrum import EPSILON, filters
from compiler.ops.spectrum import LogMel, SpectrumOperator
from compiler.targets.onnx.builder import Builder, Tensor
from compiler.targets.onnx.layer import Layer
from compiler.targets.onnx.lengths import where_any

ORDER = ("batch", "channels", "frequency", "time")


def emit(op: SpectrumOperator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    """Add a spectrogram's nodes: `Conv`, squares, the bands as a `MatMul`, `Log`."""
    (x,) = inputs
    channels = x.type.channels
    assert isinstance(channels, int)
    x = g.arranged(g.filled(x), ("batch", "channels", "time"))
    missing = g.arithmetic("Max", g.arithmetic("Sub", op.size, g.size(x, "time")), 0)
    name = x.name
    if missing != 0:
        pads = g.shape((0, 0, 0, 0, 0, missing))
        name = g.node("Pad", name, pads, g.constant(np.float32(0)))
    waves = np.tile(_waves(op), (channels, 1, 1))
    found = g.node("Conv", name, g.weight(layer.name("waves"), waves), kernel_shape=[op.size],
                   strides=[op.hop], group=channels)
    # (batch, channels, cosines and sines, frequencies, steps).
    parts = g.node("Reshape", found, g.ints(0, channels, 2, op.frequencies, -1))
    power = g.node("ReduceSum", g.node("Mul", parts, parts), g.ints(2), keepdims=0)
    bands = g.weight(layer.name("bands"), (filters(op) / op.size).astype(np.float32))
    mels = g.node("Add", g.node("MatMul", bands, power), g.constant(np.float32(op.floor)))
    lengths = x.lengths
    if lengths is not None:
        room = g.arithmetic("Max", g.arithmetic("Sub", lengths, op.size), 0)
        lengths = where_any(g, lengths, g.arithmetic(
            "Add", g.arithmetic("Div", room, op.hop), 1))
    made = layer.made(g.node("Log", mels), lengths, ORDER)
    return made if op.normalise == "none" else _normalised(g, made, op.normalise)


def _waves(op: LogMel) -> np.ndarray:
    """Cosines and sines of each frequency under the window: (2 · frequencies, 1, samples)."""
    angles = 2 * np.pi / op.transformed * np.outer(np.arange(op.frequencies), np.arange(op.size))
    waves = np.concatenate([np.cos(angles), np.sin(angles)]) * np.hanning(op.size + 1)[:-1]
    return waves[:, None].astype(np.float32)


def _normalised(g: Builder, x: Tensor, how: str) -> Tensor:
    """Mean 0 and deviation 1 over the real steps, of all bands or of each."""
    axes = (3,) if how == "band" else (2, 3)
    real = g.real(x)
    if real is None:
        def mean(name: str) -> str:
            return g.node("ReduceMean", name, axes=axes)

        away = g.node("Sub", x.name, mean(x.name))
    else:
        ones = g.node("Expand", g.cast(real, "float"), g.node("Shape", x.name))
        count = g.node("Max", g.node("ReduceSum", ones, g.ints(*axes)), g.constant(np.float32(1)))

        def mean(name: str) -> str:
            return g.node("Div", g.node("ReduceSum", name, g.ints(*axes)), count)

        away = g.node("Sub", x.name, mean(g.filled(x).name))
        away = g.filled(replace(x, name=away)).name
    variance = g.node("Add", mean(g.node("Mul", away, away)), g.constant(np.float32(EPSILON)))
    return replace(x, name=g.node("Div", away, g.node("Sqrt", variance)))
