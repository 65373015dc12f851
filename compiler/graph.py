"""The graph: typed values, layers and block calls in static single assignment form.

A block instance is a node whose operation is a `Call` of that block's own graph, made
for its params and input types; equal instances call the same `Graph` object. Branches,
groups, loops and `choose` are gone: their layers stand in the enclosing graph, with the
author's words kept in their paths (`stage1.unit0.basic_1`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from compiler.ops.base import Operator
from compiler.ops.search import Search
from compiler.source import Span
from compiler.types import TensorType

During = Literal["always", "training", "evaluation"]


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """One tensor; made once, by a node or as a graph's input.

    Attributes:
        name: unique in its graph: an input's name, a node's path, or `path.output`.
        type: axes, sizes and element kind.
    """

    name: str
    type: TensorType


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a layer was written, and how the compiler got there.

    Attributes:
        span: the layer's operator key.
        fields: the places of its fields' values.
        frames: the block uses around it, outermost first: (what, where it is used).
    """

    span: Span | None
    fields: Mapping[str, Span] = field(default_factory=dict)
    frames: tuple[tuple[str, Span], ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """Run a block's graph on the node's inputs.

    Attributes:
        block: the block's name.
        graph: what it runs.
        params: the values of its params.
        weights_file: a file that its weights come from, or None.
    """

    block: str
    graph: Graph
    params: Mapping[str, Any] = field(default_factory=dict)
    weights_file: Path | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Each:
    """Run a graph on every step of an axis apart."""

    axis: str
    graph: Graph


@dataclass(frozen=True, eq=False, slots=True)
class Scan:
    """Step a graph through time: every step sees what the one before left.

    The graph's inputs are a step of each sequence, then the states that begin as a tensor, then
    what stays the same at all steps; the node's inputs are the same without their steps. States
    that begin as zeros come last, and have no input of the node. The graph's outputs are
    `output`, the author's taps, and `next.NAME` for each state.

    Attributes:
        graph: the body.
        over: the names of the graph's inputs that are a step of a sequence.
        carry: the names of those that are states.
        zeros: the states that begin as zeros.
        sample: how often a step of training sees its own last choice instead of what is given.
        decode: how to search, where the body chooses its next input itself.
    """

    graph: Graph
    over: tuple[str, ...]
    carry: tuple[str, ...] = ()
    zeros: tuple[str, ...] = ()
    sample: float = 0.0
    decode: Search | None = None

    def source(self, output: str) -> str:
        """The output of the body that an output of the node comes of.

        `output` and the taps are those of every step; `last` is the last step's output, and a
        state's name what it is in the end.
        """
        if output in self.carry:
            return f"next.{output}"
        return "output" if output == "last" else output

    def is_sequence(self, output: str) -> bool:
        """Whether an output of the node has all steps."""
        return output != "last" and output not in self.carry


# What runs a graph of its own.
Region = Call | Each | Scan
Operation = Operator | Region


@dataclass(frozen=True, slots=True)
class FoldedNorm:
    """A batch norm in evaluation that was multiplied into the layer before it.

    Attributes:
        layer: where the layer's own kernel (and bias) lived, as `Node.weights`.
        norm: where the norm's statistics (and scale and bias) lived.
        bias: the layer had a bias.
        scale: the norm had a scale.
        shift: the norm had a bias.
        epsilon: what the norm added to the variance.
    """

    layer: str
    norm: str
    bias: bool
    scale: bool
    shift: bool
    epsilon: float


# How a pass made a layer's arrays of those of the graph before it.
WeightTransform = FoldedNorm


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """A layer, or a call of a block.

    Attributes:
        path: the author's words for it, dotted, unique in its graph.
        operation: what it does.
        inputs: the tensors it takes.
        outputs: the tensors it makes, by output name; the first flows on.
        weights: where its parameters live in the graph's module: its path, or the key
            that the author shares between layers.
        during: the phases in which it exists.
        freeze: its parameters and statistics stay as they are.
        init: initialisers that replace the operator's own, by role.
        remat: compute it again in the backward pass instead of keeping its activations.
        was: the path its weights had in older files.
        ties: for each tied field, the path and the name of the parameter it borrows.
        origin: where it was written.
        transform: how its arrays are made, where a pass changed them.
    """

    path: str
    operation: Operation
    inputs: tuple[Value, ...]
    outputs: Mapping[str, Value]
    weights: str
    during: During = "always"
    freeze: bool = False
    init: Mapping[str, Any] = field(default_factory=dict)
    remat: bool = False
    was: str = ""
    ties: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    origin: Origin = Origin(None)
    transform: WeightTransform | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Graph:
    """Nodes in the order they run.

    Attributes:
        name: the block's or the model's name.
        inputs: the tensors that arrive.
        nodes: the layers; each reads only values made before it.
        outputs: the results by name; the first is the one that flows on.
        phases: the phase of each output that is not there always.
        instances: how many layers run when this graph does, calls counted through.
    """

    name: str
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, Value]
    phases: Mapping[str, During] = field(default_factory=dict)
    instances: int = 0


def subgraph(node: Node) -> Graph | None:
    """The graph that a node runs, where it is a call."""
    return node.operation.graph if isinstance(node.operation, Region) else None


def active(during: During, training: bool) -> bool:
    """Whether something that exists `during` a phase does so in this one."""
    return during == "always" or (during == "training") == training


def walk(graph: Graph, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Every node under a graph with its full path, calls before what they call."""
    for node in graph.nodes:
        path = f"{prefix}.{node.path}" if prefix else node.path
        yield path, node
        if (inner := subgraph(node)) is not None:
            yield from walk(inner, path)


def graphs(graph: Graph) -> list[Graph]:
    """The distinct graphs that a graph calls, callees first, itself last."""
    found: dict[int, Graph] = {}

    def visit(g: Graph) -> None:
        for node in g.nodes:
            if (inner := subgraph(node)) is not None and id(inner) not in found:
                visit(inner)
        found[id(g)] = g

    visit(graph)
    return list(found.values())


def inputs_read(graph: Graph) -> frozenset[str]:
    """The inputs that outputs outside training depend on; the others only training needs."""
    needed = {id(value) for name, value in graph.outputs.items()
              if active(graph.phases.get(name, "always"), training=False)}
    for node in reversed(graph.nodes):
        if any(id(value) in needed for value in node.outputs.values()):
            runs = active(node.during, training=False)
            # The flow passes a layer that is not there.
            needed |= {id(value) for value in (node.inputs if runs else node.inputs[:1])}
    return frozenset(value.name for value in graph.inputs if id(value) in needed)
