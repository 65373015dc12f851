"""`flaxspec compare`: what two networks see, remember, share, and wait for."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from compiler.character import character, grows
from compiler.diagnostics import Report
from compiler.pipeline import Request, graph_of, make_program
from compiler.plan import make_plan

Run = Callable[..., tuple[int, str, str]]
HEAD = "flaxspec: 1\ninputs: {x: {axes: [time, channels], shape: [any, 4]}}\nmodel:\n"
CONV = HEAD + 2 * "  - conv: {filters: 8, kernel: 3}\n" + "  - pool: max\n"
LSTM = HEAD + "  - lstm: {units: 8, return: last}\n"
SHARED = """\
flaxspec: 1
inputs: {x: {axes: [channels], shape: [4]}}
model:
  - {dense: 4, weights: same}
  - {dense: 4, weights: same}
"""


@pytest.fixture
def compare(flaxspec: Run) -> Run:
    """Run `flaxspec compare`: (status, standard output, standard error)."""
    for name, text in (("conv", CONV), ("lstm", LSTM), ("shared", SHARED)):
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")
    return partial(flaxspec, "compare")


def plan_of(folder: Path, text: str, length: int):
    (folder / "spec.yaml").write_text(text, encoding="utf-8")
    return make_plan(graph_of(make_program(Request(str(folder / "spec.yaml")), Report()), Report(),
                              length=length))


def test_a_convolution_waits_for_its_layers_and_a_recurrent_layer_for_every_step(
        tmp_path: Path) -> None:
    conv, lstm = (character(plan_of(tmp_path, text, 20)) for text in (CONV, LSTM))
    assert (conv.recurrent, conv.chain) == (0, 3) and (lstm.recurrent, lstm.chain) == (1, 20)
    assert conv.reach["x"]["time"].local == 5 and lstm.reach["x"]["time"].size is None


def test_a_weight_is_used_at_every_place_and_in_every_use(tmp_path: Path) -> None:
    conv = character(plan_of(tmp_path, CONV, 20))
    assert conv.uses == 20 and conv.most_used[1] == 20
    (tmp_path / "spec.yaml").write_text(SHARED, encoding="utf-8")
    graph = graph_of(make_program(Request(str(tmp_path / "spec.yaml")), Report()), Report())
    assert character(make_plan(graph)).uses == 2


@pytest.mark.parametrize("short, long, said", [
    (10, 10, "not at all"), (10, 20, "with the length"), (100, 102, "in part"),
    (10, 40, "with its square"), (10, 80, "faster than its square"), (0, 5, "faster than its")])
def test_growth_is_told_in_words(short: int, long: int, said: str) -> None:
    assert grows(short, long, 2).startswith(said)


def test_two_specs_stand_side_by_side(compare: Run) -> None:
    status, out, err = compare("conv.yaml", "lstm.yaml", "--lengths", "16,64", "--length", "10")
    assert status == 0 and not err
    assert "kind                 convolutional" in out and "recurrent" in out
    assert "nothing beyond what it sees" in out and "all steps before" in out
    lines = [line.split() for line in out.splitlines()]
    waits = {line[0]: (line[3], line[8]) for line in lines if line[:1] in (["16"], ["64"])}
    assert waits == {"16": ("3", "16"), "64": ("3", "64")}


def test_json_has_every_length(compare: Run) -> None:
    _, out, _ = compare("conv.yaml", "lstm.yaml", "--lengths", "8,16", "--json")
    conv, lstm = json.loads(out)["specs"]
    assert [entry["steps"] for entry in lstm["lengths"]] == [8, 16]
    assert conv["uses_of_a_weight"] == 128 and conv["recurrent_layers"] == 0


def test_a_page_with_charts_is_never_written_over_a_file(compare: Run) -> None:
    assert compare("conv.yaml", "lstm.yaml", "-o", "page.html")[0] == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3 and "steps that wait for each other" in page
    status, _, err = compare("conv.yaml", "lstm.yaml", "-o", "page.html")
    assert status == 2 and "error[F0807]: there is something called `page.html` already" in err


def test_measured_times_stand_beside_the_figures(compare: Run) -> None:
    _, out, _ = compare("conv.yaml", "lstm.yaml", "--measure", "--lengths", "4", "--batch", "2",
                        "--json")
    for spec in json.loads(out)["specs"]:
        assert [entry["length"] for entry in spec["seconds"]] == [4]
        assert all(entry["predict"] > 0 and entry["train"] > 0 for entry in spec["seconds"])
