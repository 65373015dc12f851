"""The values of formulas: their kinds, how they compare, and what arithmetic makes of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

from compiler.expressions.tree import (
    LIMIT,
    MAX_DEPTH,
    MAX_INT,
    MAX_LIST,
    MAX_STEPS,
    MAX_STRING,
    WRONG_TYPE,
    WRONG_VALUE,
    Binary,
    Expression,
    FormulaError,
    Unary,
    fault,
    listed,
)

NUMBERS = frozenset({int, float})  # exact types: a bool is an int to Python, not to a formula
LISTS = frozenset({list, tuple})
PLAIN = NUMBERS | {bool, str, type(None), list, dict}  # what a formula may result in
KINDS = {
    int: "int", float: "float", bool: "bool", str: "string", type(None): "null",
    list: "list", tuple: "list", dict: "map",
}
WHOLE = "`//` divides without remainder, `int(...)` drops the fraction"


class Meter:
    """Counts the elements an evaluation makes or looks at, and stops it at MAX_STEPS."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_STEPS

    def spend(self, count: int, node: Expression) -> None:
        self.left -= count
        if self.left < 0:
            raise fault(
                LIMIT, f"the formula takes more than {MAX_STEPS:,} steps", node,
                help="use shorter lists",
            )


def kind(value: object) -> str:
    """What a formula calls the type of `value`."""
    if found := KINDS.get(type(value)):
        return found
    if hasattr(value, "formula_attribute"):
        return "tensor" if "shape" in members(value) else "layer"
    return "layers"  # what a param of that type holds is the caller's business


def members(value: object) -> tuple[str, ...]:
    """The attributes that `value` offers to formulas."""
    return tuple(getattr(value, "formula_attributes", ()))


def plain(value: Any, node: Expression) -> Any:
    """`value` as one of the types in PLAIN; layers of a param pass as they are.

    Raises:
        FormulaError: a tensor or a named layer, which has attributes but is no value.
    """
    if type(value) in PLAIN:
        return value
    if hasattr(value, "formula_attribute"):
        names = [f".{name}" for name in members(value)]
        if len(names) > 12:
            names[11:] = ["others"]
        what = kind(value)
        raise fault(
            WRONG_TYPE, f"a {what} is not a value; read its {listed(names)}", node, f"a {what}"
        )
    # Subclasses, as an enum or a string that remembers its place, are what they extend.
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, (list, tuple)):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def show(value: object, room: int = 40) -> str:
    """`value` as a formula would write it, in about `room` characters."""
    if isinstance(value, (list, tuple)):
        shown = []
        for item in value:
            if room <= 0:
                shown.append("…")
                break
            shown.append(show(item, room // 2))
            room -= len(shown[-1]) + 2
        return f"[{', '.join(shown)}]"
    if isinstance(value, str):
        return repr(value if len(value) <= room else value[: max(room, 8)] + "…")
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return repr(value)[:room] if isinstance(value, (int, float)) else f"a {kind(value)}"


# Size. Lists share their elements, so a short formula can describe an enormous value; a list
# is therefore measured with everything in it before a new one is made of it.


def elements(value: Any, node: Expression, meter: Meter, depth: int = 1) -> int:
    """How many elements a list or map holds, those of inner ones included.

    A string counts as one and as one more for every 100 characters.
    """
    if depth > MAX_DEPTH:
        raise fault(LIMIT, f"the list is nested more than {MAX_DEPTH} deep", node)
    meter.spend(len(value), node)
    count = len(value)
    for item in value.values() if type(value) is dict else value:
        if type(item) is str:
            count += len(item) // 100
        elif type(item) in LISTS or type(item) is dict:
            count += elements(item, node, meter, depth + 1)
    return count


def check_list(count: int, node: Expression, meter: Meter) -> None:
    """Refuse a list that would hold more than MAX_LIST elements."""
    if count > MAX_LIST:
        raise fault(
            LIMIT, f"a list of {count:,} elements is too long; {MAX_LIST:,} are allowed", node
        )
    meter.spend(count, node)


def check_string(count: int, node: Expression) -> None:
    """Refuse a string that would be longer than MAX_STRING."""
    if count > MAX_STRING:
        raise fault(
            LIMIT, f"a string of {count:,} characters is too long; {MAX_STRING:,} are allowed", node
        )


def check_number(value: Any, node: Expression) -> Any:
    """`value`, unless it is beyond what an int or a float may be."""
    if -MAX_INT <= value <= MAX_INT if type(value) is int else math.isfinite(value):
        return value
    raise too_large(node)


def too_large(node: Expression) -> FormulaError:
    return fault(
        LIMIT, "the result is too large", node,
        help="an int lies between -2**63 and 2**63, a float below 1.8e308",
    )


# Comparison.


def equal(left: Any, right: Any, node: Expression, meter: Meter, depth: int = 1) -> bool:
    """Whether two values are the same; values of different kinds never are, int and float may be.

    Python's `==` would take true for 1, and could take for ever on lists that share elements.
    """
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return left == right
    if kind(left) != kind(right):
        return False
    if kind(left) not in ("list", "map"):
        return left == right
    if len(left) != len(right):
        return False
    if depth > MAX_DEPTH:
        raise fault(LIMIT, f"the list is nested more than {MAX_DEPTH} deep", node)
    meter.spend(len(left), node)
    if kind(left) == "map":
        return left.keys() == right.keys() and all(
            equal(left[key], right[key], node, meter, depth + 1) for key in left
        )
    return all(equal(a, b, node, meter, depth + 1) for a, b in zip(left, right, strict=True))


def check_ordered(left: Any, right: Any, node: Expression) -> None:
    """Refuse to order what is neither two numbers nor two strings."""
    if (type(left) in NUMBERS and type(right) in NUMBERS) or type(left) is type(right) is str:
        return
    kinds = f"{kind(left)} and {kind(right)}"
    raise fault(
        WRONG_TYPE, f"cannot order {kinds}", node, f"{show(left)} and {show(right)}",
        "numbers and strings have an order; `==` and `!=` compare any two values",
    )


ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def compare(
    sign: str, left: Any, right: Any, node: Expression, holder: Expression, meter: Meter
) -> bool:
    """`left sign right`; `node` is the comparison and `holder` what stands right of `in`."""
    match sign:
        case "==":
            return equal(left, right, node, meter)
        case "!=":
            return not equal(left, right, node, meter)
        case "in":
            return holds(right, left, node, holder, meter)
        case "not in":
            return not holds(right, left, node, holder, meter)
    check_ordered(left, right, node)
    return ORDER[sign](left, right)


def holds(
    container: Any, value: Any, node: Expression, holder: Expression, meter: Meter
) -> bool:
    """`value in container`: an element of a list, a part of a string, a key of a map."""
    match kind(container):
        case "list":
            meter.spend(len(container), node)
            return any(equal(item, value, node, meter) for item in container)
        case "map":
            return type(value) in (str, int) and value in container
        case "string" if type(value) is str:
            return value in container
        case "string":
            raise fault(WRONG_TYPE, f"cannot look for {kind(value)} in string", node)
    raise fault(
        WRONG_TYPE, f"`in` looks into a list, a string or a map, not {kind(container)}", holder
    )


# Arithmetic.

CLASH = {
    "+": "cannot add {} and {}", "-": "cannot subtract {1} from {0}",
    "*": "cannot multiply {} and {}", "/": "cannot divide {} by {}",
    "//": "cannot divide {} by {}", "%": "cannot take the remainder of {} by {}",
    "**": "cannot raise {} to the power of {}",
}
ARITHMETIC = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "//": operator.floordiv, "%": operator.mod, "**": operator.pow,
}


def operate(node: Binary, left: Any, right: Any, meter: Meter) -> Any:
    """`left operator right`: numbers as in Python, `+` and `*` on strings and lists too."""
    sign = node.operator
    if type(left) in NUMBERS and type(right) in NUMBERS:
        if right == 0 and sign in ("/", "//", "%"):
            raise fault(WRONG_VALUE, "division by zero", node.right, "this is 0")
        if sign == "**":
            check_power(node, left, right)
        try:
            return check_number(ARITHMETIC[sign](left, right), node)
        except OverflowError:
            raise too_large(node) from None
    if sign == "+" and type(left) is type(right) is str:
        check_string(len(left) + len(right), node)
        return left + right
    if sign == "+" and type(left) is type(right) is list:
        check_list(elements(left, node, meter) + elements(right, node, meter), node, meter)
        return left + right
    if sign == "*" and type(right) is int and type(left) in (str, list):
        return repeated(node, left, right, meter)
    if sign == "*" and type(left) is int and type(right) in (str, list):
        return repeated(node, right, left, meter)
    raise clash(node, left, right)


def clash(node: Binary, left: Any, right: Any) -> FormulaError:
    """Two kinds that an operator does not take."""
    kinds = {kind(left), kind(right)}
    help = ""
    if "bool" in kinds:
        help = "true and false are not numbers: write `1 if a else 0` or `int(a)`"
    elif kinds in ({"string", "int"}, {"string", "float"}):
        help = "`int(a)` and `float(a)` read a number from a string"
    elif "list" in kinds and node.operator == "+":
        help = "a list is made longer with another list: `a + [b]`"
    return fault(
        WRONG_TYPE, CLASH[node.operator].format(kind(left), kind(right)), node,
        f"{show(left)} {node.operator} {show(right)}", help,
    )


def repeated(node: Binary, value: Any, times: int, meter: Meter) -> Any:
    """A string or list, `times` over."""
    if times <= 0:
        return value[:0]
    if type(value) is str:
        check_string(len(value) * times, node)
    else:
        check_list(elements(value, node, meter) * times, node, meter)
    return value * times


def check_power(node: Binary, base: Any, exponent: Any) -> None:
    """Refuse a power that has no value or too many digits, before it is computed."""
    if base == 0 and exponent < 0:
        raise fault(WRONG_VALUE, "division by zero: 0 to a negative power", node)
    if base < 0 and type(exponent) is float and not exponent.is_integer():
        raise fault(WRONG_VALUE, "a negative number has no fractional power", node)
    # |base| >= 2**(bits - 1), so that this refuses only what is beyond MAX_INT.
    if type(base) is type(exponent) is int and (abs(base).bit_length() - 1) * exponent > 63:
        raise too_large(node)


def signed(node: Unary, value: Any) -> Any:
    """`-value` or `+value`."""
    if type(value) not in NUMBERS:
        raise fault(
            WRONG_TYPE, f"`{node.operator}` needs a number, not {kind(value)}", node, show(value)
        )
    return check_number(-value if node.operator == "-" else value, node)
