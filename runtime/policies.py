"""Settings of `train` that say how a run is kept safe: how often it is saved, which weights
are kept, when it ends early, and what its numbers are held in. No JAX is needed to read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from runtime.section import Section, problem

Mode = Literal["higher", "lower"]
Kind = Literal["float32", "bfloat16"]

SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
DISTANCE = re.compile(rf"(\d+(?:\.\d+)?) ?(step|epoch|{'|'.join(SECONDS)})s?")


class Short(Section):
    """A section that may be written as one word, which is then the value of one field."""

    field: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, value: Any) -> Any:
        return {cls.field: value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler,
    ) -> JsonSchemaValue:
        """The word alone, or the fields."""
        fields = handler(schema)
        return {"anyOf": [handler.resolve_ref_schema(fields)["properties"][cls.field], fields]}


@dataclass(frozen=True)
class Distance:
    """How far one checkpoint is from the next.

    Attributes:
        amount: how many.
        unit: "step", "epoch" or "second"; "never"; "" where the recipe does not say.
    """

    amount: float = 0
    unit: str = ""


def read_distance(value: Any) -> Distance:
    """`500`, `1 epoch`, `10 minutes` or `never`.

    Raises:
        PydanticCustomError: it is none of these.
    """
    match = DISTANCE.fullmatch(value) if isinstance(value, str) else None
    found = None
    if isinstance(value, Distance):
        return value
    if value == "never":
        found = Distance(1, "never")
    elif isinstance(value, int) and not isinstance(value, bool):
        found = Distance(value, "step")
    elif match is not None:
        amount, unit = float(match[1]), match[2]
        found = Distance(amount * SECONDS[unit], "second") if unit in SECONDS else (
            Distance(amount, unit))
    if found is None or found.amount <= 0 or (found.unit != "second" and found.amount % 1):
        raise problem(f"a checkpoint cannot be made every {value}",
                      help="say `every: 500` (steps), `every: 1 epoch`, `every: 10 minutes` or "
                           "`every: never`")
    return found


MOST_STEPS = 1024  # in one call


def read_steps(value: Any) -> int | Literal["auto"]:
    """A number of steps from 1 to `MOST_STEPS`, or `auto`.

    Raises:
        PydanticCustomError: it is neither.
    """
    if value == "auto" or (type(value) is int and 1 <= value <= MOST_STEPS):
        return value
    raise problem(f"a call cannot make {value} steps",
                  help=f"say `auto`, or a whole number from 1 to {MOST_STEPS:,}")


class Compile(Section):
    """How the model becomes code."""

    kernels: Literal["auto", "reference"] = Field(
        default="auto", description="`auto` for flaxspec's own, whose gradients are written by "
                                    "hand; `reference` for XLA's plain operations")
    steps_per_dispatch: Annotated[
        int | Literal["auto"], PlainValidator(read_steps),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
    ] = Field(
        default="auto", description="how many steps one call makes; `auto` for several where a "
                                    "model is so small that calling takes longer than a step")


AUTO = "auto"
MOST = 1024  # examples that `batch_size: auto` takes at most: larger batches learn worse


def _until_known(value: Any) -> Any:
    """The most, for `auto`: `prepare` puts the number in its place when it knows the memory."""
    return MOST if value == AUTO else value


BatchSize = Annotated[
    int, Field(gt=0), BeforeValidator(_until_known),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": AUTO}]})]


class Checkpointing(Section):
    """How often a run is saved, and how many of its checkpoints are kept."""

    every: Annotated[
        Distance, PlainValidator(read_distance),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}),
    ] = Field(
        # A default that no document can say has no place in the JSON schema.
        default_factory=Distance,
        description="from one checkpoint to the next: `500` (steps), `1 epoch`, `10 minutes` or "
                    "`never`; where not given, the end of an epoch if 10 seconds have passed, and "
                    "5 minutes")
    keep: Annotated[int, Field(gt=0)] = Field(
        default=2, description="how many checkpoints are kept; the oldest goes first")


class Measure(Section):
    """A figure of the validation part to judge by."""

    metric: str | None = Field(
        default=None, description="a figure of the task; the one it is judged by where not given")
    mode: Mode | None = Field(
        default=None, description="which way is better; known for the loss and for the figure "
                                  "that the task is judged by")

    def resolved(self, monitor: str, ways: Mapping[str, Mode]) -> tuple[str, Mode] | None:
        """The figure and which way it is better; None where nobody said which.

        Args:
            monitor: the metric that the task is judged by.
            ways: which way figures are better, where that is known.
        """
        metric = self.metric or monitor
        mode = self.mode or ways.get(metric)
        return None if mode is None else (metric, mode)


class Keep(Short, Measure):
    """Which weights are tested and saved in the end."""

    field: ClassVar[str] = "weights"

    weights: Literal["last", "best"] = Field(
        default="best", description="`last`, or those of the epoch that was `best`")


class EarlyStop(Measure):
    """The end of a run that gets no better."""

    patience: Annotated[int, Field(gt=0)] = Field(
        description="how many epochs may pass without a better figure")
    min_change: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="how much better a figure must be to count")


class Precision(Short):
    """What the numbers of a model are held in; one word is the width of what is computed."""

    field: ClassVar[str] = "compute"

    parameters: Kind = Field(
        default="float32", description="trained parameters, statistics and the optimiser's state")
    compute: Kind = Field(default="float32", description="what passes between layers")
    output: Kind = Field(
        default="float32", description="the model's outputs, before the loss and the metrics")

    @property
    def of_build(self) -> dict[str, Any]:
        """The arguments that `build_model` takes for it."""
        return {"dtype": self.compute, "param_dtype": self.parameters,
                "output_dtype": self.output}
