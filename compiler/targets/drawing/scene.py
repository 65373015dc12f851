"""What a drawing shows: boxes with boxes inside, and the wires between them.

- A call of a block is a box with the block inside. So is an iteration of a loop, or a named
  group, that lies in the flow; the branches of a join lie side by side, without boxes.
- `identity` is a wire.
- What `compact` says makes fewer boxes of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from compiler.graph import Call, Each, Graph, Node, Operation, Scan, Value, subgraph
from compiler.ops.base import Operator
from compiler.plan import Plan, make_plan, unknown_inputs
from compiler.printer import fields_of, pairs, scan_fields
from compiler.targets.drawing.boxes import Box, Scene, Scope, Wire
from compiler.targets.drawing.compact import compacted, plain_block, plain_group


def make_scene(graph: Graph, known: Graph | None = None, length: int | None = None) -> Scene:
    """What to draw of a model.

    Args:
        graph: the model; its types are what the drawing tells.
        known: the same with a number for every open length, where `graph` has open ones.
        length: that number.
    """
    plan = None
    if not unknown_inputs(known or graph):
        plan = make_plan(known or graph)
    costs = _costs(plan, make_plan(known or graph, training=True)) if plan else {}
    scope = _Painter(costs, graph).scope(
        _real_nodes(graph), graph.inputs, list(graph.outputs.items()), 0, "")
    return Scene(graph.name, scope, plan.totals.params if plan else 0,
                 plan.totals.macs if plan else 0, length)


def _costs(plan: Plan, training: Plan) -> dict[str, tuple[int, int]]:
    """Parameters and MACs by path, of layers and of everything that leads to them.

    What exists in training only has the MACs of training.
    """
    found: dict[str, tuple[int, int]] = {}
    for row, trained in zip(plan.rows, training.rows):
        macs = trained.macs if row.during == "training" else row.macs
        steps = row.path.split(".")
        for i in range(1, len(steps) + 1):
            path = ".".join(steps[:i])
            params, others = found.get(path, (0, 0))
            found[path] = params + row.params, others + macs
    return found


# --------------------------------------------------------------------- values and nodes


def _real_nodes(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes if _word(n) != "identity"]


def _word(node: Node) -> str:
    return node.operation.word if isinstance(node.operation, Operator) else ""


# What nobody needs to be told of a layer at first sight.
_EXPECTED = (("bias", False), ("stride", 1))


class _Painter:
    """Makes the scopes of one graph; calls have painters of their own.

    Attributes:
        costs: as `_costs`.
    """

    def __init__(self, costs: Mapping[str, tuple[int, int]], graph: Graph):
        self.costs = costs
        self._passed = {id(next(iter(n.outputs.values()))): n.inputs[0]
                        for n in graph.nodes if _word(n) == "identity"}
        self._readers: dict[int, int] = {}
        for node in _real_nodes(graph):
            for value in node.inputs:
                self._count(value)
        for value in graph.outputs.values():
            self._count(value)

    def _count(self, value: Value) -> None:
        key = id(self._real(value))
        self._readers[key] = self._readers.get(key, 0) + 1

    def _real(self, value: Value) -> Value:
        """The tensor itself, where identities only pass it on."""
        while (passed := self._passed.get(id(value))) is not None:
            value = passed
        return value

    def _reads(self, nodes: Iterable[Node]) -> list[Value]:
        """What nodes read that none of them makes, each once."""
        nodes = list(nodes)
        made = {id(v) for n in nodes for v in n.outputs.values()}
        values = {id(v): v for n in nodes for v in map(self._real, n.inputs)}
        return [v for key, v in values.items() if key not in made]

    # ----------------------------------------------------------------------- scopes

    def scope(self, nodes: Sequence[Node], inputs: Sequence[Value],
              outputs: Sequence[tuple[str, Value]], strip: int, prefix: str) -> Scope:
        """The boxes of some nodes.

        Args:
            nodes: in the order they run.
            inputs: the tensors that arrive.
            outputs: the tensors that leave, with their names.
            strip: how many steps of each node's path lead to this scope.
            prefix: the path of the graph that the nodes stand in, or "".
        """
        boxes = [Box("input", v.name, "", v.name, (v.type,), []) for v in inputs]
        made = {id(v): Wire(i) for i, v in enumerate(inputs)}

        def wires(values: Iterable[Value]) -> list[Wire]:
            return [made[id(self._real(v))] for v in values]

        for label, members in self._partition(nodes, strip):
            if len(members) == 1:
                leaving = list(members[0].outputs.values())
                box = self._single(members[0], strip, prefix, wires(members[0].inputs))
            else:
                arriving, leaving = self._ends(members)
                box = self._group(label, members, arriving, leaving, strip, prefix)
                box.reads = wires(arriving)
            made.update({id(v): Wire(len(boxes), i) for i, v in enumerate(leaving)})
            boxes.append(box)
        for name, value in outputs:
            boxes.append(Box("output", name, "", name, (value.type,), wires([value])))
        return Scope(compacted(boxes))

    def _partition(self, nodes: Sequence[Node], strip: int) -> list[tuple[str, list[Node]]]:
        """Nodes one by one, or as groups: what lies together, and in the flow."""
        parts: list[tuple[str, list[Node]]] = []
        seen: set[str] = set()
        runs = [(head, list(run)) for head, run in groupby(
            nodes, lambda n: n.path.split(".")[strip])]
        for head, run in runs:
            grouped = head not in seen and len(run) > 1 and all(
                len(n.path.split(".")) > strip + 1 for n in run)
            seen.add(head)
            if grouped and self._in_flow(run) and len(run) < len(nodes):
                parts.append((head, run))
            else:
                parts += [(n.path, [n]) for n in run]
        return parts

    def _in_flow(self, run: Sequence[Node]) -> bool:
        """Whether nobody else reads what a group reads, so that the flow passes through it."""
        inside: dict[int, int] = {}
        for node in run:
            for value in map(self._real, node.inputs):
                inside[id(value)] = inside.get(id(value), 0) + 1
        first = id(self._real(run[0].inputs[0])) if run[0].inputs else None
        return first is not None and inside[first] == self._readers[first]

    def _ends(self, members: Sequence[Node]) -> tuple[list[Value], list[Value]]:
        """What arrives at a group, and what of it is read outside."""
        inside = Counter(id(v) for n in members for v in map(self._real, n.inputs))
        leaving = [v for n in members for v in n.outputs.values()
                   if inside[id(v)] < self._readers.get(id(v), 0)]
        last = [next(iter(members[-1].outputs.values()))]
        return self._reads(members), leaving or last

    # ------------------------------------------------------------------------ boxes

    def _single(self, node: Node, strip: int, prefix: str, reads: list[Wire]) -> Box:
        """A layer or a call."""
        path = f"{prefix}.{node.path}" if prefix else node.path
        params, macs = self.costs.get(path, (0, 0))
        inner = subgraph(node)
        word, title, full = _told(node.operation)
        steps = node.path.split(".")[strip:]
        marks = [f"shares {node.weights}" if node.weights != node.path else "",
                 "frozen" if node.freeze else ""]
        box = Box("layer", path, _chosen(steps, node), title,
                  tuple(v.type for v in node.outputs.values()), reads, full=full,
                  word=word, marks=[mark for mark in marks if mark],
                  params=params, macs=macs, paths=(path,), during=node.during)
        own = (node.freeze, node.during, node.weights == node.path)
        if inner is None:
            box.family = type(node.operation).__module__.rpartition(".")[2]
            box.likeness = (node.operation, *(v.type for v in node.inputs), *own)
            if len(node.inputs) > 1 and box.family == "combine":
                box.kind = "join"
            return box
        box.kind, box.likeness = "block", (id(inner), *own)
        box.inside = _Painter(self.costs, inner).scope(
            _real_nodes(inner), inner.inputs, list(inner.outputs.items()), 0, path)
        return plain_block(box)

    def _group(self, label: str, members: Sequence[Node], arriving: Sequence[Value],
               leaving: Sequence[Value], strip: int, prefix: str) -> Box:
        """An iteration of a loop, or what else lies together under a name."""
        own = ".".join(members[0].path.split(".")[: strip + 1])
        path = f"{prefix}.{own}" if prefix else own
        params, macs = self.costs.get(path, (0, 0))
        ends = [(v.name.rpartition(".")[2], v) for v in leaving]
        inside = self.scope(members, arriving, ends, strip + 1, prefix)
        during = {n.during for n in members}
        box = Box("group", path, label, "", tuple(v.type for v in leaving), [],
                  params=params, macs=macs, paths=(path,),
                  during=during.pop() if len(during) == 1 else "always", inside=inside)
        box.likeness = (re.sub(r"\d+", "#", label), *(
            (b.likeness, b.times, tuple(b.reads)) for b in inside.layers))
        return plain_group(box)


# ------------------------------------------------------------------------------- words


def _chosen(steps: Sequence[str], node: Node) -> str:
    """The steps of a path that the author named: not `conv_1`."""
    match node.operation:
        case Call(block=block):
            word = block
        case Each():
            word = "layers"
        case Scan():
            word = "scan"
        case op:
            word = op.word
    *others, last = steps
    return ".".join(steps if not re.fullmatch(rf"{re.escape(word)}_\d+", last) else others)


def _told(operation: Operation) -> tuple[str, str, str]:
    """The word of a layer, what it does in a few words ("conv 64, kernel 3"), and in all."""
    match operation:
        case Call(block=block, params=params):
            word, main, fields = block, next(iter(params), None), dict(params)
        case Each(axis=axis):
            return "each", f"each {axis}", f"each {axis}"
        case Scan() as scan:
            fields = scan_fields(scan)
            states = f", carry {', '.join(scan.carry)}" if scan.carry else ""
            return ("scan", f"scan {', '.join(scan.over)}{states}",
                    f"scan: {{{pairs(fields)}}}")
        case op:
            word, main, fields = op.word, op.main, fields_of(op)
    full = f"{word}: {{{pairs(fields)}}}" if fields else word
    head = [f"{word} {pairs({'': fields.pop(main)})[2:]}" if main in fields else word]
    rest = [name if value is True else f"no {name}" if value is False else
            pairs({name: value}).replace(": ", " ", 1)
            for name, value in fields.items() if (name, value) not in _EXPECTED]
    return word, ", ".join(head + rest), full
