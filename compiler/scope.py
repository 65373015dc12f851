"""Names and their values: what a formula can see, from the inside out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from compiler.diagnostics import Label, Report
from compiler.expressions import FormulaError, evaluate, is_formula, parse_formula
from compiler.expressions.tree import MAX_DEPTH
from compiler.expressions.values import Meter
from compiler.formulas import formula_error
from compiler.names import value_name_problem
from compiler.parse import Mapping as MapNode
from compiler.parse import Node, Scalar, Sequence
from compiler.validate import UNKNOWN, map_of

# Steps that all formulas of one compilation may take together. One formula is bounded by
# itself; a loop evaluates it thousands of times.
MAX_STEPS = 3_000_000
STEPS_OF_A_LAYER = 60  # that take as long as looking at a layer

MISSING: Any = object()  # what a scope finds where there is no such name


class UnknownValue(Exception):
    """A formula read something that an earlier error left without a value."""


class Enough(Exception):
    """A limit was reached and reported: nothing more is compiled."""


class Budget:
    """The work that is left to all formulas of a compilation.

    Attributes:
        left: steps.
        failed: formulas that had an error, by id: a loop does not try them again.
        visits: layers that were looked at, which have a limit of their own.
    """

    __slots__ = ("failed", "left", "visits")

    def __init__(self, left: int = MAX_STEPS):
        self.left = left
        self.failed: dict[int, Scalar] = {}
        self.visits = 0

    @property
    def work(self) -> int:
        """All that was done, in layers."""
        return self.visits + (MAX_STEPS - self.left) // STEPS_OF_A_LAYER

    def spend(self, steps: int, node: Node, report: Report) -> None:
        """Take steps away.

        Raises:
            Enough: none are left; that is reported at the node.
        """
        self.left -= steps
        if self.left < 0:
            report.error("F0306", "the formulas of this spec take too many steps together",
                         node.span, f"more than {MAX_STEPS:,} up to here",
                         help="loop fewer times, or over shorter lists")
            raise Enough


class Scope(Mapping[str, Any]):
    """Values by name; what is not here is looked up in the scope around.

    Attributes:
        values_: the names of this very scope.
        parent: the scope around, or None.
        budget: the steps left to formulas; all scopes of a compilation share one.
    """

    __slots__ = ("budget", "parent", "values_")

    def __init__(
        self, values: Mapping[str, Any] | None = None, parent: Scope | None = None,
        budget: Budget | None = None,
    ):
        self.values_ = dict(values or {})
        self.parent = parent
        self.budget: Budget = (budget or Budget()) if parent is None else parent.budget

    def find(self, name: object) -> Any:
        """The value of a name: UNKNOWN where an earlier error left none, MISSING where there
        is no such name."""
        scope: Scope = self
        while name not in scope.values_:
            if scope.parent is None:
                return MISSING
            if type(scope.parent) is not Scope:  # a scope with its own way of finding
                return scope.parent.find(name)
            scope = scope.parent
        return scope.values_[str(name)]

    def __getitem__(self, name: str) -> Any:
        value = self.find(name)
        if value is MISSING:
            raise KeyError(name)
        if value is UNKNOWN:
            raise UnknownValue
        return value

    def __contains__(self, name: object) -> bool:
        return self.find(name) is not MISSING

    def __iter__(self) -> Iterator[str]:
        yield from self.values_
        if self.parent is not None:
            yield from (name for name in self.parent if name not in self.values_)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def inner(self, values: Mapping[str, Any] | None = None) -> Scope:
        """A scope inside this one."""
        return Scope(values, self)


def value_of(node: Node, scope: Scope, report: Report, more: Iterable[Label] = ()) -> Any:
    """The value of a node, its formulas evaluated; UNKNOWN, and a report, after an error.

    Lists come as lists and maps as dicts, no deeper than formulas can read them.

    Raises:
        Enough: the formulas took too many steps.
    """
    value = _value(node, scope, report, more)
    # What a formula makes is checked where it is made.
    if not isinstance(node, Scalar) and _is_deep(value):
        report.error("F0306", f"the list is nested more than {MAX_DEPTH} deep", node.span,
                     more=more, help="keep the values side by side in one list")
        return UNKNOWN
    return value


def _value(node: Node, scope: Scope, report: Report, more: Iterable[Label]) -> Any:
    if isinstance(node, Scalar):
        if isinstance(node.value, str) and is_formula(node.value):
            return _formula(node, node.value[1:], scope, report, more)
        return node.value
    scope.budget.spend(len(node), node, report)
    if isinstance(node, MapNode):
        values = {k: _value(n, scope, report, more) for k, n in node.items()}
        return UNKNOWN if any(v is UNKNOWN for v in values.values()) else values
    assert isinstance(node, Sequence)
    items = [_value(n, scope, report, more) for n in node]
    return UNKNOWN if any(v is UNKNOWN for v in items) else items


def _is_deep(value: Any) -> bool:
    """Whether lists and maps stand in one another more than `MAX_DEPTH` deep."""
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(MAX_DEPTH):
        inner = {id(item): item for outer in level
                 for item in (outer.values() if isinstance(outer, dict) else outer)
                 if isinstance(item, list | dict)}
        level = list(inner.values())  # what stands there twice is looked at once
    return bool(level)


def _formula(
    node: Scalar, text: str, scope: Scope, report: Report, more: Iterable[Label],
) -> Any:
    if id(node) in scope.budget.failed:
        return UNKNOWN
    meter = Meter()
    steps = meter.left
    try:
        result = evaluate(parse_formula(text), scope, meter)
    except FormulaError as error:
        formula_error(error, node, report, more)
        scope.budget.failed[id(node)] = node
        result = UNKNOWN
    except UnknownValue:
        result = UNKNOWN
    # Reading the text and passing the result on cost as well.
    spent = steps - meter.left + 1 + len(text) // 8 + size_of(result)
    scope.budget.spend(spent, node, report)
    return result


def size_of(value: Any) -> int:
    """How many elements a value has, those of inner lists and maps included."""
    if isinstance(value, list | dict):
        items = value.values() if isinstance(value, dict) else value
        return len(value) + sum(size_of(v) for v in items)
    return len(value) // 100 if isinstance(value, str) else 0


def with_let(node: Node | None, scope: Scope, report: Report, more: Iterable[Label] = ()) -> Scope:
    """The scope with the values that a `let` names; each may read those before it."""
    if not isinstance(node, MapNode):
        return scope
    inner = scope.inner()
    for name, part in node.items():
        inner.values_[name] = value_of(part, inner, report, more)
    return inner


def check_names(node: Node | None, what: str, section: str, report: Report) -> None:
    """Check the form of a section that gives names to values, and the names in it.

    Args:
        node: the section, or None where there is none.
        what: what a name is, for messages: "a param".
        section: what the section is: "`params` is a map from names to defaults or types".
        report: where errors go.
    """
    if (given := map_of(node, report, section)) is None:
        return
    for name in given:
        if problem := value_name_problem(name):
            report.error("F0209", f"`{name}` cannot be the name of {what}", given.key_spans[name],
                         help=problem)
