"""Operators in a graph: their fields' values, their output types, what their layers own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compiler.builder import MAX_ELEMENTS, MAX_INSTANCES, MAX_LAYERS, MAX_SIZE_TEXT, Place
from compiler.diagnostics import Label
from compiler.entities import Entity, Seen
from compiler.graph import Node, Origin, Value, subgraph
from compiler.layers import LayerSpec
from compiler.ops.base import Init, Operator, Parameter, ShapeError
from compiler.ops.initialisers import INITIALISERS
from compiler.parse import Mapping as MapNode
from compiler.parse import Node as TreeNode
from compiler.parse import Scalar
from compiler.program import Program
from compiler.scope import Enough
from compiler.source import Span
from compiler.types import TensorType
from compiler.validate import UNKNOWN, validate
from compiler.wording import near, shown

if TYPE_CHECKING:
    from compiler.elaborate import Elaborator


class Operators:
    """Operators whose fields hold no formula, by layer: they are made once."""

    def __init__(self) -> None:
        # The layers are keys, not their ids: a layer may live only as long as it is here.
        self.literal: dict[tuple[LayerSpec, Program], Operator] = {}


def operator(
    e: Elaborator, layer: LayerSpec, place: Place, arriving: list[Value] | None,
) -> Value | None:
    """Elaborate a layer of an operator; the tensor that flows on, None after an error."""
    entity = applied(e, layer, place, arriving, {})
    e.bind(layer, place, entity)
    return entity.value


def applied(
    e: Elaborator, layer: LayerSpec, place: Place, arriving: list[Value] | None,
    producers: Mapping[str, Value],
) -> Entity:
    """Make an operator's node; the entity of its output.

    Args:
        e: the elaborator.
        layer: the operator.
        place: where it stands.
        arriving: the tensors it is applied to; None where an error left one without value.
        producers: those of a join by the names of their branches.
    """
    nothing = Entity(None)
    seen = e.seen(place, arriving)
    op = _operator_of(e, layer, place, seen)
    if op is None:
        return nothing
    referred = _referred(e, op, layer, place)
    if arriving is None or referred is None:
        return nothing
    low, high = op.arity
    if not low <= len(arriving) <= (high or len(arriving)):
        wanted = (f"{low}" if low == high else
                  f"{low} or more" if high is None else f"{low} to {high}")
        e.at(place).error(
            "F0402", f"`{op.word}` takes {wanted} tensor{'s' if wanted != '1' else ''}, "
            f"{len(arriving)} arrive{'s' if len(arriving) == 1 else ''}", layer.span,
            help="name them: `from: [first, second]`" if len(arriving) < low else
            "join them first: `concat: [a, b]`")
        return nothing
    inputs = [*arriving, *referred]
    types = tuple(v.type for v in inputs)
    try:
        op = op.settled(*types)
        outputs = op.outputs(*types)
        parameters = op.parameters(*types)
    except ShapeError as clash:
        _report_clash(e, clash, layer, place, inputs, producers)
        return nothing
    e.visit(layer, place, (len(outputs) + len(parameters)) // 4)  # a thousand LSTMs in one layer
    ties = _ties(e, op, types, layer, place)
    if not _is_affordable(e, op, outputs, parameters, layer, place) or ties is None:
        return nothing
    path = place.prefix + layer.segment
    values = {name: Value(path if i == 0 else f"{path}.{name}", t)
              for i, (name, t) in enumerate(outputs.items())}
    made = node(e, layer, place, seen, op, inputs, values, parameters, ties)
    members = {name: Entity(v, layer.span) for name, v in values.items()} if len(values) > 1 else {}
    members |= {name: _tap(name, t, made, values, layer, place)
                for name, t in op.taps(*types).items()}
    return Entity(next(iter(values.values())), layer.span, members, made, made.weights)


def _tap(
    name: str, type: TensorType, made: Node, outputs: dict[str, Value], layer: LayerSpec,
    place: Place,
) -> Entity:
    """A further output of a node, which it has from the moment that something reads it."""
    value = Value(f"{made.path}.{name}", type)

    def take() -> Value:
        if name not in outputs:
            outputs[name] = value
            place.builder.origins[id(value)] = made.origin
            if place.during != "always":
                place.builder.absent[id(value)] = place.during
        return value

    return Entity(value, layer.span, take=take)


def _operator_of(e: Elaborator, layer: LayerSpec, place: Place, seen: Seen) -> Operator | None:
    """The operator with its fields' values; None after an error."""
    known = (layer, place.program)
    if known in e.operators.literal:
        return e.operators.literal[known]
    cls = place.program.operator(layer.word)
    assert cls is not None, layer.word
    fields, spans = dict(layer.fields), dict(layer.fields.key_spans)
    for key, value in place.program.defaults.get(layer.word, {}).items():
        if key != "init" and key not in fields:
            fields[key] = value
            spans[key] = place.program.defaults[layer.word].key_spans[key]
    plain = True

    def evaluated(field: TreeNode) -> Any:
        nonlocal plain
        value = e.value(field, seen, place)
        plain = plain and isinstance(field, Scalar) and field.value is value
        return value

    op = validate(cls, MapNode(fields, layer.span, spans), e.at(place), what=layer.word,
                  evaluate=evaluated, main_span=layer.span)
    if op is not None and plain:
        e.operators.literal[known] = op
    return op


def _field_span(layer: LayerSpec, place: Place, key: str) -> Span:
    """The place of a field's value: in the layer, or among the file's defaults."""
    found = layer.fields.get(key) or place.program.defaults.get(layer.word, {}).get(key)
    return layer.span if found is None else found.span


def _referred(
    e: Elaborator, op: Operator, layer: LayerSpec, place: Place,
) -> list[Value] | None:
    """The tensors that an operator's fields name; None after an error."""
    values = [e.tensor(target, _field_span(layer, place, key), place)
              for key in op.references if (target := getattr(op, key)) is not None]
    found = [v for v in values if v is not None]
    return found if len(found) == len(values) else None


def _is_affordable(
    e: Elaborator, op: Operator, outputs: Mapping[str, TensorType],
    parameters: Mapping[str, Parameter], layer: LayerSpec, place: Place,
) -> bool:
    """Whether no tensor is larger than a machine could ever hold, or of too intricate a size."""
    for what, count in [*((f"the output of `{op.word}`", t.elements) for t in outputs.values()),
                        *((f"`{n}` of `{op.word}`", p.size) for n, p in parameters.items())]:
        if count > MAX_ELEMENTS:
            number = f"{count:,}" if count < 10**18 else "more than 10¹⁸"
            e.at(place).error("F0506", f"{what} has {number} numbers", layer.span,
                              f"at most {MAX_ELEMENTS:,} are allowed")
            return False
    for axis, size in (pair for t in outputs.values() for pair in zip(t.axes, t.shape)):
        if isinstance(size, str) and len(size) > MAX_SIZE_TEXT:
            e.at(place).error("F0404", f"the size of {axis} hangs on an unknown length in too many "
                              "steps to follow", layer.span,
                              help="give the input a fixed length, or change its length less often")
            return False
    return True


# ---- nodes


def node(
    e: Elaborator, layer: LayerSpec, place: Place, seen: Seen, operation: Any, inputs: list[Value],
    outputs: dict[str, Value], parameters: Mapping[str, Parameter],
    ties: dict[str, tuple[str, str]],
) -> Node:
    """Add a node to the graph.

    Raises:
        Enough: the model has too many layers, which is reported.
    """
    builder, modifiers = place.builder, layer.modifiers
    path = place.prefix + layer.segment
    remat = modifiers.get("remat")
    made = Node(
        path=path, operation=operation, inputs=tuple(inputs), outputs=outputs,
        weights=_shared_key(e, layer, place, operation, parameters) or path, during=place.during,
        freeze=place.freeze, init=_inits(e, layer, place, seen, parameters),
        remat=remat is not None and e.flag(remat, "remat", seen, place),
        was=_text(modifiers.get("was")), ties=ties,
        origin=Origin(layer.span, {k: n.span for k, n in layer.fields.items()}, place.frames))
    if made.weights == path and "weights" not in modifiers:
        builder.alone.setdefault(path.partition(".")[0], layer.span)
    e.layers += 1
    inner = subgraph(made)
    builder.instances += 1 + (inner.instances if inner else 0)
    if e.layers > MAX_LAYERS or builder.instances > MAX_INSTANCES:
        e.at(place).error("F0503", "the model has too many layers", layer.span,
                          f"at most {MAX_INSTANCES:,} may run, {MAX_LAYERS:,} of them different")
        raise Enough
    _note_phase(e, made, layer, place)
    builder.nodes.append(made)
    for value in outputs.values():
        builder.origins[id(value)] = made.origin
    return made


def _note_phase(e: Elaborator, made: Node, layer: LayerSpec, place: Place) -> None:
    """Note which of a node's tensors exist in one phase only, and check those it reads."""
    absent = place.builder.absent
    for value in made.inputs:
        phase = absent.get(id(value))
        if phase is not None and phase != place.during:
            origin = place.builder.origins.get(id(value))
            made_at = (Label(origin.span, "it is made here"),) if origin and origin.span else ()
            e.at(place).error(
                "F0414", f"`{layer.word}` needs `{value.name}`, which exists only during {phase}",
                layer.span, more=made_at,
                help=f"put `during: {phase}` beside this layer, or take it away from the other one")
    if place.during == "always":
        return
    first, *others = made.outputs.values()
    # In the other phase the flow passes a layer that leaves the type as it is.
    if id(made.inputs[0]) in absent or first.type != made.inputs[0].type:
        others.append(first)
    absent.update({id(value): place.during for value in others})


def _text(node: TreeNode | None) -> str:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""


def _shared_key(
    e: Elaborator, layer: LayerSpec, place: Place, operation: Any,
    parameters: Mapping[str, Parameter],
) -> str:
    """The key of `weights`, "" where there is none; layers of one key own the same."""
    key = _text(layer.modifiers.get("weights"))
    if not key:
        return ""
    signature = (operation.word if isinstance(operation, Operator) else operation.block,
                 {n: p.shape for n, p in parameters.items()})
    first, span = place.builder.shared.setdefault(key, (signature, layer.span))
    if first != signature:
        e.at(place).error(
            "F0413", f"the layers that share `weights: {key}` own different parameters", layer.span,
            _owned(*signature), more=(Label(span, _owned(*first)),),
            help="shared layers have the same fields and the same number of channels")
    return key


def _owned(word: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    listed = ", ".join(f"{n} {s}" for n, s in list(shapes.items())[:4]) or "no parameters"
    return f"{word}: {listed}{', …' if len(shapes) > 4 else ''}"


# ---- initialisers


def _inits(
    e: Elaborator, layer: LayerSpec, place: Place, seen: Seen, parameters: Mapping[str, Parameter],
) -> dict[str, Init]:
    """The initialisers that `init:` and the file's defaults give, by role."""
    roles = {p.role: None for p in parameters.values()}
    found: dict[str, Init] = {}
    defaults = place.program.defaults.get(layer.word, {}).get("init")
    for given, strict in ((defaults, False), (layer.modifiers.get("init"), True)):
        if given is None:
            continue
        if not isinstance(given, MapNode):
            e.at(place).error("F0208", "`init` is a map from parameters to initialisers",
                              given.span, help="as in `init: {kernel: zeros}`")
            continue
        for role, value in given.items():
            if role not in roles and strict:
                e.at(place).error("F0208", f"`{layer.word}` has no parameter `{role}` here",
                                  given.key_spans[role], near(role, roles, e.report),
                                  notes=(f"its parameters: {', '.join(sorted(roles)) or 'none'}",))
            elif (init := _initialiser(e, value, seen, place)) is not None:
                found[role] = init
    return {r: i for r, i in found.items() if r in roles}


def _initialiser(e: Elaborator, given: TreeNode, seen: Seen, place: Place) -> Init | None:
    """An initialiser: its name, its name with arguments, or a number; None after errors."""
    value, report = e.value(given, seen, place), e.at(place)
    if value is UNKNOWN:
        return None
    name, arguments = value, {}
    if isinstance(value, dict) and len(value) == 1:
        name, arguments = next(iter(value.items()))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        name, arguments = "constant", {"value": value}
    if not isinstance(name, str) or name not in INITIALISERS:
        wrong = f"`{name}`" if isinstance(name, str) else shown(name)
        report.error("F0208", f"{wrong} is not an initialiser", given.span,
                     near(str(name), INITIALISERS, e.report),
                     notes=(f"initialisers: {', '.join(INITIALISERS)}",))
        return None
    allowed = INITIALISERS[name]
    takes = f"arguments of {name}: {', '.join(allowed) or 'none'}"
    if not isinstance(arguments, dict):
        if arguments is not None:
            report.error("F0208", f"`{name}` takes its arguments by name, not {shown(arguments)}",
                         given.span, notes=(takes,))
            return None
        arguments = {}
    for key, argument in arguments.items():
        choices = allowed.get(key)
        is_number = isinstance(argument, int | float) and not isinstance(argument, bool)
        if choices is None or not (is_number if choices == () else argument in choices):
            what = f"`{key}`" if choices is None else f"{shown(argument)} for `{key}`"
            label = (near(key, allowed, e.report) if choices is None else
                     f"one of {', '.join(map(str, choices))}" if choices else "a number is needed")
            report.error("F0208", f"`{name}` does not take {what}", given.span, label,
                         notes=(takes,))
            return None
    if name == "constant" and "value" not in arguments:
        report.error("F0208", "`constant` needs a `value`", given.span,
                     help="as in `init: {bias: {constant: {value: 1}}}`")
        return None
    return Init(name, dict(arguments))


# ---- ties


def _ties(
    e: Elaborator, op: Operator, types: tuple[TensorType, ...], layer: LayerSpec, place: Place,
) -> dict[str, tuple[str, str]] | None:
    """The parameters that a layer borrows: where they live; None after an error."""
    ties: dict[str, tuple[str, str]] = {}
    report = e.at(place)
    for key in op.ties:
        reference = getattr(op, key)
        if reference is None:
            continue
        span = _field_span(layer, place, key)
        owner, _, parameter = reference.rpartition(".")
        found = e.lookup(owner, span, place) if owner else None
        if owner and (found is None or found.value is None):
            return None
        lender = found.node if found is not None else None
        if found is not None and found.is_outside:
            report.error("F0421", f"`{reference}` stands outside this `scan`, whose body has "
                         "parameters of its own", span,
                         help="put that layer into the body as well")
            return None
        if found is None or lender is None or not isinstance(lender.operation, Operator):
            report.error("F0310", f"`{reference}` is not a layer's parameter", span,
                         help="name a layer and its parameter: `tie: table.embedding`")
            return None
        lent = lender.operation.parameters(*(v.type for v in lender.inputs))
        if parameter not in lent:
            report.error("F0310", f"`{owner}` has no parameter `{parameter}`", span,
                         near(parameter, lent, e.report),
                         notes=(f"its parameters: {', '.join(lent) or 'none'}",))
            return None
        wanted = op.borrows(*types).get(key)
        if wanted is not None and wanted != lent[parameter].shape:
            report.error("F0413", f"`{reference}` has the shape {lent[parameter].shape}, "
                         f"`{op.word}` needs {wanted} here", span,
                         help="what is borrowed has a row for each unit, and as many columns as "
                              "channels arrive")
            return None
        ties[key] = (found.weights, parameter)
    return ties


# ---- complaints


def _report_clash(
    e: Elaborator, clash: ShapeError, layer: LayerSpec, place: Place, inputs: list[Value],
    producers: Mapping[str, Value],
) -> None:
    """Report inputs that an operator cannot take, with where they come from."""
    at = _field_span(layer, place, clash.field) if clash.field else layer.span
    if producers:
        label = ", ".join(f"{n} is {v.type}" for n, v in producers.items())
    else:
        label = f"its input is {inputs[0].type}" if at is layer.span else ""
    more: list[Label] = []
    for name, value in (producers or {"": inputs[0]}).items():
        origin = place.builder.origins.get(id(value))
        if origin is None or origin.span is None or origin.span == at:
            continue
        what = f"{name} comes from here" if name else "the input comes from here"
        more.append(Label(origin.span, f"{what}: {value.type}"))
    help = _projection(producers) if clash.code == "F0412" else ""
    e.at(place).error(clash.code, clash.message, at, label, help=help or clash.help, more=more)


def _projection(producers: Mapping[str, Value]) -> str:
    """The usual remedy for branches of different shapes: a 1×1 conv on one; "" for others."""
    if len(producers) != 2:
        return ""
    (first_name, first), (name, value) = producers.items()
    # A branch that only passes something on is the one to change.
    if "shortcut" in first_name or "identity" in first_name:
        first, name, value = value, first_name, first
    axes = value.type.window_axes
    if axes != first.type.window_axes or not axes or not isinstance(first.type.channels, int):
        return ""
    stride = 1
    for axis in axes:
        large, small = value.type.size(axis), first.type.size(axis)
        if large == small:
            continue
        if not (isinstance(large, int) and isinstance(small, int) and large > small):
            return ""
        stride = max(stride, round(large / small))
    fields = f"filters: {first.type.channels}, kernel: 1" + (
        f", stride: {stride}" if stride > 1 else "")
    layers = f"[{{conv: {{{fields}}}}}]"
    if name == "the shortcut":  # of a `residual`, which has none that could be changed
        return f"write `add: {{body: [...], shortcut: {layers}}}` in place of `residual`"
    written = f"{name}: {layers}" if name.isidentifier() else layers
    return f"give {f'`{name}`' if name.isidentifier() else name} a 1×1 conv: `{written}`"
