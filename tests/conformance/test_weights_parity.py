"""Weights that PyTorch, torchvision, timm and Keras wrote give what their own models give.

`make_weights_reference.py` wrote the files, with the libraries' own models, and says what is in
them. In float64 every output agrees to 1e-10 of the largest (Keras's to 1e-6); in float32 we are
no further from float64 than four times PyTorch's own float32. Out again, the files are the same
to the bit.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxspec
from compiler.diagnostics import Report
from compiler.passes import optimise
from compiler.pipeline import Request, make_graph
from compiler.weights.files import read_file
from compiler.weights.load import load
from compiler.weights.save import weights_to

FOLDER = Path(__file__).with_name("weights")
REFERENCE = np.load(FOLDER / "reference.npz")
ULP = 2.0**-23

RESNET = {"classes": 3, "image": [48, 48, 3], "width": 2}
# Each file's spec, the values of its params, and whose names the file has.
FILES: dict[str, tuple[str, dict, str]] = {
    "torchvision_resnet.pth": ("resnet", RESNET | {"depths": [1, 1, 2, 1]}, "torchvision"),
    "torchvision_basic_resnet.pth": (
        "resnet", RESNET | {"depths": [1, 2, 1, 1], "basic": True}, "torchvision"),
    "torchvision_vgg11_bn.pth": ("vgg11_bn", {
        "classes": 3, "image": [64, 64, 3], "widths": [2, 4, 8, 16, 16], "grid": 2, "hidden": 5},
        "torchvision"),
    "torchvision_googlenet.safetensors": (
        "googlenet_torchvision", {"classes": 3, "image": [64, 64, 3], "width": 1 / 16},
        "torchvision"),
    "timm_vgg.safetensors": ("vgg11", {
        "classes": 3, "image": [64, 64, 3], "widths": [2, 4, 4, 4, 4], "grid": 2, "hidden": 5},
        "timm"),
    "timm_resnetv2.pth": ("resnetv2_50", RESNET | {"width": 8, "depths": [2, 1]}, "timm"),
    "lstm.pth": ("bilstm_classifier", {"sequence": [6, 4], "units": 5, "classes": 3}, ""),
    "gru.pth": ("bigru_classifier", {"sequence": [6, 4], "units": 5, "classes": 3}, ""),
    "keras_image.weights.h5": ("""\
inputs: {x: {shape: [8, 8, 3]}}
defaults: {conv: {kernel: 3, padding: valid}}
model:
  - conv: {filters: 4, padding: same}
  - batch_norm: {epsilon: 0.001}
  - relu
  - conv: {filters: 4, groups: 4}
  - conv: {filters: 6, bias: false}
  - prelu
  - flatten
  - dense: 5
  - dense: 3
""", {}, "keras"),
    "keras_sequence.weights.h5": ("""\
inputs: {x: {shape: [6, 4]}}
model:
  - lstm: 5
  - gru: {units: 3, layers: 2, bidirectional: true, biases: 2}
  - rnn: {units: 3, return: last}
  - layer_norm
  - dense: 3
""", {}, "keras"),
}
# Compiling takes seconds, of GoogLeNet most of a minute; these are the cases that tell most.
QUICK = ("torchvision_resnet.pth", "torchvision_vgg11_bn.pth", "lstm.pth", "gru.pth",
         "keras_image.weights.h5", "keras_sequence.weights.h5")
CASES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FILES]
WITH_PYTORCH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
                for name in FILES if f"{name}/error" in REFERENCE.files]


def spec_of(file: str, folder: Path) -> str:
    """The spec of a file, as a path or a name of the zoo."""
    spec = FILES[file][0]
    if "\n" not in spec:
        return spec
    path = folder / "spec.yaml"
    path.write_text(f"flaxspec: 1\n{spec}")
    return str(path)


def error(file: str, folder: Path, dtype: str) -> float:
    """How far the output is from the library's in float64: max|a - b| / max|b|."""
    model = flaxspec.build(spec_of(file, folder), params=FILES[file][1], dtype=dtype,
                           param_dtype=dtype, weights=FOLDER / file)
    model.eval()
    output = jax.jit(lambda x: model(x))(jnp.asarray(REFERENCE[f"{file}/x"], dtype))
    exact = REFERENCE[f"{file}/output"]
    assert output.shape == exact.shape
    return float(np.abs(np.asarray(output, np.float64) - exact).max() / np.abs(exact).max())


@pytest.mark.parametrize("file", CASES)
def test_float64_agrees_to_1e_10(file: str, tmp_path: Path):
    if file.endswith(".h5"):
        pytest.importorskip("h5py")
    with jax.enable_x64(True):
        # Keras's dense layers multiply in float32 on PyTorch, whatever they are told.
        limit = 1e-6 if file.endswith(".h5") else 1e-10
        assert error(file, tmp_path, "float64") <= limit


@pytest.mark.parametrize("file", WITH_PYTORCH)
def test_float32_strays_no_further_than_four_times_pytorch_s_own(file: str, tmp_path: Path):
    assert error(file, tmp_path, "float32") <= 4 * max(REFERENCE[f"{file}/error"], ULP)


@pytest.mark.parametrize("file", FILES)
def test_in_and_out_again_is_the_file_to_the_bit(file: str, tmp_path: Path):
    if file.endswith(".h5"):
        pytest.importorskip("h5py")
    _, values, names = FILES[file]
    graph = optimise(make_graph(Request(spec_of(file, tmp_path), values=values), Report()))
    loaded, theirs = load(FOLDER / file, graph), read_file(FOLDER / file).tensors
    assert not loaded.left and not loaded.drawn
    if not names:  # nn.LSTM and nn.GRU may be called anything: a map says what they are called
        (tmp_path / "names.yaml").write_text(
            "recurrent: {layers: {lstm_1: rnn, dense_1: fc}}\n"
            "other: {layers: {gru_1: rnn, dense_1: fc}}\n")
        names = str(tmp_path / "names.yaml")
    made = weights_to(graph, loaded.arrays, names)
    assert made.keys() == theirs.keys()
    for name, array in theirs.items():
        if not name.endswith("num_batches_tracked"):
            assert made[name].dtype == array.dtype
            np.testing.assert_array_equal(made[name], array)
