"""Named tensors and layers: what `from`, joins, outputs and formulas refer to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.graph import Node, Value
from compiler.names import INPUT
from compiler.scope import MISSING, Scope, UnknownValue
from compiler.source import Span
from compiler.types import TensorType
from compiler.validate import UNKNOWN


@dataclass(eq=False, slots=True)
class Entity:
    """Something with a name: a layer, an iteration, a branch, an input.

    Attributes:
        value: its tensor, in the graph in which the name was found; None where an earlier
            error left none. Of something inside a block that was called, the tensor of the
            block's own graph; `take` makes it readable outside.
        span: where it was named.
        members: what can be reached through it with a dot, by name.
        node: the layer it is, for `tie`.
        weights: where that layer's parameters live, seen from where the name was found.
        wrap: makes a member, by its name, what it is to those who see this entity.
        is_outside: it stands around a body that cannot borrow parameters of it.
        take: gives the tensor outside, for something inside a called block.
    """

    value: Value | None
    span: Span | None = None
    members: Mapping[str, Entity] = field(default_factory=dict)
    node: Node | None = None
    weights: str = ""
    wrap: Callable[[str, Entity], Entity] | None = None
    take: Callable[[], Value] | None = None
    is_outside: bool = False

    def member(self, name: str) -> Entity | None:
        """What `.name` leads to."""
        found = self.members.get(name)
        return found if found is None or self.wrap is None else self.wrap(name, found)

    def tensor(self) -> Value | None:
        """The tensor, in the graph in which the name was found."""
        return self.take() if self.take is not None and self.value is not None else self.value

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
        if self.value is None:
            raise UnknownValue
        raise AttributeError(f"a tensor has no `{name}`")


def _known(size: int | str) -> int:
    if isinstance(size, str):
        raise AttributeError(f"the size `{size}` is not known before the data is there")
    return size


def outside(
    inner: Entity, path: str, weights: str, reach: Callable[[str, Value], Value],
) -> Entity:
    """An entity inside a called block, as seen from outside the call.

    Args:
        inner: the entity, as the block's own layers see it.
        path: its path inside the block.
        weights: where the call's parameters live.
        reach: makes a tensor inside the block readable outside, by its path inside.
    """
    def wrap(name: str, _: Entity) -> Entity:
        further = inner.member(name)
        assert further is not None
        return outside(further, f"{path}.{name}", weights, reach)

    def take() -> Value:
        value = inner.tensor()  # through the calls inside the block first
        assert value is not None
        return reach(path, value)

    return Entity(inner.value, inner.span, inner.members, inner.node, f"{weights}.{inner.weights}",
                  wrap, take)


def may_exist(name: str, maybe: set[str]) -> bool:
    """Whether one of the names is meant: `stage2` is an iteration of `stage`."""
    return name in maybe or re.sub(r"_?\d+$", "", name) in maybe


class Seen(Scope):
    """What one layer's formulas see: `input`, then values, then named tensors.

    Attributes:
        names: the named tensors.
        input: the tensor that arrives, None where nothing does.
        maybe: names that something not elaborated after an error may have defined.
    """

    __slots__ = ("input", "maybe", "names")

    def __init__(self, values: Scope, names: Scope, input: Entity | None, maybe: set[str]):
        super().__init__(None, values)
        self.names, self.input, self.maybe = names, input, maybe

    def find(self, name: object) -> Any:
        if name == INPUT and self.input is not None:
            return self.input
        value = self.parent.find(name) if self.parent is not None else MISSING
        if value is MISSING:
            value = self.names.find(name)
        if value is MISSING and may_exist(str(name), self.maybe):
            return UNKNOWN
        return value

    def __iter__(self) -> Iterator[str]:
        if self.input is not None:
            yield INPUT
        assert self.parent is not None
        yield from self.parent
        yield from (name for name in self.names if name not in self.parent)
