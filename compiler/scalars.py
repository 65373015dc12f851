"""What an unquoted YAML scalar means: the core schema of YAML 1.2.

The schema is in section 10.3.2 of https://yaml.org/spec/1.2.2/. Many tools still
read by YAML 1.1, where `no` is false and `010` is 8; `other_reading` knows where
the two differ, so that a spec need not mean one thing here and another there.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

Value = bool | int | float | str | None

MAX_NUMBER = 100  # characters; no length, count or rate needs more

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = frozenset({".nan", ".NaN", ".NAN"})
_STARTS = frozenset("+-.0123456789")


def resolve(text: str) -> Value:
    """The value of an unquoted scalar.

    Raises:
        ValueError: a number that is too long or too large to hold; its two arguments say
            which, and what to write instead.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in _STARTS:
        return text
    if text in _NAN:
        return math.nan
    if _INF.fullmatch(text):
        return -math.inf if text[0] == "-" else math.inf
    if not (_FLOAT.fullmatch(text) or _OCTAL.fullmatch(text) or _HEX.fullmatch(text)):
        return text
    if len(text) > MAX_NUMBER:
        raise ValueError(f"{len(text):,} characters long; at most {MAX_NUMBER} are allowed",
                         "put it in quotes if you mean the text")
    if _INT.fullmatch(text):
        return int(text)
    if text[:2] in ("0o", "0x"):
        return int(text[2:], 8 if text[1] == "o" else 16)
    value = float(text)
    if math.isinf(value):
        raise ValueError("larger than a float can be", "write `.inf` if you mean infinity")
    return value


@dataclass(frozen=True, slots=True)
class OtherReading:
    """How YAML 1.1 reads a scalar that means something else here.

    Attributes:
        here: what it is here, in words.
        there: what it is to YAML 1.1, in words.
        remedy: what to write, so that all tools agree.
        harmless: the meaning here is surely the one meant.
    """

    here: str
    there: str
    remedy: str
    harmless: bool = False


_YES = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
_NO = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF"})
_FLOAT_1_1 = re.compile(r"([-+]?[0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)")
_INT_1_1 = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)")
_UNDERSCORES_1_1 = re.compile(r"([-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?")
_PARTS = re.compile(r"([-+]?)([0-9]*)\.?([0-9]*)(?:[eE]([-+]?)([0-9]+))?")


def other_reading(text: str, value: Value) -> OtherReading | None:
    """How YAML 1.1 reads an unquoted scalar, or None where both read the same.

    Args:
        text: the scalar as written.
        value: what `resolve` made of it.
    """
    if text in _YES or text in _NO:
        truth = "true" if text in _YES else "false"
        return OtherReading("a text", truth, f'`{truth}` if you mean that, `"{text}"` for the text')
    if not text or text[0] not in _STARTS or len(text) > MAX_NUMBER:
        return None
    if type(value) is int:
        return _other_integer(text, value)
    if isinstance(value, float):
        return _other_float(text, value)
    return _other_text(text)


def _other_integer(text: str, value: int) -> OtherReading | None:
    there = f"{_integer_1_1(text)}" if _INT_1_1.fullmatch(text) else "a text"
    if there == str(value):
        return None
    return OtherReading(str(value), there, f"`{value}`")


def _other_float(text: str, value: float) -> OtherReading | None:
    if math.isnan(value) or _FLOAT_1_1.fullmatch(text):
        return None
    parts = _PARTS.fullmatch(text)
    if parts is None:
        return None
    sign, whole, fraction, exponent_sign, exponent = parts.groups(default="")
    remedy = f"{sign}{whole or 0}.{fraction or 0}"
    if exponent:
        remedy += f"e{exponent_sign or '+'}{exponent}"
    return OtherReading(f"the number {value!r}", "a text", f"`{remedy}`", harmless=True)


def _other_text(text: str) -> OtherReading | None:
    quoted = f'`"{text}"`'
    if _INT_1_1.fullmatch(text):
        try:
            number = _integer_1_1(text)
        except ValueError:  # a lone `0b_`
            return None
        return OtherReading("a text", str(number),
                            f"`{number}` if you mean the number, {quoted} for the text")
    if _UNDERSCORES_1_1.fullmatch(text):
        number = float(text.replace("_", ""))
        return OtherReading("a text", repr(number),
                            f"`{number!r}` if you mean the number, {quoted} for the text")
    if _BASE_60.fullmatch(text):
        return OtherReading("a text", "a number to the base 60", quoted)
    if _DATE.fullmatch(text):
        return OtherReading("a text", "a date", quoted, harmless=True)
    return None


def _integer_1_1(text: str) -> int:
    digits = text.replace("_", "")
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-")
    if digits[:2] in ("0b", "0x"):
        return sign * int(digits[2:], 2 if digits[1] == "b" else 16)
    return sign * int(digits, 8 if digits[0] == "0" else 10)
