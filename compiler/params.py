"""Params: the typed knobs of a file or a block, and the values given to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.check import UNKNOWN, check_formulas, shown, validate
from compiler.diagnostics import Label, Report, nearest
from compiler.expressions import FormulaError, is_formula, parse_formula
from compiler.parse import Mapping as MapNode
from compiler.parse import Node, Scalar, Sequence
from compiler.scope import Scope, value_of
from compiler.source import Span
from compiler.spec import Param

TYPES = ("int", "float", "bool", "string", "list", "layers")
IN_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "layers": "layers",
}


@dataclass(frozen=True, eq=False, slots=True)
class ParamSpec:
    """A declared param.

    Attributes:
        name: what formulas call it.
        type: one of `TYPES`, or "" where a formula's value decides.
        default: the node of its default, or None where it is required.
        span: where it is declared.
        full: its full form, for bounds and choices, where the author gave one.
    """

    name: str
    type: str
    default: Node | None
    span: Span
    full: Param | None = None


@dataclass(frozen=True, eq=False, slots=True)
class LayersValue:
    """The value of a param of type `layers`: layers still to be read, and the scope that
    their formulas see."""

    node: Node
    scope: Scope


@dataclass(frozen=True, eq=False, slots=True)
class Given:
    """A value that somebody gave to a param: a node, to be evaluated in a scope."""

    node: Node
    scope: Scope


def read_params(node: Node | None, report: Report, what: str) -> dict[str, ParamSpec]:
    """The params that a `params:` section declares, in order."""
    if node is None:
        return {}
    if not isinstance(node, MapNode):
        report.error("F0201", "`params` is a map from names to defaults or types", node.span)
        return {}
    params = {}
    for name, value in node.items():
        span = node.key_spans[name]
        if not name.isidentifier():
            report.error(
                "F0209",
                f"`{name}` cannot be the name of a param",
                span,
                help="a name has letters, digits and `_`, and begins with a letter",
            )
        params[name] = _read_param(name, value, span, report, what)
    return params


def _read_param(name: str, node: Node, span: Span, report: Report, what: str) -> ParamSpec:
    if isinstance(node, MapNode):
        full = validate(Param, node, report, what=f"param `{name}`")
        if full is None:
            return ParamSpec(name, "", node, span)
        check_formulas(full.default, report)
        return ParamSpec(name, full.type, node.get("default"), span, full)
    if isinstance(node, Sequence):
        check_formulas(node, report)
        return ParamSpec(name, "list", node, span)
    value = node.value
    if value is None:
        report.error(
            "F0213",
            f"param `{name}` of {what} has neither a default nor a type",
            span,
            help=f"write a default, or a type for required: `{name}: int`",
        )
        return ParamSpec(name, "", node, span)
    if isinstance(value, str) and not node.quoted and value in TYPES:
        return ParamSpec(name, value, None, span)
    if isinstance(value, str) and is_formula(value):
        check_formulas(node, report)
        return ParamSpec(name, "", node, span)
    kind = {bool: "bool", int: "int", float: "float", str: "string"}[type(value)]
    return ParamSpec(name, kind, node, span)


def bind(
    params: Mapping[str, ParamSpec],
    given: Mapping[str, Given],
    outer: Scope,
    report: Report,
    *,
    what: str,
    use: Span | None,
    more: Iterable[Label] = (),
    help: str = "",
) -> Scope:
    """A scope with a value for every param: what is given, else its default.

    Args:
        params: the declarations.
        given: values by name; names that are not declared are reported.
        outer: what defaults may read besides the params before them.
        report: where errors go.
        what: what has these params, for messages.
        use: where it is used, to point at when a required param is missing.
        more: further places, for errors in values.
        help: the remedy where a required param is missing.
    """
    scope = outer.inner()
    for name, value in given.items():
        if name not in params:
            report.error(
                "F0203",
                f"`{name}` is not a param of {what}",
                value.node.span,
                nearest(name, params),
                notes=(f"params of {what}: {', '.join(params) or 'none'}",),
            )
    for name, param in params.items():
        if name in given:
            node, seen = given[name].node, given[name].scope
        elif param.default is not None:
            node, seen = param.default, scope
        else:
            report.error(
                "F0214",
                f"{what} needs a value for `{name}`",
                use or param.span,
                f"`{name}` is missing",
                more=()
                if use is None
                else (Label(param.span, "declared here, without a default"),),
                help=help or f"give `{name}: …`, {IN_WORDS.get(param.type, 'a value')}",
            )
            scope.values_[name] = UNKNOWN
            continue
        if param.type == "layers":
            passed = _layers_given(node, seen)
            scope.values_[name] = passed if passed is not None else LayersValue(node, seen)
            continue
        value = value_of(node, seen, report, more)
        scope.values_[name] = (
            value if value is UNKNOWN else _checked(param, value, node.span, report, what)
        )
    return scope


def _layers_given(node: Node, scope: Scope) -> LayersValue | None:
    """The layers that another param holds, where a value is just its name (`norm: =norm`)."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and is_formula(node.value):
        name = node.value[1:].strip()
        if name in scope and isinstance(scope[name], LayersValue):
            return scope[name]
    return None


def _checked(param: ParamSpec, value: Any, span: Span, report: Report, what: str) -> Any:
    """The value, converted to the param's type; UNKNOWN, and a report, where it does not fit."""
    kind = param.type
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    fits = {
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, float),
        "bool": isinstance(value, bool),
        "string": isinstance(value, str),
        "list": isinstance(value, list),
        "": True,
    }[kind]
    if not fits:
        report.error(
            "F0213",
            f"param `{param.name}` of {what} takes {IN_WORDS[kind]}, not {shown(value)}",
            span,
            more=_declared(param, span),
        )
        return UNKNOWN
    if (full := param.full) is None:
        return value
    if full.choices is not None and value not in full.choices:
        report.error(
            "F0213",
            f"param `{param.name}` of {what} is {shown(value)}, which is not among its choices",
            span,
            nearest(str(value), map(str, full.choices)),
            notes=(f"choices: {', '.join(str(c) for c in full.choices)}",),
            more=_declared(param, span),
        )
        return UNKNOWN
    low, high = full.min, full.max
    if isinstance(value, int | float) and (
        low is not None and value < low or high is not None and value > high
    ):
        bounds = " and ".join(
            t
            for t in (
                f"at least {low:g}" if low is not None else "",
                f"at most {high:g}" if high is not None else "",
            )
            if t
        )
        report.error(
            "F0213",
            f"param `{param.name}` of {what} must be {bounds}, not {value}",
            span,
            more=_declared(param, span),
        )
        return UNKNOWN
    return value


def _declared(param: ParamSpec, span: Span) -> tuple[Label, ...]:
    return () if param.span == span else (Label(param.span, "declared here"),)


def frozen(value: Any) -> Any:
    """A hashable form of a param's value, equal for equal values."""
    if isinstance(value, list):
        return tuple(frozen(v) for v in value)
    if isinstance(value, dict):
        return tuple((k, frozen(v)) for k, v in value.items())
    if isinstance(value, LayersValue):
        return ("layers", id(value.node), tuple(sorted(_seen(value))))
    return (type(value).__name__, value)


def _seen(value: LayersValue) -> set[tuple[str, str]]:
    """The names that a layers value's formulas read, with their values as text."""
    found: set[tuple[str, str]] = set()
    stack: list[Node] = [value.node]
    while stack:
        node = stack.pop()
        if isinstance(node, MapNode):
            stack.extend(node.values())
        elif isinstance(node, Sequence):
            stack.extend(node)
        elif isinstance(node.value, str) and is_formula(node.value):
            try:
                names = parse_formula(node.value[1:]).names
            except FormulaError:
                continue
            for name in names:
                if name in value.scope:
                    inner = value.scope[name]
                    found.add((name, repr(frozen(inner))))
    return found
