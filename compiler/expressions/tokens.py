"""The words of a formula: numbers, strings, names, operators, each with its place."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

from compiler.expressions.tree import LIMIT, MAX_INT, SYNTAX, FormulaError


class Token(NamedTuple):
    """One word.

    Attributes:
        kind: "constant", "name", "end", or the operator or keyword itself.
        text: as written; "" at the end.
        start: offset of the first character.
        end: offset after the last character.
        value: what a constant stands for.
    """

    kind: str
    text: str
    start: int
    end: int
    value: int | float | str | bool | None = None


KEYWORDS = frozenset({"and", "or", "not", "in", "not in", "if", "else"})
CONSTANTS = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None,
}

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)
  | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
  | (?P<word>not\s+in\b|[^\W\d]\w*)
  | (?P<symbol>\*\*|//|==|!=|<=|>=|[-+*/%<>()\[\],:.])
  | (?P<foreign>&&|\|\||.)
    """,
    re.VERBOSE | re.DOTALL,
)
_AFTER_NUMBER = re.compile(r"[\w.]+")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t"}

# What people write who come from another language or a word processor.
_FOREIGN = {
    "=": "a comparison is written `==`; functions take no named values",
    "&&": "write `and`", "&": "write `and`",
    "||": "write `or`", "|": "write `or`",
    "!": "write `not`",
    "^": "a power is written `**`",
    "?": "a choice is written `a if condition else b`",
    "{": "a formula has no maps; give the map as a param and read it as `table[key]`",
    "}": "in YAML's flow style a formula that holds a comma or a bracket must be quoted",
    "#": "a formula has no comments",
    "×": "write `*`", "÷": "write `/`", "−": "write `-`", "–": "write `-`",
    "≤": "write `<=`", "≥": "write `>=`", "≠": "write `!=`",
    "“": "use straight quotes", "”": "use straight quotes",
    "‘": "use straight quotes", "’": "use straight quotes",
}


def tokenize(text: str) -> list[Token]:
    """The words of `text`, with one of kind "end" after the last.

    Raises:
        FormulaError: a character, number or string that no formula can hold.
    """
    tokens = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None, "the last alternative takes any character"
        found, start, end = match.group(), match.start(), match.end()
        position = end
        match match.lastgroup:
            case "number":
                tokens.append(_number(text, found, start, end))
            case "string":
                tokens.append(Token("constant", found, start, end, _unescaped(found, start)))
            case "word":
                tokens.append(_word(found, start, end))
            case "symbol":
                tokens.append(Token(found, found, start, end))
            case "foreign":
                raise _foreign(text, found, start, end)
    tokens.append(Token("end", "", len(text), len(text)))
    return tokens


def _word(found: str, start: int, end: int) -> Token:
    if found in CONSTANTS:
        return Token("constant", found, start, end, CONSTANTS[found])
    word = " ".join(found.split())  # `not   in` is `not in`
    return Token(word if word in KEYWORDS else "name", found, start, end)


def _number(text: str, found: str, start: int, end: int) -> Token:
    if tail := _AFTER_NUMBER.match(text, end):
        wrong = found + tail.group()
        raise FormulaError(
            SYNTAX, f"`{wrong}` is not a number", start, tail.end(),
            f"a product is written `{found} * {tail.group()}`" if tail.group().isalpha() else
            "numbers are written 64, 0.5 or 1e-3",
        )
    value = int(found) if found.isdigit() else float(found)
    if value > (MAX_INT if type(value) is int else sys.float_info.max):
        raise FormulaError(LIMIT, "the number is too large", start, end, _NUMBERS)
    return Token("constant", found, start, end, value)


_NUMBERS = "an int lies between -2**63 and 2**63, a float below 1.8e308"


def _unescaped(found: str, start: int) -> str:
    body = found[1:-1]
    if "\\" not in body:
        return body
    for escape in _ESCAPE.finditer(body):
        if escape.group(1) not in _ESCAPES:
            at = start + 1 + escape.start()
            raise FormulaError(
                SYNTAX, f"`{escape.group()}` means nothing in a string", at, at + 2,
                r"a backslash is written `\\`; the others are `\'`, `\"`, `\n` and `\t`",
            )
    return _ESCAPE.sub(lambda escape: _ESCAPES[escape.group(1)], body)


def _foreign(text: str, found: str, start: int, end: int) -> FormulaError:
    if found in "'\"":
        return FormulaError(
            SYNTAX, "the formula ends inside a string", start, len(text),
            label=f"this {found} is not closed", cut=True,
        )
    shown = found if found.isprintable() else ascii(found).strip("'")
    return FormulaError(
        SYNTAX, f"`{shown}` has no meaning in a formula", start, end, _FOREIGN.get(found, "")
    )
