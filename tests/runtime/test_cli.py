"""The verbs of `flaxspec` as a user meets them: what they print, and how they end."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from runtime.cli import main as cli

ROOT = Path(__file__).resolve().parents[2]
TINY = str(ROOT / "tests/golden/tiny.yaml")
GOOD = """\
flaxspec: 1
name: good
params: {units: 3}
variants: {wide: {units: 30}}
facts: {good: {params: 9}, wide: {params: 90}}
inputs: {x: {shape: [2]}}
model: [dense: =units]
"""


class Result(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `flaxspec` with arguments in this process."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["flaxspec", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Result(stop.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def spec(tmp_path: Path) -> Callable[[str], str]:
    """Write a spec; its path."""

    def spec(text: str) -> str:
        path = tmp_path / "spec.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return spec


Spec = Callable[[str], str]


# --------------------------------------------------------------------------------- check


def test_a_good_spec_ends_with_0(run: Run, spec: Spec) -> None:
    status, out, err = run("check", spec(GOOD))
    assert (status, err) == (0, "")
    assert out.endswith("no problems in 1 variant\n")


def test_every_mistake_is_told_and_ends_with_2(run: Run, spec: Spec) -> None:
    status, out, err = run("check", spec(
        GOOD.replace("[dense: =units]", "[dence: 3, dense: {unit: 4}]")))
    assert status == 2
    assert "error[F0202]" in err and "did you mean `dense`?" in err
    assert "error[F0203]" in err and "spec.yaml:7:" in err
    # That `units` is missing goes without saying where `unit` was meant for it.
    assert out.endswith("2 errors in 1 variant\n")


def test_a_mistake_of_one_variant_is_found_without_naming_it(run: Run, spec: Spec) -> None:
    text = spec(GOOD.replace("{units: 30}", "{units: -1}"))
    assert run("check", text).status == 2
    assert run("check", text, "--variant", "good").status == 2  # there is no such variant
    assert run("check", text, "--set", "units=2").status == 0


def test_a_mistake_of_every_variant_is_told_once(run: Run, spec: Spec) -> None:
    assert run("check", spec(GOOD), "--set", "units=x").err.count("error[") == 1


def test_a_file_whose_params_are_required_is_checked_by_its_variants(run: Run, spec: Spec) -> None:
    required = GOOD.replace("units: 3}", "units: int}").replace("good: {params: 9}, ", "")
    assert run("check", spec(required)).status == 0
    without = "".join(line + "\n" for line in required.splitlines()
                      if not line.startswith(("variants", "facts")))
    assert "F0214" in run("check", spec(without)).err


def test_facts_are_proven_or_told(run: Run, spec: Spec) -> None:
    status, out, _ = run("check", "--facts", spec(GOOD))
    assert status == 0
    assert out.count("  proven\n") == 2
    status, out, err = run("check", "--facts", spec(GOOD.replace("90", "91")))
    assert status == 2
    assert "not true" in out and "error[F0701]" in err and "spec.yaml:5:" in err


def test_the_facts_of_a_named_model_are_its_own(run: Run) -> None:
    status, out, _ = run("check", "--facts", "resnet18")
    assert status == 0
    assert [line.split()[:3] for line in out.splitlines()[1:-1]] == [
        ["resnet18", "params", "11,689,512"], ["resnet18", "buffers", "9,600"],
        ["resnet18", "macs", "1,814,073,344"]]


def test_json_diagnostics_stand_on_standard_output(run: Run, spec: Spec) -> None:
    status, out, err = run("check", "--json", spec(GOOD.replace("dense", "dence")))
    (found,) = json.loads(out)["diagnostics"]
    assert (status, err) == (2, "")
    assert (found["code"], found["range"]["start"]["line"]) == ("F0202", 7)
    assert json.loads(run("check", "--json", spec(GOOD)).out) == {"diagnostics": []}


@pytest.mark.parametrize("section, code", [
    ("train: {epochs: 1, batch_size: 8, optimizer: {adamm: 1e-3}}", "F0613"),
    ("data: {dataset: digitz}", "F0612"),
    ("inputs: {image: {shape: [9, 9, 1]}}", "F0614"),
    ("model: [flatten, dense: 9]", "F0617"),
])
def test_a_recipe_is_checked_against_its_data_and_task(
    run: Run, spec: Spec, section: str, code: str,
) -> None:
    sections = {"inputs": "inputs: {image: {shape: [8, 8, 1]}}",
                "model": "model: [flatten, dense: 10]",
                "data": "data: {dataset: digits}", "task": "task: classification",
                "train": "train: {epochs: 1, batch_size: 8, optimizer: {adam: 1e-3}}"}
    head = "flaxspec: 1\nname: r\n"
    assert run("check", spec(head + "\n".join(sections.values()))).status == 0
    sections[section.split(":")[0]] = section
    status, _, err = run("check", spec(head + "\n".join(sections.values())))
    assert status == 2 and f"error[{code}]" in err


def test_a_file_of_blocks_is_no_mistake(run: Run) -> None:
    assert run("check", "mobile").status == 0


def test_hints_are_shown_where_asked_for(run: Run, spec: Spec) -> None:
    text = spec(GOOD.replace("[dense: =units]", "[dropout: 1e-1]"))
    assert run("check", text).err == ""
    assert "hint[F0131]" in run("check", "--hints", text).err


# ---------------------------------------------------------------------------------- plan


def test_a_plan_has_a_line_for_each_layer_and_the_totals(run: Run, spec: Spec) -> None:
    status, out, err = run("plan", spec(GOOD), "--variant", "wide")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert lines[:2] == ["layer what it is output params MACs", "dense_1 dense 30 (30) 90 60"]
    assert "MACs 60 for one example in evaluation: 120 FLOP" in lines


def test_equal_neighbours_are_one_line(run: Run) -> None:
    out = run("plan", "resnet152").out
    line = next(line for line in out.splitlines() if "unit1…35.unit_1  ×35" in line)
    assert "39,101,440" in line  # 35 · (1024 · 256 + 9 · 256² + 256 · 1024 + norms)
    assert 35 * (1024 * 256 + 9 * 256**2 + 256 * 1024 + 2 * (256 + 256 + 1024)) == 39101440
    assert len(out.splitlines()) < 40


def test_depth_unfolds(run: Run) -> None:
    one, two = run("plan", TINY, "--depth", "1").out, run("plan", TINY, "--depth", "2").out
    assert "  conv_1" not in one and "--depth 2 shows more" in one
    assert "  conv_1" in two


def test_the_columns_of_a_plan_add_up(run: Run) -> None:
    head, *lines, _ = run("plan", TINY, "--depth", "1").out.split("\n\n")[0].splitlines()
    end = head.index("params") + len("params")
    cells = [line[:end].split("  ")[-1].strip() for line in lines]
    params = [int(cell.replace(",", "")) for cell in cells if cell[-1:].isdigit()]
    assert sum(params) == 1975


def test_an_open_length_is_bound_and_told(run: Run) -> None:
    assert "The length of text is open; the figures are for 128 steps" in run("plan", "lstm_lm").out
    out = run("plan", "lstm_lm", "--length", "10").out
    assert "(10, 128)" in out and "10 steps" in out


def test_a_length_that_does_not_fit_says_which_one_it_was(run: Run, spec: Spec) -> None:
    text = spec("flaxspec: 1\nname: t\ninputs: {x: {shape: [any, 2]}}\n"
                "model: [conv: {filters: 3, kernel: 9, padding: valid}]\n")
    assert run("plan", text).status == 0
    status, _, err = run("plan", text, "--length", "5")
    assert status == 2 and "this is for 5 steps of x; --length N chooses another" in err


def test_plan_as_json(run: Run) -> None:
    status, out, _ = run("plan", "--json", "resnet50", "--batch", "8")
    data = json.loads(out)
    assert status == 0
    assert data["totals"]["params"] == 25557032 and data["totals"]["macs"] == 4089184256
    assert data["batch"] == 8 and data["phase"] == "evaluation" and data["length"] is None
    assert data["totals"]["outputs"]["output"]["shape"] == [1000]
    assert sum(layer["macs"] for layer in data["layers"]) == 4089184256


def test_json_of_a_plan_that_fails_holds_the_diagnostics(run: Run, spec: Spec) -> None:
    status, out, _ = run("plan", "--json", spec(GOOD.replace("dense", "dence")))
    assert status == 2 and json.loads(out)["diagnostics"][0]["code"] == "F0202"


def test_training_counts_heads(run: Run) -> None:
    evaluation, training = run("plan", TINY).out, run("plan", TINY, "--training").out
    assert "output aux" not in evaluation and "output aux" in training
    assert "29,031 for one example in evaluation" in evaluation
    assert "29,055 for one example in training" in training  # the head's 8 · 3 more


# ------------------------------------------------------------------------------- explain


@pytest.mark.parametrize("stage, told", [
    ("tree", "flaxspec: int 1"), ("resolved", "params:\n  classes: 3\n  width: 8\n"),
    ("graph", "stem = call conv_bn#1 (image) -> (8, 8, 8)"), ("module", "stem.conv_1.kernel"),
    ("optimised", "graph tiny_wide"), ("inference", "made of: conv_1 and batch_norm_1"),
])
def test_each_stage_can_be_looked_at(run: Run, stage: str, told: str) -> None:
    status, out, err = run("explain", TINY, "--stage", stage, "--variant", "tiny_wide")
    assert (status, err) == (0, "") and told in out


def test_hlo_binds_an_open_length(run: Run) -> None:
    assert "tensor<1x6xi32>" in run("explain", "lstm_lm", "--stage", "hlo", "--length", "6").out


# -------------------------------------------------------------------------- list and new


def test_the_zoo_is_listed_with_published_sizes(run: Run) -> None:
    lines = run("list").out.splitlines()
    assert any(line.split() == ["resnet50", "25,557,032"] for line in lines)
    assert {"name": "vgg16", "file": "cnn/vgg.yaml", "params": 138357544, "is_model": True} in [
        {k: v for k, v in entry.items() if k != "summary"}
        for entry in json.loads(run("list", "--json", "vgg").out)]
    assert run("list", "no-such").out == "no model and no data set of the zoo is called no-such\n"


def test_a_data_set_is_told_from_a_model(run: Run) -> None:
    status, _, err = run("plan", "mnist")
    assert status == 2 and "error[F0217]: `mnist` is a data set, not a model" in err
    assert "data: {dataset: mnist}" in err


def test_every_listed_model_checks(run: Run) -> None:
    listed = [Path(e["file"]) for e in json.loads(run("list", "--json").out)]
    files = {path.stem for path in listed if path.parent.name != "datasets"}
    assert len(files) > 10
    assert {name: run("check", name).err for name in sorted(files)} == dict.fromkeys(files, "")


def test_a_new_recipe_checks_and_is_never_overwritten(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "compile-and-train first.yaml" in run("new", "first").out
    written = (tmp_path / "first.yaml").read_text(encoding="utf-8")
    assert run("check", "first.yaml").out == "first.yaml: no problems\n"
    assert run("check", "first.yaml", "--hints").status == 0
    status, _, err = run("new", "first.yaml")
    assert status == 2 and "error[F0807]" in err
    assert (tmp_path / "first.yaml").read_text(encoding="utf-8") == written
    assert run("new").status == 0 and (tmp_path / "my-model.yaml").exists()


@pytest.mark.parametrize("name", ["no-folder/x", "odd\0name", ".", ""])
def test_a_recipe_that_cannot_be_written_is_a_diagnostic(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = run("new", name)
    assert status == 2 and "error[F080" in err and "Traceback" not in err


@pytest.mark.slow
def test_a_new_recipe_trains(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("new", "first")
    subprocess.run([sys.executable, "-m", "runtime.cli.train", "first.yaml", "--set",
                    "train.epochs=8", "--out", "run"], check=True, cwd=tmp_path,
                   env={"PYTHONPATH": str(ROOT), "PATH": ""})
    summary = json.loads((tmp_path / "run/summary.json").read_text(encoding="utf-8"))
    assert summary["test"]["accuracy"] > 0.8


# ---------------------------------------------------------------------- errors and edges


@pytest.mark.parametrize("arguments", [
    ["check"], ["chek", "resnet50"], ["plan", "resnet50", "--batch", "0"],
    ["plan", "resnet50", "--batch", "x"], ["explain", "resnet50", "--stage", "soup"],
    ["plan", "resnet50", "--no-such"], ["new", "a", "b"]])
def test_a_command_that_cannot_be_understood_ends_with_2(run: Run, arguments: list[str]) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert "Usage: flaxspec" in err


@pytest.mark.parametrize("arguments, code", [
    (["check", "resnet5"], "F0217"), (["plan", "no.yaml"], "F0102"), (["check", "."], "F0217"),
    (["check", ""], "F0"), (["check", "a\0b"], "F0"), (["plan", "resnet50", "--set", "x"], "F0219"),
    (["plan", "resnet50", "--variant", "nope"], "F0212"),
    (["check", "mobile", "--set", "="], "F0219"),
    (["plan", "mobile"], "F0221"), (["explain", "nope", "--stage", "hlo"], "F0217")])
def test_an_argument_that_leads_nowhere_is_a_diagnostic(
    run: Run, arguments: list[str], code: str,
) -> None:
    status, _, err = run(*arguments)
    assert status == 2
    assert f"error[{code}" in err and "F0899" not in err


def test_an_internal_error_is_told_without_a_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("lost the thread\nand more")

    monkeypatch.setattr("runtime.cli.plan.make_plan", broken)
    status, _, err = run("plan", "resnet18")
    assert status == 2
    assert "error[F0899]: internal error: ValueError: lost the thread (in test_cli.py, line" in err
    assert "please report it" in err and "Traceback" not in err


def test_the_version_is_told(run: Run) -> None:
    from flaxspec import __version__

    assert run("--version") == (0, f"flaxspec {__version__}\n", "")


def test_the_page_shows_what_the_verbs_print(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that need no run; where an output ends with …, the rest is cut.

    Write them anew with GOLDEN=write.
    """
    monkeypatch.chdir(ROOT)

    def printed(block: re.Match[str]) -> str:
        command, *shown = block[1].splitlines()
        _, out, err = run(*shlex.split(command)[2:])
        lines = (err + out).splitlines()
        if shown and shown[-1] == "…":
            lines = [*lines[:len(shown) - 1], "…"]
        return "\n".join(["```text", command, *lines, "```"])

    page = ROOT / "docs/cli.md"
    text = page.read_text(encoding="utf-8")
    verbs = "check|plan|explain|diff|hash|list"
    found, blocks = re.subn(rf"```text\n(\$ flaxspec (?:{verbs}) .*?)\n```",
                            printed, text, flags=re.S)
    assert blocks > 5
    if os.environ.get("GOLDEN") == "write":
        page.write_text(found, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == found


def in_a_process(*arguments: str, then: str = "") -> subprocess.CompletedProcess[str]:
    code = ("import sys; from runtime.cli.main import main\n"
            f"try: main()\nexcept SystemExit as stop: status = stop.code\n{then}\n"
            "raise SystemExit(status)")
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, text=True,
                          capture_output=True, check=False)


@pytest.mark.parametrize("arguments", [
    ["check", "--facts", "resnet152"], ["plan", "resnet152"], ["check", "digits-lstm"],
    ["check", "weather-gru"], ["check", "help-lstm"], ["explain", "resnet18", "--stage", "module"],
    ["explain", "digits-resnet", "--stage", "resolved"], ["list"],
    ["hash", "digits-resnet"], ["fmt", "--check", "specs"],
    ["diff", "digits-resnet", "digits-resnet"]])
def test_nothing_before_the_module_loads_an_array_library(arguments: list[str]) -> None:
    heavy = "('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'rich')"
    done = in_a_process(
        *arguments, then=f"print([m for m in {heavy} if m in sys.modules], file=sys.stderr)")
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m runtime.cli.main explain resnet152 | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "graph resnet152\n", "")


@pytest.mark.parametrize("command, status", [
    (f"{sys.executable} -m runtime.cli.main check tests/errors/names.yaml 2>&1", 2),
    (f"{sys.executable} -m runtime.cli.main check nothing.yaml 2>&1", 2),
    (f"{sys.executable} -m runtime.cli.main plan resnet152 --depth 9", 0),
    (f"{sys.executable} -m runtime.cli.train tests/errors/names.yaml 2>&1", 2),
])
def test_a_reader_that_was_never_there_changes_no_status(command: str, status: int) -> None:
    """`sleep` lets the command begin to write when nobody reads any more."""
    script = f"(sleep 0.2; {command}; echo $? >&3) | true"
    done = subprocess.run(["bash", "-c", f"exec 3>&1; {script}"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (f"{status}\n", "")
