"""`flaxspec diff`: what is different is told, once, where it is; what follows from it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runtime.cli.diff import ranged

BASE = """\
flaxspec: 1
inputs: {image: {shape: [8, 8, 3]}}
params: {times: 3}
model:
  - conv: {filters: 8, kernel: 3}
  - relu
  - conv: {filters: 8, kernel: 3}
  - repeat:
      times: =times
      index: unit
      layers: [conv: {filters: 8, kernel: 3}, relu]
  - add: {body: [conv: {filters: 8, kernel: 3}, relu, dense: 8], x: []}
  - global_average_pool
  - {dense: 10, name: head}
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def diff(flaxspec: Run) -> Run:
    """Run `flaxspec diff`: (status, standard output, standard error)."""
    return partial(flaxspec, "diff")


def layers(diff: Run, old: str, new: str) -> list[tuple[Any, ...]]:
    """The changes that an edit of the text makes: (what happened, path, path before, what)."""
    assert old in BASE
    Path("a.yaml").write_text(BASE)
    Path("b.yaml").write_text(BASE.replace(old, new))
    status, out, _ = diff("a.yaml", "b.yaml", "--json")
    found = json.loads(out)
    assert status == 1 and found["same_network"] is False
    return [(c["change"], c["path"], c["was"], c["what"]) for c in found["layers"]]


@pytest.mark.parametrize("old, new, told", [
    ("  - relu\n", "  - batch_norm\n  - relu\n",
     [("added", "batch_norm_1", None, "batch_norm")]),
    ("  - relu\n", "", [("removed", "relu_1", None, "relu")]),
    ("  - relu\n", "  - relu\n  - conv: {filters: 4, kernel: 1}\n",  # the numbers behind it move
     [("added", "conv_2", None, "conv 4, kernel: 1"), ("renamed", "conv_3", "conv_2", "")]),
    ("filters: 8, kernel: 3}\n  - relu", "filters: 16, kernel: 5}\n  - relu",
     [("changed", "conv_1", None, "filters: 8 → 16, kernel: 3 → 5")]),
    ("name: head", "name: top", [("renamed", "top", "head", "")]),
    ("dense: 10, name: head", "dense: 20, name: top, was: head",
     [("renamed", "top", "head", ""), ("changed", "top", "head", "units: 10 → 20")]),
    ("times: 3", "times: 5", [("repeats", "unit", None, "3 → 5 times")]),
    ("times: 3", "times: 1", [("repeats", "unit", None, "3 → 1 times")]),
    ("[conv: {filters: 8, kernel: 3}, relu]\n", "[conv: {filters: 8, kernel: 3}, elu]\n",
     [step for n in range(3) for step in (("removed", f"unit{n}.relu_1", None, "relu"),
                                          ("added", f"unit{n}.elu_1", None, "elu"))]),
    ("  - global_average_pool", "  - {global_average_pool: , from: conv_1}",
     [("wired", "global_average_pool_1", None, "reads add_1 → conv_1")]),
    ("name: head", "name: head, init: {kernel: zeros}, freeze: true",
     [("changed", "head", None, "init kernel: its own → zeros, freeze: false → true")]),
    ("  - add: {body: [conv: {filters: 8, kernel: 3}, relu, dense: 8], x: []}\n",
     "  - name: g\n    layers:\n"
     "      - add: {body: [conv: {filters: 8, kernel: 3}, relu, dense: 8], x: []}\n",
     [("removed", "add_1", None, "add"), ("renamed", "g.body", "body", ""),
      ("added", "g.add_1", None, "add")]),
])
def test_a_change_is_told_where_it_is(diff: Run, old: str, new: str, told: list[Any]) -> None:
    assert sorted(layers(diff, old, new), key=str) == sorted(told, key=str)


def test_how_a_scan_searches_is_told_where_it_alone_differs(diff: Run) -> None:
    sets = ("--set-b", "params.beam=2", "--set-b", "params.sample=0.5", "--length", "5")
    found = json.loads(diff("bahdanau", "bahdanau", *sets, "--json")[1])["layers"]
    assert [(c["change"], c["path"], c["what"]) for c in found] == [
        ("changed", "decoder", "sample: 0.0 → 0.5, decode.beam: 5 → 2")]


def test_inputs_and_outputs_are_told(diff: Run) -> None:
    Path("a.yaml").write_text(BASE)
    Path("b.yaml").write_text(BASE.replace("image: {shape: [8, 8, 3]}", "image: {shape: [4, 4, 3]}")
                              .replace("  - relu\n", "  - output: {name: aux, layers: [relu]}\n"
                                                     "  - relu\n"))
    found = json.loads(diff("a.yaml", "b.yaml", "--json")[1])["inputs_and_outputs"]
    assert found == {"input image": ["(height 8, width 8, channels 3)",
                                     "(height 4, width 4, channels 3)"],
                     "output aux": ["–", "(height 4, width 4, channels 8)"]}


def test_one_network_written_twice_is_the_same(diff: Run) -> None:
    Path("a.yaml").write_text(BASE)
    Path("b.yaml").write_text("# other words\n" + BASE.replace(
        "kernel: 3}\n", "padding: 1, kernel: [3, 3]}\n").replace("times: 3", "times: =1 + 2"))
    assert diff("a.yaml", "b.yaml") == (0, "a.yaml and b.yaml are the same network\n", "")


def test_loops_are_folded(diff: Run) -> None:
    status, out, err = diff("resnet50", "resnet152")
    assert (status, err) == (1, "")
    table = [line.split() for line in out.partition("\n   layers")[2].splitlines()[1:]]
    assert [(row[1], row[2], row[4]) for row in table] == [
        ("stage1.unit", "4", "8"), ("stage2.unit", "6", "36")]


def test_equal_changes_in_many_places_are_one_line(diff: Run) -> None:
    _, out, _ = diff("vgg16", "vgg16_bn")
    assert out.splitlines()[-1].split() == [
        "+", "stage0…4.unit0…2.batch_norm_1", "×13", "batch_norm", "+8,448"]


def test_recipes_are_compared_by_their_values(diff: Run) -> None:
    same = diff("digits-resnet", "digits-resnet")
    assert same[:2] == (0, "digits-resnet (A) and digits-resnet (B) are the same network, trained "
                           "by the same recipe\n")
    status, out, _ = diff("digits-resnet", "digits-resnet", "--set-b", "train.epochs=5",
                          "--set-b", "train.optimizer.adamw.weight_decay=0.1", "--json")
    found = json.loads(out)
    assert status == 1 and found["same_network"] and not found["same_recipe"]
    assert found["recipe"] == {"train.epochs": ["20", "5"],
                               "train.optimizer.adamw.weight_decay": ["0.05", "0.1"]}


def test_variants_and_runs_have_names(diff: Run, finished: Path) -> None:
    Path("my.yaml").write_text(BASE + "variants: {long: {times: 9}, short: {times: 1}}\n")
    assert "9 → 1 times" in diff("my.yaml:long", "my.yaml:short")[1]
    assert diff(str(finished), str(finished / "spec.yaml"))[0] == 0


def test_what_is_wrong_is_status_2(diff: Run) -> None:
    status, out, err = diff("resnet18", "resnet19")
    assert (status, out) == (2, "") and "error[F0217]" in err


@pytest.mark.parametrize("texts, one", [
    (["stage0.unit1", "stage1.unit0", "stage2.unit2"], "stage0…2.unit0…2"),
    (["stage0.unit", "stage3.unit"], "stage0,3.unit"),
    (["a1", "b1"], "a1 …")])
def test_paths_that_differ_in_numbers_are_one(texts: list[str], one: str) -> None:
    assert ranged(texts, listed=True) == one
