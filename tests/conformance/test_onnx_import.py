"""PyTorch models as ONNX graphs as specs: the same numbers (make_onnx_import_reference.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compiler.graph import Graph
from compiler.imports.convert import convert
from compiler.lower.build import build_model
from compiler.lower.weights import variables
from compiler.passes import optimise

onnx = pytest.importorskip("onnx")
FOLDER = Path(__file__).parent / "imports"
# Whether the exporter left norms and arrays as they were.
MODELS = {"resnet": False, "googlenet": True, "vgg": True, "gated": True, "lstm": True,
          "gru": True, "sequence": True, "lstm_new": True}


def given_by(graph: Graph, arrays: dict[str, np.ndarray], *inputs: np.ndarray) -> np.ndarray:
    """What a graph with these arrays makes of inputs, channels last."""
    module = build_model(optimise(graph), seed=0)
    targets = variables(module)
    assert {k: v.shape for k, v in targets.items()} == {k: a.shape for k, a in arrays.items()}
    for key, variable in targets.items():
        variable[...] = arrays[key]
    module.eval()
    return np.asarray(module(*inputs))


@pytest.mark.parametrize("name", MODELS)
def test_an_imported_graph_gives_what_pytorch_gives(name: str):
    path = FOLDER / f"{name}.onnx"
    found = convert(path.read_bytes(), path.name)
    with np.load(FOLDER / "onnx.npz") as file:
        x, expected, params = (file[f"{name}/{key}"] for key in ("input", "output", "params"))
    if x.ndim > 2:
        x = np.moveaxis(x, 1, -1)
    given = given_by(found.graph, found.weights, x)
    np.testing.assert_allclose(given, expected, rtol=2e-4, atol=2e-5)
    if MODELS[name]:
        assert sum(array.size for key, array in found.weights.items()
                   if not key.endswith((".mean", ".var"))) == params


def test_branches_and_units_fold():
    text = convert((FOLDER / "googlenet.onnx").read_bytes(), "googlenet.onnx").text
    assert text.count("- concat:") == 1 and text.count("- mixed: {") == 3
    text = convert((FOLDER / "resnet.onnx").read_bytes(), "resnet.onnx").text
    assert text.count("- add:") == 2
