"""Resolved spec to graph: formulas and shapes together, one layer after the other.

Each use of a block is a call of a graph made for its params and the types of its inputs;
equal uses share one graph, so that a deep model costs little more than its distinct parts.
After an error the tensors that depend on it have no value, and nothing more is said of
them: every complaint is a mistake of its own.

What becomes of an operator is in `operators`, of joins, loops and choices in `constructs`, of
blocks in `calls`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from compiler import calls, constructs, operators
from compiler.builder import MAX_NESTING, MAX_VISITS, Builder, Place
from compiler.calls import parameter_table
from compiler.diagnostics import Diagnostic, Label, Report
from compiler.entities import Entity, Seen, may_exist
from compiler.graph import Graph, Value
from compiler.inputs import input_value
from compiler.layers import LayerSpec
from compiler.parse import Node as TreeNode
from compiler.parse import Scalar
from compiler.parse import Sequence as SequenceNode
from compiler.program import Program
from compiler.scope import Enough, Scope, value_of
from compiler.source import Span
from compiler.validate import UNKNOWN
from compiler.wording import near, shown, some

__all__ = ["Elaborator", "elaborate", "parameter_table"]

MAX_FRAMES = 6  # uses of blocks that one complaint shows


def elaborate(program: Program, report: Report, *, length: int | None = None) -> Graph | None:
    """The graph of a program's model; None, and reports, after errors.

    Args:
        program: the resolved spec.
        report: where errors go.
        length: the number to put for every unknown length; symbolic where None.
    """
    return Elaborator(report, length).model(program)


class _Here(Report):
    """A report that adds the uses of blocks that led to a place, once for each mistake."""

    def __init__(self, elaborator: Elaborator, place: Place):
        super().__init__(elaborator.report.diagnostics)
        self._elaborator, self._place = elaborator, place

    def add(self, diagnostic: Diagnostic) -> None:
        span = diagnostic.labels[0].span if diagnostic.labels else None
        if (diagnostic.code, span) in self._elaborator.reported:
            return
        self._elaborator.reported.add((diagnostic.code, span))
        frames = tuple(Label(at, text) for text, at in reversed(self._place.frames))
        if len(frames) > MAX_FRAMES:
            frames = (*frames[: MAX_FRAMES - 1], frames[-1])
        self._elaborator.report.add(replace(diagnostic, labels=(*diagnostic.labels, *frames)))


class Elaborator:
    """Makes graphs of programs; keeps what equal uses of blocks share."""

    def __init__(self, report: Report, length: int | None = None):
        self.report = report
        self.length = length
        # What the stages before have said already is not said again.
        self.reported: set[tuple[str, Span | None]] = {
            (d.code, d.labels[0].span if d.labels else None) for d in report.diagnostics}
        self.calls = calls.Calls()
        self.operators = operators.Operators()
        self.visits = 0
        self.layers = 0
        self.depth = 0

    def at(self, place: Place) -> Report:
        """Where errors at a place go."""
        return _Here(self, place)

    def value(self, node: TreeNode, seen: Scope, place: Place) -> Any:
        """A node's value, UNKNOWN after an error."""
        if isinstance(node, Scalar) and not (isinstance(node.value, str) and node.value[:1] == "="):
            return node.value
        return value_of(node, seen, self.at(place))

    def seen(self, place: Place, arriving: list[Value] | None) -> Seen:
        """What the formulas of a layer see, at which these tensors arrive."""
        return Seen(place.values, place.names, Entity(arriving[0] if arriving else None),
                    place.builder.maybe)

    def let(self, node: TreeNode | None, place: Place, input: Entity | None) -> Place:
        """The place with the values that a block's or a loop's `let` names."""
        if not isinstance(node, Mapping):
            return place
        values = place.values.inner()
        for name, part in node.items():
            seen = Seen(values, place.names, input, place.builder.maybe)
            values.values_[name] = self.value(cast(TreeNode, part), seen, place)
        return replace(place, values=values)

    # --- the model ----------------------------------------------------------------

    def model(self, program: Program) -> Graph | None:
        """The graph of a program's model."""
        owner = program.architecture
        try:
            graph = self.graph_of(owner)
            calls.check_unused(self, program)
        except Enough:
            return None
        return graph

    def graph_of(self, owner: Program) -> Graph | None:
        builder = Builder(owner.name)
        place = Place(builder, owner, owner.scope, Scope())
        if not owner.layers:
            if not self.report.errors:
                only_blocks = f"`{owner.name}` has blocks only, to be used from another spec"
                self.report.error(
                    "F0221", only_blocks if owner.blocks else
                    f"`{owner.name}` has no layers to compile", owner.tree.span,
                    help="add `model:` with a list of layers, or `model: {use: NAME}`")
            return None
        declared = {} if owner.document.inputs is None else owner.document.inputs
        if not isinstance(declared, Mapping):
            return None  # which was told
        if not declared:
            self.report.error("F0221", f"`{owner.name}` has no inputs", owner.tree.span,
                              help="add `inputs: {image: {shape: [28, 28, 1]}}`")
        inputs = {name: input_value(self, name, *owner.inputs[name], place)
                  if name in owner.inputs else None for name in declared}
        return self.body(place, inputs, owner.layers, owner.outputs)

    def body(
        self, place: Place, inputs: Mapping[str, Value | None], layers: tuple[LayerSpec, ...],
        outputs: Mapping[str, tuple[str, Span]],
    ) -> Graph | None:
        """Elaborate a graph's layers; None after an error in it."""
        builder, report = place.builder, self.at(place)
        before = len(self.report.diagnostics)
        for name, value in inputs.items():
            place.own[name] = Entity(value)
        flow = self.run(layers, place, next(iter(inputs.values()), None))
        results: dict[str, Value | None] = {}
        for name, (reference, span) in outputs.items():
            results[name] = self.tensor(reference, span, place)
            if name in builder.heads:
                report.error("F0210", f"two outputs are called `{name}`", builder.heads[name],
                             more=(Label(span, "the other one"),),
                             help="give the head another name")
        if not outputs:
            results = {"output": flow}
        self.check_phases(results, layers, outputs, place)
        for key in builder.shared.keys() & builder.alone.keys():
            report.error("F0210", f"`weights: {key}` is also the name of a layer",
                         builder.shared[key][1],
                         more=(Label(builder.alone[key], "this one"),),
                         help="parameters are kept under both; choose another key")
        if any(d.severity == "error" for d in self.report.diagnostics[before:]):
            return None
        found = {n: v for n, v in results.items() if v is not None}
        if len(found) < len(results) or not found or None in inputs.values():
            return None
        # The same dict stays with the builder: a reference from outside may add outputs.
        builder.outputs = {**found, **builder.outputs}
        return Graph(builder.name, tuple(v for v in inputs.values() if v), tuple(builder.nodes),
                     builder.outputs, builder.phases, builder.instances)

    def check_phases(
        self, results: Mapping[str, Value | None], layers: tuple[LayerSpec, ...],
        outputs: Mapping[str, tuple[str, Span]], place: Place,
    ) -> None:
        """Note the results that exist in one phase only; the one that flows on may not."""
        for i, (name, value) in enumerate(results.items()):
            phase = place.builder.absent.get(id(value))
            if phase is None:
                continue
            place.builder.phases[name] = phase
            if i == 0:
                span = outputs[name][1] if outputs else layers[-1].span
                self.at(place).error("F0414", f"the result exists only during {phase}", span,
                                     help="what flows on must be there in both phases")

    # --- layers -------------------------------------------------------------------

    def run(self, layers: tuple[LayerSpec, ...], place: Place, flow: Value | None) -> Value | None:
        """Elaborate layers one after the other; the tensor that comes out, None after an error."""
        for layer in layers:
            flow = self.layer(layer, place, flow)
        return flow

    def visit(self, layer: LayerSpec, place: Place, count: int = 1) -> None:
        """Count work, and stop at the limit.

        Raises:
            Enough: it is reached, which is reported.
        """
        self.visits += count
        place.values.budget.visits += count
        if self.visits > MAX_VISITS:
            self.at(place).error(
                "F0503", "the spec has too many layers", layer.span,
                f"more than {MAX_VISITS:,} up to here, those switched off and loops counted",
                help="loop fewer times")
            raise Enough

    def layer(self, layer: LayerSpec, place: Place, flow: Value | None) -> Value | None:
        """Elaborate one layer; the tensor that flows on, None after an error."""
        self.visit(layer, place)
        if layer.kind == "broken":
            if layer.segment:
                self.bind(layer, place, Entity(None))
            return None
        # What flows on where this layer is not there, or could not be elaborated.
        beside = flow if layer.kind == "output" else None
        if "when" in layer.modifiers:
            node = layer.modifiers["when"]
            wanted = self.value(node, self.seen(place, [flow] if flow else None), place)
            if not isinstance(wanted, bool):
                if wanted is not UNKNOWN:
                    self.at(place).error("F0316", f"`when` is true or false, not {shown(wanted)}",
                                         node.span, help="compare, as in `when: =stride != 1`")
                place.builder.maybe |= layer.possible_names()
                return beside
            if not wanted:
                self.bind(layer, place, Entity(flow))
                return flow
        arriving = self.arriving(layer, place, flow)
        place = self.modified(layer, place, arriving)
        result = self.elaborated(layer, place, arriving)
        if layer.kind == "output":
            return flow
        if "during" in layer.modifiers and result is not None and arriving:
            return self.passing(layer, place, arriving[0], result)
        return result

    def elaborated(
        self, layer: LayerSpec, place: Place, arriving: list[Value] | None,
    ) -> Value | None:
        if layer.kind == "operator":
            return operators.operator(self, layer, place, arriving)
        self.depth += 1
        self.reaches(0, layer, place)
        result = self.nested(layer, place, arriving)
        self.depth -= 1
        return result

    def reaches(self, further: int, layer: LayerSpec, place: Place) -> None:
        """Note how deep layers within this one are nested, and stop at the limit.

        The limit is counted, so that it is the same however deep the caller of the compiler is
        in Python's stack, and so that no later stage meets a graph that is deeper.

        Raises:
            Enough: it is reached, which is reported.
        """
        builder = place.builder
        builder.height = max(builder.height, self.depth + further - builder.depth)
        if self.depth + further > MAX_NESTING:
            uses = [at for _, at in place.frames]
            is_circle = len(set(uses)) < len(uses)
            self.at(place).error(
                "F0504", f"layers are nested more than {MAX_NESTING} deep", layer.span,
                "a block around this layer uses itself" if is_circle else
                "blocks, groups, loops and branches within one another are counted",
                help="a block that uses itself must come to an end: put a `when` beside it"
                if is_circle else
                "put layers that follow one another side by side; `repeat` repeats them")
            raise Enough

    def nested(
        self, layer: LayerSpec, place: Place, arriving: list[Value] | None,
    ) -> Value | None:
        match layer.kind:
            case "join":
                return constructs.join(self, layer, place, arriving)
            case "block":
                return calls.block(self, layer, place, arriving)
        if arriving is not None and len(arriving) > 1:
            self.at(place).error(
                "F0402", f"`{layer.word}` takes one tensor, `from` names {len(arriving)}",
                layer.modifiers["from"].span, help="join them first: `concat: [a, b]`")
            arriving = None
        return constructs.construct(self, layer, place, arriving[0] if arriving else None)

    def arriving(self, layer: LayerSpec, place: Place, flow: Value | None) -> list[Value] | None:
        """The tensors that arrive at a layer; None where an error left one without value."""
        node = layer.modifiers.get("from")
        if node is None:
            return None if flow is None else [flow]
        items = list(node) if isinstance(node, SequenceNode) else [node]
        values: list[Value] = []
        for item in items:
            found = None
            if isinstance(item, Scalar) and isinstance(item.value, str) and item.value[:1] != "=":
                found = self.tensor(item.value, item.span, place)
            if found is not None:
                values.append(found)
        return values if values and len(values) == len(items) else None

    def modified(self, layer: LayerSpec, place: Place, arriving: list[Value] | None) -> Place:
        """The place with the modifiers that hold for everything inside the layer."""
        modifiers = layer.modifiers
        if "during" not in modifiers and "freeze" not in modifiers:
            return place
        seen = self.seen(place, arriving)
        during, freeze = place.during, place.freeze
        if (node := modifiers.get("during")) is not None:
            value = self.value(node, seen, place)
            if value not in ("training", "evaluation"):
                if value is not UNKNOWN:
                    self.at(place).error("F0208", "`during` is `training` or `evaluation`, not "
                                         f"{shown(value)}", node.span)
            elif during not in ("always", value):
                self.at(place).error("F0208", f"a layer during {value} inside layers during "
                                     f"{during} never exists", node.span)
            else:
                during = value
        if (node := modifiers.get("freeze")) is not None:
            freeze = freeze or self.flag(node, "freeze", seen, place)
        return replace(place, during=during, freeze=freeze)

    def flag(self, node: TreeNode, name: str, seen: Scope, place: Place) -> bool:
        """The value of a modifier that is true or false."""
        value = self.value(node, seen, place)
        if isinstance(value, bool):
            return value
        if value is not UNKNOWN:
            self.at(place).error("F0208", f"`{name}` is true or false, not {shown(value)}",
                                 node.span)
        return False

    def passing(
        self, layer: LayerSpec, place: Place, before: Value, after: Value,
    ) -> Value | None:
        """The result of a layer of one phase, if the flow can pass it in the other one."""
        remedy = "what follows needs the same shape in both phases"
        if before.type != after.type:
            self.at(place).error(
                "F0414", f"`{layer.word}` exists only during {place.during}, but it makes "
                f"{after.type} of {before.type}", layer.span, help=remedy)
            return None
        if id(after) in place.builder.absent and id(before) not in place.builder.absent:
            self.at(place).error(
                "F0414", f"`{layer.word}` exists only during {place.during}, and layers in it "
                "change the shape in between", layer.span,
                help="make a block of these layers, and put `during` beside its use")
            return None
        return after

    # --- names --------------------------------------------------------------------

    def bind(self, layer: LayerSpec, place: Place, entity: Entity) -> None:
        """Give a layer's name its meaning."""
        self.name(layer.segment, entity, place, layer.modifiers["name"].span if layer.is_named
                  else layer.span)

    def name(self, name: str, entity: Entity, place: Place, span: Span, help: str = "") -> None:
        """Give a name its meaning in this scope."""
        if name in place.own:
            other = place.own[name].span
            self.at(place).error(
                "F0210", f"the name `{name}` is used twice in one scope", span,
                more=(Label(other, "first used here"),) if other and other != span else (),
                help=help or "names are unique within a block, branch or iteration: choose another")
        entity.span = span
        place.own[name] = entity

    def lookup(self, reference: str, span: Span, place: Place) -> Entity | None:
        """What a dotted name refers to; None, and a report, where it leads nowhere."""
        first, *rest = reference.split(".")
        found = place.names.find(first)
        if ("F0310", span) in self.reported:  # in an iteration before, perhaps of ten thousand
            return None
        if not isinstance(found, Entity):
            if not may_exist(first, place.builder.maybe):
                names = list(place.names)
                self.at(place).error(
                    "F0310", f"there is no layer `{first}` before this one", span,
                    near(first, names, self.report),
                    notes=(f"names that can be read here: {some(names)}",),
                    help="a reference goes backwards, to a name of this scope or one around it")
            return None
        walked = first
        for name in rest:
            inner = found.member(name)
            if inner is None:
                if found.value is not None and not may_exist(name, place.builder.maybe):
                    self.at(place).error(
                        "F0310", f"`{walked}` has nothing called `{name}`", span,
                        near(name, found.members, self.report),
                        notes=(f"inside `{walked}`: {some(found.members)}",))
                return None
            found, walked = inner, f"{walked}.{name}"
        return found

    def tensor(self, reference: str, span: Span, place: Place) -> Value | None:
        """The tensor that a dotted name refers to; None after errors."""
        found = self.lookup(reference, span, place)
        return None if found is None else found.tensor()
