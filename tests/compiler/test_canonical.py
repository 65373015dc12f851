"""A resolved spec, written and read again, is the same model."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.diagnostics import Report
from compiler.pipeline import Request, graph_of, make_program
from compiler.printer import graph_text, module_text
from compiler.program import Program
from compiler.source import Source
from compiler.targets.canonical import canonical_files, canonical_text, write_canonical
from runtime.recipe import Recipe, read_training

# One of each file of the zoo, and what is special: blocks of another file, a model of another
# file, a whole model as a block, heads, params that are lists, floats, formulas.
ZOO = ["resnet152", "resnetv2_50", "resnet20_b", "googlenet_paper_aux", "vgg11_bn", "mobilenet_v2",
       "bigru_classifier", "lstm_lm", "zaremba_small", "digits-googlenet", "digits-gru",
       "digits-resnet", "help-lstm", "weather-gru"]


def program(spec: str | Source, *assignments: str, variant: str = "") -> Program:
    return make_program(Request(spec, variant, assignments, document=Recipe), Report())


def again(first: Program, folder: Path) -> Program:
    return program(str(write_canonical(first, folder)))


def same_model(a: Program, b: Program) -> bool:
    """The same graphs, but for the name of the model, and the same parameters."""
    first, second = graph_of(a, Report()), graph_of(b, Report())
    return (graph_text(first).split("\n", 1)[1] == graph_text(second).split("\n", 1)[1]
            and module_text(first) == module_text(second))


@pytest.mark.parametrize("name", ZOO)
def test_a_model_of_the_zoo_stays_itself(name: str, tmp_path: Path) -> None:
    first = program(name)
    second = again(first, tmp_path)
    assert same_model(first, second)
    assert canonical_text(second) == canonical_text(first)  # nothing is left to resolve


def test_a_recipe_keeps_its_sections(tmp_path: Path) -> None:
    second = again(program("digits-lstm", "train.epochs=3"), tmp_path)
    report = Report()
    training = read_training(second.document, second.tree, report)  # type: ignore[arg-type]
    assert training is not None and not report.diagnostics
    assert training.train.epochs == 3 and training.data.dataset == "digits"


HEAD = "flaxspec: 1\nname: t\ninputs: {x: {shape: [4, 4, 2]}}\n"


def text(params: str, model: str, rest: str = "") -> Source:
    return Source("t.yaml", f"{HEAD}params: {params}\n{rest}model: {model}\n")


def test_values_of_set_and_variant_stand_in_the_params(tmp_path: Path) -> None:
    source = text("{width: 1, twice: =2 * width}", "[dense: =twice]",
                  "variants: {wide: {width: 5}}\n")
    first = program(source, "width=7", variant="wide")
    files = canonical_files(first)
    assert list(files) == ["resolved.yaml"]
    assert "params:\n  width: 7\n  twice: 14\n" in files["resolved.yaml"]
    assert "variants" not in files["resolved.yaml"]
    assert same_model(first, again(first, tmp_path))


@pytest.mark.parametrize("value", [
    "3", "0.5", "1e-7", "-2", "true", '"3"', '"int"', "'it''s: a \"test\" #1'", "no", '"null"',
    "[1, [2, 3], []]", '[a, "b,c", "{d}"]', '""', ".inf", "x:y", "été", '"two\\nlines"'])
def test_a_value_is_read_again_as_itself(value: str, tmp_path: Path) -> None:
    first = program(text(f"{{v: {{type: {kind(value)}, default: {value}}}}}", "[relu]"))
    second = again(first, tmp_path)
    assert second.scope["v"] == first.scope["v"]
    assert type(second.scope["v"]) is type(first.scope["v"])
    short = program(text(f"{{v: {value}}}", "[relu]"))
    assert again(short, tmp_path / "short").scope["v"] == short.scope["v"]


def kind(value: str) -> str:
    if value.startswith("["):
        return "list"
    return {"3": "int", "-2": "int", "0.5": "float", "1e-7": "float", ".inf": "float",
            "true": "bool"}.get(value, "string")


def test_layers_given_by_another_file_carry_the_values_that_they_read(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        f"{HEAD}params: {{act: {{type: layers, default: [relu]}}}}\n"
        "model: [conv: {filters: 3, kernel: 1}, layers: =act]\n", encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("""\
flaxspec: 1
params: {slope: 0.25, units: 6}
model:
  use: base.yaml
  with: {act: [leaky_relu: "=slope * 2", dense: =x.channels * units]}
""", encoding="utf-8")
    first = program(str(recipe), "slope=0.1")
    second = again(first, tmp_path / "out")
    assert same_model(first, second)
    assert "leaky_relu: =0.1 * 2" in canonical_text(first)


def test_files_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    for folder, units in (("a", 2), ("b", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part.yaml").write_text(
            f"flaxspec: 1\nblocks: {{part: {{layers: [dense: {units}]}}}}\n", encoding="utf-8")
        (tmp_path / folder / "hub.yaml").write_text(
            "flaxspec: 1\nuse: {part: part.yaml}\n"
            "blocks: {hub: {layers: [part.part]}}\n", encoding="utf-8")
    main = tmp_path / "main.yaml"
    main.write_text(f"{HEAD}use: {{one: a/hub.yaml, two: b/hub.yaml}}\nmodel: [one.hub, two.hub]\n",
                    encoding="utf-8")
    first = program(str(main))
    assert list(canonical_files(first)) == [
        "resolved.yaml", "used/one.yaml", "used/two.yaml", "used/part.yaml", "used/part_2.yaml"]
    assert same_model(first, again(first, tmp_path / "out"))
