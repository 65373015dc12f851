"""The functions of formulas, each with its checks; `FUNCTIONS` lists them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compiler.expressions.tree import (
    LIMIT,
    MAX_DIGITS,
    WRONG_TYPE,
    WRONG_VALUE,
    Call,
    FormulaError,
    fault,
)
from compiler.expressions.values import (
    NUMBERS,
    WHOLE,
    Meter,
    check_list,
    check_number,
    check_ordered,
    elements,
    kind,
    show,
    too_large,
)

_INT = re.compile(r"\s*[-+]?[0-9]{1,30}\s*")
_FLOAT = re.compile(r"\s*[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\s*")


def _len(call: Call, values: list[Any], meter: Meter) -> int:
    if kind(values[0]) not in ("list", "string", "map"):
        raise _wrong(call, 0, values[0], "a list, a string or a map")
    return len(values[0])


def _min(call: Call, values: list[Any], meter: Meter) -> Any:
    return _extreme(call, values, meter, lambda new, best: new < best)


def _max(call: Call, values: list[Any], meter: Meter) -> Any:
    return _extreme(call, values, meter, lambda new, best: new > best)


def _extreme(
    call: Call, values: list[Any], meter: Meter, better: Callable[[Any, Any], bool]
) -> Any:
    if len(values) == 1:
        if kind(values[0]) != "list":
            raise _wrong(call, 0, values[0], "a list, or two or more values")
        values = values[0]
    if not values:
        raise fault(WRONG_VALUE, f"an empty list has no {call.function}", call)
    meter.spend(len(values), call)
    best = values[0]
    check_ordered(best, best, call)
    for value in values[1:]:
        check_ordered(best, value, call)
        if better(value, best):
            best = value
    return best


def _round(call: Call, values: list[Any], meter: Meter) -> Any:
    """Halves go to the even neighbour, as in Python: `round(2.5)` is 2."""
    value = values[0]
    if type(value) not in NUMBERS:
        raise _wrong(call, 0, value, "a number")
    if len(values) == 1:
        return check_number(round(value), call)
    digits = _whole(call, 1, values[1])
    if abs(digits) > MAX_DIGITS:
        raise fault(LIMIT, f"`round` takes at most {MAX_DIGITS} digits", call.arguments[1])
    return check_number(round(value, digits), call)


def _int(call: Call, values: list[Any], meter: Meter) -> int:
    return int(_readable(call, values[0], _INT, int))


def _float(call: Call, values: list[Any], meter: Meter) -> float:
    return float(_readable(call, values[0], _FLOAT, float))


def _readable(call: Call, value: Any, form: re.Pattern[str], read: type) -> Any:
    """A number from a number, a bool or a string that spells one."""
    if type(value) is str:
        if not form.fullmatch(value):
            raise fault(
                WRONG_VALUE, f"{show(value)} does not spell {call.function}", call.arguments[0]
            )
    elif type(value) is not bool and type(value) not in NUMBERS:
        raise _wrong(call, 0, value, "a number, a bool or a string")
    return check_number(read(value), call)


def _sum(call: Call, values: list[Any], meter: Meter) -> Any:
    """From left to right, so that floats give the same sum on every version of Python."""
    if kind(values[0]) != "list":
        raise _wrong(call, 0, values[0], "a list of numbers")
    meter.spend(len(values[0]), call)
    total = 0
    for value in values[0]:
        if type(value) not in NUMBERS:
            raise _wrong(call, 0, value, "a list of numbers", "one with ")
        total += value
    return check_number(total, call)


def _range(call: Call, values: list[Any], meter: Meter) -> list[int]:
    bounds = [_whole(call, place, value) for place, value in enumerate(values)]
    first, last, step = (0, bounds[0], 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    if step == 0:
        raise fault(WRONG_VALUE, "the step of `range` is 0", call.arguments[2], "this is 0")
    # Not len(range(...)), which cannot count beyond 2**63.
    count = max(0, -((first - last) // step))
    check_list(count, call, meter)
    return list(range(first, last, step))


def _zip(call: Call, values: list[Any], meter: Meter) -> list[list[Any]]:
    count = 0
    for place, value in enumerate(values):
        if kind(value) != "list":
            raise _wrong(call, place, value, "lists")
        count += elements(value, call, meter)
        if len(value) != len(values[0]):
            raise fault(
                WRONG_VALUE, f"`zip` takes lists of one length, not {len(values[0])} and "
                f"{len(value)}", call.arguments[place], show(value),
                "cut the longer list: `a[:3]`",
            )
    check_list(count + len(values[0]), call, meter)
    return [list(row) for row in zip(*values, strict=True)]


def _whole(call: Call, place: int, value: Any) -> int:
    if type(value) is not int:
        raise _wrong(call, place, value, "int")
    return value


def _wrong(call: Call, place: int, value: Any, wanted: str, found: str = "") -> FormulaError:
    return fault(
        WRONG_TYPE, f"`{call.function}` takes {wanted}, not {found}{kind(value)}",
        call.arguments[min(place, len(call.arguments) - 1)], show(value),
        WHOLE if wanted == "int" and type(value) is float else "",
    )


@dataclass(frozen=True)
class Function:
    """A function, how many values it takes, and how it is written."""

    run: Callable[[Call, list[Any], Meter], Any]
    least: int
    most: int
    usage: str


_ANY_NUMBER = 1_000  # a formula's length is the true bound

FUNCTIONS = {
    "len": Function(_len, 1, 1, "`len(a)`"),
    "min": Function(_min, 1, _ANY_NUMBER, "`min(a, b)` or `min(list)`"),
    "max": Function(_max, 1, _ANY_NUMBER, "`max(a, b)` or `max(list)`"),
    "round": Function(_round, 1, 2, "`round(a)` or `round(a, digits)`"),
    "int": Function(_int, 1, 1, "`int(a)`"),
    "float": Function(_float, 1, 1, "`float(a)`"),
    "sum": Function(_sum, 1, 1, "`sum(list)`"),
    "range": Function(
        _range, 1, 3, "`range(n)`, `range(first, last)` or `range(first, last, step)`"
    ),
    "zip": Function(_zip, 1, _ANY_NUMBER, "`zip(list, list)`"),
}


def run(call: Call, values: list[Any], meter: Meter) -> Any:
    """What `call` gives for the values of its arguments.

    Raises:
        FormulaError: F0303, F0304 or F0306.
    """
    try:
        return FUNCTIONS[call.function].run(call, values, meter)
    except (OverflowError, ValueError):  # infinities and NaN, which only a scope can bring in
        if all(math.isfinite(value) for value in values if type(value) is float):
            raise too_large(call) from None
        raise fault(WRONG_VALUE, "the value is not finite", call.arguments[0]) from None
