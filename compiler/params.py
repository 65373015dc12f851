"""Params: the typed knobs of a file or a block, and the values given to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compiler.diagnostics import Label, Report
from compiler.expressions import FormulaError, is_formula, parse_formula
from compiler.formulas import check_formulas, formulas
from compiler.parse import Mapping as MapNode
from compiler.parse import Node, Scalar, Sequence
from compiler.scope import MISSING, Scope, check_names, size_of, value_of
from compiler.source import Span
from compiler.spec import Param
from compiler.validate import UNKNOWN, validate
from compiler.wording import near, shown, some

if TYPE_CHECKING:
    from compiler.program import Program

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
    """The value of a param of type `layers`: layers still to be read.

    Attributes:
        node: the layers as written.
        scope: what their formulas see.
        program: the file they are written in, whose blocks they may use; None for the file
            whose own param this is.
    """

    node: Node
    scope: Scope
    program: Program | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Given:
    """A value that somebody gave to a param.

    Attributes:
        node: the value as written.
        scope: what its formulas see; None: what the param's own default would see.
        span: where the param is named.
        program: the file it is written in, where that is another than the param's.
        variant: the variant that gives it, or "".
    """

    node: Node
    scope: Scope | None
    span: Span
    program: Program | None = None
    variant: str = ""


def read_params(node: Node | None, report: Report, what: str) -> dict[str, ParamSpec]:
    """The params that a `params:` section declares, in order."""
    check_names(node, "a param", "`params` is a map from names to defaults or types", report)
    if not isinstance(node, MapNode):
        return {}
    params = {n: _read_param(n, v, node.key_spans[n], report, what) for n, v in node.items()}
    for param in params.values():
        if param.default is not None and not any(formulas(param.default)):
            _fitting(param, Scope(), report, what)
    return params


def _fitting(param: ParamSpec, scope: Scope, report: Report, what: str) -> None:
    """Report a default that is no formula and does not fit, whether it is ever used or not."""
    assert param.default is not None
    if param.type != "layers":
        _checked(param, value_of(param.default, scope, report), param.default.span, report, what)


def _read_param(name: str, node: Node, span: Span, report: Report, what: str) -> ParamSpec:
    if isinstance(node, MapNode):
        full = validate(Param, node, report, what=f"param `{name}`", main_span=span)
        if full is None:
            return ParamSpec(name, "", None, span)
        check_formulas(full.default, report)
        _check_bounds(full, node, report, f"param `{name}`")
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
        return ParamSpec(name, "", None, span)
    if isinstance(value, str) and not node.quoted and value in TYPES:
        return ParamSpec(name, value, None, span)
    if isinstance(value, str) and is_formula(value):
        check_formulas(node, report)
        return ParamSpec(name, "", node, span)
    kind = {bool: "bool", int: "int", float: "float", str: "string"}[type(value)]
    return ParamSpec(name, kind, node, span)


def _check_bounds(full: Param, node: MapNode, report: Report, what: str) -> None:
    """Report bounds and choices that no value of the type could keep."""
    for key in ("min", "max"):
        if getattr(full, key) is not None and full.type not in ("int", "float"):
            report.error(
                "F0205",
                f"`{key}` of {what} is for numbers, but its type is `{full.type}`",
                node.key_spans[key],
                help="take it away",
            )
    if full.min is not None and full.max is not None and full.min > full.max:
        report.error(
            "F0205",
            f"{what} has `min` {full.min:g} above `max` {full.max:g}",
            node["min"].span,
            help="exchange the two",
        )
    for i, choice in enumerate(full.choices or ()):
        if not _is(full.type, choice):
            choices = node["choices"]
            at = choices[i].span if isinstance(choices, Sequence) else choices.span
            report.error(
                "F0205", f"a choice of {what} is {shown(choice)}, but its type is `{full.type}`", at
            )


def _is(kind: str, value: Any) -> bool:
    """Whether a value is of a param's type."""
    match kind:
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "bool":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "list":
            return isinstance(value, list | tuple)
        case "layers":
            return isinstance(value, LayersValue)
    return True


def bind(
    params: Mapping[str, ParamSpec],
    given: Mapping[str, Given],
    outer: Scope,
    report: Report,
    *,
    what: str,
    use: Span | None,
    program: Program | None = None,
    more: Iterable[Label] = (),
    remedy: str = "",
) -> Scope:
    """A scope with a value for every param: what is given, else its default.

    Args:
        params: the declarations.
        given: values by name; names that are not declared are reported.
        outer: what defaults may read besides the params before them.
        report: where errors go.
        what: what has these params, for messages.
        use: where it is used, to point at when a required param is missing.
        program: the file that declares the params, for layers among the defaults.
        more: further places, for errors in values.
        remedy: what to do where a required param is missing; `{}` stands for its name.

    Raises:
        Enough: the formulas took too many steps.
    """
    scope = outer.inner()
    for name, unknown in given.items():
        if name not in params:
            report.error(
                "F0203",
                f"`{name}` is not a param of {what}",
                unknown.span,
                near(name, params, report),
                notes=(f"params of {what}: {some(params)}",),
            )
    for name, param in params.items():
        owner = program
        if name in given:
            value = given[name]
            node, seen = value.node, scope if value.scope is None else value.scope
            owner = value.program or program
        elif param.default is not None:
            node, seen = param.default, scope
        else:
            if param.full is not None or param.type:  # else it is wrong, which was reported
                report.error(
                    "F0214",
                    f"{what} needs a value for `{name}`",
                    use or param.span,
                    f"`{name}` is missing",
                    more=()
                    if use is None
                    else (Label(param.span, "declared here, without a default"),),
                    help=remedy.replace("{}", name)
                    or f"give `{name}: …`, {IN_WORDS.get(param.type, 'a value')}",
                )
            scope.values_[name] = UNKNOWN
            continue
        if param.type == "layers" and not (
            isinstance(node, Scalar) and isinstance(node.value, str) and is_formula(node.value)
        ):
            scope.values_[name] = LayersValue(node, seen, owner)
            continue
        value = value_of(node, seen, report, more)
        scope.values_[name] = (
            value if value is UNKNOWN else _checked(param, value, node.span, report, what)
        )
    return scope


def _checked(param: ParamSpec, value: Any, span: Span, report: Report, what: str) -> Any:
    """The value, converted to the param's type; UNKNOWN, and a report, where it does not fit."""
    kind = param.type
    if not _is(kind, value):
        help = ""
        if kind == "layers":
            help = f"write the layers themselves, as in `{param.name}: [relu]`"
        report.error(
            "F0213",
            f"param `{param.name}` of {what} takes {IN_WORDS[kind]}, not {shown(value)}",
            span,
            more=_declared(param, span),
            help=help,
        )
        return UNKNOWN
    if kind == "float":
        value = float(value)
    if (full := param.full) is None:
        return value
    if full.choices is not None and value not in full.choices:
        report.error(
            "F0213",
            f"param `{param.name}` of {what} is {shown(value)}, which is not among its choices",
            span,
            near(str(value), map(str, full.choices), report),
            notes=(f"choices: {some(map(str, full.choices))}",),
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


def check_values(
    params: Mapping[str, ParamSpec],
    values: MapNode,
    report: Report,
    what: str,
) -> None:
    """Report names and values without formulas that `params` do not take.

    For values that may never be used: those of a variant that is not chosen.
    """
    for name, node in values.items():
        if name not in params:
            report.error(
                "F0203",
                f"`{name}` is not a param of {what}",
                values.key_spans[name],
                near(name, params, report),
                notes=(f"params of {what}: {some(params)}",),
            )
        elif params[name].type != "layers" and not any(formulas(node)):
            _checked(params[name], value_of(node, Scope(), report), node.span, report, what)


def _declared(param: ParamSpec, span: Span) -> tuple[Label, ...]:
    return () if param.span == span else (Label(param.span, "declared here"),)


# ---- equality of values, for sharing what equal uses of a block make


class _Same:
    """Something that is equal to itself alone, kept alive by the key that it is part of."""

    __slots__ = ("it",)

    def __init__(self, it: Any):
        self.it = it

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.it is self.it


def frozen(value: Any) -> Any:
    """A hashable form of a param's value, equal for equal values."""
    if isinstance(value, list):
        return tuple(frozen(v) for v in value)
    if isinstance(value, dict):
        return tuple((k, frozen(v)) for k, v in value.items())
    if isinstance(value, LayersValue):
        return ("layers", _Same(value.node), _Same(value.program), _seen(value))
    if value is None or isinstance(value, bool | int | float | str):
        return (type(value).__name__, value)
    return _Same(value)


def _seen(value: LayersValue) -> Any:
    """The names that a layers value's formulas read, with their values.

    Layers among them are equal to themselves alone: comparing what they see in turn could
    take for ever where layers hold layers that hold layers.
    """
    found: dict[str, Any] = {}
    for _, text in formulas(value.node):
        try:
            names = parse_formula(text).names
        except FormulaError:
            continue
        for name in names - found.keys():
            if (inner := value.scope.find(name)) is not MISSING:
                found[name] = _Same(inner) if isinstance(inner, LayersValue) else frozen(inner)
    return tuple(sorted(found.items(), key=lambda item: item[0]))


def weight_of(values: Mapping[str, Any]) -> int:
    """How much work it is to compare values of params."""
    return sum(1 + size_of(v) for v in values.values())
