"""YAML text to a tree: the core schema, the places, the limits, and the traps of YAML."""

import json
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compiler import compose
from compiler.compose import MAX_ALIASED, MAX_DEPTH, MAX_ERRORS, MAX_NODES
from compiler.diagnostics import Report, SpecError, as_json, render
from compiler.modifiers import MODIFIERS as RESERVED_WORDS
from compiler.parse import (
    MAX_BYTES,
    Mapping,
    Node,
    Scalar,
    Sequence,
    comment_after,
    parse,
    parse_value,
    plain,
    read_source,
    scalar,
)
from compiler.scalars import other_reading, resolve
from compiler.source import Source
from compiler.traps import MODIFIERS

ERRORS = Path(__file__).parent.parent / "errors"


def tree(text: str) -> tuple[Mapping, Report]:
    report = Report()
    return parse(Source("test.yaml", text), report), report


def read(text: str) -> object:
    """The plain data of a text without any mistake in it."""
    node, report = tree(text)
    assert not report.errors, render(report.errors[0])
    return plain(node)


def value(text: str) -> object:
    data = read(f"key: {text}")
    assert isinstance(data, dict)
    return data["key"]


def codes(text: str) -> list[str]:
    """The codes of all that is told of a text."""
    report = Report()
    try:
        parse(Source("test.yaml", text), report)
    except SpecError as error:
        assert list(error.diagnostics) == report.diagnostics
    return [d.code for d in report.diagnostics]


def nodes(node: Node) -> list[Node]:
    below = node.values() if isinstance(node, Mapping) else node if isinstance(
        node, Sequence) else []
    return [node, *(found for item in below for found in nodes(item))]


def at(node: Node) -> str:
    """The text of the source at a node's place."""
    span, text = node.span, node.span.source.text
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return text[starts[span.line - 1] + span.column - 1 :
                starts[span.end_line - 1] + span.end_column - 1]


# ------------------------------------------------------------------------- golden files


# The reader in Python takes `{kernel:[3, 3]}`, as YAML 1.2 does; the one in C does not.
@pytest.mark.parametrize("path", sorted(set(ERRORS.glob("yaml_*.yaml"))
                                        - {ERRORS / "yaml_glued_colon_flow.yaml"}),
                         ids=lambda path: path.stem)
def test_readers_in_c_and_in_python_tell_the_same(path: Path, monkeypatch: pytest.MonkeyPatch):
    text = path.read_text(encoding="utf-8")
    found = codes(text)
    monkeypatch.setattr(compose, "_READER", yaml.SafeLoader)
    assert codes(text) == found


def test_every_code_of_the_yaml_text_is_raised_by_some_test_file_or_test():
    raised = {line.split("[")[1][:5] for path in ERRORS.glob("yaml_*.txt")
              for line in path.read_text(encoding="utf-8").splitlines()
              if line.startswith(("error[F01", "warning[F01", "hint[F01"))}
    elsewhere = {"F0101", "F0102", "F0103", "F0104", "F0116"}  # below in this file
    assert raised | elsewhere == {f"F01{number:02}" for number in range(1, 32)}


# ------------------------------------------------------------------------- the core schema


@pytest.mark.parametrize(("text", "expected"), [
    ("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None), ("nULL", "nULL"),
    ("true", True), ("True", True), ("TRUE", True), ("false", False), ("FALSE", False),
    ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("n", "n"),
    ("0", 0), ("-3", -3), ("+3", 3), ("010", 10), ("08", 8), ("0o17", 15), ("0x1F", 31),
    ("-0o7", "-0o7"), ("0b11", "0b11"), ("1_000", "1_000"), ("12:30", "12:30"),
    ("1e-3", 0.001), ("1E3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-.5", -0.5), ("1.5e+3", 1500.0),
    (".inf", math.inf), ("-.INF", -math.inf), ("+.Inf", math.inf), ("inf", "inf"),
    ("nan", "nan"), ("3e", "3e"), ("1.2.3", "1.2.3"), ("2024-01-01", "2024-01-01"),
    ("٣", "٣"), ("=2 * 3", "=2 * 3"), ("10%", "10%"), ("3 epochs", "3 epochs"),
    ('"1"', "1"), ("'null'", "null"), ('"a\\n\\u00e9"', "a\né"), ("'it''s'", "it's"),
    ("!!str 1", "1"), ("!!int 0x10", 16), ("!!float 1", 1.0), ("!!null ~", None), ("! 7", "7"),
    ("!!bool true", True), ("!!seq [1]", [1]), ("!!map {a: 1}", {"a": 1}),
])
def test_a_scalar_is_read_by_the_core_schema(text: str, expected: object):
    found = value(text)
    assert found == expected and type(found) is type(expected)


def test_nan_is_a_float():
    found = value(".nan")
    assert isinstance(found, float) and math.isnan(found)


def test_block_texts_are_strings():
    assert read("a: |\n  1\n  2\nb: >-\n  x\n  y\n") == {"a": "1\n2\n", "b": "x y"}


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-10**20, 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cc", "Cs"],
                            exclude_characters="\u2028\u2029")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.text("abcdefg_é ", min_size=1, max_size=6), inner, max_size=4),
    max_leaves=20))
@settings(max_examples=60, deadline=None)
def test_json_is_yaml(data: object):
    assert read(json.dumps({"top": data}, ensure_ascii=False)) == {"top": data}


_1_1 = st.text("0123456789+-.:_eExXobaftnyrulsNYT~", min_size=1, max_size=8) | st.sampled_from(
    ["no", "Yes", "ON", "off", "true", "~", "null", ".inf", "0x1f", "1e3", "2024-01-01", "190:20"])


@given(_1_1)
@example("0b_")
@example("0_")
@example("1e-3")
@settings(max_examples=400, deadline=None)
def test_a_value_is_read_as_yaml_1_1_does_or_the_difference_is_told(text: str):
    try:
        here = resolve(text)
    except ValueError:
        return
    try:
        there = yaml.safe_load(text)  # a reader of YAML 1.1
    except (yaml.YAMLError, ValueError):
        return
    if isinstance(there, (str, int, float, bool, type(None))) and (
            type(there), there) != (type(here), here) and not (here != here and there != there):
        assert other_reading(text, here) is not None


@pytest.mark.parametrize("text", ["10", "0", "-7", "1.5", "1.0e-3", "0x10", "true", "null", "~",
                                  ".inf", "-.inf", ".nan", "relu", "07", "00", "=no", "10%", "/no"])
def test_what_all_tools_read_alike_is_not_remarked_on(text: str):
    assert codes(f"key: {text}") == []


@pytest.mark.parametrize("text", ['"no"', "'010'", '"1e-3"'])
def test_a_value_in_quotes_is_not_remarked_on(text: str):
    assert codes(f"key: {text}") == []


def test_keys_are_not_remarked_on():
    assert codes("no: 1\n010: 2\n1e-3: 3\ny: 4\n") == []


@pytest.mark.parametrize(("text", "remedy"), [
    ("no", "`false`"), ("Yes", "`true`"), ("010", "`10`"), ("0o10", "`8`"), ("1_000", "`1000`"),
    ("0b11", "`3`"), ("12:30", '`"12:30"`'), ("1e-3", "`1.0e-3`"), ("1e3", "`1.0e+3`"),
    ("+.5", "`+0.5`"), ("-0x1F", "`-31`"), ("1_0.5", "`10.5`"),
])
def test_a_remark_says_what_to_write(text: str, remedy: str):
    _, report = tree(f"key: {text}")
    assert remedy in report.diagnostics[0].help


def test_only_what_may_be_misread_is_a_warning_and_the_rest_a_hint():
    _, report = tree("a: no\nb: 1e-3\nc: 2024-01-01\nd: 010")
    assert [d.severity for d in report.diagnostics] == ["warning", "hint", "hint", "warning"]


# ------------------------------------------------------------------------- the tree

DOCUMENT = """\
# a comment
plain: some words   # another
"quoted": 'it''s'
list:
  - 1
  - [a, {b: =x + 1}]
block: |
  text
  more
anchored: &here !!str 7
again: *here
empty:
"""


def test_every_scalar_knows_its_text_and_its_place():
    node, _ = tree(DOCUMENT)
    for found in nodes(node):
        if isinstance(found, Scalar):
            assert at(found) == found.text
    assert isinstance(node["plain"], Scalar) and str(node["plain"].span) == "test.yaml:2:8"
    assert at(node["list"]) == "- 1\n  - [a, {b: =x + 1}]"
    items, block = node["list"], node["block"]
    assert isinstance(items, Sequence) and at(items[1]) == "[a, {b: =x + 1}]"
    assert isinstance(block, Scalar) and block.text == "|\n  text\n  more"
    assert at(node).startswith("plain:") and at(node).endswith("again: *here\nempty:")


def test_anchors_and_tags_are_no_part_of_a_place():
    node, _ = tree(DOCUMENT)
    again, anchored = node["again"], node["anchored"]
    assert isinstance(again, Scalar) and isinstance(anchored, Scalar)
    assert (anchored.value, anchored.text, again.value) == ("7", "7", "7")
    assert again.span == anchored.span


def test_keys_know_their_places():
    node, _ = tree(DOCUMENT)
    assert list(node) == list(node.key_spans) == [
        "plain", "quoted", "list", "block", "anchored", "again", "empty"]
    assert str(node.key_spans["list"]) == "test.yaml:4:1"


def test_quoted_tells_whether_the_author_put_quotes():
    node, _ = tree("a: x\nb: 'x'\nc: \"x\"\nd: >\n  x\n")
    assert [found.quoted for found in nodes(node)[1:] if isinstance(found, Scalar)] == [
        False, True, True, True]


def test_the_part_of_a_text_is_found_in_the_source():
    node, _ = tree("a: =x + yy\nb: \"=x + yy\"\nc: \"=\\x78 + yy\"\n")
    parts = [found.part(5, 7) for found in nodes(node) if isinstance(found, Scalar)]
    assert [part.source.line(part.line)[part.column - 1 : part.end_column - 1]
            for part in parts] == ["yy", "yy", '"=\\x78 + yy"']


def test_keys_are_taken_as_they_are_written():
    assert read("1: a\n010: b\ntrue: c\n1.50: d\n\"null\": e\n'x y': f\n") == {
        "1": "a", "010": "b", "true": "c", "1.50": "d", "null": "e", "x y": "f"}


def test_an_alias_gives_a_copy():
    node, _ = tree("a: &x {b: [1]}\nc: *x\n")
    first, second = node["a"], node["c"]
    assert isinstance(first, Mapping) and isinstance(second, Mapping)
    assert plain(first) == plain(second)
    second["more"] = scalar(1, second.span)
    assert "more" not in first and first["b"] is not second["b"]


def test_places_count_characters_and_not_bytes():
    node, _ = tree("漢字: 😀 x\nb: é\n")
    assert node["b"].span.column == 4 and at(node["漢字"]) == "😀 x"


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_any_line_break_ends_a_line(tmp_path: Path, line_break: str):
    path = tmp_path / "a.yaml"
    path.write_bytes(f"a: 1{line_break}b: [2,{line_break}  3]{line_break}".encode())
    node = parse(read_source(path), Report())
    assert plain(node) == {"a": 1, "b": [2, 3]} and node["b"].span.line == 2


@pytest.mark.parametrize(("text", "expected"), [
    ("a: =x # y\n", True), ("a: =x\n# y\n", False), ("a: =x#y\n", False), ("a: '=x' # y\n", False),
    ("a: {b: =x}\n", False), ("a: =x\t#y\n", True), ("a: =x", False),
])
def test_a_comment_after_a_scalar_is_noticed(text: str, expected: bool):
    leaf = nodes(tree(text)[0])[-1]
    assert isinstance(leaf, Scalar) and comment_after(leaf) is expected


@pytest.mark.parametrize(("given", "text"), [
    (None, "null"), (True, "true"), (False, "false"), (3, "3"), (0.5, "0.5"), ("=x", "=x"),
    (1, "1"), (0, "0"),
])
def test_a_scalar_nobody_wrote_reads_as_if_written(given: bool | int | float | str | None,
                                                   text: str):
    made = scalar(given, Source("a", "x").span(0, 1))
    assert (made.value, made.text, made.quoted) == (given, text, False)


# ------------------------------------------------------------------------- traps


@pytest.mark.parametrize(("text", "formula"), [
    ("a: {b: =max(8, w // 2)}", "=max(8, w // 2)"),
    ("a: {b: =x[0], c: 1}", "=x[0]"),
    ("a: {b: =[1, 2]}", "=[1, 2]"),
    ("a: [=min(x, y), 3]", "=min(x, y)"),
    ("a: {b: =x[1: 2]}", "=x[1: 2]"),
    ("a: {b: =y == 'p, q'}", "=y == 'p, q'"),
    ("a: {b: =y == \"p, q\" or z == 'r'}", "=y == \"p, q\" or z == 'r'"),
    ("a: {b: =max(8,\n       w)}", "=max(8, w)"),
    ("a: =x[1: 2]", "=x[1: 2]"),
])
def test_a_formula_that_yaml_cuts_is_the_only_complaint_and_is_then_read_whole(
        text: str, formula: str):
    node, report = tree(text)
    assert [found.code for found in report.diagnostics] == ["F0118"]
    assert formula in [found.value for found in nodes(node) if isinstance(found, Scalar)]


@pytest.mark.parametrize("text", [
    "a: {b: =x + 1, c: =(y)}", "a: [=x, =y]", "a: =max(8, w // 2)", "a: =x[0]",
    "a: {b: '=max(8, w)'}", "- [=(a), b]", "a: {b: =x if y else 'z'}", "a: {b: =x == it's}",
    "a: {b: =x +\n  y}", "a: {b: =x # max(1, 2)\n  }",
])
def test_a_formula_that_yaml_reads_whole_is_left_alone(text: str):
    assert "F0118" not in codes(text)


@pytest.mark.parametrize("text", [
    "a: https://example.org/x", "a:\n  - https://example.org/x", "a: C:\\models", "a: 12:30",
    "a:\n  - 'b:c'", "a: hub:name", "a: {b: c:d}", "a: [host:80]",
])
def test_a_colon_inside_a_value_is_not_a_missing_space(text: str):
    assert "F0119" not in codes(text)


@pytest.mark.parametrize(("text", "expected"), [
    ("a:\n  - b:64", {"a": [{"b": 64}]}),
    ("a:\n  b:64\n  c: 1", {"a": {"b": 64, "c": 1}}),
    ("a:\n  c: 1\n  b:64", {"a": {"c": 1, "b": 64}}),
    ("a: {b:64, c: 1}", {"a": {"b": 64, "c": 1}}),
    ("a: {b:[1, 2]}", {"a": {"b": [1, 2]}}),
    ("a:\n  -b\n", {"a": ["b"]}),
    ("a:\n  - b\n  -c: 1\n", {"a": ["b", {"c": 1}]}),
    ("a:\n  - relu\n    name: x", {"a": [{"relu": None, "name": "x"}]}),
    ("a:\n  - relu\n      name: x", {"a": [{"relu": None, "name": "x"}]}),
    ("a:\n  - conv\n      filters: 3", {"a": [{"conv": {"filters": 3}}]}),
    ("a:\n  - relu # why\n      name: x", {"a": [{"relu": None, "name": "x"}]}),
    ("a: {b: 1 c: 2}", {"a": {"b": 1, "c": 2}}),
    ("a: {b: [1] c: 2}", {"a": {"b": [1], "c": 2}}),
    ("a: @x", {"a": "@x"}),
    ("a: [%x, 1]", {"a": ["%x", 1]}),
    ("a: >5", {"a": ">5"}),
    ("a: ? b", {"a": "? b"}),
    ("a: Very deep: an \"example\"", {"a": "Very deep: an \"example\""}),
])
def test_a_mistake_that_is_recognised_is_told_once_and_read_past(text: str, expected: object):
    node, report = tree(text)
    assert len(report.errors) == 1
    assert plain(node) == expected


def test_places_after_a_mend_are_those_of_the_author():
    node, _ = tree("a: {b:64, c: =max(1, 2), d: 5}\ne: {f:1}\n")
    inner = node["a"]
    assert isinstance(inner, Mapping)
    assert {key: at(found) for key, found in inner.items()} == {
        "b": "64", "c": "=max(1, 2)", "d": "5"}
    formula = inner["c"]
    assert isinstance(formula, Scalar) and formula.text == "=max(1, 2)" and not formula.quoted
    assert at(formula) == formula.text and formula.part(1, 4).column == 15
    assert at(node["e"]) == "{f:1}"


def test_every_mistake_of_a_file_is_told_at_once_in_the_order_of_lines():
    report = Report()
    parse(read_source(ERRORS / "yaml_several.yaml"), report)
    lines = [d.labels[0].span.line for d in report.diagnostics]
    assert len(lines) == 5 and lines == sorted(lines)


@pytest.mark.parametrize("text", [
    "a: &x *x", "a: [1, 2] b", "a: b\n...\nc: d", "a: 1\n- b", "%FOO\n---\na: 1",
    "%YAML 3.0\n---\na: 1", "- a\n - b: 1", "a: &", "a: !<", "a: [1, 2}", "a: }", "a: \"\\xZ\"",
    "a: \"\\ud800\"", "a: {x: y: 1}", "a: {b: 1,, c: 2}", "? [a]\n: b", "a b\n  c: 1",
])
def test_whatever_stops_yaml_is_told_with_a_place_and_without_its_jargon(text: str):
    report = Report()
    with pytest.raises(SpecError):
        parse(Source("a.yaml", text), report)
        report.check()
    for found in report.errors:
        assert found.labels and (found.help or found.notes)
        assert "block mapping" not in render(found) and "scalar" not in render(found)


def test_the_reserved_words_are_those_of_the_language():
    assert set(MODIFIERS) == set(RESERVED_WORDS)


# ------------------------------------------------------------------------- limits


def test_depth_is_limited_and_the_limit_can_be_reached():
    assert codes("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)) == []
    assert codes("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH) == ["F0115"]
    chain = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 99))
    assert codes(chain) == ["F0115"]


def test_what_aliases_stand_for_is_limited_and_the_limit_can_be_reached():
    hundred = "a: &a [" + "1," * 99 + "]\n"  # with the list itself a hundred values
    assert codes(hundred + "b: [" + "*a," * (MAX_ALIASED // 100) + "]") == []
    assert codes(hundred + "b: [" + "*a," * (MAX_ALIASED // 100 + 1) + "]") == ["F0114"]


def test_the_number_of_values_is_limited():
    assert codes("a: [" + "1," * MAX_NODES + "]") == ["F0116"]


def test_the_errors_told_of_one_file_are_limited():
    assert len(codes("{" + "a: 1, " * 1000 + "}")) == MAX_ERRORS


@pytest.mark.parametrize("text", [
    "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n"
        for i in range(20)),
    "[" * 1000, "{" * 1000, "{a: " * 250, "- " * 500, "? " * 500, "[{" * 500, "((" * 500,
    "".join(" " * i + "a:\n" for i in range(70)),
    "".join(f"- filters:{i}\n" for i in range(70)),
    "a: {b: =" + "(" * 1000, "a: {b: =" + "[" * 1000, "a: '" + "''" * 500, "a: " + '"' * 1001,
    "a: " + "9" * 1000, "a: " + "! " * 400, "a: " + "&a " * 300, "a: 1\n" + "\t\n" * 500,
    "a: " * 300, "{a, " * 300, "a: 'x\" " * 100, "!x \\'\" [c: d\n" * 60, "*a" * 400,
])
def test_a_small_file_that_grows_without_end_gets_a_complaint(text: str):
    assert codes(text)


# ------------------------------------------------------------------------- files


def told(path: Path) -> tuple[str, str]:
    """Code and text of the only complaint about a file."""
    with pytest.raises(SpecError) as raised:
        parse(read_source(path, path.name), Report())
    (found,) = raised.value.diagnostics
    return found.code, render(found)


NASTY = [
    ("empty", b"", "F0106", "is empty"),
    ("blank", b"\n\n  \n", "F0106", "is empty"),
    ("comments", b"# x\n# y", "F0106", "nothing but comments"),
    ("start only", b"---\n", "F0106", "nothing but comments"),
    ("binary", bytes(range(256)), "F0104", "not a text file"),
    ("utf-16", "a: 1".encode("utf-16"), "F0104", "UTF-16"),
    ("utf-16 without a mark", "a: 1".encode("utf-16-le"), "F0104", "not a text file"),
    ("latin-1", "a: 1\nb: caf\xe9".encode("latin-1"), "F0104", "0xe9"),
    ("surrogate", b"a: \xed\xa0\x80", "F0104", "not UTF-8"),
    ("nul", b"a: \0", "F0104", "not a text file"),
    ("escape", b"a: \x1b[2J", "F0105", "U+001B"),
    ("line separator", "a: x\u2028y".encode(), "F0105", "U+2028"),
    ("written nul", b'a: "\\0"', "F0105", "U+0000"),
    ("written surrogate", b'a: "\\ud800"', "F0128", "stands for no character"),
    ("too large", b"a: " + b"x" * (MAX_BYTES - 2), "F0103", "larger than 1 MiB"),
    ("list", b"- a", "F0107", "map of sections"),
    ("word", b"hello", "F0107", "map of sections"),
    ("two documents", b"a: 1\n---\nb: 1", "F0108", "second document"),
    ("python tag", b"a: !!python/object/apply:os.system [ls]", "F0111", "python"),
    ("local tag", b"a: !x y", "F0111", "`!x`"),
    ("tagged map", b"a: !!omap [b: 1]", "F0111", "`!!omap`"),
    ("wrong tag", b"a: !!int x", "F0111", "what its tag says"),
    ("cycle", b"a: &a [*a]", "F0113", "contains itself"),
    ("cycle of maps", b"a: &a {b: {c: *a}}", "F0113", "contains itself"),
    ("digits", b"a: " + b"9" * 5000, "F0117", "5,000 characters"),
    ("merge", b"a: {<<: {b: 1}}", "F0125", "merge"),
    ("null key", b"{~: 1}", "F0110", "null"),
    ("map as key", b"{{a: 1}: 2}", "F0110", "map or a list"),
    ("duplicate", b'{1: a, "1": b}', "F0109", "given twice"),
]


@pytest.mark.parametrize(("data", "code", "words"), [case[1:] for case in NASTY],
                         ids=[case[0] for case in NASTY])
def test_a_nasty_file_is_refused_with_its_reason(tmp_path: Path, data: bytes, code: str,
                                                 words: str):
    path = tmp_path / "nasty.yaml"
    path.write_bytes(data)
    report = Report()
    try:
        parse(read_source(path, "nasty.yaml"), report)
        found = report.errors
    except SpecError as error:
        found = error.diagnostics
    assert [d.code for d in found] == [code]
    assert words in render(found[0])


def test_a_file_of_the_largest_size_is_read(tmp_path: Path):
    path = tmp_path / "large.yaml"
    path.write_bytes(b"a: " + b"x" * (MAX_BYTES - 3))
    assert len(read_source(path).text) == MAX_BYTES


def test_a_byte_order_mark_is_accepted(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert plain(parse(read_source(path), Report())) == {"a": 1}


def test_a_path_that_is_not_there_suggests_the_one_that_is(tmp_path: Path):
    (tmp_path / "resnet.yaml").write_text("a: 1")
    code, text = told(tmp_path / "resnt.yaml")
    assert code == "F0102" and "did you mean `resnet.yaml`?" in text
    code, text = told(tmp_path / "missing" / "resnet.yaml")
    assert code == "F0102" and "there is no folder" in text


def test_a_folder_and_an_impossible_path_are_told(tmp_path: Path):
    assert "is a folder" in told(tmp_path)[1]
    assert told(tmp_path / "a\0b")[0] == "F0102"
    assert told(tmp_path / ("x" * 5000))[0] == "F0102"


# ------------------------------------------------------------------------- --set


@pytest.mark.parametrize(("text", "expected"), [
    ("3", 3), ("1e-3", 0.001), ("[2, 2]", [2, 2]), ("{a: 1}", {"a": 1}), ("", None), (" ", None),
    ("=max(8, w)", "=max(8, w)"), ("no", "no"), ("'x'", "x"), ("conv: {filters: 3}",
                                                              {"conv": {"filters": 3}}),
])
def test_a_value_from_the_command_line(text: str, expected: object):
    report = Report()
    assert plain(parse_value(text, "--set a=VALUE", report)) == expected
    assert not report.errors


@pytest.mark.parametrize("text", ["[1, 2", "#fff", "{a: 1", "\udcff", "a\0", "'x", "*x", "a: b: c"])
def test_a_value_from_the_command_line_that_is_not_yaml_shows_what_was_typed(text: str):
    with pytest.raises(SpecError) as raised:
        parse_value(text, "--set a=VALUE", Report())
    assert "--set a=VALUE:1:" in str(raised.value)


# ------------------------------------------------------------------------- anything at all

PIECES = st.sampled_from([
    "[", "]", "{", "}", ":", ": ", ", ", '"', "'", "#", " #", "\n", "\n  ", "\n    ", "- ", "-",
    "=", "=max(1, 2)", "=a[0]", "&a ", "*a", "!x ", "|", ">", "%", "@", "`", "\t", "? ", "<<",
    "---\n", "...\n", "\\", "no", "010", "1e-3", "~", "a:1", "relu\n    name: a", "\u2028", "\r",
    "é", "漢", "a", "b ", "c: d\n", "- e\n", "null: ", "!!int ", "\x00", "\ud800",
])


@given(st.text(max_size=60) | st.lists(PIECES, max_size=40).map("".join))
@example("!x \\'\"\n[c: d\n'\"")
@settings(max_examples=300, deadline=None)
def test_any_text_gives_a_tree_or_a_complaint(text: str):
    report = Report()
    try:
        assert isinstance(parse(Source("any.yaml", text), report), Mapping)
    except SpecError as error:
        assert error.diagnostics
    for found in report.diagnostics:
        json.dumps(as_json(found))
        render(found).encode()


@given(st.binary(max_size=80))
@settings(max_examples=100, deadline=None)
def test_any_bytes_give_a_source_or_a_complaint(tmp_path_factory: pytest.TempPathFactory,
                                                data: bytes):
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(data)
    try:
        assert isinstance(parse(read_source(path), Report()), Mapping)
    except SpecError as error:
        assert error.diagnostics
