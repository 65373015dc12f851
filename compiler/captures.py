"""Names around a body that is a graph of its own: what it reads of them becomes its inputs."""

from __future__ import annotations

from typing import Any

from compiler.builder import Builder
from compiler.entities import Entity
from compiler.graph import Value
from compiler.scope import Scope


class Outside(Scope):
    """The scope around a body; a tensor that is read through it is passed on into the body.

    Attributes:
        taken: the tensors read so far, by the id of the one outside: it, and what it is inside.
    """

    __slots__ = ("_inside", "_outside", "_used", "taken")

    def __init__(self, names: Scope, outside: Builder, inside: Builder, used: set[str]):
        """Look at `names` from the body that `inside` builds.

        Args:
            names: the names around the body.
            outside: the graph around it.
            inside: the body.
            used: the names of the body's own inputs.
        """
        super().__init__(None, names)
        self._outside, self._inside, self._used = outside, inside, set(used)
        self.taken: dict[int, tuple[Value, Value]] = {}

    def find(self, name: object) -> Any:
        assert self.parent is not None
        found = self.parent.find(name)
        return self._seen(found) if isinstance(found, Entity) else found

    def _seen(self, entity: Entity) -> Entity:
        """An entity outside, as the body sees it."""
        def wrap(name: str, _: Entity) -> Entity:
            further = entity.member(name)
            assert further is not None
            return self._seen(further)

        def take() -> Value:
            value = entity.tensor()
            assert value is not None
            return self._passed(value)

        # Without its node: a layer of the body cannot borrow a parameter from outside.
        return Entity(entity.value, entity.span, entity.members, None, "", wrap, take,
                      is_outside=True)

    def _passed(self, value: Value) -> Value:
        """The input of the body that a tensor outside becomes."""
        if id(value) not in self.taken:
            name, number = value.name, 1
            while name in self._used:
                number += 1
                name = f"{value.name} ({number})"
            self._used.add(name)
            inner = Value(name, value.type)
            self.taken[id(value)] = (value, inner)
            if (origin := self._outside.origins.get(id(value))) is not None:
                self._inside.origins[id(inner)] = origin
        return self.taken[id(value)][1]
