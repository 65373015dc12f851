"""No spec, however small or strange, hangs the compiler or takes the machine's memory.

Every rule is a spec that would, were it not for a limit; limits are lowered where the spec would
take a second to reach them. That the test comes to an end is half of what it shows.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compiler.diagnostics import MAX_DIAGNOSTICS, MAX_TEXT, Report, SpecError
from compiler.facts import check_facts
from compiler.parse import read_source
from compiler.pipeline import Request, make_graph
from compiler.plan import make_plan
from compiler.printer import graph_text
from compiler.source import Source
from runtime.cli.check import check_spec

IMAGE = "inputs: {x: {shape: [8, 8, 3]}}\n"
PAST = "inputs: {x: {axes: [time, channels], shape: [any, 4]}}\n"


def doubling(first: str, following: str, times: int = 60) -> str:
    """Lines in which each names the one before twice: `following` has {i} and {j} = i - 1."""
    return first + "".join(following.format(i=i, j=i - 1) for i in range(1, times))


LOOPS = "[{repeat: {times: 9000, layers: [{repeat: {times: 9000, layers: %s}}]}}]"
BLOCKS = "blocks:\n" + doubling("  b0: {layers: [relu, relu]}\n",
                                "  b{i}: {{layers: [b{j}, b{j}]}}\n")
DISTINCT = "blocks:\n" + doubling(
    "  b0: {params: {n: 0}, layers: [relu]}\n",
    "  b{i}: {{params: {{n: 0}}, layers: [{{b{j}: =n * 2}}, {{b{j}: =n * 2 + 1}}]}}\n")
GROUPED = "blocks:\n" + doubling(
    "  b0: {layers: [relu]}\n", "  b{i}: {{layers: [layers: [add: {{a: [b{j}], b: }}]]}}\n", 40)

SPECS = {
    "loops in loops": ("F0503", f"{IMAGE}model: {LOOPS % '[relu]'}\n"),
    "loops over layers that are switched off": (
        "F0503", f"{IMAGE}model: {LOOPS % '[{relu: , when: =false}]'}\n"),
    "loops over nothing": ("F0503", f"{IMAGE}model: {LOOPS % '[]'}\n"),
    "a loop that goes round too often": (
        "F0505", f"{IMAGE}model: [{{repeat: {{times: 99999999999999, layers: []}}}}]\n"),
    "a loop over a long list": (
        "F0505", f"{IMAGE}model: [{{for: {{each: {{a: '=[1] * 90000'}}, layers: []}}}}]\n"),
    "formulas that are slow in a loop": (
        "F0306", f"{IMAGE}model: [{{repeat: {{times: 9000, let: {{a: '=sum(range(9000))'}}, "
                 "layers: []}}]\n"),
    "values of let that double": (
        "F0306", f"{IMAGE}let:\n" + doubling("  a0: [1, 1]\n", "  a{i}: =a{j} + a{j}\n")
        + "model: [relu]\n"),
    "values of let that nest": (
        "F0306", f"{IMAGE}let:\n" + doubling("  a0: [1, 1]\n", "  a{i}: '=[a{j}, a{j}]'\n")
        + "model: [relu]\n"),
    "values of let that nest in YAML": (
        "F0306", f"{IMAGE}let:\n" + doubling("  a0: [1, 1]\n", "  a{i}: [=a{j}, =a{j}]\n")
        + "model: [relu]\n"),
    "params that double": (
        "F0306", f"{IMAGE}params:\n" + doubling("  a0: [1, 1]\n", "  a{i}: =a{j} + a{j}\n")
        + "model: [relu]\n"),
    "long lists passed to a block in a loop": (
        "F0306", f"{IMAGE}let: {{l: '=[1] * 90000'}}\n"
                 "blocks: {b: {params: {l: list}, layers: [relu]}}\n"
                 "model: [{repeat: {times: 9000, layers: [{b: {l: =l}}]}}]\n"),
    "a power of a power": ("F0306", f"{IMAGE}model: [{{dense: =9**9**9**9}}]\n"),
    "a text of many letters": ("F0306", f"{IMAGE}model: [{{dense: \"='x' * 99999999999\"}}]\n"),
    "a list of many numbers": ("F0306", f"{IMAGE}model: [{{dense: '=len(range(10**15))'}}]\n"),
    "brackets in brackets in a formula": (
        "F0306", f"{IMAGE}model: [{{dense: '={'(' * 900}1{')' * 900}'}}]\n"),
    "signs before signs in a formula": ("F0306", f"{IMAGE}model: [{{dense: '={'-' * 1900}1'}}]\n"),
    "a long formula": ("F0306", f"{IMAGE}model: [{{dense: '={'1+' * 3000}1'}}]\n"),
    "blocks that use blocks twice": ("F0503", f"{IMAGE}{BLOCKS}model: [b59]\n"),
    "blocks that differ and use blocks twice": ("F0503", f"{IMAGE}{DISTINCT}model: [b59]\n"),
    "lists in lists by way of names, in YAML": (
        "F0306", f"{IMAGE}let:\n" + doubling("  a0: [1]\n", "  a{i}: [=a{j}]\n", 1200)
        + "model: [relu]\n"),
    "blocks in groups in blocks": (
        "F0504", f"{IMAGE}{GROUPED}model: [b39]\n"),
    "blocks of blocks that were made before": (
        "F0504", f"{IMAGE}{GROUPED}  c: {{layers: [residual: [residual: [residual: [b20]]]]}}\n"
                 "model: [b20, c]\n"),
    "a block that uses itself": (
        "F0504", f"{IMAGE}blocks: {{b: {{layers: [b]}}}}\nmodel: [b]\n"),
    "a block that uses itself with other params": (
        "F0504", f"{IMAGE}blocks: {{b: {{params: {{n: 1}}, layers: [{{b: =n + 1}}, {{b: =n * 2}}]"
                 "}}\nmodel: [b]\n"),
    "a param whose layers are the param": (
        "F0504", f"{IMAGE}params: {{a: {{type: layers, default: [{{layers: =a}}]}}}}\n"
                 "model: [{layers: =a}]\n"),
    "channels that double in a loop": (
        "F0506", f"{IMAGE}model: [{{repeat: {{times: 9000, layers: [{{concat: {{a: , b: }}}}]}}}}]"
                 "\n"),
    "an input of more numbers than there are": (
        "F0506", "inputs: {x: {shape: [9223372036854775807, 9223372036854775807, 3]}}\n"
                 "model: [relu]\n"),
    "a kernel of more numbers than there are": (
        "F0506", f"{IMAGE}model: [{{conv: {{filters: 3, kernel: 99999999999, "
                 "padding: 99999999999}}]\n"),
    "padding of more numbers than there are": (
        "F0506", f"{IMAGE}model: [{{pad: {{space: 9223372036854775807}}}}]\n"),
    "a recurrent layer of many layers": (
        "F0205", f"{PAST}model: [{{lstm: {{units: 3, layers: 9223372036854775807}}}}]\n"),
    "many recurrent layers of many layers": (
        "F0503", f"{PAST}model: [{{repeat: {{times: 9000, layers: [{{lstm: {{units: 3, layers: "
                 "1000}}]}}]\n"),
    "a split into many parts": (
        "F0205", "inputs: {x: {shape: [100000000]}}\nmodel: [{split: 100000000}]\n"),
    "an unknown length that is joined to itself again and again": (
        "F0404", f"{PAST}model: [{{repeat: {{times: 60, layers: [{{concat: {{axis: time, a: , b: "
                 "}}]}}]\n"),
    "an unknown length that is halved again and again": (
        "F0404", f"{PAST}model: [{{repeat: {{times: 9000, layers: [{{max_pool: {{window: 2, "
                 "stride: 2}}]}}]\n"),
    "shared blocks of many parameters": (
        "F0503", f"{IMAGE}blocks:\n" + doubling(
            "  b0: {layers: [dense: 3]}\n", "  b{i}: {{layers: [b{j}, b{j}]}}\n", 12)
        + "model: [{repeat: {times: 100, layers: [{b11: , weights: k}]}}]\n"),
    "a name as long as a file": (
        "F0209", f"{IMAGE}model: [{{relu: , name: {'a' * 100_000}}}]\n"),
    "a word as long as a file": ("F0202", f"{IMAGE}model: [{'a' * 100_000}]\n"),
    "layers within layers": ("F0115", f"{IMAGE}model: {'[' * 3000}{']' * 3000}\n"),
    "a reference that fails in a loop": (
        "F0310", f"{IMAGE}model: [{{repeat: {{times: 9000, layers: [{{relu: , from: nowhere}}]}}}}]"
                 "\n"),
    "a formula that fails in a loop": (
        "F0302", f"{IMAGE}model: [{{repeat: {{times: 9000, layers: [{{relu: , when: =nowhere}}]"
                 "}}]\n"),
}


def codes(text: str) -> list[str]:
    report = Report()
    try:
        make_graph(Request(Source("spec.yaml", f"flaxspec: 1\n{text}")), report)
    except SpecError as error:
        return [d.code for d in error.diagnostics if d.severity == "error"]
    return []


@pytest.mark.parametrize("rule", SPECS, ids=lambda rule: rule.replace(" ", "_"))
def test_a_spec_without_end_comes_to_one(rule: str, monkeypatch: pytest.MonkeyPatch):
    code, text = SPECS[rule]
    if code == "F0503":
        monkeypatch.setattr("compiler.elaborate.MAX_VISITS", 5_000)
    assert codes(text) == [code]


def test_layers_may_be_nested_as_deep_as_the_limit_says():
    text = (f"flaxspec: 1\n{IMAGE}{GROUPED}  c: {{layers: [residual: [residual: [b20]]]}}\n"
            "model: [b20, c]\n")
    graph = make_graph(Request(Source("spec.yaml", text)), Report())
    assert graph_text(graph) and make_plan(graph)


def test_layers_that_hold_layers_are_passed_on_in_no_time():
    params = "".join(
        f"  {c}{i}: {{type: layers, default: [layers: =a{i - 1}, layers: =b{i - 1}]}}\n"
        for i in range(1, 40) for c in "ab")
    text = (f"flaxspec: 1\n{IMAGE}params:\n  a0: {{type: layers, default: relu}}\n"
            f"  b0: {{type: layers, default: relu}}\n{params}"
            "blocks: {b: {params: {act: {type: layers, default: relu}}, layers: [relu]}}\n"
            "model: [{b: {act: [layers: =a39]}}]\n")
    assert make_graph(Request(Source("spec.yaml", text)), Report())


def test_as_many_layers_as_are_allowed_are_planned(monkeypatch: pytest.MonkeyPatch):
    text = (f"flaxspec: 1\n{IMAGE}blocks: {{b: {{layers: [{{repeat: {{times: 9, layers: [relu]}}}}]"
            "}}\nmodel: [{repeat: {times: 10, layers: [b]}}]\n")
    monkeypatch.setattr("compiler.operators.MAX_INSTANCES", 100)
    graph = make_graph(Request(Source("spec.yaml", text)), Report())
    assert len(make_plan(graph).rows) == 90
    monkeypatch.setattr("compiler.operators.MAX_INSTANCES", 99)
    with pytest.raises(SpecError, match="F0503"):
        make_graph(Request(Source("spec.yaml", text)), Report())


VARIANTS = (f"flaxspec: 1\n{IMAGE}params: {{n: 1}}\nvariants:\n"
            + "".join(f"  v{i}: {{n: {i}}}\n" for i in range(40))
            + "facts:\n" + "".join(f"  v{i}: {{params: 0}}\n" for i in range(40))
            + "model: [{repeat: {times: 30, layers: [relu]}}]\n")


def test_only_as_many_variants_are_checked_as_take_reasonable_time(
    monkeypatch: pytest.MonkeyPatch,
):
    report = Report()
    assert len(check_spec(Request(Source("spec.yaml", VARIANTS)), report)) == 41
    assert not report.diagnostics
    monkeypatch.setattr("runtime.cli.check.MAX_WORK", 300)
    assert len(check_spec(Request(Source("spec.yaml", VARIANTS)), report)) < 10
    assert [(d.code, d.severity) for d in report.diagnostics] == [("F0502", "warning")]


def test_facts_that_take_too_long_to_prove_are_an_error(monkeypatch: pytest.MonkeyPatch):
    report = Report()
    assert len(check_facts(Request(Source("spec.yaml", VARIANTS)), report)) == 40
    assert not report.diagnostics
    monkeypatch.setattr("compiler.facts.MAX_WORK", 300)
    assert len(check_facts(Request(Source("spec.yaml", VARIANTS)), report)) < 10
    assert [d.code for d in report.errors] == ["F0502"]


def test_a_file_of_mistakes_gets_a_page_of_them():
    words = ", ".join(f"wrod{i}" for i in range(5_000))
    found = codes(f"{IMAGE}model: [{words}]\n")
    assert found == ["F0202"] * MAX_DIAGNOSTICS + ["F0501"]


def test_what_is_told_of_a_long_word_is_short():
    with pytest.raises(SpecError) as error:
        make_graph(Request(Source("spec.yaml", f"flaxspec: 1\nmodel: [{'a' * 90_000}]\n")),
                   Report())
    assert len(str(error.value)) < 3 * MAX_TEXT


# ------------------------------------------------------------------------------ files


def reading(path: Path) -> str:
    with pytest.raises(SpecError) as error:
        read_source(path)
    (found,) = error.value.diagnostics
    return f"{found.code} {found.headline}"


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.yaml")
    assert reading(tmp_path / "pipe.yaml").endswith("is not a file but a device or a pipe")


def test_a_device_is_not_read(tmp_path: Path):
    assert reading(Path("/dev/zero")).endswith("is not a file but a device or a pipe")


def test_a_loop_of_links_is_told(tmp_path: Path):
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert reading(tmp_path / "loop.yaml").startswith("F0102")
    with pytest.raises(SpecError, match="F0102"):
        make_graph(Request(tmp_path / "loop.yaml"), Report())


@pytest.mark.parametrize("name", [
    "..", ".", "", "/", "/etc/passwd", "/dev/zero", "/dev/stdin", "../../x.yaml", "/x.yaml",
    "~/x.yaml", "x.yaml/", "a" * 5000, f"{'a' * 5000}.yaml", "con", "-", "main.yaml", "pipe.yaml",
    "folder.yaml", "loop.yaml", "binary.yaml"])
def test_a_used_file_that_cannot_be_is_told(name: str, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    main = tmp_path / "main.yaml"
    main.write_text(f"flaxspec: 1\n{IMAGE}use: {{lib: \"{name}\"}}\nmodel: [relu]\n")
    report = Report()
    with pytest.raises(SpecError):
        make_graph(Request(main), report)
    (found,) = report.errors
    assert found.code in ("F0217", "F0234", "F0104", "F0102")
    assert found.labels, "it is not said where the file is used"


def test_files_that_use_one_another_in_a_long_chain_come_to_an_end(tmp_path: Path):
    for i in range(30):
        (tmp_path / f"f{i}.yaml").write_text(
            f"flaxspec: 1\n{IMAGE}use: {{a: f{i + 1}.yaml, b: f{i + 1}.yaml}}\nmodel: [relu]\n")
    with pytest.raises(SpecError, match="F0217"):
        make_graph(Request(tmp_path / "f0.yaml"), Report())
