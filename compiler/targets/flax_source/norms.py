"""Normalisations: nnx's own where no step is padded, local classes elsewhere."""

from __future__ import annotations

from typing import assert_never

from compiler.ops.normalisation import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    Norm,
    NormalisationOperator,
    Normalise,
    RMSNorm,
)
from compiler.targets.flax_source.code import Code, Text, call
from compiler.targets.flax_source.site import Piece, Site, dim, dims, options


def normalisation(op: NormalisationOperator, site: Site) -> Piece:
    """The layers of nnx, with the exact variance in place of the fast one."""
    match op:
        case BatchNorm():
            return _batch_norm(op, site)
        case LayerNorm():
            return _layer_norm(op, site)
        case GroupNorm():
            return _group_norm(op, site, op.groups)
        case InstanceNorm():
            return _group_norm(op, site, int(site.x.channels or 0))
        case RMSNorm():
            made = call("nnx.RMSNorm", ("channels", site.x.channels), rngs=True,
                        **options(epsilon=(op.epsilon, 1e-6), use_scale=(op.scale, True),
                                  scale_init=(_scale(op.scale, site), None)))
            return Piece(Code("{self}({0})"), made, site.same)
        case LocalResponseNorm():
            site.file.need("local_response_norm")
            return Piece(call("local_response_norm", ("size", op.size), first="{0}",
                              alpha=(op.alpha, 1e-4), beta=(op.beta, 0.75), k=(op.k, 1.0)),
                         None, site.same)
        case Normalise():
            mean, deviation = (Text(f"jnp.array({v})") if isinstance(v, tuple) else float(v)
                               for v in (op.mean, op.deviation))
            return Piece(Code("({0} - {mean}) / {deviation}",
                              {"mean": mean, "deviation": deviation}), None, site.same)
        case _:
            assert_never(op)


def _scale(there: bool, site: Site) -> Text | None:
    return site.begins("scale", "ones") if there else None


def _affine(op: Norm, site: Site) -> dict:
    """How scale and bias begin and whether they are there, as nnx's layers take it."""
    return dict(options(
        use_scale=(op.scale, True), use_bias=(op.bias, True),
        scale_init=(_scale(op.scale, site), None),
        bias_init=(site.begins("bias", "zeros") if op.bias else None, None)))


def _batch_norm(op: BatchNorm, site: Site) -> Piece:
    affine = _affine(op, site)
    features = {"init": {"scale_init", "bias_init"} & set(affine),
                "mask": site.timed, "no_scale": not op.scale, "no_bias": not op.bias,
                "frozen": site.frozen}
    head = site.file.need("BatchNorm", *(name for name, on in features.items() if on))
    made = call(head, ("channels", site.x.channels), rngs=bool(features["init"]),
                momentum=(op.momentum, 0.9), epsilon=(op.epsilon, 1e-5), **affine)
    if site.timed:
        axis = dim(site.x, "time")
        site.file.need("real_steps")
        more = f", axis={axis}" if axis != 1 else ""
        return Piece(Code(f"{{self}}({{0}}, real_steps({{0}}, {{n0}}{more}))"), made, site.same)
    return Piece(Code("{self}({0})"), made, site.same)


def _layer_norm(op: LayerNorm, site: Site) -> Piece:
    if op.axes == ("channels",):
        made = call("nnx.LayerNorm", ("channels", site.x.channels), rngs=True,
                    epsilon=(op.epsilon, 1e-6), use_fast_variance=(False, True),
                    **_affine(op, site))
        return Piece(Code("{self}({0})"), made, site.same)
    axes = tuple(a for a in site.x.axes if a in op.axes)
    sizes = tuple(site.x.size(a) for a in axes)
    timed = site.timed and "time" in axes
    head = site.file.need("AxesNorm", *(["mask"] if timed else []))
    made = call(head, ("axes", dims(site.x, axes)), ("sizes", sizes), rngs=True,
                epsilon=(op.epsilon, 1e-5), **_affine(op, site))
    return Piece(_masked(site) if timed else Code("{self}({0})"), made, site.same)


def _group_norm(op: GroupNorm | InstanceNorm, site: Site, groups: int) -> Piece:
    given = {"epsilon": (op.epsilon, 1e-6), "use_fast_variance": (False, True)}
    if site.timed:
        head = site.file.need("GroupNorm")
        made = call(head, ("channels", site.x.channels), ("groups", groups), rngs=True,
                    epsilon=(op.epsilon, 1e-5), **_affine(op, site))
        return Piece(_masked(site), made, site.same)
    made = call("nnx.GroupNorm", ("channels", site.x.channels), ("groups", groups), rngs=True,
                **given, **_affine(op, site))
    return Piece(Code("{self}({0})"), made, site.same)


def _masked(site: Site) -> Code:
    """A call with the mask of real steps."""
    axis = dim(site.x, "time")
    site.file.need("real_steps")
    more = f", axis={axis}" if axis != 1 else ""
    return Code(f"{{self}}({{0}}, real_steps({{0}}, {{n0}}{more}))")
