"""What a name in an ONNX graph stands for while it is imported.

Tensors of ours have their channels last and no batch; `order` says where each axis lies in the
graph's own tensor. Two further words may stand there: "one" for an axis of size 1 that ours does
not have (what a global pool leaves), and "ways" for the directions of a recurrent layer, which
are halves of the channels here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from compiler.imports.complaints import Unsupported
from compiler.imports.parts import Builder, Ref

BATCH = "batch"
# The size of the batch among sizes that are known.
ANY = -1_000_003
OPEN = ANY - 1  # and that of an axis that is open


@dataclass(frozen=True)
class Laid:
    """A tensor of the model.

    Attributes:
        ref: ours.
        order: what each axis of the graph's tensor is.
        places: after a flatten, which channel of ours each channel of the graph's is; None
            where they are the same.
        before: what was flattened.
    """

    ref: Ref
    order: tuple[str, ...]
    places: Any = None
    before: Laid | None = None

    def axis(self, index: Any) -> str:
        """The axis of a number."""
        index = int(index)
        if not -len(self.order) <= index < len(self.order):
            raise Unsupported(f"there is no axis {index} in a tensor of {len(self.order)} axes",
                              code="F0945")
        return self.order[index]

    def size(self, axis: str) -> int:
        """The size of an axis in the graph."""
        if axis in ("one", "ways"):
            return 1 if axis == "one" else 2
        if axis == "channels" and "ways" in self.order:
            return self.channels // 2
        size = ANY if axis == BATCH else self.ref.type.size(axis)
        return size if isinstance(size, int) else OPEN

    @property
    def channels(self) -> int:
        channels = self.ref.type.channels
        if not isinstance(channels, int):
            raise Unsupported("a tensor without channels, where some are needed")
        return channels

    def given(self, ref: Ref, order: Sequence[str] | None = None) -> Laid:
        """Another tensor of ours that lies as this one does."""
        return replace(self, ref=ref, order=tuple(order or self.order), before=None)


@dataclass(frozen=True)
class Zeros:
    """A tensor of zeros whose size depends on the batch: a state to begin with."""


@dataclass(frozen=True)
class Several:
    """Tensors one behind another along their first axis: the last states of stacked layers."""

    parts: tuple[Laid, ...]


Found = Laid | Zeros | Several | np.ndarray


def constant(value: Any, what: str) -> np.ndarray:
    """A value that is known before the model runs."""
    if not isinstance(value, np.ndarray):
        raise Unsupported(f"{what} is not known before the model runs")
    return value


def numbers(value: Any, what: str) -> list[int]:
    """A known list of whole numbers; the batch's size among them is `ANY`."""
    found = constant(value, what)
    if found.dtype.kind not in "iu" or found.ndim > 1 or found.size > 64:
        raise Unsupported(f"{what} is no list of whole numbers", code="F0945")
    return [int(v) for v in found.reshape(-1)]


def tensor(value: Any, what: str = "its input") -> Laid:
    """A tensor of the model."""
    if not isinstance(value, Laid):
        raise Unsupported(f"{what} is no tensor of the model")
    return value


def plain(x: Laid, builder: Builder) -> Laid:
    """A flattened tensor whose channels lie as the graph's do."""
    if x.places is None:
        return x
    if x.before is None:
        raise Unsupported("a flattened tensor that goes on in an order of its own")
    axes = [a for a in x.before.order if a not in (BATCH, "one")]
    names = [a for a in ("time", "depth", "height", "width") if a in axes]
    turned = builder.add("transpose", x.before.ref, fields={
        "axes": axes, "names": [*names, "channels"]})
    return Laid(builder.add("flatten", turned), x.order)


def image(x: Laid, builder: Builder, what: str) -> Laid:
    """A tensor (batch, channels, space or time …), as ONNX's windows have it."""
    x = plain(x, builder)
    axes = [a for a in x.ref.type.axes if a != "channels"]
    if x.order != (BATCH, "channels", *axes):
        raise Unsupported(f"`{what}` of a tensor whose axes are {', '.join(x.order)}")
    return x


def flattened(x: Laid, builder: Builder) -> Laid:
    """All axes but the batch as one. Ours runs over the channels fastest: `places` tells."""
    axes = [a for a in x.order if a not in (BATCH, "one")]
    if x.order[:1] != (BATCH,) or "ways" in axes:
        raise Unsupported(f"a flatten of the axes {', '.join(x.order)}")
    if axes == ["channels"]:
        return replace(x, order=(BATCH, "channels"))
    own = list(x.ref.type.axes)
    ref = builder.add("flatten", x.ref)
    if axes == own:
        return Laid(ref, (BATCH, "channels"))
    sizes = [x.ref.type.size(a) for a in own]
    if not all(isinstance(s, int) for s in sizes):
        raise Unsupported("a flatten of a tensor of unknown size")
    index = np.arange(int(np.prod([int(s) for s in sizes if isinstance(s, int)])))
    places = index.reshape([int(s) for s in sizes if isinstance(s, int)]).transpose(
        [own.index(a) for a in axes]).reshape(-1)
    same = bool((places == index).all())
    return Laid(ref, (BATCH, "channels"), None if same else places, x)
