"""An arranged model as the text of a spec, and the paths of its parts in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compiler.diagnostics import Report, SpecError
from compiler.graph import Graph, walk
from compiler.imports.items import Block, Item, Layout, TypeName
from compiler.imports.parts import Model, Part
from compiler.imports.structure import JOINS
from compiler.ops import operator
from compiler.ops.base import Operator
from compiler.pipeline import Request, make_graph
from compiler.source import Source
from compiler.targets.canonical import yaml_text
from compiler.tree import Scalar


def spec_text(model: Model, layout: Layout) -> str:
    """The spec as YAML."""
    document: dict[str, Any] = {"flaxspec": 1, "name": model.name}
    document["inputs"] = model.inputs
    defaults = _defaults(model.parts)
    if defaults:
        document["defaults"] = defaults
    if layout.blocks:
        # The later ones are used by the earlier ones.
        document["blocks"] = {
            name: {**({"params": _params(block)} if block.params else {}),
                   "layers": _layers(block.layers, defaults, layout)}
            for name, block in reversed(layout.blocks.items())}
    document["model"] = _layers(layout.layers, defaults, layout)
    if layout.outputs:
        document["outputs"] = layout.outputs
    source = "".join(c if c.isprintable() else " " for c in model.source[:200])
    return f"# {source}\n" + yaml_text(document)


def _defaults(parts: Sequence[Part]) -> dict[str, dict[str, Any]]:
    """Fields that every use of an operator sets to one value, where there are several uses."""
    found: dict[str, dict[str, Any]] = {}
    uses: dict[str, list[Part]] = {}
    for part in (p for outer in parts for p in (outer, *outer.inside)):
        uses.setdefault(part.word, []).append(part)
    for word, same in uses.items():
        if len(same) < 3:
            continue
        for key in ("epsilon", "momentum", "bias", "biases"):
            values = [part.fields.get(key) for part in same]
            if values[0] is not None and all(v == values[0] for v in values):
                found.setdefault(word, {})[key] = values[0]
    return found


def _params(block: Block) -> dict[str, Any]:
    """The params of a block; the name of a type stands without quotes."""
    nowhere = Source("", "").span(0, 0)
    return {name: Scalar(str(value), nowhere, value, False) if isinstance(value, TypeName)
            else value
            for name, value in block.params.items()}


def _layers(items: Sequence[Item], defaults: dict[str, dict[str, Any]], layout: Layout,
            ) -> list[Any]:
    """A list of layers as plain data."""
    joins = sum(bool(item.branches) for item in items)
    repeats = 0
    result = []
    for item in items:
        name = item.name
        if item.branches and joins > 1 and not name:
            joined = [other for other in items if other.branches]
            name = f"join{joined.index(item) + 1}"
        index = ""
        if item.word == "repeat":
            index, repeats = f"unit{'' if not repeats else '_' + chr(97 + repeats)}", repeats + 1
        result.append(_layer(item, name, index, defaults, layout))
    return result


def _layer(item: Item, name: str, index: str, defaults: dict[str, dict[str, Any]],
           layout: Layout) -> Any:
    fields = {k: v for k, v in item.fields.items()
              if k not in defaults.get(item.word, {}) or defaults[item.word][k] != v}
    modifiers: dict[str, Any] = {}
    if name and (item.pinned or item.branches or _owns_arrays(item)):
        modifiers["name"] = name
    if item.part is not None and item.part.shared:
        modifiers["weights"] = item.part.shared
    if item.word == "repeat":
        value: Any = {"times": fields["times"], "index": index,
                      "layers": _layers(item.body or [], defaults, layout)}
        return {"repeat": value, **modifiers}
    if item.word == "each":
        inside = _layers(item.body or [], defaults, layout)
        return {"layers": {**fields, "layers": inside}, **modifiers}
    if item.branches is not None:
        inside = {k: _layers(b, defaults, layout) for k, b in item.branches.items()}
        return {item.word: {**fields, **inside}, **modifiers}
    if len(item.source) > 1 and not fields and item.word in JOINS:
        return {item.word: item.source, **modifiers}
    if item.source:
        modifiers["from"] = item.source[0] if len(item.source) == 1 else item.source
    if item.is_call:
        params = layout.blocks[item.word].params
        fields = {k: v for k, v in fields.items()
                  if v != params[k] or isinstance(params[k], TypeName)}
        main = next(iter(params), None)
    else:
        main = operator(item.word).main
        if item.word == "conv" and "depthwise" in fields:
            main = None
    if not fields:
        return {item.word: {}, **modifiers} if modifiers else item.word
    if main is not None and list(fields) == [main]:
        return {item.word: fields[main], **modifiers}
    return {item.word: fields, **modifiers}


def _owns_arrays(item: Item) -> bool:
    """Whether a layer has parameters, so that its name is seen."""
    return item.part is not None and bool(operator(item.word).model_fields) and (
        item.word in ("conv", "conv_transpose", "dense", "embed", "batch_norm", "layer_norm",
                      "group_norm", "prelu", "lstm", "gru", "rnn"))


# ------------------------------------------------------------------------------ paths


def compiled(text: str, name: str) -> Graph:
    """The graph of an imported spec.

    Raises:
        SpecError: it does not compile.
    """
    report = Report()
    return make_graph(Request(Source(name, text)), report)


def paths_of(model: Model, layout: Layout, graph: Graph) -> dict[int, str]:
    """Where the parameters of each part are in the compiled model, by the part's number.

    Raises:
        SpecError: the spec is not the model, which would be a fault of the importer.
    """
    nodes = []
    for path, node in walk(graph):
        if isinstance(node.operation, Operator) and node.operation.word != "identity":
            owner = path[:len(path) - len(node.path)]
            nodes.append((node.operation.word, owner + node.weights))
    parts = [part for item in layout.layers for part in item.parts()
             if part.word != "identity"]
    if [word for word, _ in nodes] != [part.word for part in parts]:
        raise AssertionError("the imported spec is another model")
    return {id(part): path for part, (_, path) in zip(parts, nodes)}


__all__ = ["SpecError", "compiled", "paths_of", "spec_text"]
