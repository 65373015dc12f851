"""Text to formula: a Pratt parser, in which every operator knows how tightly it binds."""

from __future__ import annotations

import functools

from compiler.diagnostics import nearest
from compiler.expressions.functions import FUNCTIONS
from compiler.expressions.tokens import Token, tokenize
from compiler.expressions.tree import (
    LIMIT,
    MAX_DEPTH,
    MAX_TEXT,
    SYNTAX,
    UNKNOWN_MEMBER,
    WRONG_TYPE,
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
    children,
    listed,
)

# How tightly operators bind, loosest first, as in Python.
CONDITION, OR, AND, NOT, COMPARE, SUM, PRODUCT, SIGN, POWER = range(1, 10)
BINDING = {
    "if": CONDITION, "or": OR, "and": AND,
    "==": COMPARE, "!=": COMPARE, "<": COMPARE, "<=": COMPARE, ">": COMPARE, ">=": COMPARE,
    "in": COMPARE, "not in": COMPARE,
    "+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "//": PRODUCT, "%": PRODUCT, "**": POWER,
}
CLOSING = {"(": ")", "[": "]"}


def is_formula(text: str) -> bool:
    """Whether a scalar of a spec is a formula: it begins with `=`."""
    return text.startswith("=")


@functools.lru_cache(maxsize=4096)  # a block is elaborated once a use, its formulas read once
def parse_formula(text: str) -> Formula:
    """The formula that `text` says.

    Args:
        text: what follows the leading `=`.

    Raises:
        FormulaError: with the place in `text` (F0301, F0303, F0305 or F0306).

    Example:
        >>> sorted(parse_formula("width * 2**stage").names)
        ['stage', 'width']
    """
    if len(text) > MAX_TEXT:
        raise FormulaError(
            LIMIT, f"the formula has {len(text):,} characters; {MAX_TEXT:,} are allowed",
            MAX_TEXT, len(text), "name parts of it under `let`",
        )
    parser = _Parser(text)
    root = parser.whole()
    _check_height(root)
    return Formula(text, root, frozenset(parser.names))


def _check_height(root: Expression) -> None:
    """Refuse a tree too high to evaluate; the parser's own depth sees only what leans right."""
    waiting = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(node.start, node.end)
        for child in children(node):
            # A sum of a hundred terms leans left, and is evaluated in a loop.
            flat = isinstance(node, Binary) and child is node.left and isinstance(child, Binary)
            waiting.append((child, depth if flat else depth + 1))


def _too_deep(start: int, end: int) -> FormulaError:
    return FormulaError(
        LIMIT, f"the formula is nested more than {MAX_DEPTH} deep", start, end,
        "name parts of it under `let`",
    )


class _Parser:
    """Reads one formula; `token` is the next word, `before` the one just taken."""

    def __init__(self, text: str) -> None:
        self.tokens = tokenize(text)
        self.position = 0
        self.opened: list[Token] = []  # brackets not closed yet, for the message
        self.names: set[str] = set()

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    @property
    def before(self) -> Token:
        return self.tokens[self.position - 1]

    def take(self) -> Token:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def whole(self) -> Expression:
        if self.token.kind == "end":
            raise FormulaError(SYNTAX, "the formula is empty", 0, self.token.end, cut=True)
        root = self.expression(0, 1)
        if self.token.kind != "end":
            raise self.no_operator(self.token)
        return root

    def expression(self, binding: int, depth: int) -> Expression:
        """An expression of operators that bind tighter than `binding`."""
        self.check_depth(depth)
        start = self.token.start  # of an opening bracket too, which is no node of its own
        left = self.operand(binding, depth)
        while (tightness := BINDING.get(self.token.kind, 0)) > binding:
            left = self.operation(left, start, tightness, depth)
        return left

    def operation(self, left: Expression, start: int, binding: int, depth: int) -> Expression:
        """`left` with the operator that follows it, or with a whole chain of comparisons."""
        operator = self.token.kind
        if binding == CONDITION:
            self.take()
            condition = self.expression(CONDITION, depth + 1)
            if self.token.kind != "else":
                raise self.no_else(self.token)
            self.take()
            no = self.expression(0, depth + 1)
            return Conditional(start, self.before.end, left, condition, no)
        if binding in (OR, AND):
            operands = [left]
            while self.token.kind == operator:
                self.take()
                operands.append(self.expression(binding, depth + 1))
            return Logic(start, self.before.end, operator, tuple(operands))
        if binding == COMPARE:
            rest = []
            while BINDING.get(self.token.kind) == COMPARE:
                rest.append((self.take().kind, self.expression(COMPARE, depth + 1)))
            return Comparison(start, self.before.end, left, tuple(rest))
        self.take()
        # An exponent is read as a sign's operand is: 2 ** 3 ** 2 is 2 ** 9, and 2 ** -1 is legal.
        right = self.expression(SIGN if binding == POWER else binding, depth + 1)
        return Binary(start, self.before.end, operator, left, right)

    def operand(self, binding: int, depth: int) -> Expression:
        """A value with its sign in front and its `.name`, `[index]` behind."""
        token = self.take()
        if token.kind in ("-", "+"):
            operand = self.expression(SIGN, depth + 1)
            return Unary(token.start, self.before.end, token.kind, operand)
        if token.kind == "not":
            if binding > NOT:
                raise FormulaError(
                    SYNTAX, "`not` stands too close to an operator", token.start, token.end,
                    "put brackets around it: `(not a)`",
                )
            operand = self.expression(NOT, depth + 1)
            return Unary(token.start, self.before.end, "not", operand)
        return self.followed(self.atom(token, depth), token.start, depth)

    def atom(self, token: Token, depth: int) -> Expression:
        match token.kind:
            case "constant":
                return Constant(token.start, token.end, token.value)
            case "name" if self.token.kind == "(":
                return self.call(token, depth)
            case "name":
                self.names.add(token.text)
                return Name(token.start, token.end, token.text)
            case "[":
                elements = self.elements(token, depth)
                return ListOf(token.start, self.before.end, elements)
            case "(":
                self.opened.append(token)
                inner = self.expression(0, depth + 1)
                self.close(token)
                return inner
        raise self.no_value(token)

    def followed(self, owner: Expression, start: int, depth: int) -> Expression:
        """`owner` with every `.name` and `[index]` behind it."""
        while self.token.kind in (".", "["):
            depth += 1
            self.check_depth(depth)
            token = self.take()
            if token.kind == "[":
                owner = self.subscript(owner, start, token, depth)
                continue
            name = self.take()
            if not name.text.isidentifier():
                raise self.no_value(name, "a name")
            owner = Attribute(start, name.end, owner, name.text, name.start)
        if self.token.kind == "(" and isinstance(owner, Attribute):
            raise FormulaError(
                UNKNOWN_MEMBER, f"`{owner.name}` is not a function", owner.name_start, owner.end,
                f"the functions are {listed(list(FUNCTIONS), 'and')}; values have no methods",
            )
        return owner

    def subscript(self, owner: Expression, start: int, bracket: Token, depth: int) -> Expression:
        """`owner[index]` or `owner[first:last:step]`, after the bracket."""
        self.opened.append(bracket)
        parts: list[Expression | None] = [self.slice_part(depth)]
        while self.token.kind == ":" and len(parts) < 3:
            self.take()
            parts.append(self.slice_part(depth))
        index = parts[0]
        if len(parts) == 1 and index is None:
            raise self.no_value(self.take())
        self.close(bracket)
        if len(parts) == 1 and index is not None:
            return Index(start, self.before.end, owner, index)
        first, last, step = (*parts, None)[:3]
        return Slice(start, self.before.end, owner, (first, last, step))

    def slice_part(self, depth: int) -> Expression | None:
        return None if self.token.kind in (":", "]") else self.expression(0, depth + 1)

    def call(self, name: Token, depth: int) -> Call:
        function = FUNCTIONS.get(name.text)
        if function is None:
            raise FormulaError(
                UNKNOWN_MEMBER, f"`{name.text}` is not a function", name.start, name.end,
                f"the functions are {listed(list(FUNCTIONS), 'and')}",
                nearest(name.text, FUNCTIONS),
            )
        arguments = self.elements(self.take(), depth)
        if not function.least <= len(arguments) <= function.most:
            given = f"{len(arguments)} value{'' if len(arguments) == 1 else 's'}"
            raise FormulaError(
                WRONG_TYPE, f"`{name.text}` cannot take {given}", name.start, self.before.end,
                f"it is used as {function.usage}",
            )
        return Call(name.start, self.before.end, name.text, arguments)

    def elements(self, bracket: Token, depth: int) -> tuple[Expression, ...]:
        """What stands between `bracket` and its other half, separated by commas."""
        self.opened.append(bracket)
        elements = []
        while self.token.kind != CLOSING[bracket.kind]:
            elements.append(self.expression(0, depth + 1))
            if self.token.kind != ",":
                break
            self.take()
        self.close(bracket)
        return tuple(elements)

    def close(self, bracket: Token) -> None:
        if self.token.kind != CLOSING[bracket.kind]:
            raise self.no_operator(self.token)
        self.take()
        self.opened.pop()

    # What can be wrong, in words.

    def check_depth(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _too_deep(self.token.start, self.token.end)

    def cut(self, wanted: str) -> FormulaError:
        """The text stops too early."""
        if self.opened:
            bracket = self.opened[-1]
            return FormulaError(
                SYNTAX, f"the formula ends before `{bracket.text}` is closed",
                bracket.start, bracket.end, label="opened here", cut=True,
            )
        last = self.tokens[-2]
        return FormulaError(
            SYNTAX, f"the formula ends after `{last.text}`, where {wanted} is missing",
            last.start, last.end, cut=True,
        )

    def no_value(self, token: Token, wanted: str = "a value") -> FormulaError:
        """`token` stands where a value should."""
        if token.kind == "end":
            return self.cut(wanted)
        return FormulaError(
            SYNTAX, f"{wanted} is missing before `{token.text}`", token.start, token.end
        )

    def no_else(self, token: Token) -> FormulaError:
        """`token` stands where the `else` of an `if` should."""
        if token.kind == "end" and not self.opened:
            return self.cut("`else`")
        if token.kind in (")", "]", ",", "if"):
            return FormulaError(
                SYNTAX, f"`else` is missing before `{token.text}`", token.start, token.end,
                "a choice is written `a if condition else b`",
            )
        return self.no_operator(token)

    def no_operator(self, token: Token) -> FormulaError:
        """`token` stands behind a complete value, where an operator or the end should."""
        if token.kind == "end":
            return self.cut("a closing bracket")
        at = token.start, token.end
        opened = self.opened[-1].text if self.opened else ""
        if token.text == "for":
            return FormulaError(
                SYNTAX, "a formula has no `for`", *at,
                "repeat layers with `for: {each: {v: =values}, layers: [...]}`, "
                "make lists with `range`, `zip`, `+` and `*`",
            )
        if token.text == "is":
            return FormulaError(
                SYNTAX, "a formula has no `is`", *at, "write `== null` or `!= null`"
            )
        if token.kind == "else":
            return FormulaError(SYNTAX, "there is no `if` before this `else`", *at)
        if token.kind in (")", "]"):
            message = f"`{token.text}` does not close `{opened}`" if opened else (
                f"`{token.text}` closes nothing")
            return FormulaError(SYNTAX, message, *at)
        if token.kind == ",":
            return FormulaError(
                SYNTAX, "a comma has no meaning here", *at, "a list is written `[a, b]`"
            )
        if token.kind == ":":
            return FormulaError(
                SYNTAX, "`:` has no meaning here", *at, "part of a list is written `a[1:3]`"
            )
        return FormulaError(SYNTAX, f"an operator is missing before `{token.text}`", *at)
