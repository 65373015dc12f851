"""From a file's bytes to a spec: read, arrange, fold, write, and see that it is the same model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from compiler.diagnostics import Diagnostic, SpecError
from compiler.graph import Graph
from compiler.imports.complaints import refused
from compiler.imports.folding import folded
from compiler.imports.keras_json import read_keras
from compiler.imports.parts import Model
from compiler.imports.structure import structured
from compiler.imports.writer import compiled, paths_of, spec_text

LARGEST = 2 * 2**30  # bytes: what a protobuf can hold


@dataclass(frozen=True)
class Imported:
    """A model of another program as a spec.

    Attributes:
        text: the spec.
        graph: what it compiles to.
        weights: the file's weights under the spec's paths.
        origins: for the path of each layer with parameters, what a file of weights calls it, and
            the number of its first array there.
        remarks: where the spec is not the same in every respect.
    """

    text: str
    graph: Graph
    weights: dict[str, Any]
    origins: dict[str, tuple[str, int]]
    remarks: list[Diagnostic]


def convert(data: bytes, file: str) -> Imported:
    """A Keras JSON or an ONNX graph as a spec.

    Args:
        data: the file's content.
        file: its name, for messages and for its kind.

    Raises:
        SpecError: F0943 the file is neither, F0944 and F0945 with everything in it that cannot
            be imported.
    """
    kind = PurePath(file).suffix.lower()
    if kind == ".json":
        model, complaints = read_keras(data, file)
    elif kind == ".onnx":
        from compiler.imports.onnx_graph import read_onnx

        model, complaints = read_onnx(data, file)
    else:
        raise refused(file, "is neither a Keras JSON nor an ONNX graph",
                      "its name ends with .json or .onnx")
    text, graph, paths = _written(model)
    weights: dict[str, Any] = {}
    origins: dict[str, tuple[str, int]] = {}
    for part in (p for outer in model.parts for p in (outer, *outer.inside)):
        path = paths.get(id(part), "")
        if part.origin:
            origins[path] = part.origin, part.first
        for role, array in part.arrays.items():
            weights[f"{path}.{role}"] = array
    return Imported(text, graph, weights, origins, complaints.remarks)


def _written(model: Model) -> tuple[str, Graph, dict[int, str]]:
    """The spec with loops and blocks, or as it is where these did not keep its meaning."""
    for fold in (folded, lambda layout: layout):
        layout = fold(structured(model))
        text = spec_text(model, layout)
        try:
            graph = compiled(text, "the imported spec")
            if [v.type.shape for v in graph.outputs.values()] != [
                    ref.type.shape for ref in model.outputs.values()]:
                raise AssertionError("the imported spec has other outputs")
            return text, graph, paths_of(model, layout, graph)
        except (SpecError, AssertionError) as error:
            problem = error
    raise problem
