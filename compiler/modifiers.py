"""The modifiers beside a layer: whether they go with it, and have the form they need."""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping

from compiler.diagnostics import Report
from compiler.expressions import is_formula
from compiler.formulas import check_formulas
from compiler.names import layer_name_problem
from compiler.parse import Node, Scalar, Sequence

MODIFIERS = ("name", "from", "when", "weights", "during", "freeze", "init", "remat", "was")

# The kinds of layers that a modifier may stand beside; the others go with every kind.
ONLY_BESIDE = {
    "weights": ("operator", "block", "join"),
    "init": ("operator", "join"),
    "remat": ("operator", "block", "scan"),
    "was": ("operator", "block", "scan"),
}


def check_modifiers(
    modifiers: AbstractMapping[str, Node], word: str, kind: str, report: Report,
) -> None:
    """Report modifiers that do not go with this layer, or are not of the form they need."""
    for key, node in modifiers.items():
        check_formulas(node, report)
        if kind not in ONLY_BESIDE.get(key, (kind,)):
            report.error(
                "F0208",
                f"`{key}` cannot stand beside `{word}`",
                node.span,
                help="put it beside the operator it is meant for"
                if key == "init"
                else "put it beside the layers inside, or make a block of them",
            )
    if "from" in modifiers:
        _check_from(modifiers["from"], report)
    if "weights" in modifiers:
        name_of(modifiers["weights"], report, "shared weights")
    if (was := modifiers.get("was")) is not None:
        path = was.value if isinstance(was, Scalar) else None
        if not isinstance(path, str) or not all(p.isidentifier() for p in path.split(".")):
            report.error(
                "F0208",
                "`was` is the path that the layer had before",
                was.span,
                help="as in `was: stage1.unit0.conv_1`",
            )


def _check_from(node: Node, report: Report) -> None:
    items = list(node) if isinstance(node, Sequence) else [node]
    if not items:
        report.error(
            "F0208",
            "`from` names no layer",
            node.span,
            help="name one, or take `from` away: the layer before is meant then",
        )
    for item in items:
        value = item.value if isinstance(item, Scalar) else None
        if not isinstance(value, str) or is_formula(value):
            report.error(
                "F0208",
                "`from` is the name of an earlier layer, or a list of names",
                item.span,
                help="a name is written as it is: `from: stem`, `from: [left, right]`",
            )


def name_of(node: Node, report: Report, what: str = "a layer") -> str:
    """A name as written; "", and a report, where it cannot be one."""
    value = node.value if isinstance(node, Scalar) else None
    problem = layer_name_problem(value if isinstance(value, str) else "")
    if problem:
        report.error(
            "F0209", f"`{brief(node)}` cannot be the name of {what}", node.span, help=problem
        )
    return "" if problem else str(value)


def brief(node: Node) -> str:
    """A value as written, where it is short."""
    return node.text if isinstance(node, Scalar) and len(node.text) <= 40 else "…"
