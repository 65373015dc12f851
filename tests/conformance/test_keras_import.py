"""Keras models as specs give Keras's numbers; its files: make_keras_import_reference.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compiler.imports.convert import Imported, convert
from compiler.imports.keras_weights import keras_weights
from compiler.lower.build import build_model
from compiler.lower.weights import variables
from compiler.passes import optimise
from compiler.weights.keras_file import write_keras

FOLDER = Path(__file__).parent / "imports"
MODELS = ["resnet", "inception", "mobile", "text", "sequence", "several", "video",
          "resnet_2", "text_2", "several_2"]


def imported(name: str) -> Imported:
    path = FOLDER / f"{name}.json"
    return convert(path.read_bytes(), path.name)


@pytest.mark.parametrize("name", MODELS)
def test_an_imported_model_gives_what_keras_gives(name: str, tmp_path: Path):
    pytest.importorskip("h5py")
    model, found = name.removesuffix("_2"), imported(name)
    with np.load(FOLDER / "keras.npz") as file:
        own = {key.removeprefix(f"{model}/"): file[key] for key in file
               if key.startswith(f"{model}/")}
    path = tmp_path / "model.weights.h5"
    write_keras(path, {key.removeprefix("weights/").replace("/", "."): array
                       for key, array in own.items() if key.startswith("weights/")})
    graph = optimise(found.graph)
    arrays = keras_weights(path, graph, found.origins)
    assert sum(array.size for array in arrays.values()) == own["params"]
    module = build_model(graph, seed=0)
    targets = variables(module)
    assert targets.keys() == arrays.keys()
    for key, variable in targets.items():
        variable[...] = arrays[key]
    module.eval()
    given = module(*(own[f"input{i}"] for i in range(len(graph.inputs))))
    outputs = list(given.values()) if isinstance(given, dict) else [given]
    for i, output in enumerate(outputs):
        np.testing.assert_allclose(output, own[f"output{i}"], rtol=2e-5, atol=2e-5)


def test_what_repeats_is_folded():
    text = imported("resnet").text
    assert text.count("conv:") == 6 and "stem" in text and "predictions" in text
    assert text.count("- add:") == 2
