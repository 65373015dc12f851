"""Names and their values: what a formula can see, from the inside out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from compiler.check import UNKNOWN, formula_error
from compiler.diagnostics import Label, Report
from compiler.expressions import FormulaError, evaluate, is_formula, parse_formula
from compiler.parse import Mapping as MapNode
from compiler.parse import Node, Scalar, Sequence


class UnknownValue(Exception):
    """A formula read something that an earlier error left without a value."""


class Scope(Mapping[str, Any]):
    """Values by name; what is not here is looked up in the scope around."""

    __slots__ = ("parent", "values_")

    def __init__(self, values: Mapping[str, Any] | None = None, parent: Scope | None = None):
        self.values_ = dict(values or {})
        self.parent = parent

    def __getitem__(self, name: str) -> Any:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values_:
                value = scope.values_[name]
                if value is UNKNOWN:
                    raise UnknownValue
                return value
            scope = scope.parent
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values_:
                return True
            scope = scope.parent
        return False

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        scope: Scope | None = self
        while scope is not None:
            for name in scope.values_:
                if name not in seen:
                    seen.add(name)
                    yield name
            scope = scope.parent

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def inner(self, values: Mapping[str, Any] | None = None) -> Scope:
        """A scope inside this one."""
        return Scope(values, self)


def value_of(
    node: Node, scope: Mapping[str, Any], report: Report, more: Iterable[Label] = (),
) -> Any:
    """The value of a node, its formulas evaluated; UNKNOWN, and a report, after an error.

    Lists come as lists and maps as dicts.
    """
    if isinstance(node, Scalar):
        if isinstance(node.value, str) and is_formula(node.value):
            try:
                return evaluate(parse_formula(node.value[1:]), scope)
            except FormulaError as error:
                formula_error(error, node, report, more)
                return UNKNOWN
            except UnknownValue:
                return UNKNOWN
        return node.value
    if isinstance(node, MapNode):
        values = {k: value_of(n, scope, report, more) for k, n in node.items()}
        return UNKNOWN if any(v is UNKNOWN for v in values.values()) else values
    assert isinstance(node, Sequence)
    items = [value_of(n, scope, report, more) for n in node]
    return UNKNOWN if any(v is UNKNOWN for v in items) else items


def with_let(node: Node | None, scope: Scope, report: Report, more: Iterable[Label] = ()) -> Scope:
    """The scope with the values that a `let` names; each may read those before it."""
    if node is None:
        return scope
    if not isinstance(node, MapNode):
        report.error("F0201", "`let` is a map from names to values", node.span)
        return scope
    inner = scope.inner()
    for name, part in node.items():
        inner.values_[name] = value_of(part, inner, report, more)
    return inner
