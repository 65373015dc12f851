"""Weights of other libraries: what is read, what is refused, which tensor becomes which array.

The names and layouts are proven against PyTorch's and Keras's own files in tests/conformance.
"""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from compiler.diagnostics import Report, SpecError
from compiler.graph import Graph
from compiler.passes import optimise
from compiler.pipeline import Request, make_graph
from compiler.source import Source
from compiler.weights.files import write_file
from compiler.weights.load import load
from compiler.weights.names import maps
from compiler.weights.pth import read_pth, write_pth
from compiler.weights.save import weights_to, weights_to_torch
from compiler.weights.slots import layers, shapes

ZOO = {  # whose names there are for which models
    "torchvision": ("vgg11", "vgg16_bn", "resnet18", "resnet152", "wide_resnet50_2",
                    "resnext50_32x4d", "resnet18_cifar10", "googlenet", "googlenet_aux"),
    "timm": ("vgg19_bn", "resnet34", "resnext101_32x4d", "resnetv2_50", "resnetv2_101")}


def graph(text: str) -> Graph:
    spec = Source("spec.yaml", f"flaxspec: 1\n{text}") if "\n" in text else text
    return optimise(make_graph(Request(spec), Report()))


def drawn(g: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays for a model, every number another one."""
    rng = np.random.default_rng(seed)
    return {path: rng.standard_normal(shape).astype(np.float32)
            for path, shape in shapes(g).items()}


# ------------------------------------------------------------------------------ names


@pytest.mark.parametrize("library, model", [(k, m) for k in ZOO for m in ZOO[k]])
def test_every_layer_of_the_family_has_one_name(library: str, model: str):
    own = layers(graph(model))
    found = [m for one in maps(library) if (m := one.modules(own))]
    assert found and all(len(m) == len(own) for m in found)


SMALL = {
    "torchvision": ["resnet18", "resnet50", "vgg11_bn", "googlenet"],
    "timm": ["resnet50", "resnetv2_50", "vgg11"],
    "torch": ["bilstm_classifier", "bigru_classifier", "rnn_classifier"],
    "keras": ["gru_classifier"]}
SIZES = {"resnet": {"width": 4, "classes": 3}, "googlenet": {"width": 1 / 16},
         "vgg": {"widths": [4, 4, 4, 6, 6], "hidden": 5, "grid": 2, "classes": 3}}


@pytest.mark.parametrize("library, model", [(k, m) for k in SMALL for m in SMALL[k]])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_out_and_in_again_is_the_same_to_the_bit(tmp_path, library, model, suffix):
    if library == "keras":
        pytest.importorskip("h5py")
        suffix = ".weights.h5"
    values = next((SIZES[family] for family in SIZES if model.startswith(family)), {})
    g = optimise(make_graph(Request(model, values=values), Report()))
    arrays = drawn(g)
    path = tmp_path / f"w{suffix}"
    write_file(path, weights_to(g, arrays, library), {})
    again = load(path, g)
    assert again.arrays.keys() == arrays.keys()
    for name in arrays:
        np.testing.assert_array_equal(again.arrays[name], arrays[name])


def test_a_dense_layer_after_an_image_is_turned_from_channels_first(tmp_path):
    g = graph("inputs: {x: {shape: [2, 3, 4]}}\nmodel: [flatten, relu, {dense: 5}]\n")
    kernel = drawn(g)["dense_1.kernel"]
    torch = weights_to_torch(g, {"dense_1.kernel": kernel, "dense_1.bias": np.zeros(5)}, "torch")
    image = np.random.default_rng(1).standard_normal((2, 3, 4))
    ours = image.reshape(-1) @ kernel
    theirs = torch["dense_1.weight"] @ image.transpose(2, 0, 1).reshape(-1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_what_was_flattened_and_joined_is_refused():
    g = graph("inputs: {x: {shape: [2, 3, 4]}}\nmodel: [flatten, {concat: {a: [], b: [relu]}}, "
              "{dense: 5}]\n")
    with pytest.raises(SpecError, match="F0884.*`dense_1`"):
        weights_to_torch(g, drawn(g), "torch")


# --------------------------------------------------------------------------- mismatches


DENSE = "inputs: {x: {shape: [4]}}\nmodel: [{dense: 3}]\n"


def refusal(path: Path, spec: str = DENSE, names: str = "auto") -> str:
    with pytest.raises(SpecError) as caught:
        load(path, graph(spec), names)
    return str(caught.value)


def test_another_shape_is_told_with_both_sides(tmp_path):
    write_pth(tmp_path / "w.pth", {"fc.weight": np.zeros((5, 4), "f"), "fc.bias": np.zeros(5, "f")})
    (tmp_path / "n.yaml").write_text("mine: {layers: {dense_1: fc}}\n")
    said = refusal(tmp_path / "w.pth", names=str(tmp_path / "n.yaml"))
    assert "`dense_1.kernel` (4, 3) needs `fc.weight` as (3, 4)" in said and "it is (5, 4)" in said
    assert "replace: [dense_1]" in said


def test_a_missing_and_a_left_tensor_are_told_with_the_nearest_name(tmp_path):
    write_pth(tmp_path / "w.pth", {"fc.weight": np.zeros((3, 4), "f"), "fc.bia": np.zeros(3, "f")})
    (tmp_path / "n.yaml").write_text("mine: {layers: {dense_1: fc}}\n")
    said = refusal(tmp_path / "w.pth", names=str(tmp_path / "n.yaml"))
    assert "no tensor `fc.bias` (3,) for `dense_1.bias`" in said and "did you mean `fc.bia`" in said
    assert "a tensor `fc.bia` (3,), the model has nothing for it" in said


def test_layers_without_a_map_are_taken_in_the_order_of_a_state_dict(tmp_path):
    g = graph("inputs: {x: {shape: [4]}}\nmodel: [{dense: 4}, {dense: 4}]\n")
    arrays = drawn(g)
    torch = weights_to_torch(g, arrays, "torch")
    names = {"dense_1": "zebra", "dense_2": "ape"}
    write_pth(tmp_path / "w.pth", {
        names[k.partition(".")[0]] + "." + k.partition(".")[2]: v for k, v in torch.items()})
    again = load(tmp_path / "w.pth", g).arrays
    assert all(np.array_equal(again[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize("names", ["torch", "another"])
def test_what_is_drawn_anew_may_have_another_shape_in_the_file(tmp_path, names):
    old = graph("inputs: {x: {shape: [4]}}\nmodel: [{dense: 4}, relu, {dense: 5}]\n")
    new = graph("inputs: {x: {shape: [4]}}\nmodel: [{dense: 4}, relu, {dense: 3}]\n")
    arrays = drawn(old)
    torch = weights_to_torch(old, arrays, "torch")
    if names == "another":
        torch = {name.replace("dense_1", "a").replace("dense_2", "b"): array
                 for name, array in torch.items()}
    write_pth(tmp_path / "w.pth", torch)
    head = {"dense_2.kernel", "dense_2.bias"}
    loaded = load(tmp_path / "w.pth", new, drawn=head, partial=True)
    assert loaded.arrays.keys() == arrays.keys() - head and set(loaded.drawn) == head
    with pytest.raises(SpecError, match="F0806"):
        load(tmp_path / "w.pth", new)


def test_branches_that_are_alike_have_no_order(tmp_path):
    g = graph("inputs: {x: {shape: [4]}}\nmodel: [{add: {a: [dense: 4], b: [dense: 4]}}]\n")
    write_pth(tmp_path / "w.pth", {
        f"{m}.{n}": np.zeros(s, "f") for m in "pq" for n, s in (("weight", (4, 4)), ("bias", 4))})
    with pytest.raises(SpecError, match="no array of .* fits"):
        load(tmp_path / "w.pth", g)


def test_a_second_bias_is_added_but_not_where_a_gate_multiplies_it(tmp_path):
    start = "inputs: {x: {shape: [2, 3]}}\nmodel: "
    for word in ("lstm", "gru"):
        two = graph(f"{start}[{{{word}: {{units: 2, biases: 2}}}}]\n")
        one = graph(f"{start}[{{{word}: {{units: 2}}}}]\n")
        arrays = drawn(two)
        write_pth(tmp_path / f"{word}.pth", weights_to_torch(two, arrays, "torch"))
        if word == "lstm":
            np.testing.assert_array_equal(
                load(tmp_path / "lstm.pth", one).arrays["lstm_1.bias_0"],
                arrays["lstm_1.bias_0"] + arrays["lstm_1.recurrent_bias_0"])
        else:
            with pytest.raises(SpecError, match="the reset gate multiplies(.|\n)*biases: 2"):
                load(tmp_path / "gru.pth", one)


# ----------------------------------------------------------------------- hostile files

TENSOR = (b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
          b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ%s%s%s\x89NtR")


def torch_file(
    path: Path, program: bytes, data: bytes = bytes(16), compress: int = zipfile.ZIP_STORED,
) -> Path:
    with zipfile.ZipFile(path, "w", compress) as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("a/data/0", data)
    return path


def with_tensor(offset: int = 0, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,),
                ) -> bytes:
    """A state dict {"w": …} whose tensor is a view of a storage of four numbers."""
    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"

    view = TENSOR % (b"J" + struct.pack("<i", offset), numbers(size), numbers(stride))
    return b"\x80\x02}X\x01\x00\x00\x00w" + view + b"s."


class Evil:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_view_of_a_storage_is_read_as_pytorch_reads_it(tmp_path):
    data = np.arange(4, dtype="f").tobytes()
    path = torch_file(tmp_path / "w.pth", with_tensor(0, (2, 2), (1, 2)), data)
    np.testing.assert_array_equal(read_pth(path)["w"], [[0, 2], [1, 3]])


def before_1_6(path: Path, program: bytes, count: int = 4, data: bytes = bytes(16)) -> Path:
    """A file of the format before PyTorch 1.6."""
    magic, version = 0x1950A86A20F9469CFC6C, 1001
    system = {"protocol_version": version, "little_endian": True, "type_sizes": {"int": 4}}
    path.write_bytes(b"".join(pickle.dumps(v, 2) for v in (magic, version, system)) + program
                     + pickle.dumps(["0"], 2) + struct.pack("<q", count) + data)
    return path


def test_the_format_before_pytorch_1_6_is_read_and_as_careful(tmp_path):
    data = np.arange(4, dtype="f").tobytes()
    path = before_1_6(tmp_path / "w.pth", with_tensor(0, (2, 2), (2, 1)), 4, data)
    np.testing.assert_array_equal(read_pth(path)["w"], [[0, 1], [2, 3]])
    for program, count, code in (
            (with_tensor(1), 4, "F0805"), (with_tensor(), 2**62, "F0805"),
            (with_tensor(), -1, "F0805"), (with_tensor(), 3, "F0805"),
            (pickle.dumps(Evil(), 2), 4, "F0880"), (b"\x80\x02}.", 4, "F0805")):
        with pytest.raises(SpecError, match=code):
            read_pth(before_1_6(tmp_path / "w.pth", program, count))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_calls_something_is_refused_and_nothing_runs(
    tmp_path, monkeypatch, protocol,
):
    monkeypatch.chdir(tmp_path)
    for value in (Evil(), {"w": Evil()}, {"state_dict": {"w": Evil()}}):
        path = torch_file(tmp_path / "w.pth", pickle.dumps(value, protocol))
        with pytest.raises(SpecError, match="F0880"):
            read_pth(path)
    assert not (tmp_path / "ran").exists()


HOSTILE = {
    "an unknown call": (b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.", "F0880.*"),
    "an instruction that makes objects": (b"\x80\x02cos\nPopen\n)\x81.", "F0880"),
    "an extension's code": (b"\x80\x02\x82\x01.", "F0880"),
    "no map": (b"\x80\x02K\x01.", "F0880"),
    "a number among tensors": (b"\x80\x02}X\x01\x00\x00\x00wK\x01s.", "F0880"),
    "a class of a storage": (TENSOR.replace(b"FloatStorage", b"EvilStorage") % (
        b"K\x00", b"K\x04\x85", b"K\x01\x85") + b".", "F0880"),
    "a key that is a tuple": (b"\x80\x02})K\x01s.", "F0880"),
    "beyond the storage": (with_tensor(1), "F0805"),
    "before the storage": (with_tensor(-1), "F0805"),
    "a step back": (with_tensor(3, (4,), (-1,)), "F0805"),
    "overlapping": (with_tensor(0, (2, 3), (1, 1)), "F0805"),
    "a bomb of one number": (with_tensor(0, (2**31 - 1, 2**31 - 1), (0, 0)), "F0805"),
    "a negative size": (with_tensor(0, (-4,), (1,)), "F0805"),
    "another rank of strides": (with_tensor(0, (4,), ()), "F0805"),
    "no end": (with_tensor()[:-1], "F0805"),
    "an empty stack": (b"\x80\x02R.", "F0805"),
    "a memory never filled": (b"\x80\x02h\x07.", "F0805"),
    "a text longer than the file": (b"\x80\x02X\xff\xff\xff\x7fw.", "F0805"),
    "no pickle": (b"hello", "F0805")}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_pickle_is_refused(tmp_path, what):
    program, code = HOSTILE[what]
    with pytest.raises(SpecError, match=code):
        read_pth(torch_file(tmp_path / "w.pth", program))


def test_archives_that_unfold_or_lack_something_are_refused(tmp_path):
    packed = torch_file(tmp_path / "a.pth", with_tensor(), bytes(10**6), zipfile.ZIP_DEFLATED)
    short = torch_file(tmp_path / "b.pth", with_tensor(), bytes(12))
    other = tmp_path / "c.pth"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme", "hello")
    tar = tmp_path / "d.pth"
    tar.write_bytes(b"./\x00" * 400)
    for path in (packed, short, other, tar, tmp_path / "missing.pth"):
        with pytest.raises(SpecError, match="F0805"):
            load(path, graph(DENSE))


def test_a_file_of_names_that_is_none_is_told(tmp_path):
    write_pth(tmp_path / "w.pth", {"w": np.zeros(1, "f")})
    for text in ("a: 1\n", "a: {layers: 3}\n", "a: {layers: {dense_1: 'x{n}'}}\n",
                 "a: {tables: {n: 1}, layers: {b: c}}\n", "a: {layers: {'d{n}.{n}': c}}\n",
                 "a: {layers: {'d{1}': c}}\n"):
        (tmp_path / "n.yaml").write_text(text)
        assert "F0885" in refusal(tmp_path / "w.pth", names=str(tmp_path / "n.yaml"))
    assert "F0881" in refusal(tmp_path / "w.pth", names="torchvison")


def test_a_file_of_keras_that_leads_elsewhere_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "w.weights.h5"
    for make in (lambda f: f.create_group("layers").__setitem__("d", h5py.ExternalLink("x", "/")),
                 lambda f: f.create_group("layers").__setitem__("d", h5py.SoftLink("/layers")),
                 lambda f: f.create_dataset("layers/a", (10**9,), "f", compression="gzip"),
                 lambda f: f.create_dataset("layers/a", (4,), "f", external="/etc/passwd"),
                 lambda f: f.create_group("layers").__setitem__("again", f["layers"]),
                 lambda f: [f.create_dataset("layers/a", data=np.zeros(500), dtype="f"),
                            *(f.__setitem__(f"layers/{n}", f["layers/a"]) for n in range(9))],
                 lambda f: f.create_dataset("other", (4,), "f")):
        with h5py.File(path, "w") as file:
            make(file)
        with pytest.raises(SpecError, match="F0805"):
            load(path, graph(DENSE))
    path.write_bytes(b"no hdf5")
    with pytest.raises(SpecError, match="F0805"):
        load(path, graph(DENSE))
