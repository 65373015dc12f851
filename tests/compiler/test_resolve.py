"""Variants, `--set`, `use`, `with`, `defaults` and facts: where every value comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.diagnostics import Report, SpecError
from compiler.pipeline import Request, graph_of, make_program
from compiler.plan import make_plan
from compiler.printer import graph_text
from compiler.program import Program
from compiler.source import Source

SPEC = """
flaxspec: 1
name: net
inputs: {x: {shape: [4]}}
params:
  width: 8
  rate: 0.5
  deep: false
  kind: plain
  sizes: [1, 2]
  act: {type: layers, default: relu}
  depth: {type: int, default: 2, min: 1, max: 4}
let: {wide: =width * 2}
variants:
  small: {width: 4}
  tiny: {extends: small, depth: 1}
  odd: {extends: tiny, width: 5}
defaults: {dense: {bias: false}}
model:
  - {dense: =width, name: first}
  - layers: =act
  - dense: =wide
"""
LIBRARY = """
flaxspec: 1
params: {width: 3, act: {type: layers, default: relu}}
variants: {wide: {width: 30}}
defaults: {dense: {bias: false}}
inputs: {x: {shape: [4]}}
blocks:
  inner: {layers: [dense: =width]}
  part: {params: {n: 1}, layers: [{repeat: {times: =n, layers: [inner]}}, {layers: =act}]}
model: [part]
"""


def program(text: str = SPEC, *assignments: str, **options: object) -> Program:
    report = Report()
    request = Request(Source("net.yaml", text), assignments=assignments,
                      **options)  # type: ignore[arg-type]
    found = make_program(request, report)
    report.check()
    return found


def values(*assignments: str, **options: object) -> dict[str, object]:
    return dict(program(SPEC, *assignments, **options).scope)


def told(text: str, *assignments: str, **options: object) -> list[str]:
    with pytest.raises(SpecError) as error:
        program(text, *assignments, **options)
    return [f"{d.code} {d.headline}" for d in error.value.diagnostics]


# ------------------------------------------------------------------------------ variants


@pytest.mark.parametrize("variant, width, depth", [
    ("", 8, 2), ("small", 4, 2), ("tiny", 4, 1), ("odd", 5, 1)])
def test_a_variant_goes_before_what_it_extends_and_that_before_the_defaults(
    variant: str, width: int, depth: int,
):
    found = values(variant=variant)
    assert (found["width"], found["depth"], found["wide"]) == (width, depth, 2 * width)


def test_a_model_is_called_by_its_variant():
    assert program(variant="tiny").name == "tiny"
    assert program().name == "net"


def test_an_unknown_variant_is_told():
    assert told(SPEC, variant="smal") == ["F0212 `net` has no variant `smal`"]


def test_values_of_variants_that_are_not_chosen_are_checked():
    text = SPEC.replace("{width: 4}", "{width: wide, dpeth: 3}")
    assert told(text) == [
        "F0213 param `width` of `net` takes a whole number, not the text `wide`",
        "F0203 `dpeth` is not a param of `net`"]


# ------------------------------------------------------------------------------ --set


@pytest.mark.parametrize("assignment, name, value", [
    ("width=16", "width", 16), ("params.width=16", "width", 16), ("rate=1", "rate", 1.0),
    ("deep=true", "deep", True), ("kind=other", "kind", "other"), ("kind=", "kind", None),
    ("sizes=[3, [4]]", "sizes", [3, [4]]), ("sizes.1=5", "sizes", None),
    ("width==3 * 4", "width", 12), ("sizes==[width] * 2", "sizes", [8, 8]),
    ("let.wide=7", "wide", 7),
])
def test_set_gives_a_value_of_any_kind(assignment: str, name: str, value: object):
    if value is None:
        assert told(SPEC, assignment)
    else:
        assert values(assignment)[name] == value


def test_the_last_set_wins_and_set_goes_before_the_variant():
    assert values("width=9", "width=10", variant="small")["width"] == 10


def text_of(*assignments: str) -> str:
    return graph_text(graph_of(program(SPEC, *assignments), Report()))


def test_set_changes_sections_layers_and_fields_by_their_path():
    assert "dense {units: 3, bias: false} (first)" not in text_of()
    assert "(first) -> (8)" in text_of("model.1=tanh")
    assert "tanh_1" in text_of("model.1=tanh")
    assert "first = dense {units: 3, bias: false}" in text_of("model.0.dense=3")
    assert "input x: (channels 9)" in text_of("inputs.x.shape=[9]")
    assert "first = dense {units: 8} (x)" in text_of("defaults.dense.bias=true")
    assert "act_1.tanh_1" in text_of("act=tanh")
    assert "graph other" in text_of("name=other")


def test_set_reaches_through_keys_that_hold_a_dot(tmp_path: Path):
    (tmp_path / "lib.yaml").write_text(LIBRARY)
    main = tmp_path / "main.yaml"
    main.write_text("flaxspec: 1\ninputs: {x: {shape: [4]}}\nuse: {lib: lib.yaml}\n"
                    "model: [{lib.part: {n: 1}}]\n")
    graph = graph_of(make_program(Request(main, assignments=("model.0.lib.part.n=3",)), Report()),
                     Report())
    assert "params: n: 3" in graph_text(graph)


@pytest.mark.parametrize("assignment, message", [
    ("widht=3", "F0219 there is no param `widht` to set"),
    ("params.widht=3", "F0203 `widht` is not a param of `net`"),
    ("=3", "F0219 `--set =3` is not of the form `--set a.b=c`"),
    ("width", "F0219 `--set width` is not of the form `--set a.b=c`"),
    ("width=x", "F0213 param `width` of `net` takes a whole number, not the text `x`"),
    ("width=2.5", "F0213 param `width` of `net` takes a whole number, not `2.5`"),
    ("depth=9", "F0213 param `depth` of `net` must be at least 1 and at most 4, not 9"),
    ("width=[", "F0122 `[` is not closed"),
    ("model.9=relu", "F0219 `9` is not the number of an element of a list of 3"),
    ("model.frist=relu", "F0219 `model.frist` leads nowhere"),
    ("name.x=3", "F0219 `x` cannot be set: `net` is not a map"),
])
def test_a_set_that_cannot_be_applied_is_told(assignment: str, message: str):
    assert message in told(SPEC, assignment)


def test_values_from_python_are_those_of_set():
    assert values(values={"width": 3, "sizes": (4, 5)})["sizes"] == [4, 5]
    assert told(SPEC, values={"widht": 3}) == ["F0203 `widht` is not a param of `net`"]


def test_a_required_param_without_a_value_is_told_with_how_to_give_it():
    report = Report()
    text = SPEC.replace("width: 8", "width: int")
    with pytest.raises(SpecError):
        make_program(Request(Source("net.yaml", text)), report)
        report.check()
    assert [d.help for d in report.errors] == ["choose a variant: small, tiny, odd"]
    report = Report()
    make_program(Request(Source("net.yaml", text[: text.index("variants:")]
                                + "model: [dense: =width]\n")), report)
    assert [d.help for d in report.errors] == ["give it on the command line: `--set width=…`"]


# ------------------------------------------------------------------------------ use


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lib.yaml").write_text(LIBRARY)
    return tmp_path


def used(folder: Path, text: str) -> str:
    """The text of the graph of a file beside the library."""
    (folder / "main.yaml").write_text(f"flaxspec: 1\n{text}")
    report = Report()
    graph = graph_of(make_program(Request(folder / "main.yaml"), report), report)
    assert not report.diagnostics
    return graph_text(graph)


INPUT = "inputs: {x: {shape: [4]}}\n"


def test_a_used_block_reads_its_own_file_and_keeps_its_defaults(folder: Path):
    text = used(folder, f"{INPUT}params: {{width: 9}}\nuse: {{lib: lib.yaml}}\n"
                        "model: [lib.part: 2, dense: 5]\n")
    assert text.count("dense {units: 3, bias: false}") == 2
    assert "dense_1 = dense {units: 5} (lib_part_1)" in text


def test_use_chooses_a_variant_and_gives_params(folder: Path):
    text = used(folder, f"{INPUT}params: {{mine: 5}}\nuse:\n"
                        "  wide: {spec: lib.yaml, variant: wide}\n"
                        "  own: {spec: lib.yaml, with: {width: =mine, act: [{dense: =mine}]}}\n"
                        "model: [wide.part, own.part]\n")
    assert "units: 30, bias: false" in text
    assert "inner_1 (4)" not in text and "dense {units: 5, bias: false}" in text
    # Layers that are passed on are read, and defaulted, where they are written.
    assert "act_1.dense_1 = dense {units: 5} (" in text


def test_a_whole_model_is_a_block_of_its_inputs(folder: Path):
    text = used(folder, f"{INPUT}use: {{lib: lib.yaml}}\nmodel: [lib.model, dense: 2]\n")
    assert "lib_model_1 = call lib.model (x) -> (3)" in text


def test_weights_of_a_used_model_go_with_its_calls(folder: Path):
    (folder / "main.yaml").write_text(f"flaxspec: 1\n{INPUT}use: {{lib: {{spec: lib.yaml, "
                                      "weights: w.safetensors}}\nmodel: [lib.model]\n")
    graph = graph_of(make_program(Request(folder / "main.yaml"), Report()), Report())
    assert graph.nodes[0].operation.weights_file == folder / "w.safetensors"  # type: ignore[union-attr]


def test_the_model_may_be_another_spec(folder: Path):
    text = used(folder, "model: {use: lib.yaml, variant: wide, with: {act: []}}\n")
    assert "params: n: 1" in text and "units: 30" in text


def test_a_model_of_the_zoo_is_used_by_its_name(folder: Path):
    (folder / "main.yaml").write_text("flaxspec: 1\nmodel: {use: resnet20, with: {classes: 7}}\n")
    graph = graph_of(make_program(Request(folder / "main.yaml"), Report()), Report())
    assert str(make_plan(graph).totals.outputs["output"]) == "(7)"


def test_blocks_are_not_handed_on(folder: Path):
    (folder / "middle.yaml").write_text(f"flaxspec: 1\n{INPUT}use: {{lib: lib.yaml}}\n"
                                        "blocks: {outer: {layers: [lib.part]}}\nmodel: [outer]\n")
    assert "call outer" in used(folder, f"{INPUT}use: {{m: middle.yaml}}\nmodel: [m.outer]\n")
    with pytest.raises(SpecError, match="F0202"):
        used(folder, f"{INPUT}use: {{m: middle.yaml}}\nmodel: [m.lib.part]\n")


def test_a_complaint_in_a_used_file_shows_where_it_was_used(folder: Path):
    (folder / "bad.yaml").write_text(LIBRARY.replace("dense: =width", "dense: =width - 3"))
    with pytest.raises(SpecError) as error:
        used(folder, f"{INPUT}use: {{bad: bad.yaml}}\nmodel: [bad.part]\n")
    (found,) = error.value.diagnostics
    assert [str(label.span).rpartition("/")[2] for label in found.labels] == [
        "bad.yaml:8:27", "bad.yaml:9:65", "main.yaml:4:9"]
    assert [label.text for label in found.labels[1:]] == [
        "in `inner`, used here", "in `part`, used here with n=1"]


@pytest.mark.parametrize("use, message", [
    ("{lib: libb.yaml}", "F0217 there is no file `libb.yaml`"),
    ("{lib: main.yaml}", "F0217 `main.yaml` uses itself, directly or through others"),
    ("{lib: ../../lib.yaml}",
     "F0234 `../../lib.yaml` is outside the folder that the spec was opened from"),
    ("{lib: {spec: lib.yaml, variant: wid}}", "F0212 `lib` has no variant `wid`"),
    ("{lib: {spec: lib.yaml, with: {widht: 3}}}", "F0203 `widht` is not a param of `lib`"),
    ("{lib: {spec: lib.yaml, with: {width: x}}}",
     "F0213 param `width` of `lib` takes a whole number, not the text `x`"),
    ("{lib: {}}", "F0204 `lib` in `use` needs `spec`"),
    ("{lib: 3}", "F0201 `lib` in `use` names a file or a zoo model"),
    ("{1st: lib.yaml}", "F0209 `1st` cannot be a prefix"),
    ("lib.yaml", "F0201 `use` is a map from prefixes to files"),
])
def test_a_use_that_cannot_be_is_told(use: str, message: str, folder: Path):
    with pytest.raises(SpecError) as error:
        used(folder, f"{INPUT}use: {use}\nmodel: [relu]\n")
    assert message in [f"{d.code} {d.headline}" for d in error.value.diagnostics]


def test_a_local_file_goes_before_a_name_of_the_zoo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
):
    (tmp_path / "resnet18").write_text(f"flaxspec: 1\nname: mine\n{INPUT}model: [relu]\n")
    monkeypatch.chdir(tmp_path)
    assert make_program(Request("resnet18"), Report()).name == "mine"


def test_a_section_with_nothing_in_it_is_as_good_as_none():
    text = "flaxspec: 1\nparams:\nlet:\nvariants:\nfacts:\nuse:\ndefaults:\nblocks:\noutputs:\n"
    assert program(f"{text}{INPUT}model: [relu]\n").layers
