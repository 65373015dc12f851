"""Activations, dense layers and look-ups, random layers."""

from __future__ import annotations

from typing import assert_never

from compiler.ops.activation import (
    Abs,
    ActivationOperator,
    Cast,
    Clip,
    Elu,
    Exp,
    Gelu,
    HardSwish,
    Identity,
    LeakyRelu,
    LogSoftmax,
    Maxout,
    Prelu,
    Relu,
    Relu6,
    Scale,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    StopGradient,
    Tanh,
)
from compiler.ops.axes import axes_of
from compiler.ops.dense import Dense, DenseOperator, Embed, Learned, OneHot
from compiler.ops.noise import (
    Dropout,
    DropPath,
    GaussianNoise,
    NoiseOperator,
    Random,
    SpatialDropout,
)
from compiler.targets.flax_source.code import Code, Text, call
from compiler.targets.flax_source.site import Piece, Site, dim, options
from compiler.types import TensorType


def activation(op: ActivationOperator, site: Site) -> Piece:
    """Functions of nnx and jnp; a small local class for those that learn."""
    match op:
        case (Relu() | Relu6() | Silu() | Sigmoid() | HardSwish() | Softplus()):
            return _plain(site, Code(f"nnx.{op.word}({{0}})"))
        case LeakyRelu():
            return _plain(site, call("nnx.leaky_relu", first="{0}",
                                     negative_slope=(op.slope, 0.01)))
        case Elu():
            return _plain(site, call("nnx.elu", first="{0}", alpha=(op.alpha, 1.0)))
        case Gelu():
            return _plain(site, call("nnx.gelu", first="{0}", approximate=(op.approximate, True)))
        case Tanh() | Exp() | Abs():
            return _plain(site, Code(f"jnp.{op.word}({{0}})"))
        case Softmax() | LogSoftmax():
            return _normalised(op, site)
        case Maxout():
            return _plain(site, Code(
                "{0}.reshape(*{0}.shape[:-1], -1, {pieces}).max(-1)", {"pieces": op.pieces}))
        case Clip():
            return _plain(site, _clip(op, site.x))
        case Prelu():
            return _learned(site, "PReLU", "slope")
        case Scale():
            return _learned(site, "Scale", "scale")
        case StopGradient():
            return _plain(site, Code("jax.lax.stop_gradient({0})"))
        case Cast():
            return _plain(site, _cast(op, site.x))
        case Identity():
            return _plain(site, Code("{0}"))
        case _:
            assert_never(op)


def _plain(site: Site, run: Code) -> Piece:
    return Piece(run, None, site.same)


def _normalised(op: Softmax | LogSoftmax, site: Site) -> Piece:
    axis = dim(site.x, op.axis)
    if op.axis == "time" and site.timed:
        head = site.file.need(f"{op.word}_of_real")
        return Piece(Code(f"{head}({{0}}, {{n0}}{f', axis={axis}' if axis != 1 else ''})"),
                     None, 0)
    more = "" if axis == len(site.x.axes) else f", axis={axis}"
    return _plain(site, Code(f"nnx.{op.word}({{0}}{more})"))


def _learned(site: Site, head: str, name: str) -> Piece:
    site.file.need(head)
    value = site.begins(name)
    made = call(head, ("channels", site.x.channels), ("init", value), rngs=True)
    return Piece(Code("{self}({0})"), made, site.same)


def _clip(op: Clip, x: TensorType) -> Code:
    kind = int if x.dtype == "int" else float
    low, high = (None if b is None else kind(b) for b in (op.min, op.max))
    return Code("jnp.clip({0}, {low}, {high})", {"low": low, "high": high})


def _cast(op: Cast, x: TensorType) -> Code:
    if op.to == x.dtype:
        return Code("{0}")
    kinds = {"float": "jnp.float32", "int": "jnp.int32", "bool": "bool"}
    return Code(f"{{0}}.astype({kinds[op.to]})")


# -- dense -------------------------------------------------------------------------------------


def dense(op: DenseOperator, site: Site) -> Piece:
    """nnx.Linear and nnx.Embed; a tied layer multiplies by the table of another one."""
    match op:
        case Dense(tie=None):
            made = call(
                "nnx.Linear", ("inputs", site.x.channels), ("units", op.units), rngs=True,
                **options(use_bias=(op.bias, True),
                          kernel_init=(site.begins("kernel", "lecun_normal"), None),
                          bias_init=(site.begins("bias", "zeros") if op.bias else None, None)))
            return Piece(Code("{self}({0})"), made, site.same)
        case Dense(bias=False):
            return Piece(Code("{0} @ {tied}[...].T"), None, site.same)
        case Dense():
            head = site.file.need("TiedDense")
            made = call(head, ("units", op.units), rngs=True,
                        **options(bias_init=(site.begins("bias", "zeros"), None)))
            return Piece(Code("{self}({0}, {tied}[...])"), made, site.same)
        case Embed():
            shape = site.parameters()["embedding"].shape
            made = call("nnx.Embed", ("vocabulary", shape[0]), ("units", shape[1]), rngs=True,
                        embedding_init=(site.begins("embedding"), None))
            return Piece(Code("{self}({0})"), made, site.same)
        case OneHot():
            return Piece(Code("jax.nn.one_hot({0}, {classes})", {"classes": op.classes}), None,
                         site.same)
        case Learned():
            head = site.file.need("Learned")
            made = call(head, ("shape", op.shape), ("init", site.begins("value")), rngs=True)
            return Piece(Code("{self}({0}.shape[0])"), made)
        case _:
            assert_never(op)


# -- noise -------------------------------------------------------------------------------------


def noise(op: NoiseOperator, site: Site) -> Piece:
    """nnx.Dropout, whose mask stretches over some dimensions; local classes for numbers."""
    rank = len(site.x.axes)
    match op:
        case Dropout():
            return _drop(op.rate, (), site)
        case SpatialDropout():
            wide = tuple(range(1, rank)) if "channels" in site.x.axes else ()
            return _drop(op.rate, wide, site)
        case DropPath():
            return _drop(op.rate, tuple(range(1, rank + 1)), site)
        case GaussianNoise():
            head = site.file.need("GaussianNoise")
            made = call(head, ("stddev", op.stddev), rngs=True)
            return Piece(Code("{self}({0})"), made, site.same, shared=True)
        case Random():
            return _random(op, site)
        case _:
            assert_never(op)


def _drop(rate: float, wide: tuple[int, ...], site: Site) -> Piece:
    made = call("nnx.Dropout", ("rate", rate), rngs=True, broadcast_dims=(wide, ()))
    return Piece(Code("{self}({0})"), made, site.same, shared=True)


def _random(op: Random, site: Site) -> Piece:
    head = site.file.need("RandomNumbers")
    made = call(head, ("distribution", op.distribution), rngs=True)
    if op.shape is None:
        return Piece(Code("{self}({0}.shape)"), made, site.same, shared=True)
    axes_of(op.shape, op.axes, op.word)
    shape = Text(", ".join(map(str, op.shape)))
    return Piece(Code(f"{{self}}(({{0}}.shape[0], {shape}))"), made, shared=True)
