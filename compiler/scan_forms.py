"""The form of `scan`, as far as it can be told without values."""

from __future__ import annotations

from compiler.diagnostics import Report
from compiler.expressions import is_formula
from compiler.formulas import check_formulas
from compiler.names import value_name_problem
from compiler.parse import Mapping, Node, Scalar, present
from compiler.spec import Scan
from compiler.validate import map_of

# What every scan's name leads to: states and further outputs are called otherwise.
RESERVED = ("output", "sequence", "last", "next")

_EXAMPLES = {
    "over": "{token: target}",
    "carry": "{h: encoder.state}",
    "next": "{h: cell.state}",
    "outputs": "{attention: look.weights}",
    "decode": "{beam: 5, start: 1, end: 2, length: 60}",
}


def check_scan(section: Scan, value: Mapping, report: Report) -> None:
    """Report the parts of a `scan` that have not the form they need."""
    taken: dict[str, str] = {}
    for key in ("over", "carry", "outputs"):
        if (part := _map(section, key, report)) is None:
            continue
        for name, node in part.items():
            problem = value_name_problem(name)
            if not problem and name in RESERVED:
                problem = f"`{name}` is a name that every scan has"
            if problem:
                report.error("F0209", f"`{name}` cannot be the name of "
                             f"{_KINDS[key]}", part.key_spans[name], help=problem)
            if name in taken:
                report.error("F0210", f"`{name}` stands under `{taken[name]}` and `{key}` of one "
                             "scan", part.key_spans[name], help="give one of them another name")
            taken[name] = key
            if not (key == "carry" and isinstance(node, Mapping)):
                _check_name(node, f"{key}: {{{name}: …}}", report)
    _check_next(section, report)
    _map(section, "decode", report)
    for node in (section.carry, section.decode, section.sample):
        check_formulas(node, report)


_KINDS = {"over": "a step of a sequence", "carry": "a state", "outputs": "an output"}


def _map(section: Scan, key: str, report: Report) -> Mapping | None:
    return map_of(getattr(section, key), report, f"`{key}` of `scan` is a map",
                  f"{key}: {_EXAMPLES[key]}")


def _check_next(section: Scan, report: Report) -> None:
    if (part := _map(section, "next", report)) is None:
        return
    states = list(section.carry) if isinstance(section.carry, Mapping) else []
    for name, node in part.items():
        _check_name(node, f"next: {{{name}: …}}", report)
        if name not in states:
            report.error("F0310", f"`next` speaks of `{name}`, which is no state of this scan",
                         part.key_spans[name],
                         notes=(f"its states: {', '.join(states) or 'none'}",),
                         help=f"say what it begins with: `carry: {{{name}: …}}`")


def _check_name(node: Node, where: str, report: Report) -> None:
    """Report what is not the name of a tensor."""
    value = node.value if isinstance(node, Scalar) and present(node) is not None else None
    if isinstance(value, str) and value and not is_formula(value):
        return
    zeros = where.startswith("carry")
    report.error("F0205", f"`{where}` takes the name of a tensor", node.span,
                 help="as in `h: encoder.state`, or `h: {zeros: 256}` for a state that begins as "
                      "zeros" if zeros else "a name is written as it is: `memory`, "
                                            "`encoder.sequence`")
