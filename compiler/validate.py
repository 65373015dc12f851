"""Maps of a tree to Pydantic models: every value checked, every error told at its place."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from compiler.diagnostics import Report, nearest
from compiler.parse import Mapping, Node, Scalar, Sequence, plain, present
from compiler.source import Span
from compiler.spec import RawMarker
from compiler.wording import (
    expected,
    field_names,
    inner_field,
    literals,
    models_in,
    near,
    shown,
    some,
)

Model = TypeVar("Model", bound=BaseModel)

# What an evaluator gives for a value that cannot be known (now, or at all).
UNKNOWN = object()


def map_of(node: Node | None, report: Report, form: str, example: str = "") -> Mapping | None:
    """What stands behind a key, where it is a map; None, and a report, where it is none.

    Args:
        node: what stands there; nothing and `null` give None without a report.
        report: where errors go.
        form: what it has to be: "`use` is a map from prefixes to files".
        example: one of the kind: "use: {mobile: mobile}".
    """
    if (node := present(node)) is None or isinstance(node, Mapping):
        return node
    report.error("F0201", form, node.span, help=f"as in `{example}`" if example else "")
    return None


def is_raw(info: FieldInfo) -> bool:
    """Whether a field keeps its node."""
    return any(isinstance(m, RawMarker) for m in info.metadata)


def validate(
    cls: type[Model],
    node: Mapping,
    report: Report,
    *,
    what: str,
    part: str = "field",
    evaluate: Callable[[Node], Any] | None = None,
    main_span: Span | None = None,
    defaults: dict[str, Any] | None = None,
    partial: bool = False,
    elsewhere: Collection[str] = (),
) -> Model | None:
    """An instance of a Pydantic class from a map of the tree, or None after an error.

    Args:
        cls: the class; its `Raw` fields keep their nodes.
        node: the map.
        report: where errors go.
        what: what the map is, for messages: "conv", "a spec".
        part: what its keys are called: "field", "section", "param".
        evaluate: the value of a node, or `UNKNOWN` where it has none (which makes the
            result None without a further error); plain data where not given.
        main_span: where to point when a field is missing; the map where not given.
        defaults: values for fields that the map does not give.
        partial: leave out unknown values and check only the others; the result is None.
        elsewhere: fields that get their value from somewhere else, and may be missing here.
    """
    fields = dict(zip(field_names(cls), cls.model_fields.values()))
    data: dict[str, Any] = dict(defaults or {})
    failed = False
    unknown: set[str] = set(elsewhere)
    for key, value in node.items():
        if key not in fields:
            failed = True
            close = near(key, [f for f in fields if f not in node], report)
            report.error(
                "F0203",
                f"`{key}` is not a {part} of {what}",
                node.key_spans[key],
                close,
                notes=(f"{part}s of {what}: {', '.join(fields) or 'none'}",),
            )
            if close and (meant := close.split("`")[1]) not in node:
                unknown.add(meant)  # it is not missing as well
            continue
        if is_raw(fields[key]):
            data[key] = value
            continue
        result = tuples(evaluate(value) if evaluate else plain(value))
        if result is UNKNOWN:
            unknown.add(key)
        else:
            unknown.discard(key)
            data[key] = result
    try:
        instance = cls.model_validate(data)
    except ValidationError as error:
        instance = None
        failed |= _report_errors(
            error,
            cls,
            node,
            fields,
            unknown,
            report,
            what=what,
            part=part,
            main_span=main_span or node.span,
        )
    return None if failed or unknown or partial else instance


def _report_errors(
    error: ValidationError,
    cls: type[BaseModel],
    node: Mapping,
    fields: dict[str, FieldInfo],
    unknown: set[str],
    report: Report,
    *,
    what: str,
    part: str,
    main_span: Span,
) -> bool:
    """Report Pydantic's errors, one for each field; True if there was one to report."""
    told = False
    for key, items in _by_field(error).items():
        if key in unknown:
            continue
        told = True
        info, value = fields.get(key), node.get(key)
        # A value that may have several forms has an error for each: the deepest is of the form
        # that the author had in mind.
        item = max(items, key=lambda i: _reached(value, i["loc"][1:])[1])
        found, depth = _reached(value, item["loc"][1:])
        span = found.span if found is not None else main_span
        if item["type"] == "missing" and not depth and len(item["loc"]) == 1:
            owner = f"`{what}`" if what.isidentifier() else what
            report.error("F0204", f"{owner} needs `{key}`", main_span, f"`{key}` is missing",
                         help=remedy(key, info))
        elif not key or info is None:
            message = str(item.get("ctx", {}).get("error", item["msg"]))
            report.error("F0205", f"{what}: {message}", main_span)
        elif item["type"] == "value_error":
            report.error("F0205", f"`{key}` of {what}: {item.get('ctx', {})['error']}", span)
        elif item["type"] in ("extra_forbidden", "missing"):
            _report_inner(item, key, value, info, report, what)
        else:
            owner, whole = f"`{key}` of {what}", item["input"]
            inner = inner_field(info, item["loc"][-1]) if depth else None
            label = ""
            if isinstance(found, Scalar) and isinstance(found.value, str):
                label = nearest(found.value, literals((inner or info).annotation))
            if inner is not None:
                owner, info = f"`{item['loc'][-1]}` of {owner}", inner
            elif depth and value is not None and found is not None:
                label = label or f"this is {shown(tuples(plain(found)))}"
                whole = tuples(plain(value))
            key = str(item["loc"][-1]) if inner is not None else key
            report.error("F0205", f"{owner} takes {expected(info)}, not {shown(whole)}",
                         span, label,
                         notes=(f"`{key}`: {info.description}",) if info.description else ())
    return told


def _by_field(error: ValidationError) -> dict[str, list[Any]]:
    """Pydantic's errors by the field that they are in; "" holds those of the whole."""
    found: dict[str, list[Any]] = {}
    for item in error.errors(include_url=False, include_context=True):
        found.setdefault(str(item["loc"][0]) if item["loc"] else "", []).append(item)
    return found


def _report_inner(
    item: Any, key: str, value: Node | None, info: FieldInfo, report: Report, what: str,
) -> None:
    """Report a field that is unknown or missing in a map that is the value of a field."""
    inner, owner = str(item["loc"][-1]), f"`{key}` of {what}"
    models = models_in(info.annotation)
    names = [name for model in models for name in field_names(model)]
    holder, _ = _reached(value, item["loc"][1:-1])
    assert holder is not None
    span = holder.span
    if item["type"] == "missing":
        report.error("F0204", f"{owner} needs `{inner}`", span, f"`{inner}` is missing",
                     help=remedy(inner, inner_field(info, inner)))
        return
    if isinstance(holder, Mapping) and inner in holder.key_spans:
        span = holder.key_spans[inner]
    report.error("F0203", f"`{inner}` is not a field of {owner}", span, near(inner, names, report),
                 notes=(f"fields of {owner}: {some(names)}",))


def remedy(key: str, info: FieldInfo | None) -> str:
    """What to add where a field is missing."""
    if info is None:
        return ""
    words = expected(info)
    text = f"add `{key}: …`" + (f", {words}" if words != "a value" else "")
    return f"{text}: {info.description}" if info.description else text


def _reached(node: Node | None, loc: tuple[Any, ...]) -> tuple[Node | None, int]:
    """The node that an error's location leads to, as far as it exists in the tree, and how far.

    Pydantic puts the names of a union's members between the keys; they are passed by.
    """
    depth = 0
    for step in loc:
        if isinstance(node, Mapping) and step in node:
            node, depth = node[step], depth + 1
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node):
            node, depth = node[step], depth + 1
    return node, depth


def tuples(value: Any) -> Any:
    """Lists as tuples, all the way down: frozen classes hold tuples."""
    if isinstance(value, list | tuple):
        return tuple(tuples(v) for v in value)
    if isinstance(value, dict):
        return {k: tuples(v) for k, v in value.items()}
    return value
