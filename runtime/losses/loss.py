"""What a written-out loss or metric is: a word, its arguments, and how much it counts.

```yaml
main: {cross_entropy: [logits, label]}
aux:  {cross_entropy: {output: aux1, target: label, label_smoothing: 0.1}, weight: 0.3}
```

The word's value is a list of arguments in their order, a single argument, or its fields by name;
`weight` and `during` stand beside it, as modifiers stand beside an operator. An argument names an
output of the model or a field of the data, or is a number. Nothing here needs JAX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from compiler.types import TensorType
from runtime.optim_document import Call, read_schedule
from runtime.policies import Mode
from runtime.section import Section, problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.batch import Ratio
    from runtime.data.dataset import Scale
    from runtime.losses.values import Values

# What stands beside a loss's word.
MODIFIERS = ("weight", "during")

Phase = Literal["always", "training", "evaluation"]
Reduce = Literal["mean", "sum"]


def _argument(value: Any) -> str | float:
    """A name, or a number.

    Raises:
        PydanticCustomError: it is neither.
    """
    if isinstance(value, str) and value or (
            isinstance(value, int | float) and not isinstance(value, bool)
            and math.isfinite(value)):
        return value
    raise problem("an argument is the name of an output or a field, or a number", code="F0205")


def _weight(value: Any) -> float | Call:
    """A finite number, or a schedule.

    Raises:
        PydanticCustomError: it is neither.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise problem(f"a weight is a finite number, not `{value}`", code="F0205")
    return read_schedule(value)


Argument = Annotated[
    str | float, PlainValidator(_argument),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "number"}]})]

Weight = Annotated[
    float | Call, PlainValidator(_weight),
    WithJsonSchema({"anyOf": [{"type": "number"}, {
        "type": "object", "minProperties": 1, "maxProperties": 1}]})]


@dataclass(frozen=True)
class Given:
    """What an argument was found to be.

    Attributes:
        called: what messages call it: "`logits`", or the number.
        kind: its type, one example of it; that of a single number for a constant.
        number: the constant; None where it is none.
    """

    called: str
    kind: TensorType
    number: float | None = None

    @property
    def told(self) -> str:
        """"`logits` is (channels 10)"."""
        return f"{self.called} is " + (
            "a number" if self.number is not None else _told(self.kind))


def _told(kind: TensorType) -> str:
    what = "" if kind.dtype == "float" else f"{kind.dtype} "
    return f"{what}{kind.described()}" if kind.axes else (
        "one number of each example" if kind.dtype == "float" else f"one {kind.dtype} each example")


@dataclass(frozen=True)
class Misfit:
    """Why arguments do not suit a loss, and what to do about it."""

    headline: str
    help: str = ""


class Measured(Section):
    """The base of everything that `losses` and `metrics` can name."""

    word: ClassVar[str]
    # The fields that a list gives, in this order.
    arguments: ClassVar[tuple[str, ...]]
    # Which way it is better, where that is known.
    better: ClassVar[Mode | None] = "lower"

    during: Phase = Field(
        default="always", description="where it counts: in `training`, in `evaluation`, or always")

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, value: Any) -> Any:
        """All spellings to the map of fields; see the top of this file."""
        if value == cls.word:
            return {}
        if not isinstance(value, Mapping) or cls.word not in value:
            return value
        beside = {key: given for key, given in value.items() if key != cls.word}
        inside = value[cls.word]
        if isinstance(inside, list):
            if len(inside) > len(cls.arguments):
                raise problem(
                    f"`{cls.word}` takes {_counted(len(cls.arguments))}, not {len(inside)}",
                    help=f"give {', '.join(cls.arguments)}: `{cls.example()}`", code="F0205")
            inside = dict(zip(cls.arguments, inside))
        elif inside is None:
            inside = {}
        elif not isinstance(inside, Mapping):
            inside = {cls.arguments[0]: inside}
        for key in inside:
            if key in MODIFIERS:
                raise problem(f"`{key}` stands inside `{cls.word}`, and belongs beside it",
                              help=f"`{{{cls.word}: …, {key}: …}}`", code="F0207")
        for key in beside:
            if key in cls.model_fields and key not in MODIFIERS:
                raise problem(f"`{key}` is a field of `{cls.word}`, and stands beside it",
                              help=f"`{{{cls.word}: {{{', '.join(f'{a}: …' for a in cls.arguments)}"
                                   f", {key}: …}}}}`", code="F0207")
        return {**inside, **beside}

    @classmethod
    def example(cls) -> str:
        """"cross_entropy: [output, target]"."""
        return f"{cls.word}: [{', '.join(cls.arguments)}]"

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler,
    ) -> JsonSchemaValue:
        """The word with its fields, a list or one argument, and what stands beside it."""
        fields = handler.resolve_ref_schema(handler(schema))
        properties = fields["properties"]
        beside = {key: properties[key] for key in MODIFIERS if key in properties}
        inner = {key: kind for key, kind in properties.items() if key not in beside}
        wanted = [key for key in fields.get("required", ()) if key in inner]
        one = next(iter(inner.values()))
        return {
            "type": "object", "required": [cls.word], "additionalProperties": False,
            "description": (cls.__doc__ or "").partition("\n")[0],
            "properties": {cls.word: {"anyOf": [
                {"type": "array", "items": one, "minItems": len(wanted),
                 "maxItems": len(cls.arguments)}, one,
                {"type": "object", "properties": inner, "required": wanted,
                 "additionalProperties": False}]}, **beside}}

    @property
    def given(self) -> dict[str, str | float]:
        """Its arguments by field, in their order."""
        return {name: getattr(self, name) for name in self.arguments}

    def is_active(self, *, training: bool) -> bool:
        """Whether it counts in a phase."""
        return self.during in ("always", "training" if training else "evaluation")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        """Why the types of its arguments do not suit it; None where they do."""
        raise NotImplementedError

    def measure(self, values: Values, *, training: bool) -> Ratio:
        """What it is on a batch, as a ratio that adds up over batches.

        Args:
            values: its arguments, and which rows count.
            training: with what only training has, such as label smoothing.
        """
        raise NotImplementedError

    def finished(self, mean: np.ndarray, scale: Scale | None) -> float:
        """The figure, from the mean of what `measure` gave.

        Args:
            mean: a single number, or by channel.
            scale: how the field that it is measured against was normalised, if it was.
        """
        return float(mean)


class Loss(Measured):
    """Something to make small."""

    weight: Weight = Field(
        default=1.0, description="what it is multiplied by in the sum: a number, or one of "
                                 "optax's schedules")


def _counted(count: int) -> str:
    return "one argument" if count == 1 else f"{count} arguments"


# ------------------------------------------------------------------------------ common checks


def is_single(kind: TensorType) -> bool:
    """Whether it is one number for each example, with or without an axis for it."""
    return kind.axes == () or (kind.axes == ("channels",) and kind.channels == 1)


def alike(first: TensorType, second: TensorType) -> bool:
    """Whether two have the same axes and sizes, as far as that is known before the data is."""
    return first.axes == second.axes and all(
        one == two or isinstance(one, str) or isinstance(two, str)
        for one, two in zip(first.shape, second.shape))


def pair_misfit(word: str, output: Given, target: Given) -> Misfit | None:
    """Why two are not compared number by number; None where they can be.

    A number stands for every place. Where the output has a channel, one, that the target does
    not have, it is left out.
    """
    if output.number is not None:
        return Misfit(f"`{word}` of a number is no loss: nothing can make it smaller",
                      "name an output of the model first")
    kinds = output.kind, target.kind
    if target.number is not None or alike(*kinds) or (
            kinds[0].channels == 1 and alike(kinds[0].without("channels"), kinds[1])):
        return None
    if is_single(kinds[0]) and is_single(kinds[1]):
        return None
    return Misfit(f"`{word}` compares number by number, and {output.told}, but {target.told}",
                  "give the output the shape of what it is compared with")
