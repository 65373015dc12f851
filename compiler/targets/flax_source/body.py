"""Graphs to bodies: every node becomes an item, with the lengths of rows followed along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.diagnostics import SpecError, diagnostic
from compiler.graph import Call, Each, Graph, Node, Scan
from compiler.ops.base import Operator
from compiler.targets.flax_source.code import Code
from compiler.targets.flax_source.items import Body, Item, Ref
from compiler.targets.flax_source.loops import Loops, outlined
from compiler.targets.flax_source.operators import is_light, piece_of
from compiler.targets.flax_source.site import File, Site


class Converter:
    """Makes bodies of graphs, equal ones once."""

    def __init__(self, file: File):
        """Collect helpers in `file`."""
        self.file = file
        self.bodies: dict[tuple[int, tuple[bool, ...]], Body] = {}
        self._graphs: list[Graph] = []

    def body(self, graph: Graph, timed: tuple[bool, ...], params: Mapping[str, Any],
             is_model: bool = False) -> Body:
        """The body of a graph whose inputs may have lengths as `timed` says."""
        key = (id(graph), timed)
        if key not in self.bodies:
            self._graphs.append(graph)  # kept, so that no other graph gets its id
            self.bodies[key] = self._body(graph, timed, params, is_model)
        return self.bodies[key]

    def _body(self, graph: Graph, timed: tuple[bool, ...], params: Mapping[str, Any],
              is_model: bool) -> Body:
        graph = outlined(graph)
        refs: dict[int, Ref] = {id(v): ("", str(i)) for i, v in enumerate(graph.inputs)}
        lens: dict[int, Ref | None] = {
            id(v): ("", str(i)) if t else None for i, (v, t) in enumerate(zip(graph.inputs, timed))}
        items = [self._item(node, refs, lens) for node in graph.nodes]
        outputs = {name: refs[id(v)] for name, v in graph.outputs.items()}
        loops = Loops()
        items = loops.fold(items, set(outputs.values()))
        outputs = {name: loops.now(ref) for name, ref in outputs.items()}
        return Body(
            graph.name, tuple((v.name, v.type) for v in graph.inputs), timed, tuple(items),
            outputs, {name: lens[id(v)] for name, v in graph.outputs.items()},
            dict(graph.phases), params, {name: v.type for name, v in graph.outputs.items()},
            is_model)

    def _item(
        self, node: Node, refs: dict[int, Ref], lens: dict[int, Ref | None],
    ) -> Item:
        given = tuple(lens[id(v)] if "time" in v.type.axes else None for v in node.inputs)
        inputs = tuple(refs[id(v)] for v in node.inputs)
        first = next(iter(node.outputs.values()))
        passes = inputs[0] if node.during != "always" and (
            first.type == node.inputs[0].type) else None
        common: dict[str, Any] = {
            "inputs": inputs, "lens": given, "during": node.during, "frozen": node.freeze,
            "passes": passes, "types": {n: v.type for n, v in node.outputs.items()},
            "remat": node.remat}
        match node.operation:
            case Operator():
                item = self._operator(node, given, common)
            case Call():
                item = self._call(node, given, common)
            case Each():
                item = self._each(node, given, common)
            case Scan():
                item = self._scan(node, given, common)
        if item.frozen and item.owns:
            self.file.need("frozen")
        if item.remat and item.owns and "{self}(" in item.run.text:
            self.file.need("remat")
            item.run = Code(item.run.text.replace("{self}(", "remat({self}, "), item.run.values,
                            item.run.options)
        self._outgoing(node, item, given, refs, lens)
        return item

    def _operator(self, node: Node, given: tuple[Ref | None, ...], common: dict) -> Item:
        op = node.operation
        assert isinstance(op, Operator)
        site = Site(node, tuple(n is not None for n in given), self.file, node.freeze)
        piece = piece_of(site)
        tied = next(iter(node.ties.values()), None)
        names = list(node.outputs)
        if op.word in ("rnn", "lstm", "gru", "conv_lstm"):
            picks = {name: f".{name}" for name in names}
        else:
            picks = {name: f"[{i}]" if len(names) > 1 else "" for i, name in enumerate(names)}
        item = Item(node.path, node.weights, piece.run, make=piece.make, picks=picks, tied=tied,
                    light=is_light(op.word), shared=piece.shared,
                    parameters=tuple(site.parameters()), **common)
        if isinstance(piece.lengths, Code):
            item.lengths = piece.lengths
        else:
            item.keeps = piece.lengths
        return item

    def _call(self, node: Node, given: tuple[Ref | None, ...], common: dict) -> Item:
        assert isinstance(node.operation, Call)
        callee = self.body(node.operation.graph, tuple(n is not None for n in given),
                           node.operation.params)
        arguments = [f"{{{i}}}" for i in range(len(node.inputs))]
        arguments += [f"{{n{i}}}" for i in callee.reads]
        several = len(callee.outputs) + len(callee.made_lengths) > 1
        picks = {name: f"[{i}]" if several else "" for i, name in enumerate(callee.outputs)}
        return Item(node.path, node.weights, Code(f"{{self}}({', '.join(arguments)})"),
                    callee=callee, picks=picks, **common)

    def _each(self, node: Node, given: tuple[Ref | None, ...], common: dict) -> Item:
        assert isinstance(node.operation, Each)
        axis, graph = node.operation.axis, node.operation.graph
        callee = self.body(graph, (False,) * len(graph.inputs), {})
        place = node.inputs[0].type.axes.index(axis) + 1
        self.file.need("each_step")
        more = f", axis={place}" if place != 1 else ""
        if axis == "time" and given[0] is not None and _has_batch_norm(graph):
            for helper in ("each_step", "BatchNorm"):
                self.file.need(helper, "rows")
            for helper in ("rows_that_count", "real_steps"):
                self.file.need(helper)
            more += ", lengths={n0}"
        return Item(node.path, node.weights, Code(f"each_step({{self}}, {{0}}{more})"),
                    callee=callee, picks={"output": ""}, **common)

    def _scan(self, node: Node, given: tuple[Ref | None, ...], common: dict) -> Item:
        scan = node.operation
        assert isinstance(scan, Scan)
        if scan.sample:
            raise SpecError([diagnostic(
                "F0910", f"`sample` of the scan at `{node.path}` cannot be ejected",
                node.origin.span, help="eject the model with `sample: 0`: it computes the same "
                                       "outside training")])
        graph, steps = scan.graph, len(scan.over)
        timed = tuple(n is not None and i >= steps for i, n in enumerate(given))
        callee = self.body(graph, (*timed, *(False for _ in scan.zeros)), {})
        number = {name: i for i, name in enumerate(scan.carry)}
        arguments, begins = [], [""] * len(scan.carry)
        for i, value in enumerate(graph.inputs):
            if i < steps:
                arguments.append(f"_now[{i}]")
            elif value.name in number:
                arguments.append(f"_now[{steps + number[value.name]}]")
                sizes = "".join(f", {size}" for size in value.type.shape)
                begins[number[value.name]] = f"{{{i}}}" if i < len(given) else (
                    f"jnp.zeros(({{0}}.shape[0]{sizes}))")
            else:
                arguments.append(f"{{{i}}}")
        arguments += [f"{{n{i}}}" for i in callee.reads]
        body = f"{{self}}({', '.join(arguments)})"
        if len(callee.outputs) == 1:
            body = f"({body},)"
        sequences = "".join(f"{{{i}}}, " for i in range(steps)).rstrip()
        states = f"({', '.join(begins)}{',' if len(begins) == 1 else ''})"
        first = next((i for i, n in enumerate(given[:steps]) if n is not None), None)
        more = "" if first is None else f", {{n{first}}}"
        if first is not None:
            self.file.need("scan_steps", "lengths")
        self.file.need("scan_steps")
        results = [name for name in graph.outputs if not name.startswith("next.")]
        picks = {name: f"[{i}]" for i, name in enumerate((*results, "last", *scan.carry))}
        return Item(node.path, node.weights, Code(
            f"scan_steps(lambda _now: {body}, ({sequences}), {states}{more})"),
            callee=callee, picks=picks, **common)

    def _outgoing(
        self, node: Node, item: Item, given: tuple[Ref | None, ...], refs: dict[int, Ref],
        lens: dict[int, Ref | None],
    ) -> None:
        """Name what comes out, and its lengths."""
        for name, value in node.outputs.items():
            refs[id(value)] = (node.path, name)
            lens[id(value)] = None
            if "time" not in value.type.axes:
                continue
            if isinstance(node.operation, Scan):
                steps = given[:len(node.operation.over)]
                lens[id(value)] = next((n for n in steps if n is not None), None)
            elif isinstance(node.operation, Each):
                lens[id(value)] = given[0]
            elif item.callee is not None:
                inner = item.callee.lens.get(name)
                if inner is not None and inner[0] == "":
                    lens[id(value)] = given[int(inner[1])]
                elif inner is not None:
                    number = len(item.callee.outputs) + item.callee.made_lengths.index(inner)
                    lens[id(value)] = (node.path, f"lengths{number}")
                    item.picks = {**item.picks, f"lengths{number}": f"[{number}]"}
            elif item.lengths is not None:
                part = list(node.outputs).index(name)
                split = item.lengths.text.startswith("split_lengths")
                lens[id(value)] = (node.path, f"lengths[{part}]" if split else "lengths")
            elif item.keeps is not None:
                lens[id(value)] = given[item.keeps]


def _has_batch_norm(graph: Graph) -> bool:
    return any(getattr(n.operation, "word", "") == "batch_norm" or
               (isinstance(n.operation, Call | Each | Scan) and _has_batch_norm(n.operation.graph))
               for n in graph.nodes)
