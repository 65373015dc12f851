"""What a model costs before anything runs: shapes, parameters, arithmetic, memory, reach.

Calls are followed into the blocks they run, so that every layer that runs has its row. What
an operator costs is asked once for each node of a graph, however often its block is used.

How the totals are counted:

- `params`, `buffers`: every array once, also where layers share it, and also where its layer
  exists in one phase only. `trainable` leaves out what is frozen.
- `macs`: multiply-accumulates of convolutions and matrix products, forward, one example, of
  the layers of the phase; `flops` are twice as many.
- `activation_bytes.inference`: the most that is alive at once when layers run in the order of
  the spec and a tensor goes when its last reader has run.
- `activation_bytes.training`: the inputs, what every operator keeps for the backward pass,
  and what the largest `remat` block computes again. Gradients in flight are not in it.
  Both say how specs compare, not what a machine needs: XLA on a CPU took 0.7 to 3 times as
  much for the zoo in evaluation, and 2.2 to 3.1 times as much in training.
- `steps`: the longest chain of steps that must wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from compiler.graph import Call, During, Each, Graph, Node, Region, Scan, active
from compiler.ops.base import Operator, Window
from compiler.printer import fields_of
from compiler.types import TensorType

FLOAT_BYTES = 4
_BYTES = {"float": 4, "int": 4, "bool": 1}

# What makes axes finer: a step of the output is a fraction of a step of the input.
_REFINING = ("upsample", "conv_transpose", "pixel_shuffle")
# What takes one place of an axis away from the others: its reach is that place's.
_PICKING = ("select",)


@dataclass(frozen=True, slots=True)
class Reach:
    """How much of one axis of an input a place of a tensor depends on.

    Attributes:
        size: elements of the input's axis; None is all of it.
        jump: elements of the input between two neighbouring places.
        local: `size` before a layer looked at everything.
    """

    size: int | None
    jump: float
    local: int


Reaches = Mapping[tuple[str, str], Reach]  # by input and axis


@dataclass(frozen=True, slots=True)
class Row:
    """One layer that runs.

    Attributes:
        path: the author's words for it.
        operation: what it does.
        inputs: the types of its inputs, of one example.
        output: the type of what flows on.
        params: trainable or frozen numbers it owns; 0 where another layer's row has them.
        buffers: running statistics it owns.
        macs: multiply-accumulates of one example; 0 in a phase where it is not there.
        steps: steps that must wait for each other.
        reaches: its receptive field.
        during: the phase it exists in.
        runs: whether it exists in the plan's phase.
        frozen: its parameters stay as they are.
        shared: the path of the parameters that an earlier row has, or "".
        weights: the path of its parameters, its own or another's; "" where nobody asked.
    """

    path: str
    operation: Operator
    inputs: tuple[TensorType, ...]
    output: TensorType
    params: int
    buffers: int
    macs: int
    steps: int
    reaches: Reaches
    during: During
    runs: bool
    frozen: bool
    shared: str
    weights: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """A model's figures; how each is counted stands at the top of the module.

    Bytes of activations are of the whole batch; macs, flops and steps of one example.
    """

    layers: int
    params: int
    trainable: int
    buffers: int
    macs: int
    flops: int
    steps: int
    weight_bytes: int
    activation_bytes: Mapping[Literal["inference", "training"], int]
    receptive_field: Mapping[str, Mapping[str, Reach]]
    inputs: Mapping[str, TensorType]
    outputs: Mapping[str, TensorType]


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows and totals of a model in one phase.

    Attributes:
        name: the model's name.
        training: the phase.
        batch: examples at once.
        rows: its layers in the order they run.
        blocks: the block that each call's path runs.
        totals: the sums.
    """

    name: str
    training: bool
    batch: int
    rows: tuple[Row, ...]
    blocks: Mapping[str, Region]
    totals: Totals


def make_plan(graph: Graph, *, training: bool = False, batch: int = 1) -> Plan:
    """The plan of a model.

    Args:
        graph: a graph whose sizes are all known (`make_graph(..., length=N)`).
        training: count the layers of training instead of those of evaluation.
        batch: examples at once.

    Raises:
        ValueError: a size is unknown.
    """
    if unknown := unknown_inputs(graph):
        raise ValueError(f"the length of {', '.join(unknown)} must be given")
    costs: dict[int, _Cost] = {}
    walk, other = _Walk(graph, training, costs), _Walk(graph, not training, costs)
    in_training, in_evaluation = (walk, other) if training else (other, walk)
    rows = walk.rows
    params, macs = sum(r.params for r in rows), sum(r.macs for r in rows)
    buffers = sum(r.buffers for r in rows)
    totals = Totals(
        layers=sum(r.runs for r in rows), params=params,
        trainable=sum(r.params for r in rows if not r.frozen), buffers=buffers, macs=macs,
        flops=2 * macs, steps=max(t.depth for t in walk.outputs.values()),
        weight_bytes=FLOAT_BYTES * (params + buffers),
        activation_bytes={"inference": batch * in_evaluation.peak(),
                          "training": batch * (in_training.kept + in_training.again)},
        receptive_field=walk.receptive_field(),
        inputs={v.name: v.type for v in graph.inputs},
        outputs={n: graph.outputs[n].type for n in walk.outputs})
    return Plan(graph.name, training, batch, tuple(rows), walk.blocks, totals)


def unknown_inputs(graph: Graph) -> tuple[str, ...]:
    """The inputs with a size that is not known before the data is there."""
    return tuple(v.name for v in graph.inputs if not v.type.is_known)


@dataclass(frozen=True, slots=True)
class _Cost:
    """What one run of a node costs, where its block runs once for an example."""

    params: int
    buffers: int
    macs: int
    steps: int
    saved: int
    reach: Mapping[str, Window | None]


@dataclass(frozen=True, slots=True)
class _Place:
    """What holds for everything inside a call.

    Attributes:
        path, weights: what paths of layers and of parameters begin with.
        during, runs, frozen: as in `Row`.
        times: how often it runs for one example: the steps of an `each` or a `scan`.
        at_once: how many of these runs are in memory side by side: the steps of an `each`.
        turns: how many of them wait for each other: the steps of a `scan`.
    """

    path: str = ""
    weights: str = ""
    during: During = "always"
    runs: bool = True
    frozen: bool = False
    times: int = 1
    at_once: int = 1
    turns: int = 1

    def at(self, node: Node, training: bool) -> _Place:
        """The place of a node here."""
        times, at_once, turns = self.times, self.at_once, self.turns
        if isinstance(node.operation, Each):
            size = node.inputs[0].type.size(node.operation.axis)
            assert isinstance(size, int)
            times, at_once = times * size, at_once * size
        elif isinstance(node.operation, Scan):
            size = node.inputs[0].type.length
            assert isinstance(size, int)
            times, turns = times * size, turns * size
        return _Place(
            f"{self.path}.{node.path}" if self.path else node.path,
            f"{self.weights}.{node.weights}" if self.weights else node.weights,
            node.during if self.during == "always" else self.during,
            self.runs and active(node.during, training), self.frozen or node.freeze, times,
            at_once, turns)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor of the run: the memory it stands in, the steps before it is there, its reach."""

    slot: int
    depth: int
    reaches: Reaches


class _Walk:
    """One pass over every layer that runs, in order.

    Memory is counted in slots; what only renames gives the slot of its input on.

    Attributes:
        rows: a row for each layer.
        blocks: the operation of each call by path.
        outputs: the outputs of the phase.
        kept: bytes kept for the backward pass.
        again: the most bytes that one remat block computes again.
    """

    def __init__(self, graph: Graph, training: bool, costs: dict[int, _Cost]):
        self.training = training
        self.rows: list[Row] = []
        self.blocks: dict[str, Region] = {}
        self.again = 0
        self._sizes: list[int] = []  # bytes of each slot
        self._uses: list[tuple[set[int], set[int]]] = []  # slots read, slots made, by each layer
        self._owned: set[str] = set()
        self._costs = costs
        self._inputs = tuple(
            self._made(_bytes(v.type), 0, {(v.name, a): Reach(1, 1, 1) for a in v.type.window_axes})
            for v in graph.inputs)
        self.kept = sum(self._sizes)
        values = self._graph(graph, self._inputs, _Place())
        self.outputs = {n: values[id(v)] for n, v in graph.outputs.items()
                        if active(graph.phases.get(n, "always"), training)}

    def _made(self, size: int, depth: int, reaches: Reaches) -> _Tensor:
        """A tensor in memory of its own."""
        self._sizes.append(size)
        return _Tensor(len(self._sizes) - 1, depth, reaches)

    def _graph(self, graph: Graph, arriving: tuple[_Tensor, ...], place: _Place,
               ) -> dict[int, _Tensor]:
        """Run a graph; the tensor of each of its values, by the value's identity."""
        values = {id(v): tensor for v, tensor in zip(graph.inputs, arriving)}
        for node in graph.nodes:
            here = place.at(node, self.training)
            inputs = tuple(values[id(v)] for v in node.inputs)
            if isinstance(node.operation, Operator):
                made = self._layer(node, node.operation, inputs, here)
            elif isinstance(node.operation, Scan):
                made = self._scan(node, node.operation, inputs, here)
            else:
                made = self._call(node, node.operation, inputs, here)
            first, *_ = node.outputs.values()
            if not here.runs and first.type == node.inputs[0].type:
                # The flow passes a layer of the other phase.
                made = (inputs[0], *made[1:])
            values.update(zip(map(id, node.outputs.values()), made, strict=True))
        return values

    def _call(self, node: Node, operation: Call | Each, inputs: tuple[_Tensor, ...], here: _Place,
              ) -> tuple[_Tensor, ...]:
        self.blocks[here.path] = operation
        before = self.kept
        values = self._graph(operation.graph, inputs, here)
        made = tuple(values[id(operation.graph.outputs[name])] for name in node.outputs)
        if node.remat:
            self.again = max(self.again, self.kept - before)
            self.kept = before + sum(self._sizes[t.slot] for t in made)
        return made

    def _scan(self, node: Node, scan: Scan, inputs: tuple[_Tensor, ...], here: _Place,
              ) -> tuple[_Tensor, ...]:
        """A body that runs once for every step; its sequences are as long as what they come of."""
        self.blocks[here.path] = scan
        before = self.kept
        depth = max(t.depth for t in inputs)
        over = len(scan.over)
        arriving = [replace(t, depth=depth, reaches=_whole(t.reaches) if i < over else t.reaches)
                    for i, t in enumerate(inputs)]
        arriving += [self._made(here.at_once * _bytes(v.type), depth, {})
                     for v in scan.graph.inputs[len(inputs):]]
        values = self._graph(scan.graph, tuple(arriving), here)
        results = {name: values[id(v)] for name, v in scan.graph.outputs.items()}
        steps = node.inputs[0].type.length
        assert isinstance(steps, int)
        chain = max(t.depth for t in results.values()) - depth
        seen: dict[tuple[str, str], Reach] = {}
        for tensor in results.values():  # through the states every result sees all of them
            for key, reach in tensor.reaches.items():
                seen[key] = _wider(seen[key], reach) if key in seen else reach
        size = here.at_once if here.runs else 0
        made = tuple(self._made(size * _bytes(v.type), depth + steps * chain, seen)
                     for v in node.outputs.values())
        if here.runs:
            self._uses.append(({t.slot for t in results.values()}, {t.slot for t in made}))
        if node.remat:
            self.again = max(self.again, (self.kept - before) // steps)
            self.kept = before + sum(self._sizes[t.slot] for t in made)
        return made

    def _layer(self, node: Node, op: Operator, inputs: tuple[_Tensor, ...], here: _Place,
               ) -> tuple[_Tensor, ...]:
        cost = self._cost(node, op)
        types = [v.type for v in node.outputs.values()]
        # Noise of the training phase is not there in evaluation.
        idle = not here.runs or (op.random == "training" and not self.training)
        steps = 0 if idle else cost.steps
        depth = steps + max((t.depth for t in inputs), default=0)
        reaches = self._reached(node, op, cost, inputs, types[0])
        renames = len(types) == 1 and bool(inputs) and (
            here.runs if idle else cost.steps == cost.saved == 0)
        if renames:
            made = (_Tensor(inputs[0].slot, depth, reaches),)
        else:
            times = here.at_once if here.runs else 0
            made = tuple(self._made(times * _bytes(t), depth, reaches) for t in types)
        if not idle:
            self.kept += here.times * cost.saved * FLOAT_BYTES
            self._uses.append(({t.slot for t in inputs}, {t.slot for t in made}))
        owns = here.weights not in self._owned
        self._owned.add(here.weights)
        self.rows.append(Row(
            here.path, op, tuple(v.type for v in node.inputs), types[0],
            cost.params if owns else 0, cost.buffers if owns else 0,
            here.times * cost.macs if here.runs else 0, here.turns * steps, reaches, here.during,
            here.runs, here.frozen,
            here.weights if not owns and cost.params + cost.buffers else "",
            here.weights))
        return made

    def _cost(self, node: Node, op: Operator) -> _Cost:
        """A node's cost, asked once."""
        if (known := self._costs.get(id(node))) is not None:
            return known
        types = tuple(v.type for v in node.inputs)
        parameters = op.parameters(*types).values()
        cost = self._costs[id(node)] = _Cost(
            sum(p.size for p in parameters if not p.statistic),
            sum(p.size for p in parameters if p.statistic),
            op.macs(*types), op.steps(*types), op.saved(*types), op.reach(*types))
        return cost

    def _reached(self, node: Node, op: Operator, cost: _Cost, inputs: tuple[_Tensor, ...],
                 output: TensorType) -> Reaches:
        """The receptive field of a layer's output: its inputs' joined, widened by its own reach."""
        joined: dict[tuple[str, str], Reach] = {}
        for tensor in inputs:
            for key, reach in tensor.reaches.items():
                joined[key] = _wider(joined[key], reach) if key in joined else reach
        lost = () if op.word in _PICKING else {
            a for v in node.inputs for a in v.type.window_axes if a not in output.axes}
        for key, reach in joined.items():
            axis = key[1]
            if axis in cost.reach:
                reach = _widened(reach, cost.reach[axis])
            elif axis in lost:
                reach = replace(reach, size=None)
            if op.word in _REFINING:
                before, after = node.inputs[0].type.size(axis), output.size(axis)
                if isinstance(before, int) and isinstance(after, int):
                    reach = replace(reach, jump=reach.jump / max(1, round(after / before)))
            joined[key] = reach
        return joined

    def receptive_field(self) -> dict[str, dict[str, Reach]]:
        """That of the main output, by input and axis."""
        found: dict[str, dict[str, Reach]] = {}
        main = next(iter(self.outputs.values()))
        for (name, axis), reach in main.reaches.items():
            found.setdefault(name, {})[axis] = reach
        return found

    def peak(self) -> int:
        """The most bytes alive at once, each slot from its layer to its last reader."""
        last = {slot: i for i, (read, made) in enumerate(self._uses) for slot in read | made}
        last.update({t.slot: len(self._uses) for t in self.outputs.values()})
        alive = most = sum(self._sizes[t.slot] for t in self._inputs)
        for i, (read, made) in enumerate(self._uses):
            alive += sum(self._sizes[slot] for slot in made - read)
            most = max(most, alive)
            alive -= sum(self._sizes[slot] for slot in read | made if last[slot] == i)
        return most


def _bytes(tensor: TensorType) -> int:
    return tensor.elements * _BYTES[tensor.dtype]


def _whole(reaches: Reaches) -> Reaches:
    """Everything along time: what a step that has seen all before it depends on."""
    return {key: replace(reach, size=None) if key[1] == "time" else reach
            for key, reach in reaches.items()}


def _wider(a: Reach, b: Reach) -> Reach:
    size = None if a.size is None or b.size is None else max(a.size, b.size)
    return Reach(size, max(a.jump, b.jump), max(a.local, b.local))


def _widened(reach: Reach, window: Window | None) -> Reach:
    if window is None:
        return replace(reach, size=None)
    if reach.size is None:
        return reach
    size = reach.size + round((window.size - 1) * reach.jump)
    return Reach(size, reach.jump * window.stride, size)


# ------------------------------------------------------------------------------- JSON


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain data: `name`, `phase`, `batch`, `totals`, `layers`."""
    totals = plan.totals
    return {
        "name": plan.name,
        "phase": "training" if plan.training else "evaluation",
        "batch": plan.batch,
        "totals": {
            **{name: getattr(totals, name) for name in (
                "layers", "params", "trainable", "buffers", "macs", "flops", "steps",
                "weight_bytes")},
            "activation_bytes": dict(totals.activation_bytes),
            "receptive_field": {
                name: {axis: {"output": r.size or "all", "local": r.local}
                       for axis, r in axes.items()}
                for name, axes in totals.receptive_field.items()},
            "inputs": {n: _type_json(t) for n, t in totals.inputs.items()},
            "outputs": {n: _type_json(t) for n, t in totals.outputs.items()},
        },
        "layers": [{
            "path": row.path, "operator": row.operation.word,
            "fields": _fields_json(row.operation), "output": _type_json(row.output),
            "params": row.params, "buffers": row.buffers, "macs": row.macs, "steps": row.steps,
            "receptive_field": {f"{name}.{axis}": r.size or "all"
                                for (name, axis), r in row.reaches.items()},
            **({"during": row.during} if row.during != "always" else {}),
            **({"freeze": True} if row.frozen else {}),
            **({"weights": row.shared} if row.shared else {}),
        } for row in plan.rows],
    }


def _fields_json(op: Operator) -> dict[str, Any]:
    fields = op.model_dump(mode="json", by_alias=True)
    return {name: fields[name] for name in fields_of(op)}


def _type_json(tensor: TensorType) -> dict[str, Any]:
    return {"axes": list(tensor.axes), "shape": list(tensor.shape), "dtype": tensor.dtype}
