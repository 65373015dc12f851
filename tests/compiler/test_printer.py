"""Every stage of one spec against the texts in tests/golden.

After a change that is meant, write them anew with GOLDEN=write and read the difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler import passes, printer
from compiler.diagnostics import Report
from compiler.graph import Graph
from compiler.pipeline import Request, make_graph, make_program, read_tree
from compiler.source import Source
from compiler.targets.canonical import canonical_text

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def request() -> Request:
    text = (GOLDEN / "tiny.yaml").read_text(encoding="utf-8")
    return Request(Source("tiny.yaml", text))


def graph() -> Graph:
    return make_graph(request(), Report())


STAGES: dict[str, Callable[[], str]] = {
    "tree": lambda: printer.tree_text(read_tree(request(), Report())[0]),
    "resolved": lambda: canonical_text(make_program(request(), Report())),
    "graph": lambda: printer.graph_text(graph()),
    "optimised": lambda: printer.graph_text(passes.optimise(graph())),
    "inference": lambda: printer.graph_text(passes.optimise(graph(), passes.INFERENCE)),
    "module": lambda: printer.module_text(graph()),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_prints_as_it_did(stage: str) -> None:
    path = GOLDEN / f"tiny.{stage}.txt"
    text = STAGES[stage]()
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def spec(model: str, rest: str = "", shape: str = "[4, 4, 2]") -> Graph:
    text = f"flaxspec: 1\nname: t\ninputs: {{x: {{shape: {shape}}}}}\n{rest}model:\n{model}"
    return make_graph(Request(Source("t.yaml", text)), Report())


def test_a_quoted_text_is_told_from_a_number() -> None:
    tree, *_ = read_tree(Request(Source("t.yaml", 'a: "3"\nb: 3\nc: "=n[0]"\n')), Report())
    assert printer.tree_text(tree).splitlines() == [
        'a: string "3"  # 1:1', "b: int 3  # 2:1", 'c: formula "=n[0]"  # 3:1']


def test_equal_uses_of_a_block_are_one_graph() -> None:
    text = printer.graph_text(spec("  - unit: 2\n  - unit: 2\n  - unit: 3\n", """\
blocks:
  unit: {params: {filters: int}, layers: [conv: {filters: =filters, kernel: 1}]}
"""))
    assert text.count("\ngraph unit#") == 2
    assert "unit_1 = call unit#1 (x)" in text and "unit_2 = call unit#1 (unit_1)" in text
    assert "unit_3 = call unit#2 (unit_2)" in text


def test_modifiers_stand_behind_the_layer() -> None:
    text = printer.graph_text(spec("""\
  - flatten
  - {dense: 4, name: a, weights: both, freeze: true, init: {kernel: {normal: {stddev: 0.1}}}}
  - {dropout: 0.5, during: training}
"""))
    assert ("a = dense {units: 4} (flatten_1) -> (4)  "
            "| weights: both, freeze: true, init: {kernel: normal(stddev: 0.1)}\n") in text
    assert "dropout_1 = dropout (a) -> (4)  | during: training\n" in text


def test_a_tie_names_the_parameter_that_it_borrows() -> None:
    text = """\
flaxspec: 1
name: t
inputs: {text: {kind: tokens, vocabulary: 9, length: any}}
model:
  - {embed: 4, name: table}
  - dense: {units: 9, tie: table.embedding}
"""
    found = make_graph(Request(Source("t.yaml", text)), Report())
    assert "| ties: {tie: table.embedding}" in printer.graph_text(found)
    assert "input text: (time text) int below 9" in printer.graph_text(found)


def test_a_folded_norm_is_told_by_the_layers_that_it_came_of() -> None:
    found = spec("  - {conv: {filters: 4, kernel: 1}, name: stem}\n  - batch_norm\n")
    text = printer.graph_text(passes.optimise(found, passes.INFERENCE))
    assert "(4, 4, 4)  | made of: stem and batch_norm_1\n" in text


def test_fields_stand_as_a_spec_writes_them() -> None:
    text = printer.graph_text(spec("""\
  - slice: {time: {step: 2}}
  - lstm: {units: 3, return: last}
""", shape="[8, 2]"))
    assert "slice {time: {step: 2}}" in text and "lstm {units: 3, return: last}" in text


def test_layers_for_every_step_are_a_graph_of_their_own() -> None:
    found = spec("  - layers: {each: time, layers: [dense: 3]}\n", shape="[5, 2]")
    text = printer.graph_text(found)
    assert "layers_1 = each time layers_1 (x) -> (5, 3)" in text
    assert "graph layers_1\n  input x: (channels 2)\n  dense_1 = dense {units: 3}" in text


def test_the_module_table_is_the_module() -> None:
    """Paths, shapes and kinds are those of the nnx module, in spite of coming from the graph."""
    from flax import nnx

    from compiler.lower.build import build_model

    found = graph()
    kinds = {"Param": "trained", "Frozen": "frozen", "BatchStat": "statistic"}
    module = {
        (".".join(map(str, path)), str(list(leaf[...].shape)), kinds[type(leaf).__name__])
        for path, leaf in nnx.to_flat_state(nnx.state(build_model(found)))
        if type(leaf).__name__ in kinds}
    rows = [line.split("  ") for line in printer.module_text(found).splitlines()[1:-1]]
    table = {tuple(cell.strip() for cell in row if cell.strip()) for row in rows}
    assert {(path, shape, kind) for path, shape, _, kind, *_ in table} == module


def test_hlo_is_that_of_evaluation() -> None:
    from compiler.lower.hlo import hlo_text

    text = hlo_text(graph(), batch=2)
    assert "tensor<2x8x8x1xf32>" in text and "stablehlo.convolution" in text
    assert "rng" not in text and "threefry" not in text  # dropout is not there
