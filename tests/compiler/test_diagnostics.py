"""The forms in which a diagnostic is shown, and the collecting of diagnostics."""

import json
import re

import pytest

from compiler.diagnostics import (
    CODES,
    Diagnostic,
    Label,
    Report,
    SpecError,
    as_json,
    diagnostic,
    nearest,
    render,
    summary,
)
from compiler.source import EXCERPT_WIDTH, Source, Span, excerpt, visible

SPEC = Source("resnet.yaml", "\n".join([
    "model:",
    "  - conv: {filters: 64, kernal: 3}",
    "  - relu",
    "  - add:",
    "      body: [relu]",
    "      shortcut: [identity]",
]))


def at(source: Source, words: str) -> Span:
    start = source.text.index(words)
    return source.span(start, start + len(words))


def shown(*lines: str) -> str:
    return "\n".join(lines)


def test_an_excerpt_stands_between_gutters_with_the_label_beside_the_caret():
    found = diagnostic("F0101", "`kernal` is not a field of conv", at(SPEC, "kernal"),
                       "did you mean `kernel`?", notes=["fields of conv: filters, kernel"],
                       help="write `kernel: 3`")
    assert render(found) == shown(
        "error[F0101]: `kernal` is not a field of conv",
        " --> resnet.yaml:2:25",
        "  |",
        "2 |   - conv: {filters: 64, kernal: 3}",
        "  |                         ^^^^^^ did you mean `kernel`?",
        "  |",
        "  = fields of conv: filters, kernel",
        "  = help: write `kernel: 3`",
    )


def test_further_labels_are_underlined_with_dashes_in_the_order_of_lines():
    found = Diagnostic("F0101", "the branches differ", (
        Label(at(SPEC, "add"), "different shapes"), Label(at(SPEC, "shortcut"), "one"),
        Label(at(SPEC, "body"), "another"), Label(at(SPEC, "model"), "far above")))
    assert render(found) == shown(
        "error[F0101]: the branches differ",
        " --> resnet.yaml:4:5",
        "  |",
        "1 | model:",
        "  | ----- far above",
        "...",
        "4 |   - add:",
        "  |     ^^^ different shapes",
        "5 |       body: [relu]",
        "  |       ---- another",
        "6 |       shortcut: [identity]",
        "  |       -------- one",
    )


def test_two_labels_on_one_line_share_its_excerpt():
    found = Diagnostic("F0101", "twice", (
        Label(at(SPEC, "kernal"), "again"), Label(at(SPEC, "filters"), "first")))
    assert render(found).count("- conv:") == 1


def test_a_label_in_another_file_has_its_own_block():
    other = Source("blocks.yaml", "blocks:\n  stem: {}")
    found = Diagnostic("F0101", "no such block", (
        Label(at(SPEC, "relu"), "used here"), Label(at(other, "stem"), "defined here")))
    assert render(found) == shown(
        "error[F0101]: no such block",
        " --> resnet.yaml:3:5",
        "  |",
        "3 |   - relu",
        "  |     ^^^^ used here",
        " --> blocks.yaml:2:3",
        "  |",
        "2 |   stem: {}",
        "  |   ---- defined here",
    )


def test_the_gutter_is_as_wide_as_the_largest_line_number():
    source = Source("long.yaml", "x\n" * 120)
    found = Diagnostic("F0101", "far", (Label(source.span(0, 1)), Label(source.span(200, 201))))
    assert render(found).splitlines()[1:4] == ["   --> long.yaml:1:1", "    |", "  1 | x"]


def test_without_a_place_there_is_only_headline_notes_and_help():
    found = diagnostic("F0102", "there is no file `a.yaml`", notes=["a note"], help="look again")
    assert render(found) == shown(
        "error[F0102]: there is no file `a.yaml`", "  = a note", "  = help: look again")


def test_help_of_several_lines_keeps_its_shape():
    found = diagnostic("F0101", "x", at(SPEC, "relu"), help="write\n- relu:\n  name: a")
    assert render(found).splitlines()[-3:] == [
        "  = help: write", "          - relu:", "            name: a"]


def test_a_span_of_several_lines_underlines_its_first():
    source = Source("a.yaml", "a: {b: 1,   \n    c: 2}")
    lines = render(diagnostic("F0101", "x", source.span(3, len(source.text)))).splitlines()
    assert lines[3:5] == ["1 | a: {b: 1,", "  |    ^^^^^^"]


def test_an_empty_span_and_one_behind_the_line_have_one_caret():
    source = Source("a.yaml", "a:\nb: 1")
    assert render(diagnostic("F0101", "x", source.span(2, 2))).splitlines()[-1] == "  |   ^"
    beyond = Span(source, 1, 50, 1, 60)
    assert render(diagnostic("F0101", "x", beyond)).splitlines()[-1] == "  |   ^"


@pytest.mark.parametrize(("line", "words", "before"), [
    ("\tkey: 1", "key", 4),
    ("漢字: key", "key", 6),
    ("é: key", "key", 3),
    ("e\u0301: key", "key", 3),
    ("😀 key", "key", 3),
])
def test_the_caret_stands_below_its_text_in_terminal_cells(line: str, words: str, before: int):
    shown = excerpt(at(Source("a.yaml", line), words))
    assert (shown.offset, shown.length) == (before, 3)


@pytest.mark.parametrize("before", [0, 30, 105, 200, 4000, 200_000])
@pytest.mark.parametrize("after", [0, 30, 105, 4000])
def test_a_long_line_is_cut_around_the_caret(before: int, after: int):
    shown = excerpt(at(Source("a.yaml", "a" * before + "KEY" + "b" * after), "KEY"))
    assert len(shown.text) <= EXCERPT_WIDTH
    assert shown.text[shown.offset :][: shown.length] == "KEY"
    assert shown.text.startswith("…") == (shown.offset < before + shown.text.startswith("…"))
    assert shown.text.strip("…") in "a" * before + "KEY" + "b" * after
    if before + 3 + after > EXCERPT_WIDTH:
        assert "…" in (shown.text[0], shown.text[-1])


def test_an_underline_longer_than_the_line_shown_is_cut_with_it():
    shown = excerpt(Source("a.yaml", "x" * 5000).span(10, 4900))
    assert shown.offset + shown.length <= EXCERPT_WIDTH


def test_control_characters_never_reach_the_terminal():
    source = Source("a\x1b[2J.yaml", "key: \x1b[31m\u202evalue\n")
    found = diagnostic("F0101", "bad \x07\nvalue \ud800", source.span(0, 3), "\x1b]0;x",
                       notes=["\x9b1m"], help="\x08")
    text = render(found)
    assert not [c for c in text if ord(c) < 32 and c != "\n"]
    assert not set("\x7f\x9b\u202e\ud800") & set(text)
    text.encode()
    assert visible("plain, é, 漢字\n") == "plain, é, 漢字\n"


def test_colour_changes_no_character_of_the_text():
    found = Diagnostic("F0101", "x", (Label(at(SPEC, "relu"), "here"),
                                      Label(at(SPEC, "model"), "there")), ("note",), "help")
    coloured = render(found, colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render(found)
    assert "\x1b" not in render(found)


@pytest.mark.parametrize("severity", ["error", "warning", "hint"])
def test_the_headline_begins_with_severity_and_code(severity: str):
    assert render(diagnostic("F0101", "x", severity=severity)) == f"{severity}[F0101]: x"


def test_json_carries_places_for_editors():
    found = Diagnostic("F0101", "x", (Label(at(SPEC, "kernal"), "here"),
                                      Label(at(SPEC, "model"), "there")), ("n",), "h", "warning")
    data = as_json(found)
    assert json.loads(json.dumps(data)) == {
        "code": "F0101", "severity": "warning", "message": "x", "label": "here",
        "file": "resnet.yaml",
        "range": {"start": {"line": 2, "column": 25}, "end": {"line": 2, "column": 31}},
        "notes": ["n"], "help": "h",
        "related": [{"message": "there", "file": "resnet.yaml",
                     "range": {"start": {"line": 1, "column": 1},
                               "end": {"line": 1, "column": 6}}}],
    }
    assert as_json(diagnostic("F0101", "x"))["range"] is None


def test_a_summary_counts_by_severity():
    error, warning = diagnostic("F0101", "x"), diagnostic("F0101", "x", severity="warning")
    assert summary([error, warning, error]) == "2 errors, 1 warning"
    assert summary([diagnostic("F0101", "x", severity="hint")]) == "1 hint"
    assert summary([]) == "no problems"


def test_a_report_keeps_the_same_complaint_once_and_raises_only_for_errors():
    report = Report()
    for _ in range(2):
        report.warning("F0130", "x", at(SPEC, "relu"))
        report.hint("F0131", "x", at(SPEC, "relu"))
    report.check()
    assert [d.severity for d in report.diagnostics] == ["warning", "hint"]
    report.error("F0101", "y", at(SPEC, "relu"))
    with pytest.raises(SpecError) as raised:
        report.check()
    assert len(raised.value.diagnostics) == 3
    assert "error[F0101]: y" in str(raised.value)


def test_a_code_outside_the_table_is_a_mistake_of_the_program():
    with pytest.raises(KeyError):
        Diagnostic("F9999", "x")


def test_codes_are_one_letter_and_four_digits_with_a_title_of_their_own():
    assert all(re.fullmatch(r"F\d{4}", code) for code in CODES)
    assert all(CODES.values())


def test_the_nearest_word_is_suggested_only_when_it_is_near():
    assert nearest("kernal", ["filters", "kernel"]) == "did you mean `kernel`?"
    assert nearest("zzz", ["filters", "kernel"]) == ""


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\nb", "\n\n", "é\r\nb\n"])
def test_places_and_lines_of_a_source_agree(text: str):
    source = Source("a", text)
    for index, character in enumerate(text):
        line, column = source.place(index)
        if character not in "\r\n":
            assert source.line(line)[column - 1] == character
    assert source.line(0) == source.line(99) == ""


def test_notes_and_help_keep_to_a_narrow_terminal() -> None:
    long = diagnostic("F0203", "a headline", notes=["fields: " + ", ".join(["padding"] * 12)],
                      help="give it the indentation of `conv:`, or write it beside\n"
                           "- relu:\n  name: a")
    lines = render(long, width=40).splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[-2:] == ["          - relu:", "            name: a"]
    assert len(render(long).splitlines()) == 5
