"""An ONNX graph as parts, with its weights by our names.

Nothing outside the file is read, and nothing in it is run: arrays that lie in other files are
refused, and so are graphs in nodes (If, Loop, Scan).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from compiler.imports.complaints import Complaints, Unsupported, refused
from compiler.imports.onnx_nodes import OnnxNodes
from compiler.imports.onnx_patterns import Pattern, pattern_of
from compiler.imports.onnx_values import BATCH, Found, Laid, plain
from compiler.imports.parts import Builder, Model, Part, Ref, good_name, identifier
from compiler.types import TensorType

OLDEST = 11  # version of ONNX's operators
_OURS = ("time", "depth", "height", "width", "channels")
_WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool",
            "GlobalMaxPool", "BatchNormalization", "InstanceNormalization", "LRN", "Resize",
            "Upsample", "DepthToSpace")
_SPACE = {1: ("time",), 2: ("height", "width"), 3: ("depth", "height", "width")}
# What keeps the axes of its first input.
_KEEPING = ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "Identity", "Cast", "Dropout", "Pad",
            "Elu", "Add", "Sub", "Mul", "Div", "Softplus", "HardSwish", "PRelu")


def read_onnx(data: bytes, file: str) -> tuple[Model, Complaints]:
    """The model of an ONNX file.

    Raises:
        SpecError: F0636 the package onnx is missing; F0943 the file is none; F0944 and F0945 with
            everything that cannot be imported.
    """
    graph, opset, made_by = _parsed(data, file)
    complaints = Complaints(file)
    walk = _Walk(graph, opset, complaints)
    outputs = walk.run()
    complaints.check()
    automatic = ("main", "main_graph", "torch_jit", "torch-jit-export", "graph")
    name = identifier(str(graph.name)) if graph.name not in automatic else ""
    name = name or identifier(PurePath(file).stem) or "model"
    source = f"Imported from {PurePath(file).name}, an ONNX graph{made_by}."
    model = walk.builder.model(name.lower(), source, outputs)
    return _without_dead(model), complaints


def _parsed(data: bytes, file: str) -> tuple[Any, int, str]:
    """The graph, the version of its operators, and what wrote it."""
    try:
        import onnx
    except ImportError:
        raise SpecError([diagnostic(
            "F0636", "ONNX graphs need the package onnx",
            help="install it: `pip install flaxspec[onnx]`")]) from None
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own errors have no common class
        raise refused(file, "is no ONNX graph", notes=[str(error).partition("\n")[0]]) from None
    if not model.HasField("graph") or not model.graph.node:
        raise refused(file, "holds no graph", "export the model once more")
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if opset < OLDEST:
        raise refused(file, f"is of version {opset} of ONNX's operators",
                      f"export it with `opset_version={OLDEST}` or later")
    outside = [a.name for a in model.graph.initializer
               if a.data_location == onnx.TensorProto.EXTERNAL or a.external_data]
    if outside:
        raise refused(file, f"has {len(outside)} arrays in other files, which are not read",
                      "export it as one file: `torch.onnx.export(..., external_data=False)`",
                      [f"the first is `{outside[0][:80]}`"])
    made_by = f" by {model.producer_name[:30]} {model.producer_version[:20]}".rstrip() \
        if model.producer_name else ""
    return model.graph, opset, made_by


class _Walk:
    """Walks through the nodes, in the order in which they stand."""

    def __init__(self, graph: Any, opset: int, complaints: Complaints):
        self.graph, self.complaints = graph, complaints
        self.builder = Builder()
        self.nodes = OnnxNodes(self.builder, opset)
        self.values: dict[str, Found | None] = {"": None}
        self.broken: set[str] = set()  # outputs of what could not be imported
        self.producers = {name: node for node in graph.node for name in node.output if name}
        self.outputs = {output.name for output in graph.output}
        self.readers: dict[str, list[tuple[Any, int]]] = {}
        for node in graph.node:
            for i, name in enumerate(node.input):
                self.readers.setdefault(name, []).append((node, i))

    def run(self) -> dict[str, Ref]:
        """The outputs."""
        self._arrays()
        patterns = {id(node): found for node in self.graph.node if (
            found := pattern_of(node, self.producers, self.values)) is not None}
        self._inputs()
        needed = self._needed(patterns)
        for number, node in enumerate(self.graph.node):
            if id(node) in needed:
                self._node(number, node, patterns.get(id(node)))
        return self._outputs()

    def _arrays(self) -> None:
        for array in self.graph.initializer:
            self.values[array.name] = self._array(array, f"array `{array.name[:80]}`")
            if self.values[array.name] is None:
                self.broken.add(array.name)
        for number, node in enumerate(self.graph.node):
            if node.op_type == "Constant" and len(node.output) == 1:
                given = {a.name: a for a in node.attribute}
                if "value" in given:
                    self.values[node.output[0]] = self._array(
                        given["value"].t, f"node {number} (Constant)")
        if self.graph.sparse_initializer:
            self.complaints.add("the graph", Unsupported("sparse arrays"))

    def _array(self, proto: Any, place: str) -> np.ndarray | None:
        from onnx import TensorProto, numpy_helper

        try:
            if proto.data_location == TensorProto.EXTERNAL or proto.external_data:
                raise Unsupported("it lies in another file, which is not read")
            if any(d < 0 for d in proto.dims):
                raise ValueError("a negative size")
            found = np.asarray(numpy_helper.to_array(proto))
        except Unsupported as problem:
            self.complaints.add(place, problem)
            return None
        except Exception as error:  # a damaged tensor raises whatever it meets
            self.complaints.add(place, Unsupported(
                f"its numbers cannot be read: {str(error).partition(chr(10))[0][:100]}",
                code="F0945"))
            return None
        if found.dtype.kind == "f" and found.dtype != np.float32:
            found = found.astype(np.float32)
        return found

    def _needed(self, patterns: Mapping[int, Pattern]) -> set[int]:
        """The nodes that the outputs depend on."""
        needed: set[int] = set()
        waiting = [output.name for output in self.graph.output]
        while waiting:
            node = self.producers.get(waiting.pop())
            if node is None or id(node) in needed:
                continue
            needed.add(id(node))
            waiting += patterns[id(node)][1] if id(node) in patterns else list(node.input)
        return needed

    # ---------------------------------------------------------------------------- nodes

    def _node(self, number: int, node: Any, pattern: Pattern | None) -> None:
        place = f"node `{node.name[:80]}` ({node.op_type[:40]}, number {number})"
        if len(node.output) == 1 and isinstance(self.values.get(node.output[0]), np.ndarray):
            return
        kind, inputs = pattern or (node.op_type, list(node.input))
        results: Sequence[Found] = []
        try:
            missing = [name for name in inputs if name not in self.values
                       and name not in self.broken]
            if missing:
                raise Unsupported(f"it reads `{missing[0][:80]}`, which is not there before it",
                                  code="F0945")
            if not any(name in self.broken for name in inputs):
                self.builder.at(place, good_name(node.name, node.op_type))
                results = self._applied(kind, [self.values[name] for name in inputs], node)
        except Unsupported as problem:
            self.complaints.add(place, problem)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            # The attributes of a damaged file may be anything at all.
            self.complaints.add(place, Unsupported(
                f"its attributes cannot be read: {str(error).partition(chr(10))[0][:100]}",
                code="F0945"))
        for i, name in enumerate(node.output):
            if i < len(results):
                self.values[name] = results[i]
            elif name:
                self.broken.add(name)
                if results and (name in self.readers or name in self.outputs):
                    self.complaints.add(place, Unsupported(
                        f"its output number {i + 1} is read, and there is none here"))

    def _applied(self, kind: str, inputs: Sequence[Any], node: Any) -> Sequence[Found]:
        if node.domain not in ("", "ai.onnx"):
            raise Unsupported(f"an operator of `{node.domain[:60]}`, not of ONNX itself")
        if kind == "Silu":
            x = inputs[0]
            return [replace(x, ref=self.builder.add("silu", x.ref, named=True), before=None)]
        return self.nodes.apply(kind, inputs, _attributes(node), len(node.output))

    # ----------------------------------------------------------------- inputs and outputs

    def _inputs(self) -> None:
        for value in self.graph.input:
            if value.name in self.values:
                continue  # an array with a default, as of old
            try:
                self.values[value.name] = self._input(value)
            except Unsupported as problem:
                self.broken.add(value.name)
                self.complaints.add(f"input `{value.name[:80]}`", problem)

    def _input(self, value: Any) -> Laid:
        proto = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not proto.HasField("shape"):
            raise Unsupported("its shape is not in the file", "export the model with shapes")
        sizes = [d.dim_value if d.HasField("dim_value") else None for d in proto.shape.dim]
        if any(s is not None and not 0 < s < 2**31 for s in sizes):
            raise Unsupported(f"its shape is {sizes}", code="F0945")
        order, vocabulary = self._order(value.name, len(sizes))
        name = good_name(value.name) or {2: "features", 3: "sequence", 4: "image"}.get(
            len(sizes), "input_1")
        by_axis = dict(zip(order, sizes))
        by_axis.pop(BATCH)
        axes = tuple(a for a in _OURS if a in by_axis)
        unknown = [a for a in axes if by_axis[a] is None and a != "time"]
        if unknown:
            raise Unsupported(f"its {' and '.join(unknown)} is open",
                              "export the model with a fixed size: only the batch and the time "
                              "of a sequence may be open")
        shown = [by_axis[a] or "any" for a in axes]
        shape = tuple(by_axis[a] or name for a in axes)
        if vocabulary is not None:
            if axes not in ((), ("time",)):
                raise Unsupported("an embedding of something else than a row of indices")
            section: dict[str, Any] = {"kind": "tokens", "vocabulary": vocabulary,
                                       "length": shown[0]} if axes else {
                "kind": "category", "vocabulary": vocabulary}
            name = "text" if name in ("features", "input_1") else name
            kind = TensorType(axes, tuple(by_axis[a] or name for a in axes), "int", vocabulary)
        else:
            if proto.elem_type not in (1, 10, 11, 16):
                raise Unsupported("numbers that are no floats, and no indices of an embedding")
            kind, section = TensorType(axes, shape), {"shape": shown}
        return Laid(self.builder.input(name, kind, section), order)

    def _order(self, name: str, rank: int) -> tuple[tuple[str, ...], int | None]:
        """What the axes of an input are, by what reads it; and its vocabulary."""
        waiting: list[tuple[str, tuple[int, ...]]] = [(name, tuple(range(rank)))]
        seen: set[str] = set()
        while waiting:
            current, dims = waiting.pop(0)
            if current in seen or len(seen) > 200:
                continue
            seen.add(current)
            for node, place in self.readers.get(current, ()):
                kind = node.op_type
                if kind == "Gather" and place == 1:
                    table = self.values.get(node.input[0])
                    if isinstance(table, np.ndarray) and table.ndim == 2 and rank <= 2:
                        return ((BATCH, "time")[:rank], len(table))
                named: dict[int, str] = {}
                if place == 0 and kind in _WINDOWS and len(dims) - 2 in _SPACE:
                    words = (BATCH, "channels", *_SPACE[len(dims) - 2])
                    named = dict(zip(dims, words))
                elif place == 0 and kind in ("LSTM", "GRU", "RNN") and len(dims) == 3:
                    layout = _attributes(node).get("layout")
                    named = dict(zip(dims, (BATCH, "time", "channels") if layout else (
                        "time", BATCH, "channels")))
                elif kind in ("MatMul", "LayerNormalization") and place == 0 and rank in (3, 4):
                    space = ("time",) if rank == 3 else ("height", "width")
                    named = dict(zip(dims, (BATCH, *space, "channels")))
                if named:
                    return tuple(named[i] for i in range(rank)), None
                if kind == "Transpose" and place == 0:
                    perm = _attributes(node).get("perm") or range(rank)[::-1]
                    if sorted(perm) == list(range(rank)):
                        waiting.append((node.output[0], tuple(dims[p] for p in perm)))
                elif kind in _KEEPING:
                    waiting += [(output, dims) for output in node.output[:1]]
        default = {1: (BATCH,), 2: (BATCH, "channels"), 3: (BATCH, "time", "channels"),
                   4: (BATCH, "channels", "height", "width"),
                   5: (BATCH, "channels", "depth", "height", "width")}.get(rank)
        if default is None:
            raise Unsupported(f"a tensor of {rank} axes")
        return default, None

    def _outputs(self) -> dict[str, Ref]:
        found: dict[str, Ref] = {}
        for output in self.graph.output:
            value = self.values.get(output.name)
            place = f"output `{output.name[:80]}`"
            if isinstance(value, Laid):
                self.builder.at(place)
                try:
                    value = plain(value, self.builder)
                except Unsupported as problem:
                    self.complaints.add(place, problem)
                    continue
                if value.order != (BATCH, *value.ref.type.axes):
                    told = ", ".join(value.order)
                    self.complaints.remark(
                        place, f"its axes are {', '.join((BATCH, *value.ref.type.axes))} here "
                        f"({told} in the file)", "channels are always last here")
                name = "output" if len(self.graph.output) == 1 else identifier(output.name)
                number, wish = 2, name or "output_1"
                name = wish
                while name in found:
                    name, number = f"{wish}_{number}", number + 1
                found[name] = value.ref
            elif output.name not in self.broken:
                self.complaints.add(place, Unsupported(
                    "nothing in the graph makes it" if value is None else
                    "it is no tensor that the model makes", code="F0945"))
        if not self.graph.output:
            self.complaints.add("the graph", Unsupported("it has no outputs", code="F0945"))
        return found


def _attributes(node: Any) -> dict[str, Any]:
    """A node's attributes as plain values."""
    from onnx import AttributeProto, helper, numpy_helper

    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            raise Unsupported(f"a graph in the node (`{attribute.name[:40]}`)")
        value = helper.get_attribute_value(attribute)
        if attribute.type == AttributeProto.TENSOR:
            if value.external_data:
                raise Unsupported("an array that lies in another file, which is not read")
            value = numpy_helper.to_array(value)
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif attribute.type == AttributeProto.STRINGS:
            value = [v.decode("utf-8", "replace") for v in value]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            value = list(value)
        found[attribute.name] = value
    return found


def _without_dead(model: Model) -> Model:
    """The model without parts that no output depends on."""
    alive: set[int] = set()
    waiting = [ref.owner for ref in model.outputs.values()]
    while waiting:
        owner = waiting.pop()
        if isinstance(owner, int) and owner not in alive:
            alive.add(owner)
            part = model.parts[owner]
            waiting += [r.owner for r in (*part.reads, *part.memory.values())]
    numbers = {old: new for new, old in enumerate(sorted(alive))}

    def moved(ref: Ref) -> Ref:
        return replace(ref, owner=numbers[ref.owner]) if isinstance(ref.owner, int) else ref

    parts: list[Part] = []
    for old in sorted(alive):
        part = model.parts[old]
        part.number, part.reads = numbers[old], [moved(r) for r in part.reads]
        part.memory = {k: moved(r) for k, r in part.memory.items()}
        parts.append(part)
    return replace(model, parts=parts,
                   outputs={name: moved(ref) for name, ref in model.outputs.items()})
