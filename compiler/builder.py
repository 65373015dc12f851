"""A graph under construction, and the place in it where layers are being elaborated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from compiler.entities import Entity
from compiler.graph import During, Node, Origin, Value
from compiler.program import Program
from compiler.scope import Scope
from compiler.source import Span

# What a spec may ask for at the most; each has its diagnostic.
MAX_VISITS = 50_000        # layers that are looked at, switched off or not, and iterations
MAX_LAYERS = 20_000        # layers that are elaborated, equal blocks counted once
MAX_INSTANCES = 50_000     # layers that run, every call counted
MAX_ITERATIONS = 10_000    # of one loop
MAX_NESTING = 64           # blocks, groups, loops and branches within one another
MAX_SIZE_TEXT = 2_000      # letters of a size that is not known: "(text - 2) // 2 + 1"
MAX_ELEMENTS = 2**36       # numbers in one tensor of one example, or in one parameter


@dataclass(eq=False, slots=True)
class Builder:
    """A graph under construction.

    Attributes:
        name: the block's or the model's name.
        depth: how many blocks, groups, loops and branches are around it.
        height: how many are within one another in it.
        nodes: the layers so far.
        outputs: the outputs of the graph besides its results: heads, and what is reached for
            from outside.
        heads: the place of each head among them.
        phases: the phase of each output that is not there always.
        shared: for each key of `weights`, what its layers own and where the first one stands.
        alone: the place of the first layer below each step of the graph's paths.
        origins: where each value was made, by its id.
        absent: values that exist in one phase only, by their id.
        symbols: the names of the outermost scope, for references from outside.
        maybe: names that layers which could not be elaborated may have defined.
        instances: how many layers run, calls counted through.
    """

    name: str
    depth: int = 0
    height: int = 0
    nodes: list[Node] = field(default_factory=list)
    outputs: dict[str, Value] = field(default_factory=dict)
    heads: dict[str, Span] = field(default_factory=dict)
    phases: dict[str, During] = field(default_factory=dict)
    shared: dict[str, tuple[Any, Span]] = field(default_factory=dict)
    alone: dict[str, Span] = field(default_factory=dict)
    origins: dict[int, Origin] = field(default_factory=dict)
    absent: dict[int, During] = field(default_factory=dict)
    symbols: Mapping[str, Entity] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    instances: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """Where layers are being elaborated: what they see and where they go.

    Attributes:
        builder: the graph.
        program: the file whose blocks and defaults the layers use.
        values: params, `let` and loops' values in sight.
        names: named tensors in sight.
        prefix: the path so far, with a dot at its end, or "".
        frames: the block uses around, outermost first: (what, where it is used).
        during: the phase in which everything here exists.
        freeze: everything here is frozen.
    """

    builder: Builder
    program: Program
    values: Scope
    names: Scope
    prefix: str = ""
    frames: tuple[tuple[str, Span], ...] = ()
    during: During = "always"
    freeze: bool = False

    def inside(self, segment: str, values: Scope | None = None) -> Place:
        """A scope of its own under a segment of the path."""
        return replace(self, names=self.names.inner(), prefix=f"{self.prefix}{segment}.",
                       values=self.values if values is None else values)

    @property
    def own(self) -> dict[str, Any]:
        """The names of this very scope."""
        return self.names.values_
