"""Joins, groups, loops, choices and heads: their layers stand in the graph around them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from compiler.builder import MAX_ITERATIONS, Builder, Place
from compiler.calls import read_inserted
from compiler.diagnostics import Label
from compiler.entities import Entity, Seen
from compiler.graph import Each, Value
from compiler.layers import LayerSpec
from compiler.operators import applied, node
from compiler.params import LayersValue
from compiler.parse import Mapping as MapNode
from compiler.parse import Scalar
from compiler.parse import Sequence as SequenceNode
from compiler.scans import scan
from compiler.scope import Scope
from compiler.spec import Choose, Loop, Repeat
from compiler.spec import Each as EachSection
from compiler.tree import Mapping as TreeMapping
from compiler.types import AXES, TensorType
from compiler.validate import UNKNOWN
from compiler.wording import near, shown, some

if TYPE_CHECKING:
    from compiler.elaborate import Elaborator

# The lists of a loop: the names of one iteration and their values.
Row = dict[str, Any]


def construct(
    e: Elaborator, layer: LayerSpec, place: Place, arriving: Value | None,
) -> Value | None:
    """Elaborate a construct; the tensor that flows on, None after an error."""
    match layer.kind:
        case "group":
            return _group(e, layer, place, arriving)
        case "residual":
            return _residual(e, layer, place, arriving)
        case "output":
            return _head(e, layer, place, arriving)
        case "each":
            return _each(e, layer, place, arriving)
        case "scan":
            return scan(e, layer, place, arriving)
        case "insert":
            return _insert(e, layer, place, arriving)
        case "choose":
            return _choose(e, layer, place, arriving)
        case "for" | "repeat":
            return _loop(e, layer, place, arriving)
    raise AssertionError(layer.kind)


# ---- joins and branches


def join(
    e: Elaborator, layer: LayerSpec, place: Place, arriving: list[Value] | None,
) -> Value | None:
    """Elaborate a join of branches, of a list of names, or of what `from` lists."""
    members: dict[str, Entity] = {}
    joined: dict[str, Value] | None
    if isinstance(layer.value, SequenceNode):
        joined = _listed(e, layer.value, place)
    elif layer.branches:
        if arriving is not None and len(arriving) > 1:
            e.at(place).error("F0402", f"the branches of `{layer.word}` begin with one tensor, "
                              f"`from` names {len(arriving)}", layer.modifiers["from"].span,
                              help="leave the branches away to join what `from` names")
            arriving = None
        joined, members = _branches(e, layer, place, arriving[0] if arriving else None)
    else:
        joined = None if arriving is None else _named(arriving)
    entity = applied(e, layer, place, None if joined is None else list(joined.values()),
                     joined or {})
    e.bind(layer, place, Entity(entity.value, layer.span, {**members, **entity.members},
                                entity.node, entity.weights))
    return entity.value


def _listed(e: Elaborator, names: SequenceNode, place: Place) -> dict[str, Value] | None:
    """The tensors that a list names; None after an error."""
    values: dict[str, Value] = {}
    failed = False
    counts: Counter[str] = Counter()
    for item in names:
        assert isinstance(item, Scalar) and isinstance(item.value, str)
        value = e.tensor(item.value, item.span, place)
        failed = failed or value is None
        if value is not None:  # the same tensor may stand twice
            counts[item.value] += 1
            again = f" ({counts[item.value]})" if counts[item.value] > 1 else ""
            values[f"{item.value}{again}"] = value
    return None if failed else values


def _named(values: list[Value]) -> dict[str, Value]:
    return {f"{v.name}{f' ({i})' if v in values[:i] else ''}": v for i, v in enumerate(values)}


def _branches(
    e: Elaborator, layer: LayerSpec, place: Place, arriving: Value | None,
) -> tuple[dict[str, Value] | None, dict[str, Entity]]:
    """The tensors that branches give, None after an error; and what the join's name reaches."""
    owner = place.inside(layer.segment) if layer.is_named else place
    values: dict[str, Value] = {}
    clashes = 0
    assert isinstance(layer.value, TreeMapping)
    for key, branch in layer.branches.items():
        inner = replace(owner, names=owner.names.inner(), prefix=f"{owner.prefix}{key}.")
        result = e.run(branch, inner, arriving)
        span = layer.value.key_spans[key]
        clashes += key in owner.own
        if clashes < 2 or key not in owner.own:  # one complaint for each join
            e.name(key, Entity(result, span, inner.own), owner, span,
                   help=f"give one of the joins a name: `{{{layer.word}: …, name: …}}`; its "
                   "branches are then under that name")
        if result is not None:
            values[key] = result
    return (values if len(values) == len(layer.branches) else None,
            owner.own if layer.is_named else {})


def _residual(
    e: Elaborator, layer: LayerSpec, place: Place, arriving: Value | None,
) -> Value | None:
    """`residual: [...]` is `add` with an identity shortcut."""
    inner = place.inside(layer.segment)
    result = e.run(layer.branches["layers"], inner, arriving)
    made = Entity(None)
    if result is not None and arriving is not None:
        add = replace(layer, word="add", modifiers={})
        made = applied(e, add, place, [result, arriving],
                       {"the residual branch": result, "the shortcut": arriving})
    e.bind(layer, place, Entity(made.value, layer.span, inner.own))
    return made.value


def _head(e: Elaborator, layer: LayerSpec, place: Place, arriving: Value | None) -> None:
    """`output`: layers beside the flow, whose result is an output of the graph."""
    inner = place.inside(layer.segment)
    result = e.run(layer.branches["layers"], inner, arriving)
    e.bind(layer, place, Entity(result, layer.span, inner.own))
    name = place.prefix + layer.segment
    if name in place.builder.outputs or name == "output":
        other = place.builder.heads.get(name)
        e.at(place).error(
            "F0210", f"two outputs are called `{name}`", layer.modifiers["name"].span,
            more=(Label(other, "the other one"),) if other else (),
            help="`output` is the main one: give the head another name")
    elif result is not None:
        place.builder.outputs[name] = result
        place.builder.heads[name] = layer.modifiers["name"].span
        phase = place.builder.absent.get(id(result), place.during)
        if phase != "always":
            place.builder.phases[name] = phase


# ---- groups and choices


def _group(e: Elaborator, layer: LayerSpec, place: Place, arriving: Value | None) -> Value | None:
    inner = place.inside(layer.segment) if layer.is_named else place
    flow = e.run(layer.branches["layers"], inner, arriving)
    e.bind(layer, place, Entity(flow, layer.span, inner.own if layer.is_named else {}))
    return flow


def _insert(e: Elaborator, layer: LayerSpec, place: Place, arriving: Value | None) -> Value | None:
    """`layers: =name`: the layers that a param holds.

    Their formulas see the names where they are written, then those where they are put.
    """
    assert isinstance(layer.value, Scalar)
    held = e.value(layer.value, _seen(e, place, arriving), place)
    if not isinstance(held, LayersValue):
        if held is not UNKNOWN:
            e.at(place).error(
                "F0213", f"`{layer.value.text}` does not hold layers but {shown(held)}",
                layer.value.span, help="declare the param with `{type: layers, default: relu}`")
        place.builder.maybe |= layer.possible_names()
        e.bind(layer, place, Entity(None))
        return None
    program = held.program or place.program
    inner = replace(place.inside(layer.segment, held.scope), program=program)
    flow = e.run(read_inserted(e, held, program, place), inner, arriving)
    e.bind(layer, place, Entity(flow, layer.span, inner.own))
    return flow


def _choose(e: Elaborator, layer: LayerSpec, place: Place, arriving: Value | None) -> Value | None:
    section = layer.section
    assert isinstance(section, Choose)
    value = e.value(section.value, _seen(e, place, arriving), place)
    key = str(value).lower() if isinstance(value, bool) else str(value)
    if value is UNKNOWN or isinstance(value, list | dict) or key not in layer.branches:
        if value is not UNKNOWN:
            e.at(place).error(
                "F0315", f"`choose` has no case for {shown(value)}", section.value.span,
                near(key, layer.branches, e.report),
                notes=(f"cases: {some(layer.branches)}",))
        place.builder.maybe |= layer.possible_names()
        e.bind(layer, place, Entity(None))
        return None
    flow = e.run(layer.branches[key], place, arriving)
    e.bind(layer, place, Entity(flow, layer.span))
    return flow


def _seen(e: Elaborator, place: Place, arriving: Value | None) -> Seen:
    return e.seen(place, None if arriving is None else [arriving])


# ---- loops


def _loop(e: Elaborator, layer: LayerSpec, place: Place, arriving: Value | None) -> Value | None:
    section = layer.section
    assert isinstance(section, Loop | Repeat)
    rows = _rows(e, section, layer, _seen(e, place, arriving), place)
    if rows is None:
        place.builder.maybe |= layer.possible_names()
        e.bind(layer, place, Entity(None))
        return None
    owner = place.inside(layer.segment) if layer.is_named else place
    flow = arriving
    for number, row in enumerate(rows):
        e.visit(layer, place)
        values = {**row, section.index: number} if section.index else row
        segment = f"{section.index}{number}" if section.index else f"{layer.segment}_{number}"
        inner = e.let(section.let, owner.inside(segment, place.values.inner(values)), Entity(flow))
        flow = e.run(layer.branches["layers"], inner, flow)
        e.name(segment, Entity(flow, layer.span, inner.own), owner, layer.span,
               help="give one of the loops a name, or another `index`")
    e.bind(layer, place, Entity(flow, layer.span, owner.own if layer.is_named else {}))
    return flow


def _rows(
    e: Elaborator, section: Loop | Repeat, layer: LayerSpec, seen: Seen, place: Place,
) -> list[Row] | None:
    """The values that each iteration of a loop sees; None after an error."""
    report = e.at(place)
    lists: dict[str, list[Any]] = {}
    if isinstance(section, Repeat):
        count = e.value(section.times, seen, place)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            if count is not UNKNOWN:
                report.error("F0314", f"`times` is a whole number from 0, not {shown(count)}",
                             section.times.span)
            return None
    else:
        found = _lists(e, section, seen, place)
        if found is None:
            return None
        lists, count = found, len(next(iter(found.values())))
    if count > MAX_ITERATIONS:
        report.error("F0505", f"the loop has {count:,} iterations", layer.span,
                     f"at most {MAX_ITERATIONS:,} are allowed")
        return None
    return [{name: v[i] for name, v in lists.items()} for i in range(count)]


def _lists(
    e: Elaborator, section: Loop, seen: Seen, place: Place,
) -> dict[str, list[Any]] | None:
    """The lists of a `for`, all of one length; None after an error."""
    report, each = e.at(place), section.each
    if not isinstance(each, MapNode) or not each:
        report.error("F0314", "`each` is a map from names to lists", each.span,
                     help="as in `each: {depth: =depths}`")
        return None
    lists: dict[str, list[Any]] = {}
    for name, part in each.items():
        value = e.value(part, seen, place)
        if isinstance(value, list):
            lists[name] = value
        elif value is not UNKNOWN:
            report.error("F0314", f"`{name}` runs over a list, not over {shown(value)}", part.span,
                         help="`repeat: {times: 3, …}` repeats a number of times"
                         if isinstance(value, int) else "")
    if len(lists) < len(each):
        return None
    lengths = {name: len(v) for name, v in lists.items()}
    if len(set(lengths.values())) > 1:
        report.error("F0313", "the lists of `for` have different lengths", each.span,
                     ", ".join(f"{n} has {c}" for n, c in lengths.items()),
                     help="they run side by side: give each the same number of elements")
        return None
    return lists


# ---- every step apart


def _each(e: Elaborator, layer: LayerSpec, place: Place, arriving: Value | None) -> Value | None:
    """`layers` with `each: time`: a graph of its own, run on every step."""
    section = layer.section
    assert isinstance(section, EachSection)
    axis = section.each
    if arriving is not None and axis not in arriving.type.axes:
        e.at(place).error("F0403", f"the input has no {axis} axis to take apart", layer.span,
                          f"it is {arriving.type.described()}")
        arriving = None
    builder = Builder(place.prefix + layer.segment, e.depth, maybe=place.builder.maybe)
    inner = replace(place, builder=builder, names=Scope(), prefix="", during="always")
    step = None if arriving is None else Value("x", arriving.type.without(axis))
    graph = e.body(inner, {"x": step}, layer.branches["layers"], {})
    e.reaches(builder.height, layer, place)
    if builder.heads:
        e.at(place).error("F0208", "`output` cannot stand inside `each`",
                          next(iter(builder.heads.values())),
                          help="put the head behind the layers, or make them a block")
        graph = None
    if graph is None or arriving is None:
        e.bind(layer, place, Entity(None))
        return None
    value = Value(place.prefix + layer.segment,
                  _unfolded(graph.outputs["output"].type, arriving.type, axis))
    made = node(e, layer, place, _seen(e, place, arriving), Each(axis, graph), [arriving],
                {"output": value}, {}, {})
    e.bind(layer, place, Entity(value, layer.span, {}, made, made.weights))
    return value


def _unfolded(one: TensorType, whole: TensorType, axis: str) -> TensorType:
    """The type of all steps together, from that of one step and that of the input."""
    sizes = dict(zip(one.axes, one.shape)) | {axis: whole.shape[whole.axes.index(axis)]}
    axes = tuple(a for a in AXES if a in sizes)
    return TensorType(axes, tuple(sizes[a] for a in axes), one.dtype, one.vocabulary)
