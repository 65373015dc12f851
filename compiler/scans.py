"""`scan`: a body that is a graph of its own, stepped through time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from compiler.builder import Builder, Place
from compiler.captures import Outside
from compiler.diagnostics import Label
from compiler.entities import Entity, Seen, may_exist
from compiler.graph import Graph, Scan, Value, walk
from compiler.layers import LayerSpec
from compiler.names import INPUT, OUTPUT
from compiler.operators import node
from compiler.ops.base import Operator
from compiler.ops.search import Search
from compiler.parse import Mapping, Scalar
from compiler.parse import Node as TreeNode
from compiler.source import Span
from compiler.spec import Scan as Section
from compiler.spec import Zeros
from compiler.types import AXES, DEFAULT_AXES, TensorType
from compiler.validate import UNKNOWN, validate
from compiler.wording import shown

if TYPE_CHECKING:
    from compiler.elaborate import Elaborator

STEP = "x"  # what a step is called where the author does not say


@dataclass(frozen=True)
class _Input:
    """A sequence or a state: what it is outside the body, and inside.

    `value` is None after an error, and for a state that begins as zeros.
    """

    value: Value | None
    inside: Value | None
    span: Span


def scan(e: Elaborator, layer: LayerSpec, place: Place, arriving: Value | None) -> Value | None:
    """Elaborate a `scan`; the tensor that flows on, None after an error."""
    section = layer.section
    assert isinstance(section, Section)
    seen = e.seen(place, None if arriving is None else [arriving])
    before = len(e.report.errors)
    over = _sequences(e, section, layer, place, arriving)
    carry = _states(e, section, place, seen)
    decode, sample = _search(e, section, place, seen), _sample(e, section, place, seen)

    builder = Builder(place.prefix + layer.segment, e.depth, maybe=place.builder.maybe)
    outside = Outside(place.names, place.builder, builder, {*over, *carry})
    around = outside.inner({name: Entity(one.inside, one.span) for name, one in carry.items()})
    inner = replace(place, builder=builder, names=around.inner(), prefix="", during="always")
    graph = e.body(inner, {name: one.inside for name, one in over.items()},
                   layer.branches["layers"], {})
    e.reaches(builder.height, layer, place)
    if builder.heads:
        e.at(place).error("F0208", "`output` cannot stand inside `scan`",
                          next(iter(builder.heads.values())),
                          help="give the result of every step out: `outputs: {name: layer}`")
    if graph is not None:
        _add_results(e, section, carry, graph, inner)
        _check_results(e, graph, layer, place)
        _check_choices(e, section, over, graph, layer, place, decode, sample)
    if graph is None or len(e.report.errors) > before or arriving is None:
        e.bind(layer, place, Entity(None))
        return None
    entity = _made(e, layer, place, seen, graph, over, carry, outside, decode, sample)
    e.bind(layer, place, entity)
    return entity.value


# ---- what goes in


def _sequences(
    e: Elaborator, section: Section, layer: LayerSpec, place: Place, arriving: Value | None,
) -> dict[str, _Input]:
    """The sequences to step through, by the names of their steps."""
    given = section.over if isinstance(section.over, Mapping) else {}
    found: dict[str, _Input] = {}
    if not given:
        found[STEP] = _sequence(e, STEP, arriving, layer.span, place)
    for name, reference in given.items():
        found[name] = _sequence(e, name, _tensor(e, reference, place, arriving), reference.span,
                                place)
    known = {name: one.value.type for name, one in found.items() if one.inside and one.value}
    if len({type.length for type in known.values()}) > 1:
        e.at(place).error(
            "F0420", "the sequences of `scan` have different lengths",
            next(one.span for name, one in found.items() if name in known),
            ", ".join(f"{name} has {type.length}" for name, type in known.items()),
            help="they are stepped through side by side: make one as long as the other")
    return found


def _sequence(
    e: Elaborator, name: str, value: Value | None, span: Span, place: Place,
) -> _Input:
    if value is None:
        return _Input(None, None, span)
    if "time" not in value.type.axes:
        e.at(place).error(
            "F0403", f"`scan` steps through time, but `{name}` has no time axis", span,
            f"it is {value.type.described()}",
            help="a tensor that is the same at every step is read by its name inside the body")
        return _Input(value, None, span)
    inside = Value(name, value.type.without("time"))
    if (origin := place.builder.origins.get(id(value))) is not None:
        place.builder.origins[id(inside)] = origin
    return _Input(value, inside, span)


def _states(e: Elaborator, section: Section, place: Place, seen: Seen) -> dict[str, _Input]:
    """The states by name, with what they begin as."""
    found: dict[str, _Input] = {}
    for name, begin in (section.carry if isinstance(section.carry, Mapping) else {}).items():
        if isinstance(begin, Mapping):
            type_ = _zeros(e, name, begin, place, seen)
            found[name] = _Input(None, None if type_ is None else Value(name, type_), begin.span)
            continue
        value = _tensor(e, begin, place, seen.input.value if seen.input else None)
        if value is not None and "time" in value.type.axes:
            e.at(place).error(
                "F0417", f"state `{name}` cannot begin as a sequence", begin.span,
                f"it is {value.type.described()}",
                help="begin with one step of it: `encoder.last`, `encoder.state`")
            value = None
        inside = None if value is None else Value(name, value.type)
        found[name] = _Input(value, inside, begin.span)
    return found


def _zeros(
    e: Elaborator, name: str, begin: Mapping, place: Place, seen: Seen,
) -> TensorType | None:
    """The type of a state that begins as zeros; None after an error."""
    zeros = validate(Zeros, begin, e.at(place), what=f"state `{name}`", main_span=begin.span)
    if zeros is None:
        return None
    value = e.value(zeros.zeros, seen, place)
    sizes = value if isinstance(value, list) else [value]
    if value is UNKNOWN:
        return None
    whole = all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sizes)
    if not whole or len(sizes) not in (1, 3, 4):
        e.at(place).error(
            "F0205", f"`zeros` is a number of channels, or sizes of space and channels, not "
            f"{shown(value)}", zeros.zeros.span,
            help="as in `{zeros: 256}`, or `{zeros: [7, 7, 64]}`: height, width, channels")
        return None
    return TensorType(DEFAULT_AXES[len(sizes)], tuple(sizes))


def _tensor(
    e: Elaborator, reference: TreeNode, place: Place, arriving: Value | None,
) -> Value | None:
    """The tensor that a part of a scan names; `input` is what arrives. None after an error."""
    name = reference.value if isinstance(reference, Scalar) else None
    if not isinstance(name, str) or name[:1] in ("", "="):
        return None  # which was told
    return arriving if name == INPUT else e.tensor(name, reference.span, place)


# ---- what comes out


def _add_results(
    e: Elaborator, section: Section, carry: dict[str, _Input], graph: Graph, inner: Place,
) -> None:
    """Make the states' next values and the further results outputs of the body."""
    assert isinstance(graph.outputs, dict)
    given = section.next if isinstance(section.next, Mapping) else {}
    for name, one in carry.items():
        if name in given:
            value = _tensor(e, given[name], inner, None)
        elif (layer := inner.own.get(name)) is not None:
            # Of a cell its whole state; of another layer what flows on.
            value = (layer.member("state") or layer).tensor()
        else:
            value = None
            if not may_exist(name, inner.builder.maybe):
                e.at(inner).error(
                    "F0415", f"nothing in the body gives `{name}` its next value", one.span,
                    "it begins here",
                    help=f"give the layer that makes it this name, `name: {name}`, or say which "
                         f"one it is: `next: {{{name}: LAYER}}`")
        if value is None or one.inside is None:
            continue
        graph.outputs[f"next.{name}"] = value
        was, now = one.inside.type, value.type
        if (was.axes, was.shape, was.dtype) != (now.axes, now.shape, now.dtype):
            e.at(inner).error(
                "F0416", f"`{name}` begins as {was} and is {now} after a step", one.span,
                more=_made_at(inner, value, "its next value is made here"),
                help="both need the same shape: the state of an LSTM is its output and its cell, "
                     "of twice as many channels as units" if _is_double(was, now) else
                     "both need the same shape: put a `dense` before the scan, or begin with "
                     "`{zeros: SIZE}`")
    for name, reference in (section.outputs if isinstance(section.outputs, Mapping)
                            else {}).items():
        if (value := _tensor(e, reference, inner, None)) is not None:
            graph.outputs[name] = value


def _is_double(a: TensorType, b: TensorType) -> bool:
    sizes = a.channels, b.channels
    return all(isinstance(s, int) for s in sizes) and sizes in (
        (sizes[0], 2 * sizes[0]), (2 * sizes[1], sizes[1]))  # type: ignore[operator]


def _made_at(place: Place, value: Value, text: str) -> tuple[Label, ...]:
    origin = place.builder.origins.get(id(value))
    return (Label(origin.span, text),) if origin is not None and origin.span is not None else ()


def _check_results(e: Elaborator, graph: Graph, layer: LayerSpec, place: Place) -> None:
    """Report results that cannot come out of a scan, and layers that cannot stand in one."""
    report = e.at(place)
    for name, value in graph.outputs.items():
        what = "the result of the body" if name == OUTPUT else f"`{name.removeprefix('next.')}`"
        if "time" in value.type.axes:
            report.error(
                "F0417", f"{what} has a time axis of its own, which the steps of `scan` need",
                layer.span, f"it is {value.type.described()}",
                help="bring it to one step: `pool: mean`, `select: last`, or `attention`")
        if graph.phases.get(name) or id(value) in place.builder.absent:
            report.error("F0414", f"{what} exists only in one phase", layer.span,
                         help="what comes out of a scan must be there in both phases")
    for path, made in walk(graph):
        op = made.operation
        if not isinstance(op, Operator):
            continue
        stateful = any(p.statistic for p in op.parameters(*(v.type for v in made.inputs)).values())
        if stateful or getattr(op, "carry", "within") == "across":
            report.error(
                "F0418", f"`{op.word}` keeps numbers from batch to batch, which no step of a "
                "scan can", made.origin.span or layer.span, f"`{path}` of the body",
                help="normalise without statistics: `layer_norm`, `group_norm`, `rms_norm`"
                if stateful else "drop `carry: across`: the scan's own states carry")


def _check_choices(
    e: Elaborator, section: Section, over: dict[str, _Input], graph: Graph, layer: LayerSpec,
    place: Place, decode: Search | None, sample: float,
) -> None:
    """Report a body that cannot choose its own next input, where it has to."""
    report = e.at(place)
    word, field = ("decode", section.decode) if decode else ("sample", section.sample)
    if decode is None and not sample:
        return
    first = next(iter(over.values())).inside
    if first is None:
        return
    vocabulary, result = first.type.vocabulary, graph.outputs[OUTPUT].type
    if first.type.axes or first.type.dtype != "int" or vocabulary is None:
        report.error("F0419", f"`{word}` chooses symbols, but a step of `{first.name}` is "
                     f"{first.type.described()}", field.span,
                     help="step through tokens, and `embed` them inside the body")
    elif result.axes != ("channels",) or result.channels != vocabulary:
        report.error("F0419", f"`{word}` needs a score for each of the {vocabulary} symbols of "
                     f"`{first.name}`, but the body gives {result.described()}", field.span,
                     help=f"end the body with `dense: {vocabulary}`")
    elif decode is not None:
        if len(over) > 1:
            others = ", ".join(f"`{name}`" for name in list(over)[1:])
            report.error("F0419", f"`decode` chooses what it steps through, but nothing gives "
                         f"it {others}", field.span,
                         help="step through one sequence of tokens only")
        for name, symbol in (("start", decode.start), ("end", decode.end)):
            if isinstance(symbol, int) and symbol >= vocabulary:
                report.error("F0419", f"`{name}: {symbol}` is no symbol of `{first.name}`, whose "
                             f"numbers go up to {vocabulary - 1}", field[name].span,
                             help="enlarge the `vocabulary` of the input, or name another symbol")


def _search(e: Elaborator, section: Section, place: Place, seen: Seen) -> Search | None:
    """How to decode; None where it is not said, or after an error."""
    if not isinstance(section.decode, Mapping):
        return None
    return validate(Search, section.decode, e.at(place), what="`decode`",
                    evaluate=lambda part: e.value(part, seen, place))


def _sample(e: Elaborator, section: Section, place: Place, seen: Seen) -> float:
    """How often a step sees its own choice; 0 after an error."""
    if section.sample is None:
        return 0.0
    value = e.value(section.sample, seen, place)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    if value is not UNKNOWN:
        e.at(place).error("F0205", f"`sample` of `scan` is a probability, not {shown(value)}",
                          section.sample.span, help="as in `sample: 0.25`")
    return 0.0


# ---- the node


def _made(
    e: Elaborator, layer: LayerSpec, place: Place, seen: Seen, graph: Graph,
    over: dict[str, _Input], carry: dict[str, _Input], outside: Outside, decode: Search | None,
    sample: float,
) -> Entity:
    """Add the scan to the graph around it."""
    given = [one for one in (*over.values(), *carry.values()) if one.value is not None]
    zeros = {name: one for name, one in carry.items() if one.value is None}
    constants = list(outside.taken.values())
    inside = [*(one.inside for one in given), *(inner for _, inner in constants),
              *(one.inside for one in zeros.values())]
    graph = replace(graph, inputs=tuple(v for v in inside if v is not None))
    operation = Scan(graph, tuple(over), tuple(carry), tuple(zeros), sample, decode)
    sequence = next(iter(over.values())).value
    assert sequence is not None and sequence.type.length is not None
    path = place.prefix + layer.segment
    outputs: dict[str, Value] = {}

    def output(name: str) -> Value:
        """An output of the node, made when something first names it."""
        if name not in outputs:
            type_ = graph.outputs[operation.source(name)].type
            if operation.is_sequence(name):
                type_ = _sequence_of(type_, sequence.type)
            outputs[name] = Value(path if name == OUTPUT else f"{path}.{name}", type_)
            if place.during != "always" and name != OUTPUT:
                place.builder.absent[id(outputs[name])] = place.during
            if made is not None:
                place.builder.origins[id(outputs[name])] = made.origin
        return outputs[name]

    made: Any = None
    taps = [n for n in graph.outputs if n != OUTPUT and not n.startswith("next.")]
    for name in (OUTPUT, *taps):
        output(name)
    inputs = [one.value for one in given if one.value is not None]
    made = node(e, layer, place, seen, operation, [*inputs, *(v for v, _ in constants)], outputs,
                {}, {})

    def member(name: str) -> Entity:
        """Something that the scan's name leads to."""
        key = OUTPUT if name == "sequence" else name
        inner = graph.outputs[operation.source(key)]
        type_ = inner.type
        if operation.is_sequence(key):
            type_ = _sequence_of(type_, sequence.type)
        return Entity(Value(name, type_), layer.span, take=lambda: output(key))

    members = {name: member(name) for name in ("sequence", "last", *taps, *carry)}
    return Entity(outputs[OUTPUT], layer.span, members, made, made.weights)


def _sequence_of(step: TensorType, over: TensorType) -> TensorType:
    """The type of all steps of a tensor together."""
    length = over.length
    assert length is not None
    axes = tuple(a for a in AXES if a == "time" or a in step.axes)
    sizes = dict(zip(step.axes, step.shape)) | {"time": length}
    return TensorType(axes, tuple(sizes[a] for a in axes), step.dtype, step.vocabulary)
