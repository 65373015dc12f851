"""Lists of layers as written: what each item is, its part of the path, and what goes with what."""

from __future__ import annotations

import pytest

from compiler.diagnostics import Report
from compiler.layers import LayerSpec, Words
from compiler.parse import parse, plain
from compiler.reading import read_layers
from compiler.source import Source

WORDS = Words({"unit": ("width", "stride"), "bare": (), "lib.unit": ("width",)})


def read(text: str) -> tuple[tuple[LayerSpec, ...], list[str]]:
    """The layers of a list, and what is told of it."""
    report = Report()
    layers = read_layers(parse(Source("spec.yaml", f"model:\n{text}"), report)["model"], WORDS,
                         report)
    return layers, [f"{d.code} {d.headline}" for d in report.diagnostics]


def one(text: str) -> LayerSpec:
    layers, told = read(text)
    assert not told
    (layer,) = layers
    return layer


def segments(text: str) -> list[str]:
    layers, told = read(text)
    assert not told
    return [layer.segment for layer in layers]


@pytest.mark.parametrize("text, fields", [
    ("- relu", {}),
    ("- relu:", {}),
    ("- dense: 10", {"units": 10}),
    ("- dense: {units: 10, bias: false}", {"units": 10, "bias": False}),
    ("- dense: =width", {"units": "=width"}),
    ("- lstm: {units: 3, return: last}", {"units": 3, "return": "last"}),
    ("- unit: 8", {"width": 8}),
    ("- unit: {stride: 2}", {"stride": 2}),
    ("- lib.unit: 8", {"width": 8}),
    ("- bare", {}),
])
def test_every_form_of_a_layer_gives_its_fields(text: str, fields: dict[str, object]):
    assert plain(one(text).fields) == fields


@pytest.mark.parametrize("text, kind", [
    ("- relu", "operator"), ("- unit", "block"), ("- add: [a, b]", "join"),
    ("- layers: [relu]", "group"), ("- layers: =act", "insert"), ("- residual: [relu]", "residual"),
    ("- layers: {each: time, layers: [relu]}", "each"),
    ("- for: {each: {a: [1]}, layers: [relu]}", "for"),
    ("- repeat: {times: 2, layers: [relu]}", "repeat"),
    ("- choose: {value: 1, cases: {1: [relu]}}", "choose"),
    ("- output: {name: aux, layers: [relu]}", "output"),
])
def test_every_construct_is_known_by_its_word(text: str, kind: str):
    assert one(text).kind == kind


def test_a_layer_is_called_by_its_name_or_by_its_word_and_number():
    assert segments("- relu\n- relu:\n  name: act\n- relu\n- tanh\n- lib.unit: 3") == [
        "relu_1", "act", "relu_3", "tanh_1", "lib_unit_1"]


def test_a_group_without_a_name_counts_in_the_scope_around_it():
    layers, _ = read("- relu\n- layers: [relu, {layers: [relu]}]\n- relu")
    inner = layers[1].branches["layers"]
    assert [inner[0].segment, inner[1].branches["layers"][0].segment] == ["relu_2", "relu_3"]
    assert layers[2].segment == "relu_4"


def test_a_group_with_a_name_counts_for_itself():
    layers, _ = read("- relu\n- layers: [relu]\n  name: part\n- relu")
    assert layers[1].branches["layers"][0].segment == "relu_1"
    assert layers[2].segment == "relu_2"


def test_all_cases_of_choose_count_in_the_scope_around_it():
    assert segments("- choose: {value: 1, cases: {1: [relu], 2: [relu, relu]}}\n- relu") == [
        "choose_1", "relu_4"]


def test_branches_and_iterations_count_for_themselves():
    layers, _ = read("- add: {a: [relu], b: [relu]}\n- repeat: {times: 2, layers: [relu]}\n- relu")
    inner = [layers[0].branches["a"], layers[0].branches["b"], layers[1].branches["layers"]]
    assert [found.segment for (found,) in inner] == ["relu_1"] * 3
    assert layers[2].segment == "relu_1"


def test_what_is_inserted_is_called_by_the_param():
    assert segments("- layers: =act\n- layers: =act\n- layers: =norm\n- layers: =a.b") == [
        "act_1", "act_2", "norm_1", "layers_1"]


def test_a_single_layer_is_a_list_of_one_and_nothing_is_the_empty_list():
    report = Report()
    document = parse(Source("spec.yaml", "a: relu\nb:\nc: []\nd: {dense: 3}"), report)
    assert [len(read_layers(document[key], WORDS, report)) for key in "abcd"] == [1, 0, 0, 1]
    assert not report.diagnostics


def test_every_modifier_is_kept_beside_its_layer():
    layer = one("- dense: 3\n  name: a\n  from: b\n  when: =true\n  weights: k\n"
                "  during: training\n  freeze: true\n  init: {kernel: zeros}\n"
                "  remat: true\n  was: a.b")
    assert list(layer.modifiers) == ["name", "from", "when", "weights", "during", "freeze", "init",
                                     "remat", "was"]


@pytest.mark.parametrize("text, told", [
    ("- dense: {units: 3, name: a}", "F0207 `name` is a modifier, but it stands inside `dense:`"),
    ("- dense:\n  units: 3", "F0207 `units` is a field of dense, but it stands beside it"),
    ("- unit:\n  stride: 3", "F0207 `stride` is a field of unit, but it stands beside it"),
    ("- dense: 3\n  colour: red", "F0207 `colour` is neither a modifier nor a field of dense"),
    ("- dense: 3\n  relu:", "F0206 a layer has two operators: dense and relu"),
    ("- name: a", "F0206 a layer has modifiers but no operator"),
    ("- rellu: 3", "F0202 `rellu` is neither an operator nor a block of this file"),
    ("- unit: {widht: 3}", "F0203 `widht` is not a param of `unit`"),
    ("- bare: 3", "F0205 bare takes no params"),
    ("- relu: 3", "F0205 relu takes no fields"),
    ("- layers: [relu]\n  weights: k", "F0208 `weights` cannot stand beside `layers`"),
    ("- unit: 3\n  init: {kernel: zeros}", "F0208 `init` cannot stand beside `unit`"),
    ("- output: {name: a}\n  name: b", "F0208 `name` cannot stand beside `output`"),
    ("- dense: 3\n  was: 3", "F0208 `was` is the path that the layer had before"),
    ("- relu:\n  name: a-b", "F0209 `a-b` cannot be the name of a layer"),
    ("- dense: =3 +", "F0301 the formula ends after `+`, where a value is missing"),
])
def test_what_goes_with_nothing_is_told(text: str, told: str):
    assert told in read(text)[1]


def test_a_value_with_a_formula_in_it_waits_and_one_without_is_checked_at_once():
    assert not read("- conv: {filters: =x, kernel: [3, =y]}")[1]
    assert read("- conv: {filters: =x, kernel: [3, y]}")[1]


def test_nothing_is_said_of_blocks_that_could_not_be_read():
    report = Report()
    words = Words({}, lost={"broken", "lib"})
    tree = parse(Source("spec.yaml", "model: [broken, lib.part, other]"), report)
    read_layers(tree["model"], words, report)
    assert [d.headline for d in report.diagnostics] == [
        "`other` is neither an operator nor a block of this file"]


def test_a_layer_that_cannot_be_read_leaves_its_name():
    layers, told = read("- rellu:\n  name: act")
    assert told and layers[0].kind == "broken" and layers[0].segment == "act"
