"""The base of every Pydantic model in a recipe, and of those chosen by a key.

`augment: [{shift: 1}]`, `task: classification` and `task: {classification:
{label_smoothing: 0.1}}` are all the same notation: the word that chooses stands as the
only key, its main field or its fields behind it, as operators do in a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError


class Section(BaseModel):
    """A part of a recipe: no unknown fields, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Choice(Section):
    """A member of a union that the document picks by its word.

    Union types of choices carry `Discriminator(word_of)` and a `Tag` for each word. The
    places in Pydantic's complaints are then the places in the document.
    """

    word: ClassVar[str]
    # The field that `word: value` sets.
    main: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, value: Any) -> Any:
        """`shift`, `{shift: 1}` and `{shift: {pixels: 1}}` to the map of fields."""
        if value == cls.word:
            return {}
        if isinstance(value, Mapping) and set(value) == {cls.word}:
            value = value[cls.word]
            if value is None:
                return {}
            if not isinstance(value, Mapping) and cls.main is not None:
                return {cls.main: value}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler,
    ) -> JsonSchemaValue:
        """All the spellings that `_unwrap` accepts."""
        fields = handler(schema)
        inner = handler.resolve_ref_schema(fields)
        values = [fields]
        if cls.main is not None:
            values.insert(0, inner["properties"][cls.main])
        if not inner.get("required"):
            values.append({"type": "null"})
        keyed = {"type": "object", "properties": {cls.word: {"anyOf": values}},
                 "required": [cls.word], "additionalProperties": False}
        return keyed if inner.get("required") else {"anyOf": [{"const": cls.word}, keyed]}


def word_of(value: Any) -> str | None:
    """The word that chooses a member of a union, or None where there is not exactly one."""
    if isinstance(value, Choice):
        return value.word
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and len(value) == 1:
        key = next(iter(value))
        return key if isinstance(key, str) else None
    return None


def problem(
    headline: str, label: str = "", *, notes: Iterable[str] = (), help: str = "",
    code: str = "F0611", at_key: bool = False,
) -> PydanticCustomError:
    """A complaint of a validator of ours, in the terms of a diagnostic.

    Args:
        headline: what was found.
        label: the remark at the place.
        notes: facts that help to understand it.
        help: how to mend it.
        code: its code.
        at_key: it is the key that is wrong, not the value behind it.
    """
    return PydanticCustomError("problem", "{headline}", {
        "code": code, "headline": headline, "label": label, "notes": tuple(notes), "help": help,
        "at_key": at_key})
