"""Models of other programs as specs: what folds, what is refused, and what hostile files do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compiler.diagnostics import SpecError
from compiler.imports.convert import convert
from compiler.imports.folding import folded
from compiler.imports.parts import Builder, Ref, good_name
from compiler.imports.structure import structured
from compiler.imports.writer import compiled, paths_of, spec_text
from compiler.types import TensorType


def keras(*layers: tuple[str, dict[str, Any]], shape: list[Any] | None = None) -> bytes:
    """A Sequential of Keras."""
    first = {"class_name": "InputLayer", "config": {
        "batch_shape": [None, *(shape or [16, 16, 3])], "name": "image"}}
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": [
        first, *({"class_name": kind, "config": {"name": f"l{i}", **config}}
                 for i, (kind, config) in enumerate(layers))]}}).encode()


def functional(layers: list[dict[str, Any]], ends: Any) -> bytes:
    first = {"class_name": "InputLayer", "name": "a", "inbound_nodes": [],
             "config": {"batch_shape": [None, 4], "name": "a"}}
    return json.dumps({"class_name": "Functional", "config": {
        "name": "m", "layers": [first, *layers], "input_layers": [["a", 0, 0]],
        "output_layers": ends}}).encode()


def codes(data: bytes, file: str = "model.json") -> list[str]:
    with pytest.raises(SpecError) as error:
        convert(data, file)
    return [d.code for d in error.value.diagnostics]


CONV = ("Conv2D", {"filters": 8, "kernel_size": [3, 3], "padding": "same"})


# ------------------------------------------------------------------------------- folding


class Net:
    """Builds a model of parts."""

    def __init__(self, shape: tuple[int, ...] = (16, 16, 4)):
        self.builder = Builder()
        self.x = self.builder.input("image", TensorType(
            ("height", "width", "channels"), shape), {"shape": list(shape)})

    def add(self, word: str, *reads: Ref, **fields: Any) -> Ref:
        self.x = self.builder.add(word, *(reads or (self.x,)), fields=fields)
        return self.x

    def text(self) -> str:
        model = self.builder.model("m", "Made here.", {"output": self.x})
        layout = folded(structured(model))
        text = spec_text(model, layout)
        graph = compiled(text, "m")
        assert len(paths_of(model, layout, graph)) == len(model.parts)
        return text


def test_equal_neighbours_become_a_loop():
    net = Net()
    for _ in range(6):
        net.add("conv", filters=4, kernel=3)
        net.add("batch_norm")
        net.add("relu")
    text = net.text()
    assert "times: 6" in text and text.count("conv") == 1


def test_units_that_differ_in_numbers_become_a_block_and_multiples_formulas():
    net = Net()
    for width, stride in ((8, 1), (16, 2), (32, 2)):
        start = net.x
        for filters, kernel, step in ((width, 1, stride), (width, 3, 1), (4 * width, 1, 1)):
            net.add("conv", filters=filters, kernel=kernel, stride=step)
            net.add("relu")
        body = net.x
        short = net.add("conv", start, filters=4 * width, kernel=1, stride=stride)
        net.add("add", body, short)
        net.add("relu")
    text = net.text()
    assert "params: {filters: int, stride: 2}" in text
    assert "{filters: =4 * filters, kernel: 1}" in text
    assert "- unit: {filters: 8, stride: 1}\n  - unit: 16\n  - unit: 32\n" in text


def test_a_norm_is_not_cut_from_its_layer():
    net = Net()
    for filters in (4, 8, 12, 16, 20):
        net.add("conv", filters=filters, kernel=3)
        net.add("batch_norm")
        net.add("relu")
    assert "layers:\n      - conv:" in net.text()


def test_what_is_read_across_keeps_its_order_and_has_names():
    net = Net()
    first = net.add("conv", filters=4, kernel=3)
    second = net.add("conv", filters=4, kernel=3)
    third = net.add("add", net.add("relu", second), first)
    net.add("concat", third, second, first)
    text = net.text()
    assert "- concat: [" in text and text.count("name:") == 5


@pytest.mark.parametrize("text, kind, expected", [
    ("fc1", "Dense", "fc1"), ("block1_conv1", "Conv2D", "block1_conv1"), ("dense_3", "Dense", ""),
    ("conv2d", "Conv2D", ""), ("batch_normalization_12", "BatchNormalization", ""),
    ("model/layer/Conv", "Conv", ""), ("train", "Dense", ""), ("9lives", "Dense", ""),
    ("conv_1", "Conv2D", "")])
def test_names_that_an_author_would_choose_are_kept(text: str, kind: str, expected: str):
    assert good_name(text, kind) == expected


# ------------------------------------------------------------------------------- refusals


def test_all_that_cannot_be_imported_is_told_at_once_with_its_place():
    with pytest.raises(SpecError) as error:
        convert(keras(("Lambda", {}), CONV, ("Dense", {"units": 4, "activation": "mish"})),
                "model.json")
    assert [d.headline for d in error.value.diagnostics] == [
        "layer `l0` (Lambda, number 1): there is no operator for the layer `Lambda`"]
    data = functional([
        {"class_name": "Lambda", "name": "f", "config": {}, "inbound_nodes": [[["a", 0, 0, {}]]]},
        {"class_name": "Dense", "name": "d", "config": {"units": 3, "activation": "mish"},
         "inbound_nodes": [[["a", 0, 0, {}]]]}], [["f", 0, 0], ["d", 0, 0]])
    assert codes(data) == ["F0944", "F0944"]


def test_channels_first_is_refused():
    assert codes(keras(("Conv2D", {"filters": 8, "kernel_size": 3,
                                   "data_format": "channels_first"}))) == ["F0944"]


def test_a_window_larger_than_its_input_is_told_with_the_layer():
    assert codes(keras(("MaxPooling2D", {"pool_size": 40}))) == ["F0944"]


# -------------------------------------------------------------------------- hostile files


@pytest.mark.parametrize("data", [
    b"", b"{", b"[1, 2]", b"null", b'"\\"x\\""', b"{}", b'{"class_name": "Sequential"}',
    b'{"class_name": "Functional", "config": 7}', b"\xff\xfe", b"[" * 100_000,
    b'{"class_name": "MyModel", "config": {"layers": []}}'])
def test_what_is_no_keras_model_is_refused(data: bytes):
    assert codes(data) == ["F0943"]


def node(name: str, *reads: str, kind: str = "ReLU", **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "name": name, "config": config,
            "inbound_nodes": [[[read, 0, 0, {}] for read in reads]]}


@pytest.mark.parametrize("layers, ends", [
    ([node("b", "c"), node("c", "b")], [["c", 0, 0]]),  # a circle
    ([node("b", "b")], [["b", 0, 0]]),
    ([node("b", "nowhere")], [["b", 0, 0]]),
    ([node("b", "a")], [["nowhere", 0, 0]]),
    ([node("b", "a")], []),
    ([node("b", "a")], [["b", 5, 9]]),
    ([{"class_name": "ReLU", "name": "b", "config": {}, "inbound_nodes": [[7]]}], [["b", 0, 0]]),
    ([node("b", "a", kind="Dense", units=-3)], [["b", 0, 0]]),
    ([node("b", "a", kind="Dense", units="many")], [["b", 0, 0]]),
    ([node("b", "a", kind="Dense", units=2**40)], [["b", 0, 0]]),
    ([node("b", "a", kind="Reshape", target_shape=[[1]])], [["b", 0, 0]]),
    ([node("b", "a", kind="Add")], [["b", 0, 0]]),
    ([7], [["a", 0, 0]])])
def test_a_graph_that_is_none_is_told(layers: list[Any], ends: Any):
    assert set(codes(functional(layers, ends))) <= {"F0944", "F0945"}


@pytest.mark.parametrize("shape", [[-1], [0], ["x"], [None, None, 3], [1, 2, 3, 4, 5, 6], [2**40],
                                   [True]])
def test_a_shape_that_cannot_be_is_told(shape: list[Any]):
    assert set(codes(keras(("ReLU", {}), shape=shape))) <= {"F0944", "F0945"}


def test_a_thousand_layers_and_deep_models_end():
    chain = keras(*[("ReLU", {})] * 3_000)
    assert "times: 3000" in convert(chain, "model.json").text
    inner: dict[str, Any] = {"class_name": "ReLU", "config": {}}
    for _ in range(60):
        inner = {"class_name": "Sequential", "config": {"name": "m", "layers": [inner]}}
    data = keras((inner["class_name"], inner["config"]))
    assert codes(data) == ["F0945"]


def test_hostile_names_become_no_yaml():
    data = keras(("Dense", {"units": 3, "name": "x: {evil: 1}\nmodel: []"}), shape=[4])
    found = json.loads(data)
    found["config"]["name"] = "a\n---\nb: !!python/object"
    text = convert(json.dumps(found).encode(), "m\n.json").text
    assert "evil" not in text and "!!" not in text
    compiled(text, "m")


def test_the_command_writes_a_spec_and_never_over_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
):
    from runtime.cli.importing import run

    source, out = tmp_path / "model.json", tmp_path / "model.yaml"
    source.write_bytes(keras(CONV, ("Flatten", {}), ("Dense", {"units": 2})))
    run(source, out, None)
    assert "3 layers, " in capsys.readouterr().out
    assert compiled(out.read_text(), "m").outputs["output"].type.shape == (2,)
    with pytest.raises(SpecError, match="F0807"):
        run(source, out, None)
    with pytest.raises(SpecError, match="F0943"):
        run(tmp_path / "none.json", None, None)


# ---------------------------------------------------------------------------------- ONNX


def graph(*nodes: Any, arrays: dict[str, Any] | None = None, shape: Any = ("n", 3, 8, 8),
          outputs: tuple[str, ...] = ("y",)) -> bytes:
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    import numpy as np

    given = onnx.TensorProto.FLOAT
    made = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", given, shape)],
        [helper.make_tensor_value_info(name, given, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(a, np.float32 if np.asarray(a).dtype.kind == "f"
                                            else np.int64), name)
         for name, a in (arrays or {}).items()])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)]
                             ).SerializeToString()


def a_node(kind: str, inputs: list[str], outputs: list[str], **given: Any) -> Any:
    return pytest.importorskip("onnx").helper.make_node(kind, inputs, outputs, **given)


def test_a_flatten_keeps_its_meaning_by_the_dense_kernel_behind_it():
    import numpy as np

    kernel = np.arange(3 * 4 * 2 * 5, dtype=np.float32).reshape(24, 5)
    found = convert(graph(a_node("Flatten", ["x"], ["f"]), a_node("Gemm", ["f", "w"], ["y"]),
                          arrays={"w": kernel}, shape=("n", 3, 4, 2)), "m.onnx")
    assert "- flatten\n  - dense: {units: 5, bias: false}" in found.text
    image = np.arange(24.0).reshape(3, 4, 2)
    np.testing.assert_allclose(image.transpose(1, 2, 0).reshape(-1) @ found.weights[
        "dense_1.kernel"], image.reshape(-1) @ kernel)


def test_a_flatten_that_something_else_reads_is_transposed_first():
    data = graph(a_node("Flatten", ["x"], ["f"]), a_node("Softmax", ["f"], ["y"]),
                 shape=("n", 3, 4, 2))
    assert "transpose: {axes: [channels, height, width]" in convert(data, "m.onnx").text


def test_every_unsupported_node_is_told_with_its_name_kind_and_number():
    data = graph(a_node("Relu", ["x"], ["a"]), a_node("Sin", ["a"], ["b"], name="waves"),
                 a_node("Relu", ["b"], ["c"]), a_node("Cumulate", ["a"], ["d"]),
                 a_node("Add", ["c", "d"], ["y"]))
    with pytest.raises(SpecError) as error:
        convert(data, "m.onnx")
    assert [d.headline for d in error.value.diagnostics] == [
        "node `waves` (Sin, number 1): there is no operator for the node `Sin`",
        "node `` (Cumulate, number 3): there is no operator for the node `Cumulate`"]


@pytest.mark.parametrize("data", [b"", b"\x08", b"not a graph", b"\xff" * 1_000])
def test_what_is_no_graph_is_refused(data: bytes):
    pytest.importorskip("onnx")
    assert codes(data, "m.onnx") == ["F0943"]


def test_arrays_in_other_files_are_refused_and_not_opened():
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(graph(a_node("Add", ["x", "w"], ["y"]),
                                              arrays={"w": [1.0, 2.0]}))
    array = model.graph.initializer[0]
    array.ClearField("raw_data")
    array.data_location = onnx.TensorProto.EXTERNAL
    array.external_data.add(key="location", value="../../../../etc/passwd")
    assert codes(model.SerializeToString(), "m.onnx") == ["F0943"]


def test_arrays_of_another_shape_than_they_say_are_told():
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(graph(a_node("Conv", ["x", "w"], ["y"]),
                                              arrays={"w": [1.0, 2.0]}))
    model.graph.initializer[0].dims[:] = [2**40, 3]
    assert codes(model.SerializeToString(), "m.onnx") == ["F0945"]
    model.graph.initializer[0].dims[:] = [-1]
    assert codes(model.SerializeToString(), "m.onnx") == ["F0945"]


def test_a_bias_is_folded_into_its_product_for_those_only_that_read_the_sum():
    import numpy as np

    w, b = np.eye(3, dtype=np.float32), np.array([1, 2, 3], np.float32)
    found = convert(graph(
        a_node("MatMul", ["x", "w"], ["p"]), a_node("Add", ["p", "b"], ["y"]),
        a_node("Identity", ["p"], ["q"]), a_node("Relu", ["q"], ["z"]),
        arrays={"w": w, "b": b}, shape=("n", 3), outputs=("y", "z")), "m.onnx")
    assert {key: array.ndim for key, array in found.weights.items()} == {
        "dense_out.kernel": 2, "dense_out2.kernel": 2, "dense_out2.bias": 1}
    assert "{relu: {}, name: relu_out, from: dense_out}" in found.text


def test_known_numbers_cannot_grow_without_end():
    concats = [a_node("Concat", [f"s{i}"] * 64, [f"s{i + 1}"], axis=0) for i in range(6)]
    data = graph(*concats, a_node("Reshape", ["x", "s6"], ["y"]), arrays={"s0": list(range(64))})
    with pytest.raises(SpecError, match="numbers are computed before it runs"):
        convert(data, "m.onnx")


@pytest.mark.parametrize("node, arrays, told", [
    (("Resize", ["x", "", "s"], ["y"], {"nearest_mode": "ceil"}), {"s": [1.0, 1.0, 2.0, 2.0]},
     "a `Resize` by"),
    (("Resize", ["x", "", "s"], ["y"], {}), {"s": [1.0, 2.0, 1.0, 1.0]}, "other axes than those"),
    (("MaxPool", ["x"], ["y", "i"], {"kernel_shape": [2, 2]}), {}, "output number 2 is read")])
def test_what_would_compute_something_else_is_refused(
    node: Any, arrays: dict[str, Any], told: str,
):
    kind, reads, makes, given = node
    data = graph(a_node(kind, reads, makes, **given), arrays=arrays, outputs=tuple(makes))
    with pytest.raises(SpecError, match=told):
        convert(data, "m.onnx")


@pytest.mark.parametrize("nodes, arrays", [
    ([("Relu", ["b"], ["a"], {}), ("Relu", ["a"], ["b"], {}), ("Relu", ["b"], ["y"], {})], {}),
    ([("Relu", ["nowhere"], ["y"], {})], {}),
    ([("Relu", ["x"], ["z"], {})], {}),
    ([("Conv", ["x", "w"], ["y"], {})], {"w": [[1.0]]}),
    ([("Conv", ["x", "w"], ["y"], {"group": 0})], {"w": [[[[1.0]]]]}),
    ([("Conv", ["x", "w"], ["y"], {"pads": [-1, 0]})], {"w": [[[[1.0]]] * 3]}),
    ([("Conv", ["x", "w"], ["y"], {"strides": [0, 0]})], {"w": [[[[1.0]]] * 3]}),
    ([("Transpose", ["x"], ["y"], {"perm": [0, 0, 9, 1]})], {}),
    ([("MaxPool", ["x"], ["y"], {"kernel_shape": [2**40, 1]})], {}),
    ([("MaxPool", ["x"], ["y"], {})], {}),
    ([("Reshape", ["x", "s"], ["y"], {})], {"s": [0, 7, 7, 7]}),
    ([("Softmax", ["x"], ["y"], {"axis": 77})], {}),
    ([("ConstantOfShape", ["s"], ["y"], {})], {"s": [2**40, 2**40]}),
    ([("Gather", ["x", "s"], ["y"], {"axis": 2})], {"s": 2**40}),
    ([("LSTM", ["x", "w", "w"], ["y"], {"hidden_size": 4})], {"w": [1.0]})])
def test_a_graph_that_cannot_be_is_told(nodes: list[Any], arrays: dict[str, Any]):
    data = graph(*(a_node(kind, reads, makes, **given) for kind, reads, makes, given in nodes),
                 arrays=arrays)
    assert set(codes(data, "m.onnx")) <= {"F0944", "F0945"}
