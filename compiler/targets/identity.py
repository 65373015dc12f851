"""Which network a graph is, as a number: equal for equal networks, however they are written.

The graph is flattened, and every tensor gets a key made of the operator that computes it, of
its fields, of the paths of its weights and of the keys of what it reads (a Merkle tree). The
network's hash is made of the keys of its outputs and of its parameters, sorted by path.

What counts:

1. inputs and outputs, with their names, axes, sizes and kinds;
2. every operator and field that a result depends on, the order of the branches of `concat`;
3. every parameter: path, shape, how it begins, whether it is trained;
4. the phase in which a layer exists.

What does not: formatting, comments, names of files, models, params, blocks and layers without
weights, formulas and how they are spelt, layers switched off, layers without weights that
nothing reads, `identity`, fields that repeat their default, a window given once or for each
axis, padding by word or by number, the order of layers that do not depend on each other and
of the branches of `add`, `remat` and `was` (which change no result), and weights to start from.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from pydantic import BaseModel

from compiler.graph import Each, Graph, Node, Scan, subgraph
from compiler.ops.base import Operator, PerAxis
from compiler.types import TensorType

# Changed when equal networks would get other hashes than before: it is hashed, too.
SCHEME = "flaxspec network 1"

# Fields that say where a window stands; `geometry` says the same in one way only.
_WINDOW = {"kernel", "window", "stride", "padding", "output_padding", "dilation"}
# Fields that take one number for all axes, or one for each.
_PER_AXIS = (PerAxis, PerAxis | None)
# What gives the same whatever the order of its branches.
_COMMUTATIVE = {"add", "multiply", "average", "maximum"}


def network_hash(graph: Graph) -> str:
    """The sha256 of a network, as 64 hexadecimal digits.

    Args:
        graph: the graph of the spec, before any pass: what passes do may change with a release.
    """
    network = _Network()
    inputs = [[v.name, v.type] for v in graph.inputs]
    keys = {id(v): _digest("input", v.name) for v in graph.inputs}
    network.add(graph, keys, "", False)
    outputs = [[name, graph.phases.get(name, "always"), keys[id(value)]]
               for name, value in graph.outputs.items()]
    main, *others = outputs
    return _digest(SCHEME, inputs, main, sorted(others), sorted(network.parameters.items()))


def content_hash(content: Any) -> str:
    """The sha256 of maps, lists, texts and numbers, whatever the order of the maps' keys."""
    return _digest(content)


@dataclass
class _Network:
    """What was met so far, over all graphs that are called.

    Attributes:
        parameters: what is told of each parameter, by its path.
        uses: how often a thing was met that each use of counts.
        told: what a node's operation is, by the node's id: a graph is called many times.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)
    told: dict[int, tuple[Any, Mapping[str, Any], bool]] = field(default_factory=dict)

    def add(self, graph: Graph, keys: dict[int, str], prefix: str, frozen: bool) -> None:
        """Give every value of a graph its key.

        Args:
            graph: the graph.
            keys: the keys of its inputs, by the values' ids; those of all others are added.
            prefix: where its parameters live, with a dot at its end, or "".
            frozen: whether they stay as they are.
        """
        for node in graph.nodes:
            given = [keys[id(v)] for v in node.inputs]
            made = self.called(node, given, prefix, frozen or node.freeze)
            for i, (name, value) in enumerate(node.outputs.items()):
                key = made[name]
                if node.during != "always":  # in the other phase the flow passes it
                    key = _digest("during", node.during, key, given[0] if i == 0 else None)
                keys[id(value)] = key

    def called(
        self, node: Node, given: list[str], prefix: str, frozen: bool,
    ) -> Mapping[str, str]:
        """The keys of what a node makes of its inputs' keys, by output name."""
        if (inner := subgraph(node)) is None:
            return self.operated(node, given, prefix, frozen)
        if isinstance(node.operation, Scan):
            return self.stepped(node, node.operation, given, prefix, frozen)
        axis = node.operation.axis if isinstance(node.operation, Each) else ""
        if axis:
            given = [_digest("step", axis, key) for key in given]
        keys = {id(v): key for v, key in zip(inner.inputs, given)}
        self.add(inner, keys, f"{prefix}{node.weights}.", frozen)
        made = {name: keys[id(value)] for name, value in inner.outputs.items()}
        return {name: _digest("steps", axis, key) for name, key in made.items()} if axis else made

    def stepped(
        self, node: Node, scan: Scan, given: list[str], prefix: str, frozen: bool,
    ) -> Mapping[str, str]:
        """The keys of what a scan makes: its states are told by what becomes of them."""
        given += ["zeros"] * (len(scan.graph.inputs) - len(given))
        keys: dict[int, str] = {}
        number = {name: i for i, name in enumerate((*scan.over, *scan.carry))}
        for value, key in zip(scan.graph.inputs, given):
            role = ("step" if value.name in scan.over else
                    "state" if value.name in scan.carry else "")
            keys[id(value)] = _digest(role, number[value.name], str(value.type), key) if (
                role) else key
        self.add(scan.graph, keys, f"{prefix}{node.weights}.", frozen)
        made = {name: keys[id(value)] for name, value in scan.graph.outputs.items()}
        search = scan.decode.model_dump(mode="json") if scan.decode else None
        whole = _digest("scan", [made[f"next.{name}"] for name in scan.carry], scan.sample, search)
        if scan.sample:  # what it draws is its own
            whole = _digest("use", made["output"], whole)
        return {name: _digest("steps" if scan.is_sequence(name) else "end", whole,
                              made[scan.source(name)]) for name in node.outputs}

    def operated(
        self, node: Node, given: list[str], prefix: str, frozen: bool,
    ) -> Mapping[str, str]:
        op = node.operation
        assert isinstance(op, Operator)
        if op.word == "identity":
            return dict.fromkeys(node.outputs, given[0])
        if id(node) not in self.told:
            self.told[id(node)] = layer_content(node, op)
        what, owned, is_stateful = self.told[id(node)]
        path = f"{prefix}{node.weights}" if owned else None
        for name, parameter in owned.items():
            self.parameters.setdefault(f"{path}.{name}", [parameter, "frozen" if frozen else ""])
        ties = [[key, f"{prefix}{lender}.{name}"] for key, (lender, name) in node.ties.items()]
        if op.word in _COMMUTATIVE:
            given = sorted(given)
        key = _digest(what, path, frozen and bool(owned), sorted(ties), given)
        if is_stateful:
            # Statistics are updated by one use after the other; of two dropouts on one
            # tensor each draws for itself.
            use = f"weights {path}" if path else key
            self.uses[use] += 1
            key = _digest("use", self.uses[use], key)
        return {name: _digest(name, key) for name in node.outputs}


def layer_content(node: Node, op: Operator) -> tuple[Any, Mapping[str, Any], bool]:
    """(what a layer's operator is, its parameters by name, whether each use of it counts)."""
    types = tuple(v.type for v in node.inputs)
    owned = op.parameters(*types)
    parameters = {
        name: [list(p.shape), "statistic" if p.statistic else "",
               replace(node.init.get(p.role, p.init), blocks=p.init.blocks)]
        for name, p in owned.items()}
    stateful = (op.random != "never" or any(p.statistic for p in owned.values())
                or getattr(op, "carry", "within") == "across")
    return [op.word, _fields(op, types)], parameters, stateful


def _fields(op: Operator, types: tuple[TensorType, ...]) -> dict[str, Any]:
    """The fields that differ from the operator's defaults, each said in one way only.

    A field that a later version adds, with a default that changes nothing, leaves the hash
    of older specs as it is.
    """
    geometry = getattr(op, "geometry", None)
    found = {}
    for name, value in said(op).items():
        if geometry and name in _WINDOW:
            continue
        # Names of other tensors and paths of lent parameters: what they stand for is hashed.
        found[name] = True if name in (*op.references, *op.ties) else value
        if type(op).model_fields[name].annotation in _PER_AXIS and isinstance(value, tuple):
            found[name] = value[0] if len(set(value)) == 1 else value
    if geometry:
        found["window"] = geometry(*types)
    return found


def said(model: BaseModel) -> dict[str, Any]:
    """The fields of a part of a document whose values are not their defaults."""
    return {name: value for name, info in type(model).model_fields.items()
            if (value := getattr(model, name)) != info.get_default(call_default_factory=True)
            or info.is_required()}


def _plain(value: Any) -> Any:
    """A value as JSON has it; 1 and 1.0 are one number."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case None | bool() | int() | float() | str():
            return value
        case BaseModel():
            # The word that chose it, where there is one: two may have the same fields.
            return [getattr(type(value), "word", ""), _plain(said(value))]
        case Mapping():
            return {str(key): _plain(part) for key, part in value.items()}
        case _ if is_dataclass(value):
            return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
        case Iterable():
            return [_plain(part) for part in value]
        case _:
            return repr(value)


def _digest(*parts: Any) -> str:
    text = json.dumps(_plain(parts), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
