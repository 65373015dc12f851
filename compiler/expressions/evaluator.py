"""Formula and scope to value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.diagnostics import nearest
from compiler.expressions import functions
from compiler.expressions.tokens import CONSTANTS
from compiler.expressions.tree import (
    UNKNOWN_MEMBER,
    UNKNOWN_NAME,
    WRONG_TYPE,
    WRONG_VALUE,
    Attribute,
    Binary,
    Call,
    Comparison,
    Conditional,
    Constant,
    Expression,
    Formula,
    FormulaError,
    Index,
    ListOf,
    Logic,
    Name,
    Slice,
    Unary,
    fault,
)
from compiler.expressions.values import (
    PLAIN,
    WHOLE,
    Meter,
    check_list,
    compare,
    elements,
    kind,
    members,
    operate,
    plain,
    show,
    signed,
)

NAMES_SHOWN = 12


def evaluate(
    formula: Formula, scope: Mapping[str, object], meter: Meter | None = None,
) -> object:
    """The value of `formula` with the names of `scope`.

    Args:
        formula: from `parse_formula`.
        scope: int, float, bool, string, null, lists and maps of them, and objects with
            `formula_attributes` and `formula_attribute(name)`, whose attributes can be read.
        meter: counts the steps; for a caller who wants to know how many they were.

    Returns:
        An int, float, bool, string, null, list or map.

    Raises:
        FormulaError: with the place in `formula.text` (F0302 to F0306).

    Example:
        >>> evaluate(parse_formula("width * 2**stage"), {"width": 64, "stage": 3})
        512
    """
    return _Evaluation(scope, meter or Meter()).value(formula.root)


class _Evaluation:
    """One evaluation: the scope, and the steps that are left."""

    __slots__ = ("meter", "scope")

    def __init__(self, scope: Mapping[str, object], meter: Meter) -> None:
        self.scope = scope
        self.meter = meter

    def value(self, node: Expression) -> Any:
        """The value of `node`, which must not be a tensor or a layer."""
        found = self.visit(node)
        return found if type(found) in PLAIN else plain(found, node)

    def visit(self, node: Expression) -> Any:
        """The value of `node`, or the tensor or layer that it names."""
        match node:
            case Constant():
                return node.value
            case Name():
                return self.name(node)
            case Binary():
                return self.binary(node)
            case Comparison():
                return self.comparison(node)
            case Logic():
                return self.logic(node)
            case Conditional():
                return self.visit(node.yes if self.truth(node.condition) else node.no)
            case Attribute():
                return self.attribute(node)
            case Index():
                return self.index(node)
            case Slice():
                return self.slice(node)
            case Call():
                values = [self.value(argument) for argument in node.arguments]
                return functions.run(node, values, self.meter)
            case Unary(operator="not"):
                return not self.truth(node.operand)
            case Unary():
                return signed(node, self.value(node.operand))
            case ListOf():
                made = [self.value(element) for element in node.elements]
                check_list(elements(made, node, self.meter), node, self.meter)
                return made

    def name(self, node: Name) -> object:
        try:
            return self.scope[node.name]
        except KeyError:
            raise self.unknown(node) from None

    def unknown(self, node: Name) -> FormulaError:
        if node.name in functions.FUNCTIONS:
            usage = functions.FUNCTIONS[node.name].usage
            return fault(
                UNKNOWN_NAME, f"`{node.name}` is a function", node, help=f"it is used as {usage}"
            )
        names = sorted(self.scope)
        label = nearest(node.name, [*names, *CONSTANTS])
        return fault(
            UNKNOWN_NAME, f"there is no `{node.name}` here", node, label,
            _some("names in scope", names) or "no names are in scope",
        )

    def binary(self, node: Binary) -> Any:
        # A long sum leans to the left; a loop takes it where recursion would run out of stack.
        leaning = [node]
        while isinstance(leaning[-1].left, Binary):
            leaning.append(leaning[-1].left)
        value = self.value(leaning[-1].left)
        for part in reversed(leaning):
            value = operate(part, value, self.value(part.right), self.meter)
        return value

    def comparison(self, node: Comparison) -> bool:
        left = self.value(node.first)
        for sign, operand in node.rest:
            right = self.value(operand)
            if not compare(sign, left, right, node, operand, self.meter):
                return False
            left = right
        return True

    def logic(self, node: Logic) -> bool:
        decisive = node.operator == "or"
        for operand in node.operands:
            if self.truth(operand) is decisive:
                return decisive
        return not decisive

    def truth(self, node: Expression) -> bool:
        """The value of a condition; there is no guessing whether 0 or [] was meant as false."""
        value = self.value(node)
        if type(value) is bool:
            return value
        help = "compare it: "
        match kind(value):
            case "int" | "float":
                help += "`a != 0`"
            case "list" | "string" | "map":
                help += "`len(a) > 0`"
            case _:
                help += "`a != null`"
        raise fault(
            WRONG_TYPE, f"a condition must be bool, not {kind(value)}", node, show(value), help
        )

    def attribute(self, node: Attribute) -> object:
        owner = self.visit(node.owner)
        at = node.name_start, node.end
        if hasattr(owner, "formula_attribute"):
            try:
                return owner.formula_attribute(node.name)
            except AttributeError as error:
                names = members(owner)
                raise FormulaError(
                    UNKNOWN_MEMBER, str(error) or f"there is no `.{node.name}` here", *at,
                    _some("attributes", names), nearest(node.name, names),
                ) from None
        owner = plain(owner, node.owner)
        if isinstance(owner, dict):
            if node.name in owner:
                return owner[node.name]
            names = [str(key) for key in owner]
            raise FormulaError(
                UNKNOWN_MEMBER, f"the map has no `{node.name}`", *at,
                _some("its keys", names), nearest(node.name, names),
            )
        help = "tensors, layers and maps have attributes"
        if kind(owner) in ("list", "string") and node.name in ("length", "size", "len"):
            help = "the number of elements is `len(...)`"
        raise FormulaError(
            UNKNOWN_MEMBER, f"{kind(owner)} has no attribute `{node.name}`", *at, help
        )

    def index(self, node: Index) -> object:
        owner = self.sequence(node.owner)
        index = self.value(node.index)
        what = kind(owner)
        if isinstance(owner, dict):
            if type(index) in (str, int) and index in owner:
                return owner[index]
            names = [str(key) for key in owner]
            raise fault(
                UNKNOWN_MEMBER, f"the map has no {show(index)}", node.index,
                nearest(str(index), names), _some("its keys", names),
            )
        self.whole(index, node.index, f"a {what} index")
        if -len(owner) <= index < len(owner):
            return owner[index]
        raise fault(
            WRONG_VALUE, f"{what} index {index} is out of range for a {what} of {len(owner)}",
            node.index, show(owner), "the first is 0, the last is -1" if owner else "it is empty",
        )

    def slice(self, node: Slice) -> object:
        owner = self.sequence(node.owner)
        if isinstance(owner, dict):
            raise fault(WRONG_TYPE, "a map cannot be cut into parts", node.owner)
        parts = []
        for part in node.parts:
            parts.append(None if part is None else self.value(part))
            if part is not None:
                self.whole(parts[-1], part, "the bounds and step of a slice")
        step = node.parts[2]
        if step is not None and parts[2] == 0:
            raise fault(WRONG_VALUE, "the step of a slice is 0", step, "this is 0")
        self.meter.spend(len(owner), node)
        return owner[slice(*parts)]

    def sequence(self, node: Expression) -> Any:
        owner = self.value(node)
        if isinstance(owner, (list, str, dict)):
            return owner
        raise fault(WRONG_TYPE, f"{kind(owner)} has no elements", node, show(owner))

    def whole(self, value: object, node: Expression, what: str) -> None:
        if type(value) is not int:
            raise fault(
                WRONG_TYPE, f"{what} must be int, not {kind(value)}", node, show(value),
                WHOLE if type(value) is float else "",
            )


def _some(title: str, names: tuple[str, ...] | list[str]) -> str:
    """`title: a, b, c`, cut after NAMES_SHOWN of them."""
    shown = ", ".join(names[:NAMES_SHOWN])
    return f"{title}: {shown}{', …' if len(names) > NAMES_SHOWN else ''}" if names else ""
