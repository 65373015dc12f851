"""Values, types and near names in the words of messages."""

from __future__ import annotations

import itertools
import re
import types
import typing
from collections.abc import Iterable
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, PlainValidator
from pydantic.fields import FieldInfo

from compiler.diagnostics import Report, nearest

# How often near names are looked for, and how many names are looked at: comparing words takes
# a while, and a file may hold thousands of mistakes and of names.
MAX_NEAR = 50
MAX_NAMES = 500


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


def field_names(cls: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a class as a spec calls them: `return`, which Python has to call otherwise."""
    return tuple(info.alias or name for name, info in cls.model_fields.items())


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
    if any(isinstance(item, PlainValidator) for item in metadata):
        return ["a value"]  # the type is what a reading of its own makes of it
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


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models among a type's members."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in typing.get_args(annotation) for m in models_in(a)]


def inner_field(info: FieldInfo, name: Any) -> FieldInfo | None:
    """The field of that name in a model that is a field's value; None where there is none."""
    models = models_in(info.annotation)
    return next((m.model_fields[name] for m in models if name in m.model_fields), None)


def literals(annotation: Any) -> list[str]:
    if typing.get_origin(annotation) is Literal:
        return [str(a) for a in typing.get_args(annotation)]
    return [w for a in typing.get_args(annotation) for w in literals(a)]
