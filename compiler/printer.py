"""Every stage of the compiler as stable, readable text: what `flaxspec explain` prints.

The texts are compared with files in tests/golden, so they hold nothing that depends on the
machine, on the order of sets or on memory addresses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, assert_never

from pydantic import BaseModel

from compiler.graph import Call, Each, FoldedNorm, Graph, Node, Scan, WeightTransform, subgraph
from compiler.ops.base import Init, Operator, Parameter
from compiler.params import LayersValue
from compiler.tree import Mapping as MapNode
from compiler.tree import Node as TreeNode
from compiler.tree import Sequence as SequenceNode
from compiler.types import TensorType

# --------------------------------------------------------------------------------- tree


def tree_text(root: TreeNode) -> str:
    """The tree of a file: each node with its kind, and each key with its line and column."""
    return "\n".join(_tree(root, 0)) + "\n"


def _tree(node: TreeNode, depth: int) -> Iterator[str]:
    pad = "  " * depth
    if isinstance(node, MapNode):
        for key, value in node.items():
            span = node.key_spans.get(key)
            place = f"  # {span.line}:{span.column}" if span else ""
            yield f"{pad}{key}: {_node_head(value)}{place}"
            yield from _tree(value, depth + 1)
    elif isinstance(node, SequenceNode):
        for item in node:
            place = f"  # {item.span.line}:{item.span.column}"
            yield f"{pad}- {_node_head(item)}{place}"
            yield from _tree(item, depth + 1)


def _node_head(node: TreeNode) -> str:
    """"map of 3", "list of 2", "int 64", "formula `=width`"."""
    if isinstance(node, MapNode):
        return f"map of {len(node)}"
    if isinstance(node, SequenceNode):
        return f"list of {len(node)}"
    match node.value:
        case None:
            return "null"
        case bool():
            return f"bool {_plain(node.value)}"
        case int() | float():
            return f"{type(node.value).__name__} {_plain(node.value)}"
        case str():
            kind = "formula" if node.value[:1] == "=" else "string"
            quoted = json.dumps(node.value, ensure_ascii=False)
            return f"{kind} {quoted if node.quoted else node.value}"


# -------------------------------------------------------------------------------- graph


def graph_text(graph: Graph) -> str:
    """A graph and every graph that it calls, each once, in the order of their first use.

    A line is `path = operator {fields} (inputs) -> types`, with what modifiers set behind it.
    Only fields that differ from the operator's own defaults are told.
    """
    names = _graph_names(graph)
    return "\n".join("\n".join(_graph(g, names)) + "\n" for g, _, _ in names.values())


def _graph_names(graph: Graph) -> dict[int, tuple[Graph, str, Mapping[str, Any]]]:
    """Each distinct graph with a name of its own: `unit`, or `unit#1`, `unit#2`, …"""
    found: dict[int, tuple[Graph, Mapping[str, Any]]] = {}
    waiting: list[tuple[Graph, Mapping[str, Any]]] = [(graph, {})]
    while waiting:
        current, params = waiting.pop(0)
        if id(current) in found:
            continue
        found[id(current)] = (current, params)
        waiting += [(inner, node.operation.params if isinstance(node.operation, Call) else {})
                    for node in current.nodes if (inner := subgraph(node)) is not None]
    of_name: dict[str, list[int]] = {}
    for key, (current, _) in found.items():
        of_name.setdefault(current.name, []).append(key)
    return {key: (current, current.name if len(of_name[current.name]) == 1 else
                  f"{current.name}#{of_name[current.name].index(key) + 1}", params)
            for key, (current, params) in found.items()}


def _graph(graph: Graph, names: Mapping[int, tuple[Graph, str, Mapping[str, Any]]],
           ) -> Iterator[str]:
    _, name, params = names[id(graph)]
    yield f"graph {name}"
    if params:
        yield f"  params: {pairs(params)}"
    for value in graph.inputs:
        yield f"  input {value.name}: {value.type.described()}{_kind(value.type)}"
    for node in graph.nodes:
        yield f"  {_line(node, names)}"
    for output, value in graph.outputs.items():
        phase = graph.phases.get(output)
        yield (f"  output {output}: {value.name} {value.type}"
               + (f" during {phase}" if phase else ""))


def _line(node: Node, names: Mapping[int, tuple[Graph, str, Mapping[str, Any]]]) -> str:
    """One node of a graph."""
    match node.operation:
        case Operator() as op:
            fields = pairs(fields_of(op))
            what = f"{op.word} {{{fields}}}" if fields else op.word
        case Each(axis=axis, graph=inner):
            what = f"each {axis} {names[id(inner)][1]}"
        case Scan(graph=inner) as scan:
            fields = pairs(scan_fields(scan))
            what = f"scan {names[id(inner)][1]} {{{fields}}}"
        case Call(graph=inner):
            what = f"call {names[id(inner)][1]}"
    types = ", ".join((f"{name} " if len(node.outputs) > 1 else "") + str(value.type)
                      for name, value in node.outputs.items())
    line = f"{node.path} = {what} ({', '.join(v.name for v in node.inputs)}) -> {types}"
    marks = {
        "weights": node.weights if node.weights != node.path else "",
        "during": node.during if node.during != "always" else "",
        "freeze": node.freeze, "remat": node.remat, "was": node.was,
        "init": {role: init_text(init) for role, init in node.init.items()},
        "ties": {field: f"{path}.{name}" for field, (path, name) in node.ties.items()},
        "made of": _sources(node.transform),
    }
    told = pairs({key: value for key, value in marks.items() if value})
    return f"{line}  | {told}" if told else line


def scan_fields(scan: Scan) -> dict[str, Any]:
    """What a scan does beside running its body."""
    fields = {"over": scan.over, "carry": scan.carry, "zeros": scan.zeros, "sample": scan.sample,
              "decode": scan.decode}
    return {name: value for name, value in fields.items() if value}


def _sources(transform: WeightTransform | None) -> str:
    """"layer and norm": the layers of which a pass made this one's arrays."""
    match transform:
        case None:
            return ""
        case FoldedNorm(layer=layer, norm=norm):
            return f"{layer} and {norm}"
        case _:
            assert_never(transform)


def _kind(tensor: TensorType) -> str:
    """What a tensor holds, where that is not floats."""
    if tensor.dtype == "float":
        return ""
    return f" {tensor.dtype}" + (f" below {tensor.vocabulary}" if tensor.vocabulary else "")


def fields_of(op: BaseModel) -> dict[str, Any]:
    """The fields of an operator, or of a part of one, that differ from its defaults."""
    return {info.alias or name: value for name, info in type(op).model_fields.items()
            if (value := getattr(op, name)) != info.default or info.is_required()}


def pairs(values: Mapping[str, Any]) -> str:
    """"filters: 64, kernel: [3, 1]": a map's inside, as a spec would have it."""
    return ", ".join(f"{key}: {_plain(value)}" for key, value in values.items())


def _plain(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return value
        case float():
            return repr(value)
        case Mapping():
            return f"{{{pairs(value)}}}"
        case BaseModel():
            return f"{{{pairs(fields_of(value))}}}"
        case LayersValue():
            return "layers"
        case Iterable():
            return f"[{', '.join(_plain(v) for v in value)}]"
        case _:
            return str(value)


# ------------------------------------------------------------------------------- module


def module_text(graph: Graph) -> str:
    """The parameters of the module, in the order they are made: path, shape, type, beginning."""
    rows = [(path, _plain(p.shape), "float32", kind, init_text(init))
            for path, p, init, kind in _parameters(graph)]
    sizes = {"trained": 0, "frozen": 0, "statistic": 0}
    for _, p, _, kind in _parameters(graph):
        sizes[kind] += p.size
    total = ", ".join(f"{size:,} {kind}" for kind, size in sizes.items() if size) or "no parameters"
    return "\n".join([*columns([("path", "shape", "dtype", "kind", "init"), *rows]), total]) + "\n"


def _parameters(graph: Graph, prefix: str = "", frozen: bool = False,
                ) -> Iterator[tuple[str, Parameter, Init, str]]:
    """(path, parameter, how it begins, trained | frozen | statistic), shared ones once."""
    done: set[str] = set()
    for node in graph.nodes:
        if node.weights in done:
            continue
        done.add(node.weights)
        path, fixed = f"{prefix}{node.weights}", frozen or node.freeze
        if not isinstance(node.operation, Operator):
            yield from _parameters(node.operation.graph, f"{path}.", fixed)
            continue
        for name, p in node.operation.parameters(*(v.type for v in node.inputs)).items():
            kind = "statistic" if p.statistic else "frozen" if fixed else "trained"
            yield f"{path}.{name}", p, node.init.get(p.role, p.init), kind


def init_text(init: Init) -> str:
    """"kaiming_normal", "normal(stddev: 0.01)", "orthogonal × 4"."""
    told = {name: _runs(value) if isinstance(value, tuple | list) else value
            for name, value in init.arguments.items()}
    arguments = f"({pairs(told)})" if told else ""
    return f"{init.name}{arguments}" + (f" × {init.blocks}" if init.blocks > 1 else "")


def _runs(values: Iterable[Any]) -> list[str]:
    """"0.0 × 5, 1.0 × 5": a list whose neighbours are often equal."""
    runs = [(value, len(list(same))) for value, same in groupby(values)]
    return [f"{_plain(value)} × {count}" if count > 1 else _plain(value) for value, count in runs]


def columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Lines whose cells stand below each other, two spaces apart."""
    rows = list(rows)
    widths = [max(map(len, cells)) for cells in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
            for row in rows]
