"""Parts of `train` about gradients, averages, mixing and what changes during a run.

Nothing here needs JAX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

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

from runtime.optim_document import AMOUNT, Call, Optimizer, Run, Steps, read_steps
from runtime.section import Section, problem

Positive = Annotated[int, Field(gt=0)]
PositiveNumber = Annotated[float, Field(gt=0)]
StepCount = Annotated[
    Steps, PlainValidator(read_steps),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]})]


class Clip(Section):
    """What large gradients are cut down to."""

    norm: PositiveNumber | None = Field(
        default=None, description="the largest norm of all gradients together")
    value: PositiveNumber | None = Field(default=None, description="the largest absolute value")
    adaptive: PositiveNumber | None = Field(
        default=None, description="the largest norm of a unit's gradient, as a part of the norm "
                                  "of its weights (Brock et al. 2021)")

    @model_validator(mode="after")
    def _cuts_something(self) -> Self:
        if self.norm is None and self.value is None and self.adaptive is None:
            raise problem("`clip` cuts nothing", help="say `clip: {norm: 1.0}`")
        return self

    @property
    def calls(self) -> list[Call]:
        """The optax transformations that it stands for: value, then adaptive, then norm."""
        calls = []
        if self.value is not None:
            calls.append(Call("transforms", "clip", {"max_delta": self.value}))
        if self.adaptive is not None:
            calls.append(Call("transforms", "adaptive_grad_clip", {"clipping": self.adaptive}))
        if self.norm is not None:
            calls.append(Call("transforms", "clip_by_global_norm", {"max_norm": self.norm}))
        return calls


class Average(Section):
    """An exponential moving average of the parameters, evaluated and saved in their place."""

    decay: float = Field(
        gt=0, lt=1, description="how much of the average each step keeps, such as 0.999")
    start: StepCount = Field(
        default_factory=lambda: Steps(0),
        description="the steps before it begins: `500`, `2 epochs`, `10%`")
    warmup: bool = Field(
        default=True, description="keep less at first, min(decay, (1 + n) / (10 + n)) in step n, "
                                  "so that the initial weights are soon forgotten")
    batches: Positive = Field(
        default=50, description="how many training batches the statistics of batch norms are "
                                "computed from anew, for the averaged weights")

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"decay": float(value)} if is_number else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler,
    ) -> JsonSchemaValue:
        """The decay alone, or the fields."""
        fields = handler(schema)
        return {"anyOf": [handler.resolve_ref_schema(fields)["properties"]["decay"], fields]}


def _listed(value: Any) -> Any:
    """One text as a list of it."""
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    list[Annotated[str, Field(min_length=1)]], Field(min_length=1), BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {
        "type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}]})]


class Phase(Section):
    """One turn of a step of training: some losses, and the parameters that make them small."""

    minimise: Texts = Field(description="the names of the losses whose sum is made small")
    update: Texts = Field(
        description="patterns of the parameters that this phase trains: `generator`, "
                    "`[encoder, decoder.*]`")
    optimizer: Optimizer = Field(
        description="one of optax's optimisers by name, or a chain of its transformations")
    steps: Positive = Field(
        default=1, description="how many updates it makes in its turn, all on the same batch")
    every: Positive = Field(
        default=1, description="that it has its turn in each so many-th step only")
    clip: Clip | None = Field(default=None, description="what large gradients are cut down to")
    ema: Average | None = Field(
        default=None, description="average the parameters that it trains over the steps: `0.999`")

    def run(self, run: Run) -> Run:
        """How long the run is, in updates of this phase."""
        def updates(steps: int) -> int:
            return steps // self.every * self.steps

        return Run(updates(run.steps), updates(run.steps_per_epoch),
                   tuple(map(updates, run.epoch_ends)))


class Mix(Section):
    """Training examples mixed in pairs, their targets likewise."""

    mixup: PositiveNumber | None = Field(
        default=None, description="blend two examples, in shares drawn from Beta(α, α) with this "
                                  "α, such as 0.2 (Zhang et al. 2017)")
    cutmix: PositiveNumber | None = Field(
        default=None, description="paste a rectangle of one image into another, its area drawn "
                                  "likewise, such as 1.0 (Yun et al. 2019)")
    probability: float = Field(
        default=1.0, gt=0, le=1, description="how often an example is mixed at all")

    @model_validator(mode="after")
    def _mixes_something(self) -> Self:
        if self.mixup is None and self.cutmix is None:
            raise problem("`mix` mixes nothing", help="say `mix: {mixup: 0.2}`")
        return self


@dataclass(frozen=True)
class Changes:
    """A whole number that changes between epochs.

    Attributes:
        values: when, as `Steps` in epochs or per cent, and the number from then on.
    """

    values: tuple[tuple[Steps, int], ...] = ()

    def at(self, epoch: int, epochs: int) -> int | None:
        """The number in an epoch, from 1; None before the first change."""
        found = None
        for when, value in self.values:
            first = when.amount * epochs / 100 if when.unit == "%" else when.amount
            # Epoch 1 begins when 0 epochs are over.
            if epoch - 1 >= round(first):
                found = value
        return found


def read_changes(value: Any) -> Changes:
    """`{0: 32, 5 epochs: 64, 50%: 128}`.

    Raises:
        PydanticCustomError: it is no map from epochs to whole numbers.
    """
    if isinstance(value, Changes):
        return value
    help = "say when, in epochs, and what from then on: `{5 epochs: 128, 50%: 256}`"
    if not isinstance(value, Mapping) or not value:
        raise problem("expected a map from epochs to whole numbers", help=help)
    found = []
    for when, number in value.items():
        match = AMOUNT.fullmatch(str(when))
        if str(when) != "0" and (match is None or match[2] in ("step", "steps")):
            raise problem(f"`{when}` is no moment between epochs", help=help)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise problem(f"`{number}` is not a whole number above 0", help=help)
        steps = Steps(0, "epochs") if match is None else Steps(
            float(match[1]), "%" if match[2] == "%" else "epochs")
        found.append((steps, number))
    return Changes(tuple(found))


EpochChanges = Annotated[
    Changes, PlainValidator(read_changes),
    WithJsonSchema({"type": "object", "minProperties": 1,
                    "additionalProperties": {"type": "integer", "minimum": 1}})]
