"""Weights of classes and labels, as a recipe gives them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from runtime.section import problem

BALANCED = "balanced"
_NUMBER = {"type": "number", "minimum": 0}
_LIST = {"type": "array", "items": _NUMBER, "minItems": 1}


def _is_weight(value: Any) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)
            and math.isfinite(value) and value >= 0)


def _numbers(value: Any) -> list[float] | None:
    """A list of weights; None where it is something else."""
    if isinstance(value, list) and value and all(map(_is_weight, value)):
        return [float(v) for v in value]
    return None


def read_class_weights(value: Any) -> Any:
    """`balanced`, a list, or a map from class names.

    Raises:
        PydanticCustomError: it is none of these.
    """
    if value is None or value == BALANCED:
        return value
    if isinstance(value, Mapping) and value and all(map(_is_weight, value.values())):
        return {str(name): float(weight) for name, weight in value.items()}
    if (numbers := _numbers(value)) is not None:
        return numbers
    raise problem("class weights are numbers from 0 on", code="F0205",
                  help="give a list in the order of the classes, `[1, 2.5]`, a map from their "
                       "names, `{cat: 2.5}`, or say `balanced`")


def read_positive_weights(value: Any) -> Any:
    """`balanced`, a list, or one number.

    Raises:
        PydanticCustomError: it is none of these.
    """
    if value is None or value == BALANCED:
        return value
    if _is_weight(value):
        return float(value)
    if (numbers := _numbers(value)) is not None:
        return numbers
    raise problem("positive weights are numbers from 0 on", code="F0205",
                  help="give one number, `3`, a list in the order of the labels, `[1, 2.5]`, or "
                       "say `balanced`")


ClassWeights = Annotated[
    str | list[float] | dict[str, float] | None, PlainValidator(read_class_weights),
    WithJsonSchema({"anyOf": [{"const": BALANCED}, _LIST, {
        "type": "object", "additionalProperties": _NUMBER, "minProperties": 1},
        {"type": "null"}]})]
PositiveWeights = Annotated[
    str | list[float] | float | None, PlainValidator(read_positive_weights),
    WithJsonSchema({"anyOf": [{"const": BALANCED}, _NUMBER, _LIST, {"type": "null"}]})]
