"""Blocks: each use is a call of a graph made for its params and the types of its inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from compiler.builder import Builder, Place
from compiler.diagnostics import Label
from compiler.entities import Entity, Seen, outside
from compiler.graph import Call, Graph, Node, Value, subgraph
from compiler.layers import LayerSpec
from compiler.names import OUTPUT
from compiler.operators import node
from compiler.ops.base import Operator, Parameter
from compiler.params import Given, LayersValue, bind, frozen, weight_of
from compiler.program import BlockSpec, Program
from compiler.reading import read_layers
from compiler.scope import Scope
from compiler.validate import UNKNOWN
from compiler.wording import shown

if TYPE_CHECKING:
    from compiler.elaborate import Elaborator


class Calls:
    """What equal uses of blocks share."""

    def __init__(self) -> None:
        self.made: dict[Any, tuple[Graph, Builder] | None] = {}
        self.used: set[BlockSpec] = set()
        self.inserted: dict[Any, tuple[LayerSpec, ...]] = {}


def block(
    e: Elaborator, layer: LayerSpec, place: Place, arriving: list[Value] | None,
) -> Value | None:
    """Elaborate a use of a block; the tensor that flows on, None after an error."""
    spec = place.program.blocks[layer.word]
    e.calls.used.add(spec)
    if arriving is not None and len(arriving) != len(spec.inputs):
        e.at(place).error(
            "F0402", f"`{spec.name}` takes {len(spec.inputs)} tensor"
            f"{'s' if len(spec.inputs) != 1 else ''} ({', '.join(spec.inputs)}), "
            f"{len(arriving)} arrive{'s' if len(arriving) == 1 else ''}", layer.span,
            help=f"name them: `from: [{', '.join(spec.inputs)}]`",
            more=(Label(spec.span, "declared here"),))
        arriving = None
    seen = e.seen(place, arriving)
    values = _bound(e, spec, layer, place, seen, arriving)
    made = None
    if arriving is not None and not any(v is UNKNOWN for v in values.values_.values()):
        made = _specialised(e, spec, values, layer, place, arriving)
    entity = Entity(None) if made is None or arriving is None else (
        _called(e, spec, values, layer, place, seen, arriving, *made))
    e.bind(layer, place, entity)
    return entity.value


def _bound(
    e: Elaborator, spec: BlockSpec, layer: LayerSpec, place: Place, seen: Seen,
    arriving: list[Value] | None,
) -> Scope:
    """The values of a block's params for one use; its defaults may read its inputs' shapes."""
    # What arrives is read where it is written; layers that are passed on read it where they run.
    author = Seen(place.values, place.names, None, place.builder.maybe)
    program = None if spec.program is place.program else place.program
    given = {}
    for key, value in layer.fields.items():
        is_layers = key in spec.params and spec.params[key].type == "layers"
        given[key] = Given(value, author if is_layers else seen, layer.fields.key_spans[key],
                           program)
    inputs = {name: Entity(arriving[i] if arriving else None) for i, name in enumerate(spec.inputs)}
    outer = Seen(spec.program.scope, Scope(inputs), None, set())
    found = bind(spec.params, given, outer, e.at(place), what=f"`{spec.name}`", use=layer.span,
                 program=spec.program)
    return spec.program.scope.inner(found.values_)


def _called(
    e: Elaborator, spec: BlockSpec, values: Scope, layer: LayerSpec, place: Place, seen: Seen,
    arriving: list[Value], graph: Graph, inside: Builder,
) -> Entity:
    """Add the call of a block's graph; the entity of its first output."""
    builder = place.builder
    path = place.prefix + layer.segment
    declared = {n: v for n, v in graph.outputs.items()
                if n in spec.outputs or n in inside.heads or n == OUTPUT}
    outputs = {name: Value(path if i == 0 else f"{path}.{name}", v.type)
               for i, (name, v) in enumerate(declared.items())}
    table: dict[str, Parameter] = {}
    if "weights" in layer.modifiers:
        table = parameter_table(graph)
        e.visit(layer, place, len(table))
    made = node(e, layer, place, seen, Call(spec.name, graph, dict(values.values_),
                                            spec.weights_file), arriving, outputs, table, {})
    for name, value in outputs.items():
        phase = graph.phases.get(name, "always")
        if phase != "always":
            builder.absent[id(value)] = phase
        if name in inside.heads:
            # A head inside the block is an output of whatever uses it.
            builder.outputs[f"{path}.{name}"] = value
            builder.heads[f"{path}.{name}"] = layer.span
            phase = phase if phase != "always" else place.during
            if phase != "always":
                builder.phases[f"{path}.{name}"] = phase

    def reach(name: str, value: Value) -> Value:
        """Make a tensor inside the block an output of its graph, and of this call."""
        if name not in outputs:
            inside.outputs.setdefault(name, value)
            outputs[name] = Value(f"{path}.{name}", value.type)
            if id(value) in inside.absent:
                inside.phases[name] = inside.absent[id(value)]
            phase = inside.absent.get(id(value), place.during)
            if phase != "always":
                builder.absent[id(outputs[name])] = phase
            builder.origins[id(outputs[name])] = made.origin
        return outputs[name]

    def wrap(name: str, inner: Entity) -> Entity:
        if name in declared and inner.value is declared[name]:
            return replace(inner, value=outputs[name], take=None)
        return outside(inner, name, made.weights, reach)

    members = {**inside.symbols, **{n: Entity(v, layer.span) for n, v in declared.items()
                                    if n in spec.outputs}}
    return Entity(next(iter(outputs.values())), layer.span, members, made, made.weights, wrap)


def _specialised(
    e: Elaborator, spec: BlockSpec, values: Scope, layer: LayerSpec, place: Place,
    arriving: list[Value],
) -> tuple[Graph, Builder] | None:
    """The block's graph for these params and input types; made once, None after errors."""
    values.budget.spend(weight_of(values.values_), layer.fields, e.at(place))
    key = (spec, frozen(values.values_), tuple(v.type for v in arriving))
    if key in e.calls.made:
        known = e.calls.made[key]
        if known is not None:
            e.reaches(known[1].height, layer, place)
        return known
    builder = Builder(spec.name, e.depth)
    params = ", ".join(f"{k}={_short(v)}" for k, v in values.values_.items())
    frame = (f"in `{spec.name}`, used here" + (f" with {params}" if params else ""), layer.span)
    inputs = {name: Value(name, v.type) for name, v in zip(spec.inputs, arriving)}
    result = _elaborated(e, spec, values, builder, inputs, (*place.frames, frame))
    e.reaches(builder.height, layer, place)
    e.calls.made[key] = (result, builder) if result is not None else None
    return e.calls.made[key]


def _elaborated(
    e: Elaborator, spec: BlockSpec, values: Scope, builder: Builder,
    inputs: dict[str, Value] | dict[str, None], frames: tuple[Any, ...],
) -> Graph | None:
    """Elaborate a block's layers into a graph."""
    names = {name: Entity(value) for name, value in inputs.items()}
    let = e.let(spec.let, Place(builder, spec.program, values, Scope(names), frames=frames), None)
    inner = replace(let, names=Scope())
    graph = e.body(inner, inputs, spec.layers, spec.outputs)
    builder.symbols = inner.own
    return graph


def check_unused(e: Elaborator, program: Program) -> None:
    """Report what is wrong in blocks that nothing uses, as far as it can be told without values.

    Their params and inputs have no value, which silences everything that depends on them; what
    is left are names that are not there.
    """
    for spec in program.blocks.values():
        if spec.program is not program or spec in e.calls.used or spec.name.count("."):
            continue
        values = program.scope.inner(dict.fromkeys(spec.params, UNKNOWN))
        _elaborated(e, spec, values, Builder(spec.name), dict.fromkeys(spec.inputs), ())


def read_inserted(
    e: Elaborator, held: LayersValue, program: Program, place: Place,
) -> tuple[LayerSpec, ...]:
    """The layers that a param holds, read once."""
    key = (frozen(replace(held, scope=Scope())), program)
    if key not in e.calls.inserted:
        e.calls.inserted[key] = read_layers(held.node, program.words, e.at(place))
    return e.calls.inserted[key]


def parameter_table(graph: Graph, prefix: str = "") -> dict[str, Parameter]:
    """Every parameter under a graph by its path, those that layers share once."""
    table: dict[str, Parameter] = {}
    for made in graph.nodes:
        path = f"{prefix}{made.weights}"
        inner = subgraph(made)
        if inner is not None:
            table.update(parameter_table(inner, f"{path}."))
        else:
            table.update({f"{path}.{name}": p for name, p in _parameters(made).items()})
    return table


def _parameters(made: Node) -> dict[str, Parameter]:
    assert isinstance(made.operation, Operator)
    return made.operation.parameters(*(v.type for v in made.inputs))


def _short(value: Any) -> str:
    if isinstance(value, LayersValue):
        return "layers"
    text = shown(value, 20).removeprefix("the text ").removeprefix("the list ").strip("`")
    return text if len(text) <= 24 else text[:23] + "…"
