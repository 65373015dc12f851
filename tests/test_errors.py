"""Every message, word for word: the files of tests/errors and the sections of docs/errors.md.

`GOLDEN=write` writes anew what is printed; read it aloud before you commit it.
"""

import os
import re
from pathlib import Path

import pytest

from compiler.diagnostics import CODES, Diagnostic, Report, SpecError, render
from compiler.facts import check_facts
from compiler.parse import parse, read_source
from compiler.pipeline import Request
from compiler.source import Source
from runtime.cli.check import check_spec
from runtime.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
ERRORS = ROOT / "tests" / "errors"
PAGE = ROOT / "docs" / "errors.md"
WRITE = os.environ.get("GOLDEN") == "write"

SECTION = re.compile(r"^### (F\d{4}): (.*)\n((?:(?!##).*\n)*)", re.M)
BLOCK = re.compile(r"```(yaml|text)\n(.*?)```\n", re.S)


def told(source: Source) -> list[Diagnostic]:
    """All that `flaxspec check --facts` says of a spec."""
    report = Report()
    request = Request(source, document=Recipe)
    try:
        check_spec(request, report)
        if not report.errors:
            check_facts(request, report)
    except SpecError as error:
        return list(error.diagnostics)
    return report.diagnostics


def text_of(found: list[Diagnostic]) -> str:
    return "\n\n".join(render(d) for d in found) + "\n"


def lasting(text: str) -> str:
    """The text without the lists of data sets and tasks, which become longer."""
    return re.sub(r"(= there are: |= sections of a spec: ).*", r"\1…", text)


@pytest.mark.parametrize("path", sorted(ERRORS.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_told_of_a_file(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ERRORS)  # the files that it refers to are then told by short names
    source = read_source(path.name)
    if path.stem.startswith("yaml_"):  # of the text alone
        report = Report()
        try:
            parse(source, report)
            found = report.diagnostics
        except SpecError as error:
            found = list(error.diagnostics)
    else:
        found = told(source)
    golden = path.with_suffix(".txt")
    if WRITE:
        golden.write_text(text_of(found), encoding="utf-8")
    assert lasting(text_of(found)) == lasting(golden.read_text(encoding="utf-8"))


def sections() -> list[tuple[str, str, str]]:
    """The code, title and body of each section of the page."""
    return SECTION.findall(PAGE.read_text(encoding="utf-8"))


def test_the_page_has_a_section_for_each_code_in_order():
    families = ("F01", "F02", "F03", "F04", "F05", "F06", "F07", "F08", "F09")
    assert all(code.startswith(families) for code in CODES)
    assert [(code, title) for code, title, _ in sections()] == sorted(CODES.items())


@pytest.mark.parametrize("code, body", [
    pytest.param(code, body, id=code) for code, _, body in sections() if "```yaml" in body])
def test_a_section_shows_a_wrong_spec_what_is_printed_and_a_right_one(code: str, body: str):
    (_, wrong), (_, printed), (_, right) = BLOCK.findall(body)
    found = told(Source("spec.yaml", wrong))
    assert {d.code for d in found} == {code}
    if WRITE:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(page.replace(body, body.replace(printed, text_of(found))),
                        encoding="utf-8")
    else:
        assert lasting(text_of(found)) == lasting(printed)
    assert not told(Source("spec.yaml", right))


def test_each_code_that_a_spec_can_get_has_an_example():
    shown = {code for code, _, body in sections() if "```yaml" in body}
    shown |= set(re.findall(r"^(?:error|warning|hint)\[(F\d+)\]", "".join(
        path.read_text(encoding="utf-8") for path in ERRORS.glob("*.txt")), re.M))
    # Files that cannot be read, or are too large; the command line; data; runs.
    elsewhere = {"F0101", "F0102", "F0103", "F0104", "F0116", "F0219", "F0501", "F0502", "F0618",
                 "F0619", "F0620"} | {code for code in CODES if code >= "F0630" and code != "F0701"}
    assert set(CODES) - elsewhere <= shown
