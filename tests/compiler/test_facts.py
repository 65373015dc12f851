"""Published figures are proven, and a wrong one is told with its place."""

from __future__ import annotations

import pytest

from compiler.diagnostics import Report, SpecError
from compiler.facts import check_facts
from compiler.pipeline import Request
from compiler.source import Source


def text(facts: str, length: str = "4", extra: str = "") -> Source:
    return Source("t.yaml", f"""\
flaxspec: 1
name: t
params: {{units: 2}}
variants: {{small: {{units: 1}}, wide: {{units: 5}}}}
facts:
  {facts}
inputs: {{x: {{shape: [{length}, 3]}}}}
model:
  - output: {{name: aux, layers: [dense: 7]}}
    during: training
  - dense: =units
  - batch_norm
{extra}""")


def prove(source: Source, only: str = "") -> tuple[list[tuple[str, str, bool]], Report]:
    report = Report()
    proofs = check_facts(Request(source), report, only=only)
    return [(p.variant, p.figure, p.holds) for p in proofs], report


def test_true_facts_are_proven_for_the_file_and_its_variants() -> None:
    # dense 3 · units + units, batch_norm 2 · units, and the head's 28.
    proofs, report = prove(text("t: {params: 40, buffers: 4, macs: 24}\n  wide: {params: 58}"))
    assert proofs == [("t", "params", True), ("t", "buffers", True), ("t", "macs", True),
                      ("wide", "params", True)]
    assert not report.diagnostics


def test_a_wrong_fact_is_told_at_its_place_with_both_figures_and_the_heaviest_layers() -> None:
    proofs, report = prove(text("wide: {params: 57}"))
    assert proofs == [("wide", "params", False)]
    (complaint,) = report.errors
    assert complaint.code == "F0701"
    assert "58" in complaint.headline and "57" in complaint.headline
    assert str(complaint.labels[0].span) == "t.yaml:6:18"
    assert complaint.notes == ("most params: aux.dense_1 28; dense_1 20; batch_norm_1 10",)


def test_macs_are_those_of_the_phase_that_the_fact_names() -> None:
    proofs, _ = prove(text("t: {macs: 108, during: training}"))
    assert proofs == [("t", "macs", True)]


def test_one_variant_may_be_looked_at_alone() -> None:
    proofs, report = prove(text("small: {params: 1}\n  wide: {params: 58}"), only="wide")
    assert proofs == [("wide", "params", True)] and not report.errors


def test_parameters_are_counted_whatever_the_length() -> None:
    proofs, report = prove(text("t: {params: 40}", length="any"))
    assert proofs == [("t", "params", True)] and not report.errors


def test_macs_of_an_open_length_cannot_be_a_fact() -> None:
    proofs, report = prove(text("t: {macs: 24}", length="any"))
    assert proofs == [("t", "macs", False)]
    assert "depend on the length of x" in report.errors[0].headline


def test_a_variant_that_does_not_compile_is_told_instead() -> None:
    _, report = prove(text("small: {params: 1}", extra="  - group_norm: 7\n"))
    assert report.errors and all(d.code != "F0701" for d in report.errors)


def test_a_spec_that_cannot_be_read_is_an_error_of_its_own() -> None:
    with pytest.raises(SpecError):
        check_facts(Request(Source("t.yaml", "flaxspec: [")), Report())
