"""Named tensors and layers: what `from`, joins, outputs and formulas refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.graph import Node, Value
from compiler.scope import Scope, UnknownValue
from compiler.source import Span
from compiler.types import TensorType


@dataclass(eq=False, slots=True)
class Entity:
    """Something with a name: a layer, an iteration, a branch, an input.

    Attributes:
        value: its tensor; None where an earlier error left none.
        span: where it was named.
        members: what can be reached through it with a dot, by name.
        node: the layer it is, for `tie`.
        reach: makes a tensor inside a called block readable from outside: from the path
            inside to the value outside; None for anything but a call.
    """

    value: Value | None
    span: Span | None = None
    members: Mapping[str, Entity] = field(default_factory=dict)
    node: Node | None = None
    reach: Callable[[str, Entity], Value] | None = None

    def member(self, name: str) -> Entity | None:
        """What `.name` leads to."""
        found = self.members.get(name)
        if found is None or self.reach is None or found.value is None:
            return found
        return _through(self.reach, name, found)

    @property
    def type(self) -> TensorType:
        if self.value is None:
            raise UnknownValue
        return self.value.type

    @property
    def formula_attributes(self) -> tuple[str, ...]:
        return ("shape", "channels", "length", *self.members)

    def formula_attribute(self, name: str) -> Any:
        """`.shape`, `.channels` and `.length` of the tensor, or a member."""
        if (inner := self.member(name)) is not None:
            return inner
        if name == "shape":
            return [_known(s) for s in self.type.shape]
        if name in ("channels", "length"):
            size = self.type.channels if name == "channels" else self.type.length
            if size is None:
                raise AttributeError(f"a tensor of shape {self.type} has no {name}")
            return _known(size)
        raise AttributeError(f"a tensor has no `{name}`")


def _known(size: int | str) -> int:
    if isinstance(size, str):
        raise AttributeError(f"the size `{size}` is not known before the data is there")
    return size


def _through(reach: Callable[[str, Entity], Value], path: str, inner: Entity) -> Entity:
    """An entity inside a called block, as seen from outside the call."""
    return Entity(
        reach(path, inner), inner.span, inner.members, inner.node,
        lambda name, found: reach(f"{path}.{name}", found))


class Seen(Mapping[str, Any]):
    """What one layer's formulas see: values, then named tensors, then `input`."""

    __slots__ = ("input", "names", "values_")

    def __init__(self, values: Scope, names: Scope, input: Entity):
        self.values_, self.names, self.input = values, names, input

    def __getitem__(self, name: str) -> Any:
        if name in self.values_:
            return self.values_[name]
        if name == "input":
            return self.input
        return self.names[name]

    def __contains__(self, name: object) -> bool:
        return name == "input" or name in self.values_ or name in self.names

    def __iter__(self) -> Iterator[str]:
        yield from self.values_
        yield "input"
        yield from self.names

    def __len__(self) -> int:
        return len(self.values_) + 1 + len(self.names)
