"""Where a model's arrays live: its layers with their parameters, in the order they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

from compiler.graph import Call, Each, Graph, Scan
from compiler.ops.activation import Elementwise, Prelu, Scale
from compiler.ops.base import Operator, Parameter
from compiler.ops.dense import Dense
from compiler.ops.noise import Dropout, GaussianNoise
from compiler.ops.normalisation import BatchNorm, LayerNorm, RMSNorm
from compiler.ops.shape import Flatten
from compiler.types import TensorType


class Mixed:
    """A flattened image together with something else: nobody can tell what stood where."""


MIXED = Mixed()
# What keeps every channel in its place.
KEEPING = (Elementwise, Prelu, Scale, Dropout, GaussianNoise, BatchNorm, LayerNorm, RMSNorm)


@dataclass(frozen=True)
class Slots:
    """A layer's arrays.

    Attributes:
        path: where they lie: `stage1.unit0.conv_1`.
        operation: the layer's operator.
        inputs: the types of what arrives.
        parameters: the arrays by name.
        place: how many layers run before it.
        image: the image whose flattened channels arrive; None where none was flattened.
        bit: the layer's number.
        before: the numbers of the layers that what arrives depends on, as bits.
    """

    path: str
    operation: Operator
    inputs: tuple[TensorType, ...]
    parameters: Mapping[str, Parameter]
    place: int
    image: TensorType | Mixed | None = None
    bit: int = 0
    before: int = 0

    def follows(self, other: Slots) -> bool:
        """Whether this layer reads, at however many removes, what another one gives."""
        return bool(self.before >> other.bit & 1)


def layers(graph: Graph) -> tuple[Slots, ...]:
    """The layers of a graph that own arrays, in the order they run; shared ones once."""
    found: dict[str, Slots] = {}
    for slots in _walk(graph, "", {}, _Count()):
        found.setdefault(slots.path, slots)
    return tuple(found.values())


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The shape of every array of a graph by its path: `conv_1.kernel`."""
    return {f"{s.path}.{name}": p.shape for s in layers(graph) for name, p in s.parameters.items()}


@dataclass(frozen=True)
class _Past:
    """What a tensor comes of.

    Attributes:
        image: the image that was flattened into it.
        layers: the layers with arrays that it depends on, as bits.
    """

    image: TensorType | Mixed | None = None
    layers: int = 0


@dataclass
class _Count:
    """How many layers have run, and the bit of each that owns arrays."""

    run: int = 0
    bits: dict[str, int] = field(default_factory=dict)


Pasts = dict[int, _Past]  # by the identity of a value


def _walk(graph: Graph, prefix: str, pasts: Pasts, count: _Count) -> Iterator[Slots]:
    """The layers under a graph.

    Args:
        graph: what runs.
        prefix: the path of its arrays, with a dot at its end, or "".
        pasts: what its inputs come of; its other values are added.
        count: of the layers so far.
    """
    for node in graph.nodes:
        path = f"{prefix}{node.weights}"
        given = [pasts.get(id(v), _Past()) for v in node.inputs]
        match node.operation:
            case Call(graph=inner) | Each(graph=inner):
                inside = {id(v): past for v, past in zip(inner.inputs, given)}
                yield from _walk(inner, f"{path}.", inside, count)
                pasts |= {id(v): inside.get(id(inner.outputs[name]), _Past())
                          for name, v in node.outputs.items()}
            case Scan(graph=inner) as scan:
                inside = {id(v): past for v, past in zip(inner.inputs, given)}
                yield from _walk(inner, f"{path}.", inside, count)
                pasts |= {id(v): inside.get(id(inner.outputs[scan.source(name)]), _Past())
                          for name, v in node.outputs.items()}
            case op:
                types = tuple(v.type for v in node.inputs)
                before = reduce(or_, (past.layers for past in given), 0)
                if parameters := op.parameters(*types):
                    bit = count.bits.setdefault(path, len(count.bits))
                    image = given[0].image if given else None
                    yield Slots(path, op, types, parameters, count.run, image, bit, before)
                    before |= 1 << bit
                count.run += 1
                image = _flattened(op, types, given)
                pasts |= {id(v): _Past(image, before) for v in node.outputs.values()}


def _flattened(
    op: Operator, types: tuple[TensorType, ...], given: list[_Past],
) -> TensorType | Mixed | None:
    """The image that was flattened into a layer's output."""
    known = [past.image for past in given if past.image is not None]
    if isinstance(op, Flatten) and not known:
        x = types[0]
        if x.channels is None or sum(size != 1 for size in x.shape) < 2:
            return None  # one order or the other: it is the same
        # Of a sequence PyTorch's recurrent layers have channels last, its convolutions first.
        return MIXED if "time" in x.axes else x
    if not known or isinstance(op, Dense):
        return None
    keeps = len(given) == 1 and isinstance(op, (*KEEPING, Flatten))
    return known[0] if keeps else MIXED
