"""What a formula is made of, how large it may be, and the one error it raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

# The limits. A formula has no loops and no functions of its own, so the text bounds the
# operations and these bound the work of each; every one is checked before the work is done.
MAX_TEXT = 2_000  # characters of a formula
MAX_DEPTH = 50  # operators and brackets inside one another; lists inside one another
MAX_INT = 2**63  # largest absolute value of an int
MAX_STRING = 10_000  # characters of a string
MAX_LIST = 100_000  # elements of a list, those of inner lists included
MAX_STEPS = 1_000_000  # elements that one evaluation may make or look at
MAX_DIGITS = 30  # digits in `round(value, digits)`

SYNTAX = "F0301"
UNKNOWN_NAME = "F0302"
WRONG_TYPE = "F0303"
WRONG_VALUE = "F0304"
UNKNOWN_MEMBER = "F0305"
LIMIT = "F0306"


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a formula and its place: `text[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """A number, a string, true, false or null."""

    value: int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A name, looked up in the scope."""

    name: str


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    """`[a, b, c]`."""

    elements: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Attribute(Node):
    """`owner.name`; `name_start` is where the name begins."""

    owner: Expression
    name: str
    name_start: int


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`owner[index]`."""

    owner: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Slice(Node):
    """`owner[first:last:step]`, any of the three left out."""

    owner: Expression
    parts: tuple[Expression | None, Expression | None, Expression | None]


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`function(arguments)`; the parser has checked that there is such a function."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-a`, `+a` or `not a`."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`a + b` and the other operators of arithmetic."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """`a < b <= c`: every operator with the operand on its right."""

    first: Expression
    rest: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """`a and b and c`, or the same with `or`."""

    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """`yes if condition else no`."""

    yes: Expression
    condition: Expression
    no: Expression


Expression: TypeAlias = (
    Constant | Name | ListOf | Attribute | Index | Slice | Call
    | Unary | Binary | Comparison | Logic | Conditional
)


@dataclass(frozen=True)
class Formula:
    """A parsed formula.

    Attributes:
        text: the formula without its leading `=`; every place counts from here.
        root: the outermost expression.
        names: the names it reads from the scope, without what follows a dot.
    """

    text: str
    root: Expression
    names: frozenset[str]


class FormulaError(Exception):
    """A formula that cannot be read or has no value.

    Attributes:
        code: F0301 to F0306, a key of `compiler.diagnostics.CODES`.
        message: what is wrong, in one line.
        start: where, as an offset into the formula's text.
        end: the offset after the last character concerned.
        help: how to mend it, or "".
        label: a short remark on the place, or "".
        cut: whether the text stops in the middle, as it does where YAML ended it early.
    """

    def __init__(
        self, code: str, message: str, start: int, end: int, help: str = "", label: str = "",
        cut: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.start = start
        self.end = end
        self.help = help
        self.label = label
        self.cut = cut


def children(node: Expression) -> tuple[Expression, ...]:
    """The expressions directly inside `node`, from left to right."""
    match node:
        case Constant() | Name():
            return ()
        case ListOf():
            return node.elements
        case Attribute():
            return (node.owner,)
        case Index():
            return (node.owner, node.index)
        case Slice():
            return (node.owner, *(part for part in node.parts if part is not None))
        case Call():
            return node.arguments
        case Unary():
            return (node.operand,)
        case Binary():
            return (node.left, node.right)
        case Comparison():
            return (node.first, *(operand for _, operand in node.rest))
        case Logic():
            return node.operands
        case Conditional():
            return (node.yes, node.condition, node.no)


def fault(code: str, message: str, node: Node, label: str = "", help: str = "") -> FormulaError:
    """The error `message` at the place of `node`."""
    return FormulaError(code, message, node.start, node.end, help, label)


def listed(words: list[str], last: str = "or") -> str:
    """`a, b or c`."""
    return f" {last} ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
