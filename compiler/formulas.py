"""The formulas that stand in a tree: found, checked, and their errors told at their places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from compiler.diagnostics import Report
from compiler.expressions import FormulaError, is_formula, parse_formula
from compiler.parse import Mapping, Node, Scalar, Sequence, comment_after


def formulas(node: Node | None) -> Iterator[tuple[Scalar, str]]:
    """Every formula under a node, and its text without the `=`."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            stack.extend(item.values())
        elif isinstance(item, Sequence):
            stack.extend(item)
        elif isinstance(item, Scalar) and isinstance(item.value, str) and is_formula(item.value):
            yield item, item.value[1:]


def check_formulas(node: Node | None, report: Report) -> None:
    """Report every formula under a node that cannot be read, whether it is ever used or not."""
    for item, text in formulas(node):
        try:
            parse_formula(text)
        except FormulaError as error:
            formula_error(error, item, report)


def formula_error(
    error: FormulaError, node: Scalar, report: Report, more: Iterable[Any] = ()
) -> None:
    """Report what is wrong with the formula in a scalar, at its place in the scalar."""
    help = error.help
    if error.cut and comment_after(node):
        help = (
            "YAML ended the formula at ` #`, where a comment begins: put the formula in quotes"
            + (f"; {help}" if help else "")
        )
    # One for the `=`, which is no part of the formula's text.
    end = max(error.end, error.start + 1)
    report.error(
        error.code,
        error.message,
        node.part(error.start + 1, end + 1),
        error.label,
        help=help,
        more=more,
    )
