"""Tree to models: every value checked against its Pydantic class, every error with its place."""

from __future__ import annotations

import difflib
import itertools
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeVar

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from compiler.diagnostics import Report, nearest
from compiler.expressions import FormulaError, is_formula, parse_formula
from compiler.parse import Mapping, Node, Scalar, Sequence, comment_after, plain
from compiler.source import Span
from compiler.spec import Document, RawMarker

Model = TypeVar("Model", bound=BaseModel)

# What an evaluator gives for a value that cannot be known (now, or at all).
UNKNOWN = object()

# Sections that other tools or later versions use; named so that the message is exact.
RESERVED = {
    "extends": "patching another spec is not part of this version; copy the file, or `use` it",
    "losses": "written-out losses are not part of this version; name a `task`",
    "metrics": "written-out metrics are not part of this version; name a `task`",
}


# What a recipe has besides: the runtime's own document declares them, and to the compiler they
# mean nothing, so that a recipe's model can be compiled alone.
RECIPE = ("data", "task", "train")


def check_document(tree: Mapping, cls: type[Document], report: Report) -> Document:
    """The document of a tree; sections that are wrong are reported and left out.

    Raises:
        SpecError: it is written in another version of the language.
    """
    version = tree.get("flaxspec")
    if version is None:
        report.error(
            "F0218",
            "the file does not say which version of the language it is written in",
            tree.span,
            "`flaxspec: 1` is missing",
            help="begin the file with `flaxspec: 1`",
        )
    elif plain(version) != 1 or isinstance(plain(version), bool):
        report.error(
            "F0218",
            "the version of the language is not one this program knows",
            version.span,
            "only version 1 is known",
            help="write `flaxspec: 1`",
        )
        report.check()
    sections: dict[str, Node] = {}
    for key, node in tree.items():
        if key in cls.model_fields:
            # A key with nothing after it is as good as none.
            if not (_is_raw(cls.model_fields[key]) and isinstance(node, Scalar)
                    and node.value is None):
                sections[key] = node
        elif key in RECIPE:
            continue
        elif key in RESERVED:
            report.error("F0220", f"`{key}` is not there yet", tree.key_spans[key], RESERVED[key])
        else:
            close = difflib.get_close_matches(
                key, [f for f in cls.model_fields if f not in tree], n=1
            )
            report.error(
                "F0203",
                f"`{key}` is not a section of a spec",
                tree.key_spans[key],
                f"did you mean `{close[0]}`?" if close else "",
                notes=(f"sections of a spec: {', '.join(cls.model_fields)}",),
            )
            if close:  # read on as if that had been written
                sections[close[0]] = node
    train = sections.get("train")
    if isinstance(train, Mapping) and "phases" in train:
        report.error(
            "F0220",
            "`phases` is not there yet",
            train.key_spans["phases"],
            "training several networks in turns comes with a later version",
        )
        sections["train"] = Mapping(
            {k: v for k, v in train.items() if k != "phases"}, train.span, train.key_spans
        )
    kept = Mapping(sections, tree.span, tree.key_spans)
    document = validate(cls, kept, report, what="a spec", part="section", defaults={"flaxspec": 1})
    if document is None:  # what is wrong is a text such as `name`, which nothing hangs on
        raw = {k: v for k, v in sections.items() if _is_raw(cls.model_fields[k])}
        document = cls.model_validate({"flaxspec": 1, **raw})
    return document


def field_names(cls: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a class as a spec calls them: `return`, which Python has to call otherwise."""
    return tuple(info.alias or name for name, info in cls.model_fields.items())


def _is_raw(info: FieldInfo) -> bool:
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
    elsewhere: typing.Collection[str] = (),
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
            close = near(key, fields, report)
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
        if _is_raw(fields[key]):
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
            report.error("F0204", f"{what} needs `{key}`", main_span, f"`{key}` is missing",
                         help=_remedy(key, info))
        elif not key or info is None:
            message = str(item.get("ctx", {}).get("error", item["msg"]))
            report.error("F0205", f"{what}: {message}", main_span)
        elif item["type"] == "value_error":
            report.error("F0205", f"`{key}` of {what}: {item.get('ctx', {})['error']}", span)
        elif item["type"] in ("extra_forbidden", "missing"):
            _report_inner(item, key, value, info, report, what)
        else:
            owner, whole = f"`{key}` of {what}", item["input"]
            inner = _inner_field(info, item["loc"][-1]) if depth else None
            label = ""
            if isinstance(found, Scalar) and isinstance(found.value, str):
                label = nearest(found.value, _literals((inner or info).annotation))
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
    models = _models(info.annotation)
    names = [name for model in models for name in field_names(model)]
    holder, _ = _reached(value, item["loc"][1:-1])
    assert holder is not None
    span = holder.span
    if item["type"] == "missing":
        report.error("F0204", f"{owner} needs `{inner}`", span, f"`{inner}` is missing",
                     help=_remedy(inner, _inner_field(info, inner)))
        return
    if isinstance(holder, Mapping) and inner in holder.key_spans:
        span = holder.key_spans[inner]
    report.error("F0203", f"`{inner}` is not a field of {owner}", span, near(inner, names, report),
                 notes=(f"fields of {owner}: {some(names)}",))


def _remedy(key: str, info: FieldInfo | None) -> str:
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


def shown(value: Any, room: int = 60) -> str:
    """A value as the author would write it, in about `room` characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f"the text `{value if len(value) <= room else value[: room - 1] + '…'}`"
    if isinstance(value, tuple | list):
        return f"the list `{_listed(value, room)}`" if value else "an empty list"
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, int | float):
        return f"`{value}`"
    return "layers"


def _listed(values: typing.Sequence[Any], room: int) -> str:
    texts: list[str] = []
    for value in values:
        if room <= 0:
            texts.append("…")
            break
        text = (
            _listed(value, room // 2)
            if isinstance(value, tuple | list)
            else (shown(value, room).removeprefix("the text ").strip("`"))
        )
        texts.append(text)
        room -= len(text) + 2
    return f"[{', '.join(texts)}]"


# How often near names are looked for, and how many names are looked at: comparing words takes
# a while, and a file may hold thousands of mistakes and of names.
MAX_NEAR = 50
MAX_NAMES = 500


def near(word: str, words: Iterable[str], report: Report) -> str:
    """"did you mean `kernel`?", unless that was asked often already."""
    report.asked += 1
    if report.asked > MAX_NEAR or len(word) > 100:
        return ""
    return nearest(word, [w for w in itertools.islice(words, MAX_NAMES) if len(w) <= 100])


def some(words: Iterable[str], most: int = 30) -> str:
    """"a, b, c", cut after `most` of them; "none" where there are none."""
    found = list(itertools.islice(words, most + 1))
    return ", ".join(found[:most]) + (", …" if len(found) > most else "") or "none"


def expected(info: FieldInfo) -> str:
    """What a field takes, in words."""
    return _any_of(_alternatives(info.annotation, info.metadata))


def _any_of(words: Iterable[str]) -> str:
    """"a", "a or b", "a, b or c"."""
    *some, last = dict.fromkeys(words)
    return f"{', '.join(some)} or {last}" if some else last


def _alternatives(annotation: Any, metadata: Any = ()) -> list[str]:
    """Each kind of value that a type takes, in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _alternatives(arguments[0], arguments[1:])
    if origin in (typing.Union, types.UnionType):
        return [w for a in arguments if a is not type(None) for w in _alternatives(a)]
    if origin is Literal:
        return [f"`{a}`" for a in arguments]
    if origin is tuple:
        inner = [_any_of(map(_plural, _alternatives(a))) for a in arguments if a is not Ellipsis]
        if len(inner) == 2 and inner[0] == inner[1]:
            return [f"a pair of {inner[0]}"]
        return [f"a list of {inner[0]}" if inner else "a list"]
    if origin is dict or annotation is dict:
        return ["a map"]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [f"a map of {', '.join(field_names(annotation))}"]
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return [names.get(annotation, "a value") + _bounds(metadata)]


def _plural(words: str) -> str:
    """"whole numbers above 0", of "a whole number above 0"."""
    found = re.match(r"a (whole number|number|text|pair|list|map|value)\b", words)
    return f"{found[1]}s{words[found.end():]}" if found else words


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models among a type's members."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in typing.get_args(annotation) for m in _models(a)]


def _inner_field(info: FieldInfo, name: Any) -> FieldInfo | None:
    """The field of that name in a model that is a field's value; None where there is none."""
    return next((m.model_fields[name] for m in _models(info.annotation) if name in m.model_fields),
                None)


def _bounds(metadata: Any) -> str:
    """The limits among a type's metadata, in words."""
    text = ""
    for item in metadata:
        for rule in getattr(item, "metadata", (item,)):
            match rule:
                case Gt(gt=bound):
                    text += f" above {bound}"
                case Ge(ge=bound):
                    text += f" from {bound}"
                case Lt(lt=bound):
                    text += f" below {bound}"
                case Le(le=bound):
                    text += f" to {bound}"
    return text


def _literals(annotation: Any) -> list[str]:
    if typing.get_origin(annotation) is Literal:
        return [str(a) for a in typing.get_args(annotation)]
    return [w for a in typing.get_args(annotation) for w in _literals(a)]


def formula_error(
    error: FormulaError, node: Scalar, report: Report, more: typing.Iterable[Any] = ()
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
