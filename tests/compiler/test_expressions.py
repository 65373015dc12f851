"""Formulas: what they mean, what they refuse, and that nothing makes them hang."""

from __future__ import annotations

import ast
import inspect
import operator
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.diagnostics import CODES
from compiler.expressions import Formula, FormulaError, evaluate, is_formula, parse_formula
from compiler.expressions.tree import (
    MAX_INT,
    MAX_TEXT,
    Attribute,
    Binary,
    Call,
    Comparison,
    Conditional,
    Constant,
    Expression,
    Index,
    ListOf,
    Logic,
    Name,
    Slice,
    Unary,
)

PAGE = Path(__file__).parents[2] / "docs" / "formulas.md"


class Tensor:
    """What the elaborator puts into a scope for a tensor."""

    formula_attributes = ("shape", "channels", "length")

    def formula_attribute(self, name: str) -> object:
        if name == "shape":
            return (56, 56, 64)
        if name == "channels":
            return 64
        if name == "length":
            raise AttributeError("this tensor has no time axis, so no .length")
        raise AttributeError(f"a tensor has no `{name}`")


class Layer:
    """What the elaborator puts into a scope for a named layer with inner names."""

    formula_attributes = ("memory", "last")

    def formula_attribute(self, name: str) -> object:
        if name == "memory":
            return Tensor()
        raise AttributeError(f"encoder has no `{name}`")


SCOPE: dict[str, object] = {
    "width": 64, "stage": 2, "unit": 0, "stride": 1, "ratio": 0.25, "wide": True,
    "kind": "bottleneck", "depths": [3, 4, 6, 3], "nothing": None,
    "row": {"filters": 32, "kernel": 3}, "expansion": {"basic": 1, "bottleneck": 4},
    "x": Tensor(), "encoder": Layer(),
}


def value(text: str, **scope: object) -> object:
    return evaluate(parse_formula(text), {**SCOPE, **scope})


def error(text: str, **scope: object) -> FormulaError:
    with pytest.raises(FormulaError) as caught:
        value(text, **scope)
    assert 0 <= caught.value.start <= caught.value.end <= len(text)
    return caught.value


# ------------------------------------------------------------------------ the page for users


def rows(form: str) -> list[tuple[str, str]]:
    found = re.findall(form, PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) > 10
    return found


@pytest.mark.parametrize(("text", "wanted"), rows(r"^\| `=(.+?)` \| `(.+?)` \|"))
def test_every_example_of_the_page_gives_the_value_beside_it(text: str, wanted: str) -> None:
    wanted_value = value(wanted)
    found = value(text)
    assert found == wanted_value
    assert type(found) is type(wanted_value)


@pytest.mark.parametrize(("text", "code", "message"),
                         re.findall(r"^\| `=(.+?)` \| (F\d+) \| (.+?) \|$", PAGE.read_text(), re.M))
def test_every_error_of_the_page_reads_as_it_says(text: str, code: str, message: str) -> None:
    found = error(text)
    assert (found.code, found.message) == (code, message)
    assert code in CODES


# ------------------------------------------------------------------------ reading


def test_a_formula_begins_with_the_equals_sign() -> None:
    assert is_formula("=width")
    assert not is_formula("width = 3")
    assert not is_formula("")


def test_names_are_the_first_segments_that_are_read() -> None:
    formula = parse_formula("max(encoder.memory.shape[i], [width][0]) if null == unit else 'x'")
    assert formula.names == {"encoder", "i", "width", "unit"}


def test_the_same_text_is_parsed_once() -> None:
    assert parse_formula("width + 1") is parse_formula("width + 1")
    assert isinstance(parse_formula("width + 1"), Formula)


def test_blanks_and_line_breaks_between_words_mean_nothing() -> None:
    assert value("  64\n  if stage\t== 2 else\n 1 ") == 64
    assert value("3 not\n in [1]") is True


@pytest.mark.parametrize("word", ["inner", "android", "order", "notes", "iffy", "nullable", "né"])
def test_a_name_may_begin_with_a_keyword_or_hold_any_letters(word: str) -> None:
    assert value(f"not {word}", **{word: False}) is True
    assert parse_formula(word).names == {word}


def test_a_function_name_may_be_a_param_too() -> None:
    assert value("max(max, 3)", max=7) == 7


@pytest.mark.parametrize(("text", "marked"), [
    ("a + ", "+"), ("a if b", "b"), ("a if b else", "else"), ("max(8", "("), ("(a + [b", "["),
    ("x.", "."), ("a == 'b", "'b"), ("not", "not"), ("depths[1:", "["), ("", ""),
])
def test_a_text_that_stops_early_says_that_it_is_cut(text: str, marked: str) -> None:
    found = error(text)
    assert found.code == "F0301"
    assert found.cut
    assert found.message.startswith(("the formula ends", "the formula is empty"))
    assert text[found.start : found.end] == marked


@pytest.mark.parametrize(("text", "marked", "message", "help"), [
    ("a)", ")", "closes nothing", ""),
    ("(a]", "]", "does not close `(`", ""),
    ("a b", "b", "an operator is missing", ""),
    ("1 + * 2", "*", "a value is missing", ""),
    ("()", ")", "a value is missing", ""),
    ("depths[]", "]", "a value is missing", ""),
    ("(1, 2)", ",", "comma", "`[a, b]`"),
    ("a : b", ":", "`:` has no meaning", "a[1:3]"),
    ("1 == not a", "not", "too close", "(not a)"),
    ("a else b", "else", "no `if`", ""),
    ("(a if b)", ")", "`else` is missing", "a if condition else b"),
    ("[d * 2 for d in depths]", "for", "no `for`", "each"),
    ("sum(d for d in depths)", "for", "no `for`", "each"),
    ("a is null", "is", "no `is`", "== null"),
    ("a && b", "&&", "no meaning", "`and`"),
    ("a ≤ b", "≤", "no meaning", "`<=`"),
    ("{'a': 1}", "{", "no meaning", "no maps"),
    ("max(a, key=b)", "=", "no meaning", "no named values"),
    ("a # why", "#", "no meaning", "no comments"),
    ("a \x00", "\x00", r"`\x00` has no meaning", ""),
    ("2x", "2x", "not a number", "2 * x"),
    ("1_000", "1_000", "not a number", ""),
    ("0x10", "0x10", "not a number", ""),
    (r"'a\d'", r"\d", "means nothing", ""),
])
def test_a_syntax_error_marks_the_word_and_says_what_to_write(
    text: str, marked: str, message: str, help: str
) -> None:
    found = error(text)
    assert found.code == "F0301"
    assert not found.cut
    assert text[found.start : found.end] == marked
    assert message in found.message
    assert help in found.help


# ------------------------------------------------------------------------ meaning


def test_the_branch_not_taken_is_not_evaluated() -> None:
    assert value("1 if wide else absent") == 1
    assert value("wide or absent") is True
    assert value("not wide and absent") is False
    assert value("2 < 1 < absent") is False


def test_slices_of_lists_and_strings_are_those_of_python() -> None:
    for bounds in ("1:", ":-1", "::2", "-2:", "5:1:-1", ":", "9:", "1:3:1"):
        assert value(f"depths[{bounds}]") == eval(f"[3, 4, 6, 3][{bounds}]")
        assert value(f"kind[{bounds}]") == eval(f"'bottleneck'[{bounds}]")


def test_strings_keep_what_is_quoted() -> None:
    assert value(r"'it\'s'") == "it's"
    assert value('"a = b, c # d"') == "a = b, c # d"
    assert value(r"'a\n\\b'") == "a\n\\b"


def test_a_bool_is_no_number_and_equals_none() -> None:
    assert value("1 == true or 0 == false or [1] == [true]") is False
    assert value("true in [0, 1]") is False
    assert value("1 == 1.0 and [1, [2]] == [1.0, [2.0]]") is True
    assert "int(a)" in error("wide + 1").help
    for text in ("-wide", "wide < 1", "depths[wide]", "range(wide)", "sum([wide])", "'a' * wide"):
        assert error(text).code == "F0303"


def test_values_of_different_kinds_differ_but_have_no_order() -> None:
    assert value("'1' != 1 and null != 0 and [] != '' and row != []") is True
    found = error("1 < 'a'")
    assert (found.code, found.message) == ("F0303", "cannot order int and string")
    assert error("[1] < [2]").code == "F0303"
    assert error("max([1, 'a'])").code == "F0303"


def test_ints_stay_exact() -> None:
    assert value("3**39 // 3**38") == 3
    assert value("4611686018427387905 + 1") == 2**62 + 2
    assert value("2**63") == 2**63
    assert error("2**63 + 1").code == "F0306"
    assert error("-2**63 - 1").code == "F0306"


def test_zip_and_range_are_lists() -> None:
    assert value("zip(range(2), depths[:2])[1][0]") == 1
    assert value("range(2) + [7]") == [0, 1, 7]
    assert value("range(9223372036854775807, 9223372036854775805, -1)") == [2**63 - 1, 2**63 - 2]


@pytest.mark.parametrize(("text", "code", "marked"), [
    ("width // (unit * 2)", "F0304", "unit * 2"),
    ("1 % 0", "F0304", "0"),
    ("0 ** -1", "F0304", "0 ** -1"),
    ("(-8) ** 0.5", "F0304", "(-8) ** 0.5"),
    ("1 + depths[1 + 3] * 2", "F0304", "1 + 3"),
    ("depths[-5]", "F0304", "-5"),
    ("[][0]", "F0304", "0"),
    ("depths[1:2:0]", "F0304", "0"),
    ("range(1, 2, 0)", "F0304", "0"),
    ("max([])", "F0304", "max([])"),
    ("int('a')", "F0304", "'a'"),
    ("zip(depths, [1])", "F0304", "[1]"),
    ("depths[1.0]", "F0303", "1.0"),
    ("width[0]", "F0303", "width"),
    ("row[:1]", "F0303", "row"),
    ("1 in 2", "F0303", "2"),
    ("depths + 1", "F0303", "depths + 1"),
    ("len(3)", "F0303", "3"),
    ("range(width / 2)", "F0303", "width / 2"),
    ("sum(['a'])", "F0303", "['a']"),
    ("max(3)", "F0303", "3"),
    ("len(depths, 1)", "F0303", "len(depths, 1)"),
    ("range()", "F0303", "range()"),
    ("-kind", "F0303", "-kind"),
    ("not width", "F0303", "width"),
    ("nothing + 1", "F0303", "nothing + 1"),
    ("depths.append", "F0305", "append"),
    ("depths.append(3)", "F0305", "append"),
    ("width(3)", "F0305", "width"),
    ("row['filter']", "F0305", "'filter'"),
    ("row.filter", "F0305", "filter"),
    ("expansion.bottleneck.size", "F0305", "size"),
    ("2 ** 100", "F0306", "2 ** 100"),
    ("99999999999999999999", "F0306", "99999999999999999999"),
    ("1e999", "F0306", "1e999"),
    ("1e308 * 10", "F0306", "1e308 * 10"),
    ("int(1e30)", "F0306", "int(1e30)"),
    ("round(3, -10**9)", "F0306", "-10**9"),
])
def test_an_error_marks_the_smallest_part_that_is_wrong(text: str, code: str, marked: str) -> None:
    found = error(text)
    assert found.code == code
    assert text[found.start : found.end] == marked
    assert found.message
    assert found.code in CODES


def test_an_unknown_name_is_told_with_the_nearest_and_those_in_scope() -> None:
    found = error("2 * widht")
    assert found.code == "F0302"
    assert found.label == "did you mean `width`?"
    assert "width" in found.help
    many = evaluate_error("a", {f"name_{i:02}": i for i in range(30)})
    assert "name_11, …" in many.help and "name_12" not in many.help
    assert "is a function" in error("len").message
    assert error("sun([1])").label == "did you mean `sum`?"


def evaluate_error(text: str, scope: dict[str, object]) -> FormulaError:
    with pytest.raises(FormulaError) as caught:
        evaluate(parse_formula(text), scope)
    return caught.value


# ------------------------------------------------------------------------ tensors and layers


def test_tensors_give_their_sizes_through_layers_too() -> None:
    assert value("encoder.memory.shape[-1] + x.channels") == 128
    assert value("(x if wide else encoder.memory).channels") == 64


@pytest.mark.parametrize("text", ["x", "x + 1", "[x]", "x == x", "len(x)", "x[0]", "-x", "x in [1]",
                                  "encoder.memory", "x if wide else 1", "x and wide"])
def test_a_bare_tensor_is_not_a_value(text: str) -> None:
    found = error(text)
    assert found.code == "F0303"
    assert found.message == "a tensor is not a value; read its .shape, .channels or .length"


def test_a_bare_layer_is_not_a_value_either() -> None:
    assert error("encoder").message == "a layer is not a value; read its .memory or .last"


def test_an_unknown_attribute_is_told_in_the_words_of_its_owner() -> None:
    found = error("1 + x.chanels")
    assert (found.code, found.label) == ("F0305", "did you mean `channels`?")
    assert found.message == "a tensor has no `chanels`"
    assert "x.chanels"[found.start - 4 : found.end - 4] == "chanels"
    assert error("x.length").message == "this tensor has no time axis, so no .length"


def test_subclasses_of_plain_values_are_taken_for_what_they_extend() -> None:
    class Marked(str):
        pass

    assert value("kind + '!'", kind=Marked("a")) == "a!"
    found = value("sizes", sizes=(1, 2))
    assert found == [1, 2] and type(found) is list
    assert value("pairs[0] + [3]", pairs=[(1, 2)]) == [1, 2, 3]


# ------------------------------------------------------------------------ limits


def nested(depth: int) -> Any:
    made: Any = 1
    for _ in range(depth):
        made = [made]
    return made


def doubled(times: int) -> Any:
    """A list of 2**times elements that takes no room, as a chain of `let` can make it."""
    made: Any = [1]
    for _ in range(times):
        made = [made, made]
    return made


@pytest.mark.parametrize("text", [
    "9**9**9", "2**-2**62 * 9**9**9", "(-9)**(10**18)", "10**400", "range(2**62)",
    "range(-2**63, 2**63)", "[0] * 2**62", "'a' * 2**62", "2**62 * [0]",
    "[[[0] * 1000] * 1000] * 1000", "['a' * 10000] * 100000",
    "zip(range(90000), range(90000))", "zip(" * 40 + "range(9999)" + ")" * 40,
    "[" + "range(100000)," * 120 + "]", "[" + "sum(range(99999))," * 100 + "]",
    "range(60000) + range(60000)", "sum(" + "+".join(["range(99999)"] * 100) + ")",
    "big == again", "big in [again]", "[big]", "big + [1]", "zip(big, big)", "deep == deeper",
    "[deep]", "deep * 2",
    "(" * 1000, "(" * 900 + "1" + ")" * 900, "[" * 900 + "]" * 900, "-" * 1900 + "1",
    "not " * 450 + "true", "1" + "**1" * 600, "1 if true else " * 130 + "1", "a" + "[0]" * 600,
    "a" + ".b" * 900, "len(" * 400, "1" * 1999, "1" + " " * 2000, "round(1.5, 10**15)",
    "depths[2**70]",
])
def test_what_is_too_large_is_refused_before_it_is_made(text: str) -> None:
    scope = {"big": doubled(60), "again": doubled(60), "deep": nested(5000), "deeper": nested(5000),
             "a": nested(1)}
    begin = time.perf_counter()
    found = error(text, **scope)
    assert time.perf_counter() - begin < 2
    assert found.code == ("F0301" if found.cut else "F0306")


def test_long_flat_formulas_are_no_nested_ones() -> None:
    assert value("+".join(["1"] * 900)) == 900
    assert value(" and ".join(["wide"] * 200)) is True
    assert value("1" + " < 2" * 1 + " != 1" * 300) is False
    assert value("[" + "1, " * 600 + "]") == [1] * 600
    assert error("1" + " " * MAX_TEXT).code == "F0306"


def deepest(step: str) -> str:
    """The longest chain of `step` in itself that is accepted."""
    text = "1"
    while True:
        try:
            parse_formula(step.format(text))
        except FormulaError:
            return text
        text = step.format(text)


def test_the_deepest_formula_leaves_the_stack_to_its_caller() -> None:
    leaning_right = deepest("max({}, 1 if 2 + 1 == 3 and wide else 0)")
    leaning_left = deepest("(int({}) + 1 > 0 and wide or wide if wide else wide)")
    limit = sys.getrecursionlimit()
    parse_formula.cache_clear()
    try:
        sys.setrecursionlimit(len(inspect.stack(0)) + 350)
        for heavy in (
            leaning_right, leaning_left, "(" * 49 + "1" + ")" * 49, "[" * 49 + "]" * 49,
            "min(1," * 49 + "1" + ")" * 49, "-" * 49 + "1", "1 if wide else " * 49 + "1",
        ):
            evaluate(parse_formula(heavy), SCOPE)
    finally:
        sys.setrecursionlimit(limit)


def test_infinities_from_outside_do_not_pass_through_arithmetic() -> None:
    for text in ("a + 1", "int(a)", "round(a)", "sum([a])", "-a", "float(a)", "a // 1"):
        for wrong in (float("inf"), float("nan")):
            assert error(text, a=wrong).code in ("F0304", "F0306")
    assert error("a + 0.5", a=10**400).code == "F0306"
    assert error("a / 3", a=10**400).code == "F0306"
    assert error("sum([a, 0.5])", a=10**400).code == "F0306"


def test_a_formula_of_a_loop_takes_microseconds() -> None:
    formula = parse_formula("2 if unit == 0 and stage > 0 else 1")
    best = min(_seconds(formula) for _ in range(20))
    assert best / 500 < 20e-6


def _seconds(formula: Formula) -> float:
    begin = time.perf_counter()
    for _ in range(500):
        evaluate(formula, SCOPE)
    return time.perf_counter() - begin


# ------------------------------------------------------------------------ properties

WORDS = [
    "0", "1", "2", "3.5", "1e3", "64", "9", "'a'", '""', "True", "False", "None", "width", "depths",
    "kind", "row", "x", "wide", "shape", "filters", "channels", "absent", "+", "-", "*", "/", "//",
    "%", "**", "==", "!=", "<", "<=", ">", ">=", "and", "or", "not", "in", "if", "else", "(", ")",
    "[", "]", ",", ":", ".", "len", "min", "max", "range", "zip", "sum", "int", "float", "round",
    "range(", "zip(", "len(", "[0]", ".shape", "[1:]", "(width)", "* 9", "** 9",
]
MISTAKES = ["for", "is", "=", "&&", "'", "2x", "{", "#"]


def soups(words: list[str], size: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(words), min_size=1, max_size=size).map(" ".join)


@settings(max_examples=400, deadline=2_000)
@given(
    soups(WORDS + MISTAKES, 25) | st.text(max_size=40) | st.text("()[]+-*'\". a1,:=", max_size=60)
)
def test_any_text_has_a_value_or_an_error_with_a_place(text: str) -> None:
    try:
        evaluate(parse_formula(text), SCOPE)
    except FormulaError as found:
        assert found.code in CODES
        assert found.message
        assert 0 <= found.start <= found.end <= len(text)


def bracketed(node: Expression) -> str:
    """Python text for a tree of ours, with brackets around every part."""
    match node:
        case Constant():
            return repr(node.value)
        case Name():
            return node.name
        case ListOf():
            return f"[{', '.join(map(bracketed, node.elements))}]"
        case Attribute():
            return f"({bracketed(node.owner)}).{node.name}"
        case Index():
            return f"({bracketed(node.owner)})[{bracketed(node.index)}]"
        case Slice():
            parts = ("" if part is None else f"({bracketed(part)})" for part in node.parts)
            return f"({bracketed(node.owner)})[{':'.join(parts)}]"
        case Call():
            return f"{node.function}({', '.join(map(bracketed, node.arguments))})"
        case Unary():
            return f"({node.operator} ({bracketed(node.operand)}))"
        case Binary():
            return f"(({bracketed(node.left)}) {node.operator} ({bracketed(node.right)}))"
        case Comparison():
            rest = (f"{sign} ({bracketed(operand)})" for sign, operand in node.rest)
            return f"(({bracketed(node.first)}) {' '.join(rest)})"
        case Logic():
            return f"({f' {node.operator} '.join(f'({bracketed(o)})' for o in node.operands)})"
        case Conditional():
            parts = (bracketed(part) for part in (node.yes, node.condition, node.no))
            return "(({}) if ({}) else ({}))".format(*parts)


def tree(text: str) -> str:
    return ast.dump(ast.parse(text.strip(), mode="eval"))


operands = st.sampled_from(["1", "2.5", "'a'", "True", "a", "b", "depths[0]", "x.shape", "[a, 1]"])
signs = st.sampled_from(
    [*"+ - * / // % ** == != < <= > >= and or in".split(), "not in", "if a else", "if"]
)
pieces = st.tuples(st.sampled_from(["", "-", "not ", "+"]), operands, signs)


@settings(max_examples=400, deadline=None)
@given(st.lists(pieces, min_size=1, max_size=7), operands)
def test_operators_bind_as_in_python(parts: list[tuple[str, str, str]], last: str) -> None:
    text = " ".join(f"{prefix}{operand} {sign}" for prefix, operand, sign in parts) + f" {last}"
    try:
        wanted = tree(text)
    except SyntaxError:
        with pytest.raises(FormulaError):
            parse_formula(text)
        return
    assert tree(bracketed(parse_formula(text).root)) == wanted


@settings(max_examples=400, deadline=None)
@given(soups(WORDS, 8))
def test_what_we_accept_python_reads_the_same_way(text: str) -> None:
    try:
        root = parse_formula(text).root
    except FormulaError:
        return
    if re.search(r"\. (and|or|not|in|if|else|True|False|None)\b", text):
        return  # a key of a map may be a keyword here, as in `row.in`
    assert tree(bracketed(root)) == tree(text)


class Refused(Exception):
    """The reference, too, finds no value."""


SIGNS: dict[str, Any] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "//": operator.floordiv, "%": operator.mod, "**": operator.pow,
}
ORDERS: dict[str, Any] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}


def limited(found: Any) -> Any:
    if isinstance(found, complex) or (found != found) or abs(found) in (float("inf"),):
        raise Refused
    if isinstance(found, int) and abs(found) > MAX_INT:
        raise Refused
    return found


def combined(sign: str, left: tuple[str, Any], right: tuple[str, Any]) -> tuple[str, Any]:
    """The text of an operation, and what Python makes of it, or Refused."""
    text = f"({left[0]} {sign} {right[0]})"
    if Refused in (left[1], right[1]):
        return text, Refused
    if sign == "**" and isinstance(left[1], int) and abs(left[1]) > 1 and right[1] > 64:
        if isinstance(right[1], int):
            return text, Refused  # which Python would compute to the last digit
    try:
        return text, limited(SIGNS[sign](left[1], right[1]))
    except (ArithmeticError, Refused):
        return text, Refused


numbers = st.one_of(
    st.integers(0, 12), st.integers(0, 2**63), st.floats(0, 1e9), st.floats(0, allow_infinity=False)
).map(lambda number: (repr(number), number))
arithmetic = st.recursive(
    numbers,
    lambda inner: st.builds(combined, st.sampled_from(sorted(SIGNS)), inner, inner)
    | inner.map(lambda part: (f"(-{part[0]})", part[1] if part[1] is Refused else -part[1])),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(arithmetic)
def test_arithmetic_agrees_with_python(example: tuple[str, Any]) -> None:
    text, wanted = example
    try:
        found = value(text)
    except FormulaError as refused:
        assert wanted is Refused, f"{text} is {wanted!r} in Python, not {refused.message}"
        return
    assert wanted is not Refused
    assert repr(found) == repr(wanted)


@settings(max_examples=200, deadline=None)
@given(arithmetic, st.sampled_from(sorted(ORDERS)), arithmetic)
def test_comparison_agrees_with_python(left: Any, sign: str, right: Any) -> None:
    if Refused in (left[1], right[1]):
        return
    assert value(f"{left[0]} {sign} {right[0]}") is ORDERS[sign](left[1], right[1])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-50, 50), max_size=8), st.integers(-9, 9), st.integers(-9, 9),
       st.integers(-4, 4))
def test_lists_agree_with_python(items: list[int], first: int, last: int, step: int) -> None:
    scope = {"items": items, "first": first, "last": last, "step": step}
    names = {**scope, "__builtins__": {"len": len, "sum": sum, "range": range, "max": max}}
    for text in ("items[first:last]", "items[first:]", "items + [first]", "items * last",
                 "first in items", "len(items)", "sum(items)", "items == items[:last]"):
        assert value(text, **scope) == eval(text, names), text
    if step:
        assert value("range(first, last, step)", **scope) == list(range(first, last, step))
        assert value("items[first:last:step]", **scope) == items[first:last:step]
    if items:
        assert value("[min(items), max(items)]", **scope) == [min(items), max(items)]
