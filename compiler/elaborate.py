"""Resolved spec to graph: formulas and shapes together, one layer after the other.

Each use of a block is a call of a graph made for its params and the types of its inputs;
equal uses share one graph, so that a deep model costs little more than its distinct parts.
After an error the tensors that depend on it have no value, and nothing more is said of
them: every complaint is a mistake of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from compiler.check import UNKNOWN, shown, tuples, validate
from compiler.diagnostics import Diagnostic, Label, Report, diagnostic, nearest
from compiler.entities import Entity, Seen
from compiler.graph import Call, During, Each, Graph, Node, Origin, Value, subgraph
from compiler.layers import LayerSpec, read_layers
from compiler.ops import operator
from compiler.ops.base import Init, Operator, Parameter, ShapeError
from compiler.ops.initialisers import INITIALISERS
from compiler.params import Given, LayersValue, bind, frozen
from compiler.parse import Mapping as MapNode
from compiler.parse import Node as TreeNode
from compiler.parse import Scalar
from compiler.parse import Sequence as SequenceNode
from compiler.resolve import BlockSpec, Program
from compiler.scope import Scope, value_of, with_let
from compiler.source import Span
from compiler.spec import Choose, Input, Loop, Repeat
from compiler.spec import Each as EachSection
from compiler.types import AXES, DEFAULT_AXES, Size, TensorType

# What a spec may ask for at the most; each has its diagnostic.
MAX_LAYERS = 20_000  # layers that are elaborated, equal blocks counted once
MAX_INSTANCES = 200_000  # layers that run, every call counted
MAX_ITERATIONS = 10_000  # of one loop
MAX_BLOCK_DEPTH = 64  # blocks within blocks
MAX_ELEMENTS = 2**36  # numbers in one tensor of one example, or in one parameter


class _Enough(Exception):
    """A limit was reached and reported; nothing more is elaborated."""


@dataclass(eq=False, slots=True)
class _Builder:
    """A graph under construction."""

    name: str
    depth: int = 0
    nodes: list[Node] = field(default_factory=list)
    outputs: dict[str, Value] = field(default_factory=dict)
    phases: dict[str, During] = field(default_factory=dict)
    shared: dict[str, tuple[Any, Span | None]] = field(default_factory=dict)
    origins: dict[int, Origin] = field(default_factory=dict)
    symbols: dict[str, Any] = field(default_factory=dict)
    instances: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class _Place:
    """Where layers are being elaborated: what they see and where they go."""

    builder: _Builder
    program: Program
    values: Scope
    names: Scope
    prefix: str = ""
    frames: tuple[tuple[str, Span], ...] = ()
    during: During = "always"
    freeze: bool = False

    def inside(self, segment: str, values: Scope | None = None) -> _Place:
        """A scope of its own under a segment of the path."""
        return replace(
            self,
            names=self.names.inner(),
            values=values or self.values,
            prefix=f"{self.prefix}{segment}.",
        )

    @property
    def own(self) -> dict[str, Any]:
        """The names of this very scope."""
        return self.names.values_


def elaborate(program: Program, report: Report, *, length: int | None = None) -> Graph | None:
    """The graph of a program's model; None, and reports, after errors.

    Args:
        program: the resolved spec.
        report: where errors go.
        length: the number to put for every unknown length; symbolic where None.
    """
    return Elaborator(report, length).model(program)


class Elaborator:
    """Makes graphs of programs; keeps what equal uses of blocks share."""

    def __init__(self, report: Report, length: int | None = None):
        self.report = report
        self.length = length
        self.made: dict[Any, tuple[Graph, _Builder] | None] = {}
        self.literals: dict[tuple[int, int], Operator] = {}
        self.reported: set[tuple[str, Span | None]] = set()
        self.layers = 0

    # --- complaints ---------------------------------------------------------------

    def error(
        self,
        place: _Place,
        code: str,
        headline: str,
        span: Span | None,
        label: str = "",
        *,
        help: str = "",
        more: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        """Report an error once for each place, with the block uses that led there."""
        if (code, span) in self.reported:
            return
        self.reported.add((code, span))
        self.report.add(
            diagnostic(
                code, headline, span, label, help=help, notes=notes, more=(*more, *_frames(place))
            )
        )

    def keep(self, place: _Place, complaint: Diagnostic) -> None:
        """Report a complaint that somebody else found, once for each place."""
        span = complaint.labels[0].span if complaint.labels else None
        if (complaint.code, span) not in self.reported:
            self.reported.add((complaint.code, span))
            self.report.add(replace(complaint, labels=(*complaint.labels, *_frames(place))))

    def value(self, node: TreeNode, seen: Mapping[str, Any], place: _Place) -> Any:
        """A node's value, UNKNOWN after an error."""
        if isinstance(node, Scalar) and not (isinstance(node.value, str) and node.value[:1] == "="):
            return node.value
        found = Report()
        result = value_of(node, seen, found)
        for complaint in found.diagnostics:
            self.keep(place, complaint)
        return result

    # --- the model ----------------------------------------------------------------

    def model(self, program: Program) -> Graph | None:
        """The graph of a program's model."""
        owner = program.architecture
        if not owner.layers:
            if not self.report.errors:
                self.report.error(
                    "F0221",
                    f"`{program.name}` has no layers to compile",
                    owner.tree.span,
                    help="add `model:` with a list of layers, or `model: {use: NAME}`",
                )
            return None
        builder = _Builder(owner.name)
        place = _Place(builder, owner, owner.scope, Scope())
        inputs = [
            self.input(name, section, span, place) for name, (section, span) in owner.inputs.items()
        ]
        if not inputs:
            self.report.error(
                "F0221",
                f"`{owner.name}` has no inputs",
                owner.tree.span,
                help="add `inputs: {image: {shape: [28, 28, 1]}}`",
            )
            return None
        if any(v is None for v in inputs):
            return None
        try:
            return self.body(
                place,
                [v for v in inputs if v],
                owner.layers,
                owner.outputs,
                names=tuple(owner.inputs),
            )
        except _Enough:
            return None
        except RecursionError:
            self.report.error("F0504", "the spec is nested too deeply", owner.tree.span)
            return None

    def input(self, name: str, section: Input, span: Span, place: _Place) -> Value | None:
        """The value of a declared input."""
        seen = Seen(place.values, Scope(), Entity(None))
        node = place.program.document.inputs[name]
        if section.kind == "tensor":
            if section.shape is None:
                self.error(
                    place,
                    "F0204",
                    f"input `{name}` needs `shape`",
                    span,
                    help="as in `shape: [224, 224, 3]`, height, width, channels",
                )
                return None
            shape = self.value(section.shape, seen, place)
        else:
            length = section.length
            if section.kind == "category" and length is not None:
                self.error(
                    place, "F0205", "a category is one index and has no `length`", length.span
                )
            found = "any" if length is None else self.value(length, seen, place)
            shape = [found] if section.kind == "tokens" else []
        if shape is UNKNOWN or any(
            s is UNKNOWN for s in (shape if isinstance(shape, list) else ())
        ):
            return None
        if not isinstance(shape, list):
            self.error(
                place,
                "F0205",
                f"`shape` of input `{name}` is a list of sizes, not {shown(shape)}",
                node.get("shape", node).span,
                help="as in `shape: [224, 224, 3]`",
            )
            return None
        axes = section.axes
        if section.kind == "tokens":
            axes = ("time",)
        elif axes is None:
            axes = DEFAULT_AXES.get(len(shape))
        if (
            axes is None
            or len(axes) != len(shape)
            or list(axes) != sorted(set(axes), key=lambda a: (a == "channels", axes.index(a)))
        ):
            self.error(
                place,
                "F0222",
                f"input `{name}` has {len(shape)} sizes and the axes "
                f"{', '.join(axes or ()) or 'none'}",
                node.key_spans.get("axes", span),
                help="name each axis once, channels last: `axes: [time, channels]`",
            )
            return None
        place_of = node.get("shape") or node.get("length")
        sizes: list[Size] = []
        for i, (axis, size) in enumerate(zip(axes, shape)):
            where = place_of[i] if isinstance(place_of, SequenceNode) else place_of or node
            if size == "any":
                sizes.append(
                    self.length
                    if self.length is not None
                    else name
                    if axis == "time"
                    else f"{name}.{axis}"
                )
            elif isinstance(size, int) and not isinstance(size, bool) and size > 0:
                sizes.append(size)
            else:
                self.error(
                    place,
                    "F0205",
                    f"a size of input `{name}` is a whole number above 0 or "
                    f"`any`, not {shown(size)}",
                    where.span,
                )
                return None
        vocabulary = None
        if section.kind != "tensor":
            if section.vocabulary is None:
                self.error(
                    place,
                    "F0204",
                    f"input `{name}` needs `vocabulary`",
                    span,
                    help="how many different indices there are: `vocabulary: 20000`",
                )
                return None
            vocabulary = self.value(section.vocabulary, seen, place)
            if not isinstance(vocabulary, int) or vocabulary < 1:
                if vocabulary is not UNKNOWN:
                    self.error(
                        place,
                        "F0205",
                        f"`vocabulary` is a whole number above 0, not {shown(vocabulary)}",
                        section.vocabulary.span,
                    )
                return None
        dtype: Literal["float", "int"] = "float" if section.kind == "tensor" else "int"
        type_ = TensorType(axes, tuple(sizes), dtype, vocabulary)
        if type_.elements > MAX_ELEMENTS:
            self.error(
                place,
                "F0506",
                f"input `{name}` has {type_.elements:,} numbers",
                span,
                f"at most {MAX_ELEMENTS:,} are allowed",
            )
            return None
        return Value(name, type_)

    def body(
        self,
        place: _Place,
        inputs: list[Value],
        layers: tuple[LayerSpec, ...],
        outputs: Mapping[str, tuple[str, Span]],
        names: tuple[str, ...],
    ) -> Graph | None:
        """Elaborate a graph's layers; None after an error in it."""
        builder = place.builder
        before = len(self.report.errors)
        for name, value in zip(names, inputs):
            place.own[name] = Entity(value)
        flow = self.run(layers, place, inputs[0])
        if outputs:
            results: dict[str, Value] = {}
            for name, (reference, span) in outputs.items():
                found = self.lookup(reference, span, place)
                if found is not None and found.value is not None:
                    results[name] = found.value
        else:
            results = {"output": flow} if flow is not None else {}
        clash = [h for h in builder.outputs if h in results]
        for name in clash:
            self.error(
                place,
                "F0210",
                f"two outputs are called `{name}`",
                None,
                help="give the head another name",
            )
        if len(self.report.errors) > before or not results:
            return None
        for key, (_, span) in builder.shared.items():
            if any(n.path == key and n.weights == key for n in builder.nodes):
                self.error(
                    place,
                    "F0210",
                    f"`weights: {key}` is also the name of a layer",
                    span,
                    help="parameters are kept under both; choose another key",
                )
        # The same dict stays with the builder: a reference from outside may add outputs.
        builder.outputs = {**results, **builder.outputs}
        return Graph(
            builder.name,
            tuple(inputs),
            tuple(builder.nodes),
            builder.outputs,
            builder.phases,
            builder.instances,
        )

    # --- layers -------------------------------------------------------------------

    def run(self, layers: tuple[LayerSpec, ...], place: _Place, flow: Value | None) -> Value | None:
        """Elaborate layers one after the other; the tensor that comes out, None after an error."""
        for layer in layers:
            flow = self.layer(layer, place, flow)
        return flow

    def layer(self, layer: LayerSpec, place: _Place, flow: Value | None) -> Value | None:
        modifiers = layer.modifiers
        if "when" in modifiers:
            seen = Seen(place.values, place.names, Entity(flow))
            wanted = self.value(modifiers["when"], seen, place)
            if wanted is UNKNOWN:
                self.bind(layer, place, Entity(None, layer.span))
                return None
            if not isinstance(wanted, bool):
                self.error(
                    place,
                    "F0316",
                    f"`when` is true or false, not {shown(wanted)}",
                    modifiers["when"].span,
                    help="compare, as in `when: =stride != 1`",
                )
                return None
            if not wanted:
                self.bind(layer, place, Entity(flow, layer.span))
                return flow
        arriving = self.arriving(layer, place, flow)
        if arriving is None:
            self.bind(layer, place, Entity(None, layer.span))
            return None if layer.kind != "output" else flow
        place = self.modified(layer, place, Seen(place.values, place.names, Entity(arriving[0])))
        match layer.kind:
            case "operator":
                return self.operator(layer, place, arriving)
            case "join":
                return self.join(layer, place, arriving)
            case "block":
                return self.block(layer, place, arriving)
            case "residual":
                return self.residual(layer, place, self.single(layer, place, arriving))
            case "output":
                self.head(layer, place, self.single(layer, place, arriving))
                return flow
            case "each":
                return self.each(layer, place, self.single(layer, place, arriving))
            case _:
                return self.construct(layer, place, self.single(layer, place, arriving))

    def arriving(self, layer: LayerSpec, place: _Place, flow: Value | None) -> list[Value] | None:
        """The tensors that arrive at a layer; None where an error left one without value."""
        node = layer.modifiers.get("from")
        if node is None:
            return None if flow is None else [flow]
        items = list(node) if isinstance(node, SequenceNode) else [node]
        values: list[Value] = []
        failed = not items
        for item in items:
            if not (isinstance(item, Scalar) and isinstance(item.value, str)):
                self.error(
                    place,
                    "F0208",
                    "`from` is the name of an earlier layer, or a list of names",
                    item.span,
                )
                failed = True
                continue
            found = self.lookup(item.value, item.span, place)
            if found is None or found.value is None:
                failed = True
            else:
                values.append(found.value)
        return None if failed else values

    def single(self, layer: LayerSpec, place: _Place, arriving: list[Value]) -> Value:
        if len(arriving) > 1:
            self.error(
                place,
                "F0402",
                f"`{layer.word}` takes one tensor, `from` names {len(arriving)}",
                layer.modifiers["from"].span,
                help="join them first: `concat: [a, b]`",
            )
        return arriving[0]

    def modified(self, layer: LayerSpec, place: _Place, seen: Seen) -> _Place:
        """The place with the modifiers that hold for everything inside the layer."""
        modifiers = layer.modifiers
        if not modifiers:
            return place
        during, freeze = place.during, place.freeze
        if (node := modifiers.get("during")) is not None:
            value = self.value(node, seen, place)
            if value not in ("training", "evaluation"):
                if value is not UNKNOWN:
                    self.error(
                        place,
                        "F0208",
                        f"`during` is `training` or `evaluation`, not {shown(value)}",
                        node.span,
                    )
            elif during not in ("always", value):
                self.error(
                    place,
                    "F0208",
                    f"a layer during {value} inside layers during {during} never exists",
                    node.span,
                )
            else:
                during = value
        if (node := modifiers.get("freeze")) is not None:
            freeze = freeze or self.flag(node, "freeze", seen, place)
        allowed = {
            "weights": ("operator", "block", "join"),
            "init": ("operator", "join"),
            "remat": ("operator", "block"),
            "was": ("operator", "block"),
        }
        for key, kinds in allowed.items():
            if key in modifiers and layer.kind not in kinds:
                self.error(
                    place,
                    "F0208",
                    f"`{key}` cannot stand beside `{layer.word}`",
                    modifiers[key].span,
                    help="put it beside the layers inside, or make a block of them"
                    if key != "init"
                    else "put it beside the operator it is meant for",
                )
        return replace(place, during=during, freeze=freeze)

    def flag(self, node: TreeNode, name: str, seen: Seen, place: _Place) -> bool:
        value = self.value(node, seen, place)
        if isinstance(value, bool):
            return value
        if value is not UNKNOWN:
            self.error(place, "F0208", f"`{name}` is true or false, not {shown(value)}", node.span)
        return False

    def text(self, layer: LayerSpec, key: str, place: _Place) -> str:
        """A modifier that is a plain text, or ""."""
        node = layer.modifiers.get(key)
        if node is None:
            return ""
        if (
            isinstance(node, Scalar)
            and isinstance(node.value, str)
            and all(part.isidentifier() for part in node.value.split("."))
        ):
            if key == "was" or "." not in node.value:
                return node.value
        self.error(
            place,
            "F0208",
            f"`{key}` is a name",
            node.span,
            help="a name has letters, digits and `_`, and begins with a letter",
        )
        return ""

    def bind(self, layer: LayerSpec, place: _Place, entity: Entity) -> None:
        """Give a layer's name its meaning."""
        self.name(
            layer.segment,
            entity,
            place,
            layer.modifiers["name"].span if layer.is_named else layer.span,
        )

    def name(self, name: str, entity: Entity, place: _Place, span: Span) -> None:
        own = place.own
        if name in own and own[name].span != span:
            other = own[name].span
            self.error(
                place,
                "F0210",
                f"the name `{name}` is used twice in one scope",
                span,
                more=(Label(other, "first used here"),) if other else (),
                help="names are unique within a block, branch or iteration; a join with a "
                "`name` keeps its branches under that name",
            )
        entity.span = entity.span or span
        own[name] = entity

    def lookup(self, reference: str, span: Span, place: _Place) -> Entity | None:
        """What a dotted name refers to; None, and a report, where it leads nowhere."""
        first, *rest = reference.split(".")
        found = place.names[first] if first in place.names else None
        if not isinstance(found, Entity):
            names = [n for n in place.names if isinstance(place.names[n], Entity)]
            self.error(
                place,
                "F0310",
                f"there is no layer `{first}` before this one",
                span,
                nearest(first, names),
                notes=(f"names that can be read here: {', '.join(names[:16]) or 'none'}",),
                help="a reference goes backwards, to a name of this scope or one around it",
            )
            return None
        walked = first
        for name in rest:
            inner = found.member(name)
            if inner is None:
                if found.value is None and not found.members:
                    return None
                self.error(
                    place,
                    "F0310",
                    f"`{walked}` has nothing called `{name}`",
                    span,
                    nearest(name, found.members),
                    notes=(
                        f"inside `{walked}`: {', '.join(list(found.members)[:16]) or 'nothing'}",
                    ),
                )
                return None
            found, walked = inner, f"{walked}.{name}"
        return found

    # --- operators ----------------------------------------------------------------

    def operator(self, layer: LayerSpec, place: _Place, arriving: list[Value]) -> Value | None:
        entity = self.applied(layer, place, arriving, {})
        self.bind(layer, place, entity)
        return entity.value

    def applied(
        self, layer: LayerSpec, place: _Place, arriving: list[Value], producers: Mapping[str, Value]
    ) -> Entity:
        """Make an operator's node; the entity of its output."""
        seen = Seen(place.values, place.names, Entity(arriving[0]))
        op = self.make(layer, place, seen)
        if op is None:
            return Entity(None, layer.span)
        inputs = [*arriving]
        for reference in op.references:
            if (target := getattr(op, reference)) is None:
                continue
            found = self.lookup(target, _field_span(layer, place, reference), place)
            if found is None or found.value is None:
                return Entity(None, layer.span)
            inputs.append(found.value)
        low, high = op.arity
        if not low <= len(arriving) <= (high or len(arriving)):
            wanted = (
                f"{low}"
                if low == high
                else f"{low} or more"
                if high is None
                else f"{low} to {high}"
            )
            self.error(
                place,
                "F0402",
                f"`{op.word}` takes {wanted} tensor{'s' if wanted != '1' else ''}, "
                f"{len(arriving)} arrive",
                layer.span,
                help="name them: `from: [first, second]`"
                if len(arriving) < low
                else "join them first: `concat: [a, b]`",
            )
            return Entity(None, layer.span)
        types = tuple(v.type for v in inputs)
        try:
            outputs = op.outputs(*types)
            parameters = op.parameters(*types)
        except ShapeError as clash:
            self.clash(clash, layer, place, inputs, producers)
            return Entity(None, layer.span)
        if not self.affordable(op, outputs, parameters, layer, place):
            return Entity(None, layer.span)
        ties = self.ties(op, types, layer, place)
        if ties is None:
            return Entity(None, layer.span)
        path = place.prefix + layer.segment
        values = {
            name: Value(path if i == 0 else f"{path}.{name}", t)
            for i, (name, t) in enumerate(outputs.items())
        }
        first = next(iter(values.values()))
        node = self.node(layer, place, seen, op, inputs, values, parameters, ties, path)
        self.phase_keeps_type(layer, place, inputs[0].type, first.type)
        members = (
            {name: Entity(v, layer.span) for name, v in values.items()} if len(values) > 1 else {}
        )
        return Entity(first, layer.span, members, node)

    def make(self, layer: LayerSpec, place: _Place, seen: Seen) -> Operator | None:
        """The operator with its fields' values; None after an error."""
        known = (id(layer), id(place.program))
        if known in self.literals:
            return self.literals[known]
        cls = place.program.operators.get(layer.word) or operator(layer.word)
        fields = layer.fields
        defaults = place.program.defaults.get(layer.word)
        spans = (
            dict(fields.key_spans)
            if isinstance(fields, MapNode)
            else {k: n.span for k, n in fields.items()}
        )
        merged = dict(fields)
        if defaults is not None:
            for key, node in defaults.items():
                if key != "init" and key not in merged:
                    merged[key], spans[key] = node, defaults.key_spans[key]
        plain = True

        def evaluated(node: TreeNode) -> Any:
            nonlocal plain
            value = self.value(node, seen, place)
            plain = plain and isinstance(node, Scalar) and node.value is value
            return value

        found = Report()
        op = validate(
            cls,
            MapNode(merged, layer.span, spans),
            found,
            what=layer.word,
            evaluate=evaluated,
            main_span=layer.span,
        )
        for complaint in found.diagnostics:
            self.keep(place, complaint)
        if op is not None and plain:
            self.literals[known] = op
        return op

    def node(
        self,
        layer: LayerSpec,
        place: _Place,
        seen: Seen,
        operation: Any,
        inputs: list[Value],
        outputs: dict[str, Value],
        parameters: Mapping[str, Parameter],
        ties: dict[str, tuple[str, str]],
        path: str,
    ) -> Node:
        """Add a node to the graph."""
        key = self.text(layer, "weights", place)
        if key:
            signature = (
                operation.word if isinstance(operation, Operator) else operation.block,
                {n: p.shape for n, p in parameters.items()},
            )
            first, span = place.builder.shared.setdefault(key, (signature, layer.span))
            if first != signature:
                self.error(
                    place,
                    "F0413",
                    f"the layers that share `weights: {key}` own different parameters",
                    layer.span,
                    _parameters(*signature),
                    more=(Label(span, _parameters(*first)),) if span else (),
                    help="shared layers have the same fields and the same number of channels",
                )
        remat = layer.modifiers.get("remat")
        node = Node(
            path=path,
            operation=operation,
            inputs=tuple(inputs),
            outputs=outputs,
            weights=key or path,
            during=place.during,
            freeze=place.freeze,
            init=self.init(layer, place, seen, parameters),
            remat=remat is not None and self.flag(remat, "remat", seen, place),
            was=self.text(layer, "was", place),
            ties=ties,
            origin=Origin(layer.span, {k: n.span for k, n in layer.fields.items()}, place.frames),
        )
        self.layers += 1
        inner = subgraph(node)
        place.builder.instances += 1 + (inner.instances if inner else 0)
        if self.layers > MAX_LAYERS or place.builder.instances > MAX_INSTANCES:
            self.error(
                place,
                "F0503",
                "the model has too many layers",
                layer.span,
                f"at most {MAX_INSTANCES:,} may run, {MAX_LAYERS:,} of them different",
            )
            raise _Enough
        place.builder.nodes.append(node)
        for value in outputs.values():
            place.builder.origins[id(value)] = node.origin
        return node

    def affordable(
        self,
        op: Operator,
        outputs: Mapping[str, TensorType],
        parameters: Mapping[str, Parameter],
        layer: LayerSpec,
        place: _Place,
    ) -> bool:
        """Whether no tensor is larger than a machine could ever hold."""
        for what, count in [
            *((f"the output of `{op.word}`", t.elements) for t in outputs.values()),
            *((f"`{n}` of `{op.word}`", p.size) for n, p in parameters.items()),
        ]:
            if count > MAX_ELEMENTS:
                self.error(
                    place,
                    "F0506",
                    f"{what} has {count:,} numbers",
                    layer.span,
                    f"at most {MAX_ELEMENTS:,} are allowed",
                )
                return False
        return True

    def init(
        self, layer: LayerSpec, place: _Place, seen: Seen, parameters: Mapping[str, Parameter]
    ) -> dict[str, Init]:
        """The initialisers that `init:` and the file's defaults give, by role."""
        roles = {p.role for p in parameters.values()}
        found: dict[str, Init] = {}
        defaults = place.program.defaults.get(layer.word)
        for node, strict in (
            (defaults.get("init") if defaults else None, False),
            (layer.modifiers.get("init"), True),
        ):
            if node is None:
                continue
            if not isinstance(node, MapNode):
                self.error(
                    place,
                    "F0208",
                    "`init` is a map from parameters to initialisers",
                    node.span,
                    help="as in `init: {kernel: zeros}`",
                )
                continue
            for role, value in node.items():
                if role not in roles and strict:
                    self.error(
                        place,
                        "F0208",
                        f"`{layer.word}` has no parameter `{role}` here",
                        node.key_spans[role],
                        nearest(role, roles),
                        notes=(f"its parameters: {', '.join(sorted(roles)) or 'none'}",),
                    )
                elif (init := self.initialiser(value, seen, place)) is not None:
                    found[role] = init
        return {r: i for r, i in found.items() if r in roles}

    def initialiser(self, node: TreeNode, seen: Seen, place: _Place) -> Init | None:
        value = self.value(node, seen, place)
        if value is UNKNOWN:
            return None
        name, arguments = (
            (value, {})
            if isinstance(value, str)
            else (
                next(iter(value.items()))
                if isinstance(value, dict) and len(value) == 1
                else (None, {})
            )
        )
        if isinstance(value, int | float) and not isinstance(value, bool):
            name, arguments = "constant", {"value": value}
        if not isinstance(name, str) or name not in INITIALISERS:
            self.error(
                place,
                "F0208",
                f"{shown(value)} is not an initialiser",
                node.span,
                nearest(str(name), INITIALISERS),
                notes=(f"initialisers: {', '.join(INITIALISERS)}",),
            )
            return None
        allowed = INITIALISERS[name]
        arguments = arguments or {}
        for key, argument in (
            arguments.items() if isinstance(arguments, dict) else [("", arguments)]
        ):
            choices = allowed.get(key)
            fits = (
                isinstance(argument, int | float) and not isinstance(argument, bool)
                if choices == ()
                else choices is not None and argument in choices
            )
            if not fits:
                inside = node[name] if isinstance(node, MapNode) else node
                self.error(
                    place,
                    "F0208",
                    f"`{name}` does not take {key or 'a value'}: {shown(argument)}",
                    inside.span,
                    notes=(f"arguments of {name}: {', '.join(allowed) or 'none'}",),
                )
                return None
        if name == "constant" and "value" not in arguments:
            self.error(
                place,
                "F0208",
                "`constant` needs a `value`",
                node.span,
                help="as in `init: {bias: {constant: {value: 1}}}`",
            )
            return None
        return Init(name, dict(arguments))

    def ties(
        self,
        op: Operator,
        types: tuple[TensorType, ...],
        layer: LayerSpec,
        place: _Place,
    ) -> dict[str, tuple[str, str]] | None:
        """The parameters that a layer borrows: where they live; None after an error."""
        ties: dict[str, tuple[str, str]] = {}
        for key in op.ties:
            reference = getattr(op, key)
            if reference is None:
                continue
            span = _field_span(layer, place, key)
            owner, _, parameter = reference.rpartition(".")
            found = self.lookup(owner, span, place) if owner else None
            if found is None or found.node is None:
                self.error(
                    place,
                    "F0310",
                    f"`{reference}` is not a layer's parameter",
                    span,
                    help="name a layer and its parameter: `tie: table.embedding`",
                )
                return None
            lender = found.node
            assert isinstance(lender.operation, Operator)
            lent = lender.operation.parameters(*(v.type for v in lender.inputs))
            if parameter not in lent:
                self.error(
                    place,
                    "F0310",
                    f"`{owner}` has no parameter `{parameter}`",
                    span,
                    nearest(parameter, lent),
                    notes=(f"its parameters: {', '.join(lent) or 'none'}",),
                )
                return None
            wanted = op.tied(*types).get(key)
            if wanted is not None and wanted != lent[parameter].shape:
                self.error(
                    place,
                    "F0413",
                    f"`{reference}` has the shape {lent[parameter].shape}, "
                    f"`{op.word}` needs {wanted} here",
                    span,
                )
                return None
            # The path as seen from this graph: through calls, where it lives in one.
            inside = owner.split(".")
            head = place.names[inside[0]]
            ties[key] = (
                lender.weights
                if head.node is lender or head.reach is None
                else ".".join([head.node.weights, lender.weights]),
                parameter,
            )
        return ties

    def phase_keeps_type(
        self, layer: LayerSpec, place: _Place, before: TensorType, after: TensorType
    ) -> None:
        """A layer of one phase in the flow must leave the type as it is."""
        if "during" in layer.modifiers and before != after:
            self.error(
                place,
                "F0414",
                f"`{layer.word}` exists only during {place.during}, but it makes "
                f"{after} of {before}",
                layer.span,
                help="what follows needs the same shape in both phases",
            )

    def clash(
        self,
        clash: ShapeError,
        layer: LayerSpec,
        place: _Place,
        inputs: list[Value],
        producers: Mapping[str, Value],
    ) -> None:
        """Report inputs that an operator cannot take, with where they come from."""
        at = layer.fields[clash.field].span if clash.field in layer.fields else layer.span
        named = producers or {"": inputs[0]}
        if producers:
            label = ", ".join(f"{n} is {v.type}" for n, v in producers.items())
        else:
            label = f"its input is {inputs[0].type}" if at is layer.span else ""
        more: list[Label] = []
        for name, value in named.items():
            origin = place.builder.origins.get(id(value))
            if origin is None or origin.span is None or origin.span == at:
                continue
            what = f"{name} comes from here" if name else "the input comes from here"
            more.append(Label(origin.span, f"{what}: {value.type}"))
        if producers and not clash.help:
            clash.help = _join_help(producers)
        self.error(place, clash.code, clash.message, at, label, help=clash.help, more=tuple(more))

    # --- joins and branches -------------------------------------------------------

    def join(self, layer: LayerSpec, place: _Place, arriving: list[Value]) -> Value | None:
        producers: dict[str, Value] = {}
        failed = False
        members: dict[str, Entity] = {}
        if isinstance(layer.value, SequenceNode):
            for item in layer.value:
                assert isinstance(item, Scalar) and isinstance(item.value, str)
                found = self.lookup(item.value, item.span, place)
                if found is None or found.value is None:
                    failed = True
                else:
                    # The same tensor may stand twice: a key for each place in the list.
                    key = item.value if item.value not in producers else f"{item.value} "
                    producers[key] = found.value
        elif layer.branches:
            owner = place.inside(layer.segment) if layer.is_named else place
            for key, branch in layer.branches.items():
                inner = replace(owner, names=owner.names.inner(), prefix=f"{owner.prefix}{key}.")
                result = self.run(branch, inner, self.single(layer, place, arriving))
                failed = failed or result is None
                assert isinstance(layer.value, MapNode)
                self.name(
                    key,
                    Entity(result, layer.value.key_spans[key], inner.own),
                    owner,
                    layer.value.key_spans[key],
                )
                if result is not None:
                    producers[key] = result
            members = owner.own if layer.is_named else {}
        else:
            producers = {v.name: v for v in arriving}
        if failed:
            self.bind(layer, place, Entity(None, layer.span, members))
            return None
        entity = self.applied(layer, place, list(producers.values()), producers)
        self.bind(
            layer,
            place,
            Entity(entity.value, layer.span, {**members, **entity.members}, entity.node),
        )
        return entity.value

    def residual(self, layer: LayerSpec, place: _Place, arriving: Value) -> Value | None:
        """`residual: [...]` is `add` with an identity shortcut."""
        inner = place.inside(layer.segment)
        result = self.run(layer.branches["layers"], inner, arriving)
        entity = Entity(None, layer.span, inner.own)
        if result is not None:
            add = replace(layer, word="add", fields={}, modifiers={})
            made = self.applied(
                add,
                place,
                [result, arriving],
                {"the residual branch": result, "the shortcut": arriving},
            )
            entity = Entity(made.value, layer.span, inner.own, made.node)
        self.bind(layer, place, entity)
        return entity.value

    def head(self, layer: LayerSpec, place: _Place, arriving: Value) -> None:
        """`output`: layers beside the flow, whose result is an output of the graph."""
        inner = place.inside(layer.segment)
        result = self.run(layer.branches["layers"], inner, arriving)
        self.bind(layer, place, Entity(result, layer.span, inner.own))
        if result is None:
            return
        name = place.prefix + layer.segment
        if name in place.builder.outputs or name == "output":
            self.error(place, "F0210", f"two outputs are called `{name}`", layer.span)
            return
        place.builder.outputs[name] = result
        if place.during != "always":
            place.builder.phases[name] = place.during

    # --- loops, groups, choices ---------------------------------------------------

    def construct(self, layer: LayerSpec, place: _Place, arriving: Value) -> Value | None:
        match layer.kind:
            case "group":
                inner = place.inside(layer.segment) if layer.is_named else place
                flow = self.run(layer.branches["layers"], inner, arriving)
                members = inner.own if layer.is_named else {}
                self.bind(layer, place, Entity(flow, layer.span, members))
            case "insert":
                flow = self.insert(layer, place, arriving)
            case "choose":
                flow = self.choose(layer, place, arriving)
            case "for" | "repeat":
                flow = self.loop(layer, place, arriving)
            case _:
                raise AssertionError(layer.kind)
        if flow is not None and layer.modifiers:
            self.phase_keeps_type(layer, place, arriving.type, flow.type)
        return flow

    def insert(self, layer: LayerSpec, place: _Place, arriving: Value) -> Value | None:
        """`layers: =name`: the layers that a param holds."""
        seen = Seen(place.values, place.names, Entity(arriving))
        node = layer.value
        assert isinstance(node, Scalar)
        held = seen.get(node.value[1:].strip()) if isinstance(node.value, str) else None
        if not isinstance(held, LayersValue):
            value = self.value(node, seen, place)
            if value is not UNKNOWN:
                self.error(
                    place,
                    "F0213",
                    f"`{node.text}` does not hold layers but {shown(value)}",
                    node.span,
                    help="declare the param with `{type: layers, default: relu}`",
                )
            return None
        found = Report()
        layers = read_layers(held.node, place.program.words, found)
        for complaint in found.diagnostics:
            self.keep(place, complaint)
        inner = place.inside(layer.segment, held.scope)
        flow = self.run(layers, inner, arriving)
        self.bind(layer, place, Entity(flow, layer.span, inner.own))
        return flow

    def choose(self, layer: LayerSpec, place: _Place, arriving: Value) -> Value | None:
        section = layer.section
        assert isinstance(section, Choose)
        seen = Seen(place.values, place.names, Entity(arriving))
        value = self.value(section.value, seen, place)
        if value is UNKNOWN:
            return None
        key = str(value).lower() if isinstance(value, bool) else str(value)
        if key not in layer.branches:
            self.error(
                place,
                "F0315",
                f"`choose` has no case for {shown(value)}",
                section.value.span,
                nearest(key, layer.branches),
                notes=(f"cases: {', '.join(layer.branches) or 'none'}",),
            )
            return None
        flow = self.run(layer.branches[key], place, arriving)
        self.bind(layer, place, Entity(flow, layer.span))
        return flow

    def loop(self, layer: LayerSpec, place: _Place, arriving: Value) -> Value | None:
        section = layer.section
        assert isinstance(section, Loop | Repeat)
        seen = Seen(place.values, place.names, Entity(arriving))
        rows = self.rows(section, layer, seen, place)
        if rows is None:
            self.bind(layer, place, Entity(None, layer.span))
            return None
        owner = place.inside(layer.segment) if layer.is_named else place
        flow: Value | None = arriving
        for number, row in enumerate(rows):
            if section.index:
                row = {**row, section.index: number}
            segment = f"{section.index}{number}" if section.index else f"{layer.segment}_{number}"
            values = with_let(section.let, place.values.inner(row), self.report)
            inner = owner.inside(segment, values)
            flow = self.run(layer.branches["layers"], inner, flow)
            self.name(segment, Entity(flow, layer.span, inner.own), owner, layer.span)
        self.bind(layer, place, Entity(flow, layer.span, owner.own if layer.is_named else {}))
        return flow

    def rows(
        self,
        section: Loop | Repeat,
        layer: LayerSpec,
        seen: Seen,
        place: _Place,
    ) -> list[dict[str, Any]] | None:
        """The values that each iteration of a loop sees; None after an error."""
        if isinstance(section, Repeat):
            times = self.value(section.times, seen, place)
            if times is UNKNOWN:
                return None
            if not isinstance(times, int) or isinstance(times, bool) or times < 0:
                self.error(
                    place,
                    "F0314",
                    f"`times` is a whole number from 0, not {shown(times)}",
                    section.times.span,
                )
                return None
            count, lists = times, {}
        else:
            if not isinstance(section.each, MapNode) or not section.each:
                self.error(
                    place,
                    "F0314",
                    "`each` is a map from names to lists",
                    section.each.span,
                    help="as in `each: {depth: =depths}`",
                )
                return None
            lists = {}
            for name, node in section.each.items():
                value = self.value(node, seen, place)
                if value is UNKNOWN:
                    return None
                if not isinstance(value, list):
                    self.error(
                        place,
                        "F0314",
                        f"`{name}` runs over a list, not over {shown(value)}",
                        node.span,
                    )
                    return None
                lists[name] = value
            lengths = {name: len(v) for name, v in lists.items()}
            if len(set(lengths.values())) > 1:
                self.error(
                    place,
                    "F0313",
                    "the lists of `for` have different lengths",
                    section.each.span,
                    ", ".join(f"{n} has {c}" for n, c in lengths.items()),
                    help="they run side by side: give each the same number of elements",
                )
                return None
            count = next(iter(lengths.values()))
        if count > MAX_ITERATIONS:
            self.error(
                place,
                "F0505",
                f"the loop has {count:,} iterations",
                layer.span,
                f"at most {MAX_ITERATIONS:,} are allowed",
            )
            return None
        return [{name: v[i] for name, v in lists.items()} for i in range(count)]

    def each(self, layer: LayerSpec, place: _Place, arriving: Value) -> Value | None:
        """`layers` with `each: time`: a graph of its own, run on every step."""
        section = layer.section
        assert isinstance(section, EachSection)
        axis = section.each
        if axis not in arriving.type.axes:
            self.error(
                place,
                "F0403",
                f"the input has no {axis} axis to take apart",
                layer.span,
                f"it is {arriving.type.described()}",
            )
            self.bind(layer, place, Entity(None, layer.span))
            return None
        builder = _Builder(place.prefix + layer.segment)
        inner = replace(place, builder=builder, names=Scope(), prefix="", during="always")
        step = Value("x", arriving.type.without(axis))
        graph = self.body(inner, [step], layer.branches["layers"], {}, ("x",))
        entity = Entity(None, layer.span)
        if graph is not None:
            one = graph.outputs["output"].type
            size = arriving.type.size(axis)
            axes = tuple(a for a in AXES if a == axis or a in one.axes)
            assert size is not None
            type_ = TensorType(
                axes,
                tuple(size if a == axis else one.size(a) or 1 for a in axes),
                one.dtype,
                one.vocabulary,
            )
            path = place.prefix + layer.segment
            seen = Seen(place.values, place.names, Entity(arriving))
            value = Value(path, type_)
            node = self.node(
                layer, place, seen, Each(axis, graph), [arriving], {"output": value}, {}, {}, path
            )
            entity = Entity(value, layer.span, {}, node)
        self.bind(layer, place, entity)
        return entity.value

    # --- blocks -------------------------------------------------------------------

    def block(self, layer: LayerSpec, place: _Place, arriving: list[Value]) -> Value | None:
        block = place.program.blocks[layer.word]
        if len(arriving) != len(block.inputs):
            self.error(
                place,
                "F0402",
                f"`{block.name}` takes {len(block.inputs)} tensor"
                f"{'s' if len(block.inputs) != 1 else ''} ({', '.join(block.inputs)}), "
                f"{len(arriving)} arrive{'s' if len(arriving) == 1 else ''}",
                layer.span,
                help=f"name them: `from: [{', '.join(block.inputs)}]`",
                more=(Label(block.span, "declared here"),),
            )
            self.bind(layer, place, Entity(None, layer.span))
            return None
        seen = Seen(place.values, place.names, Entity(arriving[0]))
        given = {key: Given(node, _as_scope(seen, place)) for key, node in layer.fields.items()}
        found = Report()
        values = bind(
            block.params, given, block.program.scope, found, what=f"`{block.name}`", use=layer.span
        )
        for complaint in found.diagnostics:
            self.keep(place, complaint)
        result = None
        if not any(v is UNKNOWN for v in values.values_.values()):
            result = self.specialised(block, values, layer, place, arriving)
        if result is None:
            self.bind(layer, place, Entity(None, layer.span))
            return None
        graph, builder = result
        path = place.prefix + layer.segment
        outputs = {
            name: Value(path if i == 0 else f"{path}.{name}", v.type)
            for i, (name, v) in enumerate(graph.outputs.items())
        }
        params = dict(values.values_)
        table = parameter_table(graph) if "weights" in layer.modifiers else {}
        node = self.node(
            layer,
            place,
            seen,
            Call(block.name, graph, params, block.weights_file),
            arriving,
            outputs,
            table,
            {},
            path,
        )
        for name in graph.outputs:
            if name in block.outputs or name == "output":
                continue
            # A head inside the block is an output of whatever uses it.
            place.builder.outputs[f"{path}.{name}"] = outputs[name]
            phase = graph.phases.get(name, place.during)
            if phase != "always":
                place.builder.phases[f"{path}.{name}"] = phase
        first = next(iter(outputs.values()))
        self.phase_keeps_type(layer, place, arriving[0].type, first.type)

        def reach(inside: str, inner: Entity) -> Value:
            """Make a tensor inside the block an output of its graph, and of this call."""
            assert inner.value is not None
            if inside in outputs:
                return outputs[inside]
            builder.outputs.setdefault(inside, inner.value)
            outputs[inside] = Value(f"{path}.{inside}", inner.value.type)
            return outputs[inside]

        declared = {name: Entity(graph.outputs[name], layer.span) for name in block.outputs}
        self.bind(
            layer, place, Entity(first, layer.span, {**builder.symbols, **declared}, node, reach)
        )
        return first

    def specialised(
        self,
        block: BlockSpec,
        values: Scope,
        layer: LayerSpec,
        place: _Place,
        arriving: list[Value],
    ) -> tuple[Graph, _Builder] | None:
        """The block's graph for these params and input types; made once, None after errors."""
        key = (id(block), frozen(values.values_), tuple(v.type for v in arriving))
        if key in self.made:
            return self.made[key]
        depth = place.builder.depth + 1
        if depth > MAX_BLOCK_DEPTH:
            self.error(
                place,
                "F0504",
                f"blocks are nested more than {MAX_BLOCK_DEPTH} deep",
                layer.span,
                f"`{block.name}` may be using itself",
                more=(Label(block.span, "declared here"),),
            )
            raise _Enough
        builder = _Builder(block.name, depth)
        shown_params = ", ".join(f"{k}={_short(v)}" for k, v in values.values_.items())
        frame = (
            f"in `{block.name}`, used here" + (f" with {shown_params}" if shown_params else ""),
            layer.span,
        )
        inner = _Place(
            builder,
            block.program,
            with_let(block.let, values, self.report),
            Scope(),
            frames=(*place.frames, frame),
        )
        inputs = [Value(name, v.type) for name, v in zip(block.inputs, arriving)]
        graph = self.body(inner, inputs, block.layers, block.outputs, block.inputs)
        builder.symbols = inner.own
        self.made[key] = (graph, builder) if graph is not None else None
        return self.made[key]


def _as_scope(seen: Seen, place: _Place) -> Scope:
    """What a block's arguments see, as a scope: the caller's values and named tensors."""
    return _SeenScope(seen)


class _SeenScope(Scope):
    """A layer's view as a scope."""

    __slots__ = ("seen",)

    def __init__(self, seen: Seen):
        super().__init__()
        self.seen = seen

    def __getitem__(self, name: str) -> Any:
        return self.seen[name]

    def __contains__(self, name: object) -> bool:
        return name in self.seen

    def __iter__(self) -> Iterator[str]:
        return iter(self.seen)


def parameter_table(graph: Graph, prefix: str = "") -> dict[str, Parameter]:
    """Every parameter under a graph by its path, those that layers share once."""
    table: dict[str, Parameter] = {}
    for node in graph.nodes:
        path = f"{prefix}{node.weights}"
        inner = subgraph(node)
        if inner is not None:
            table.update(parameter_table(inner, f"{path}."))
        else:
            assert isinstance(node.operation, Operator)
            for name, parameter in node.operation.parameters(
                *(v.type for v in node.inputs)
            ).items():
                table[f"{path}.{name}"] = parameter
    return table


def _field_span(layer: LayerSpec, place: _Place, key: str) -> Span:
    """Where a field's value is written: at the layer, or in the file's defaults."""
    node = layer.fields.get(key) or place.program.defaults[layer.word][key]
    return node.span


def _frames(place: _Place) -> tuple[Label, ...]:
    return tuple(Label(span, text) for text, span in reversed(place.frames))


def _short(value: Any) -> str:
    text = shown(tuples(value)) if not isinstance(value, LayersValue) else "layers"
    text = text.removeprefix("the text ").removeprefix("the list ").strip("`")
    return text if len(text) <= 24 else text[:23] + "…"


def _parameters(word: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    listed = ", ".join(f"{n} {s}" for n, s in list(shapes.items())[:4]) or "no parameters"
    return f"{word}: {listed}{', …' if len(shapes) > 4 else ''}"


def _join_help(producers: Mapping[str, Value]) -> str:
    """The usual remedy for branches of different shapes, where there is one."""
    first, *others = producers.items()
    for name, value in others:
        if value.type.window_axes == first[1].type.window_axes and value.type != first[1].type:
            strides = {
                a: (value.type.size(a), first[1].type.size(a))
                for a in value.type.window_axes
                if value.type.size(a) != first[1].type.size(a)
            }
            known = [
                (a, b) for a, b in strides.values() if isinstance(a, int) and isinstance(b, int)
            ]
            stride = max((a // b for a, b in known if b and a > b), default=1)
            fields = f"filters: {first[1].type.channels}, kernel: 1"
            if stride > 1:
                fields += f", stride: {stride}"
            branch = "the shortcut" if " " in name else f"`{name}`"
            return f"give {branch} a 1×1 conv: `[{{conv: {{{fields}}}}}]`"
    return ""
