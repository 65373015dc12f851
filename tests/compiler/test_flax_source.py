"""Ejected files: what they compute, that they are in order, and that they stand alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.diagnostics import Report
from compiler.graph import Graph, Node, Value
from compiler.ops import FAMILIES, WORDS, operator
from compiler.passes import optimise
from compiler.pipeline import Request, make_graph
from compiler.source import Source
from compiler.targets.flax_source import About, eject
from compiler.types import TensorType
from runtime.recipe import Recipe
from tests.compiler import ejected
from tests.compiler.operator_table import ROWS, Row

STEPS = 5  # of a time axis of unknown length
IMAGE = {"image": [16, 16, 3], "classes": 5}
SMALL_IMAGE = {"image": [8, 8, 3], "classes": 5}
STAGES = [{"expand": 1, "filters": 4, "repeats": 1, "stride": 1},
          {"expand": 2, "filters": 6, "repeats": 2, "stride": 2},
          {"expand": 2, "filters": 8, "repeats": 1, "stride": 1}]
READER = {"units": 4, "classes": 3, "sequence": ["any", 3]}
WRITER = {"units": 4, "vocabulary": 7}
INCEPTION = {"classes": 5, "width": 0.0625, "stem": [3, 1], "dropout": 0.0, "aux_dropout": 0.0}

# GoogLeNet with some of each kind: inceptions before and behind a pool, both auxiliary heads.
CUT = Source("cut.yaml", "flaxspec: 1\nname: cut\nextends: googlenet_aux\npatch: {" + ", ".join(
    f"model.inception_{n}: remove" for n in (2, 4, 5, 6, 8, 9)) + "}\n")

# Every architecture of the zoo, with few channels; nothing random, as both draw other numbers.
SMALL: dict[str, tuple[str | Source, dict[str, Any]]] = {
    "resnet": ("resnet", IMAGE | {"depths": [2, 1], "width": 4, "stem": [3, 1]}),
    "resnet basic v2": ("resnet", IMAGE | {"depths": [2, 1], "width": 4, "basic": True,
                                           "v2": True}),
    "resnext v1": ("resnet", IMAGE | {"depths": [1, 1], "width": 4, "groups": 2,
                                      "group_width": 32, "v1": True, "bias": True}),
    "resnet_cifar": ("resnet_cifar", SMALL_IMAGE | {"n": 2, "width": 4}),
    "resnet_cifar b": ("resnet_cifar", SMALL_IMAGE | {"n": 1, "width": 4, "shortcut": "project"}),
    "vgg": ("vgg", SMALL_IMAGE | {"depths": [1, 2], "widths": [4, 6], "grid": 2, "hidden": 6,
                                  "dropout": 0.0}),
    "vgg bn": ("vgg", SMALL_IMAGE | {"depths": [1, 2], "widths": [4, 6], "grid": 2, "hidden": 6,
                                     "dropout": 0.0, "norm": True}),
    "mobilenet_v2": ("mobilenet_v2", IMAGE | {"dropout": 0.0, "stage_table": STAGES}),
    "googlenet": ("googlenet_aux", INCEPTION | {"image": [16, 16, 3]}),
    "googlenet cut": (CUT, INCEPTION | {"image": [8, 8, 3]}),
    "googlenet paper": ("googlenet_paper_aux", INCEPTION | {"image": [40, 40, 3]}),
    **{f"{way}{cell}_classifier": (f"{way}{cell}_classifier", READER)
       for way in ("", "bi") for cell in ("rnn", "lstm", "gru")},
    "rnn_lm": ("rnn_lm", WRITER | {"layers": 2}),
    "lstm_lm tied": ("lstm_lm", WRITER | {"tied": True}),
    "gru_lm carried": ("gru_lm", WRITER | {"carry": "across"}),
    "zaremba": ("zaremba", WRITER | {"length": STEPS, "dropout": 0.0}),
}
# One compilation of the others takes many seconds, of a whole GoogLeNet minutes.
QUICK = ("vgg", "resnet_cifar b", "lstm_classifier", "bigru_classifier", "lstm_lm tied", "zaremba")
WHOLE = ("googlenet", "googlenet paper")
MODELS = [pytest.param(name, marks=() if name in QUICK else pytest.mark.scores if name in WHOLE
                       else pytest.mark.slow) for name in SMALL]
# Families whose rows take longest to compile; the quick models have layers of both.
LONG = ("convolution", "recurrent")
# Of every shape of text that the zoo makes, one.
NAMES = ("resnet50", "resnet18", "resnetv2_50", "resnext50_32x4d", "resnet20", "resnet20_b",
         "vgg16", "vgg16_bn", "googlenet", "googlenet_aux", "googlenet_paper", "mobilenet_v2",
         "lstm_classifier", "bigru_classifier", "birnn_classifier", "zaremba_medium", "gru_lm")


def graph_of(spec: str | Source, **params: Any) -> Graph:
    return optimise(make_graph(Request(spec, values=params, document=Recipe), Report()))


def written(text: str) -> Graph:
    """The graph of a spec's text."""
    return graph_of(Source("spec.yaml", f"flaxspec: 1\nname: small\n{text}"))


def source_of(graph: Graph) -> str:
    return eject(graph, ejected.ABOUT)


def data(graph: Graph) -> dict[str, np.ndarray]:
    """Three rows of each input."""
    rng, found = np.random.default_rng(1), {}
    for value in graph.inputs:
        shape = (3, *(s if isinstance(s, int) else STEPS for s in value.type.shape))
        numbers = rng.standard_normal(shape)
        if value.type.dtype == "int":
            numbers = rng.integers(0, value.type.vocabulary or 5, shape).astype(np.int32)
        found[value.name] = numbers
    return found


def ragged(graph: Graph, arrays: dict[str, np.ndarray], shortest: int) -> dict[str, list[int]]:
    """Lengths of three rows: full, shorter by two, shortest."""
    steps = {v.name: arrays[v.name].shape[v.type.axes.index("time") + 1]
             for v in graph.inputs if "time" in v.type.axes}
    return {name: [n, max(n - 2, 1), shortest] for name, n in steps.items()}


def agrees(graph: Graph, folder: Path, *, shortest: int = 1, tolerance: float = 1e-10,
           phases: tuple[bool, ...] = (True, False)) -> None:
    arrays = data(graph)
    for training in phases:
        found = ejected.compared(graph, folder, arrays, training=training,
                                 lengths=ragged(graph, arrays, shortest))
        assert any(name.startswith("output") for name in found)
        assert [pair for pair in found.items() if not pair[1] <= tolerance] == []


# ---- what they compute


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_the_zoo_computes_and_learns_the_same(name: str, tmp_path: Path) -> None:
    spec, params = SMALL[name]
    agrees(graph_of(spec, **params), tmp_path)


def rows_of(family: str) -> list[Row]:
    return [row for row in ROWS if WORDS[row.word] == family]


def graph_of_rows(rows: list[Row]) -> Graph:
    """A graph of layers side by side, with a table for what is borrowed."""
    inputs, nodes, outputs = [], [], {}
    for number, row in enumerate(rows):
        given = [Value(f"x{number}_{i}", t) for i, t in enumerate(row.inputs)]
        inputs += given
        op, path = operator(row.word)(**row.fields).settled(*row.inputs), f"layer_{number}"
        ties = {}
        for shape in row.tied:
            inputs.append(Value("tokens", TensorType(("time",), (3,), "int", shape[0])))
            table = operator("embed")(units=shape[1])
            out = {"output": Value("table", table.infer(inputs[-1].type))}
            nodes.append(Node("table", table, (inputs[-1],), out, "table"))
            ties = {"tie": ("table", "embedding")}
        made = {n: Value(f"{path}.{n}", t) for n, t in op.outputs(*row.inputs).items()}
        nodes.append(Node(path, op, tuple(given), made, path, ties=ties))
        outputs |= {f"{path}_{name}": value for name, value in made.items()}
    return Graph("rows", tuple(inputs), tuple(nodes), outputs)


@pytest.mark.parametrize("family", [
    pytest.param(family, marks=pytest.mark.slow if family in LONG else ()) for family in FAMILIES])
def test_every_operator_computes_and_learns_the_same(family: str, tmp_path: Path) -> None:
    """The rows of the shared table; the result of the last row is that of layer_COUNT."""
    rows = [row for row in rows_of(family) if row.word != "random"]
    # The compiled attention has its scores in float32 whatever the inputs are.
    agrees(graph_of_rows(rows), tmp_path, shortest=0, phases=(family == "normalisation",),
           tolerance=1e-6 if family == "attention" else 1e-10)


def test_random_numbers_have_the_shape_of_the_spec(tmp_path: Path) -> None:
    rows = [row for row in ROWS if row.word == "random"]
    graph = graph_of_rows(rows)
    model, other, _ = ejected.both(graph, tmp_path, np.float32)
    given = data(graph)
    mine, yours = model(**given), other(*given.values())
    assert {n: a.shape for n, a in mine.items()} == {n: a.shape for n, a in yours.items()}
    assert all(0.1 < float(np.std(a)) < 2 for a in yours.values())


# ---- the text


def told(text: str, *arguments: str) -> str:
    """What ruff says of a file, with no settings but those of a line's length."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--isolated", "--line-length", "100", "-"],
        input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def in_order(text: str) -> None:
    """The text is formatted, without a complaint, and needs nothing of flaxspec."""
    assert told(text, "check", "--select", "E,F,I,W,UP,SIM") == ""
    assert told(text, "format", "--diff") == ""
    imported = {n.module if isinstance(n, ast.ImportFrom) else a.name for n in ast.walk(
        ast.parse(text)) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
    assert not any(re.match("compiler|runtime|flaxspec", str(name)) for name in imported)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_formatted_and_stands_alone(name: str) -> None:
    in_order(source_of(graph_of(name)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_with_every_operator_of_a_family_is_formatted(family: str) -> None:
    in_order(source_of(graph_of_rows(rows_of(family))))


@pytest.mark.parametrize("name, most", [("resnet50", 190), ("googlenet", 220), ("vgg16", 120),
                                        ("lstm_classifier", 170), ("resnet1202", 160)])
def test_a_file_is_as_long_as_a_person_would_write_it(name: str, most: int) -> None:
    assert source_of(graph_of(name)).count("\n") <= most


def test_uses_of_a_block_share_a_class_with_arguments_and_a_switch() -> None:
    text = source_of(graph_of("resnet50"))
    assert re.findall(r"^class (\w+)", text, re.M) == ["BatchNorm", "Unit", "Resnet50"]
    assert "def __init__(self, inputs, filters, stride=1, with_shortcut=False, *, rngs)" in text


def test_iterations_are_loops() -> None:
    text = source_of(graph_of("vgg16"))
    assert "for stage in self.stages:\n            for unit in stage:\n" in text


def test_the_head_tells_the_source_and_how_to_load() -> None:
    text = eject(graph_of("lstm_lm"), About("lstm_lm", "1.2", "net", "runs/a/w.safetensors"))
    assert text.startswith('"""lstm_lm, ejected from lstm_lm by flaxspec 1.2.')
    assert 'from net import load' in text and 'load("runs/a/w.safetensors")' in text
