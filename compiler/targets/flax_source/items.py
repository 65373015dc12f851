"""What stands in a class: a block's layers as items, before it is known how many share it.

A tensor is called by where it comes from: ("", "0") is an input, (path, output) an item's.
Lengths of rows are called in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from compiler.targets.flax_source.code import Code
from compiler.types import TensorType

Ref = tuple[str, str]


@dataclass(eq=False)
class Item:
    """A layer, the use of a block, or a loop.

    Attributes:
        path: unique in its body.
        weights: the path of its parameters in a file of weights, within the body's.
        run: the expression of its result.
        make: the expression of its module; None for blocks and loops, made of what they hold.
        inputs: the tensors it takes.
        picks: its outputs, and what follows the result to take each.
        types: the types of its outputs.
        lens: the lengths of its inputs, where they have any.
        lengths: the expression of the lengths it makes, or None.
        callee: the body of the block that it uses.
        entries: the modules of a loop, one for each iteration.
        inside: the items of one iteration of a loop.
        carried: what an iteration gives the next one.
        alike: iterations have outputs of the same type.
        light: it reads well around another layer.
        shared: its module owns nothing, and may serve several layers.
        during, frozen, remat: as of the node.
        passes: what goes on in the phase in which it does not exist.
        tied: the path and the name of a parameter that it borrows.
        keeps: the input whose lengths its outputs have.
        loop: the name of its iterations, where it is a loop.
        parameters: the names of the arrays that an operator owns.
    """

    path: str
    weights: str
    run: Code
    inputs: tuple[Ref, ...]
    picks: Mapping[str, str]
    types: Mapping[str, TensorType]
    make: Code | None = None
    lens: tuple[Ref | None, ...] = ()
    lengths: Code | None = None
    callee: Body | None = None
    entries: tuple[Item, ...] = ()
    inside: tuple[Item, ...] = ()
    carried: Ref | None = None
    alike: bool = True
    light: bool = False
    shared: bool = False
    during: str = "always"
    frozen: bool = False
    remat: bool = False
    passes: Ref | None = None
    tied: tuple[str, str] | None = None
    keeps: int | None = None
    loop: str = ""
    parameters: tuple[str, ...] = ()

    def makes_lengths(self, needed: Set[Ref]) -> bool:
        """Whether it has lengths to make that are needed, by itself or by others."""
        if self.lengths is None:
            return False
        return self.run.uses("lengths") or any(
            path == self.path and what.startswith("lengths") for path, what in needed)

    @property
    def owns(self) -> bool:
        """Whether it has a module of its own."""
        return bool(self.make or self.callee or self.entries) and not self.shared


@dataclass(eq=False)
class Body:
    """A block's or a model's inside.

    Attributes:
        name: the block's.
        inputs: names and types.
        timed: which inputs' rows may have lengths.
        items: in the order they run.
        outputs: by name.
        lens: the lengths of each output that has some.
        phases: the outputs that exist in one phase only.
        params: the values of the block's params.
        is_model: it gives arrays alone, not their lengths.
    """

    name: str
    inputs: tuple[tuple[str, TensorType], ...]
    timed: tuple[bool, ...]
    items: tuple[Item, ...]
    outputs: Mapping[str, Ref]
    lens: Mapping[str, Ref | None]
    phases: Mapping[str, str]
    params: Mapping[str, Any] = field(default_factory=dict)
    types: Mapping[str, TensorType] = field(default_factory=dict)
    is_model: bool = False

    @cached_property
    def needed(self) -> frozenset[Ref]:
        """The lengths that matter: to what is computed, or to whoever uses the block."""
        found = {ref for ref in self.made_lengths}
        for item in reversed(list(_all(self.items))):
            makes = item.makes_lengths(found)
            found |= {lens for i, lens in enumerate(item.lens) if lens is not None and (
                item.run.uses(f"n{i}") or (makes and item.lengths and item.lengths.uses(f"n{i}")))}
        return frozenset(found)

    @property
    def reads(self) -> tuple[int, ...]:
        """The inputs whose lengths matter."""
        return tuple(sorted(int(ref[1]) for ref in self.needed if ref[0] == ""))

    @property
    def made_lengths(self) -> tuple[Ref, ...]:
        """The lengths of outputs that are none of an input's."""
        if self.is_model:
            return ()
        return tuple(dict.fromkeys(r for r in self.lens.values() if r is not None and r[0]))

    def calls(self) -> Iterator[Body]:
        """The bodies it uses."""
        for item in _all(self.items):
            if item.callee is not None:
                yield item.callee


def _all(items: Sequence[Item]) -> Iterator[Item]:
    for item in items:
        yield item
        yield from _all(item.inside)
        yield from _all(item.entries)
