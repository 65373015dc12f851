"""Optimisers and schedules, by optax's names and arguments.

```yaml
optimizer: {adamw: {learning_rate: 1e-3, weight_decay: 0.05}}
optimizer:                                       # a chain, applied in this order
  - add_decayed_weights: 5e-4
  - sgd: {learning_rate: {cosine_decay_schedule: {init_value: 0.1}}, momentum: 0.9}
```

`word: value` sets the first argument of optax's function; so does a schedule instead of the
arguments: `adam: {cosine_decay_schedule: 1e-3}`. Arguments that count steps take steps,
`3 epochs` or `10%` (of the run); `decay_steps` is the run where it is not given. Weight decay
leaves norms and biases alone unless `mask: all` says otherwise, which every optimiser with
weight decay takes, whether optax gives it a mask or not.

This file reads them against the table of optax's signatures and needs no JAX; `optim.py`
makes the optimiser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any

from pydantic import GetJsonSchemaHandler, PlainValidator, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from compiler.diagnostics import nearest
from runtime.optax_signatures import TABLE
from runtime.section import problem

DTYPES = ("float32", "bfloat16", "float16")
MASKS = ("weights", "all")
AMOUNT = re.compile(r"(\d+(?:\.\d+)?) ?(steps?|epochs?|%)")
# What starts so is decay, and `mask` (or `weight_decay_mask`) says of what.
DECAY = "weight_decay"
# Without one of these a chain would walk up the gradient, or nowhere.
RATED = ("scale", "scale_by_learning_rate", "scale_by_schedule")


@dataclass(frozen=True)
class Run:
    """How long a run is, in optimiser steps.

    Attributes:
        steps: in all.
        steps_per_epoch: of the first epoch.
        epoch_ends: the step that each epoch ends with, where epochs differ in length.
    """

    steps: int
    steps_per_epoch: int
    epoch_ends: tuple[int, ...] = ()

    def steps_in(self, epochs: float) -> float:
        """How many steps so many epochs take, from the beginning."""
        if not self.epoch_ends:
            return epochs * self.steps_per_epoch
        ends = (0, *self.epoch_ends)
        whole = min(int(epochs), len(ends) - 2)
        return ends[whole] + (epochs - whole) * (ends[whole + 1] - ends[whole])


@dataclass(frozen=True)
class Steps:
    """A number of steps as the recipe gives it.

    Attributes:
        amount: how many.
        unit: "steps", "epochs" or "%" (of the run).
    """

    amount: float
    unit: str = "steps"

    def count(self, run: Run) -> int:
        """The number of optimiser steps, rounded to the nearest."""
        match self.unit:
            case "epochs":
                return round(run.steps_in(self.amount))
            case "%":
                return round(self.amount * run.steps / 100)
        return round(self.amount)


@dataclass(frozen=True)
class Call:
    """A function of optax and its arguments: numbers, texts, `Steps`, calls, lists of them."""

    group: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@cache
def table() -> dict[str, Any]:
    """The committed table of optax's signatures."""
    return json.loads(TABLE.read_text())


Place = tuple[int | str, ...]


class _Reader:
    """Reads calls; collects every complaint with its place."""

    def __init__(self) -> None:
        self.complaints: list[tuple[Place, PydanticCustomError]] = []

    def complain(self, place: Place, headline: str, label: str = "", **more: Any) -> None:
        self.complaints.append((place, problem(headline, label, code="F0613", **more)))

    def call(self, value: Any, groups: Sequence[str], place: Place) -> Call | None:
        """`adam`, `{adam: 1e-3}` or `{adam: {…}}`; None after a complaint."""
        if isinstance(value, str):
            value = {value: None}
        if not isinstance(value, Mapping) or len(value) != 1:
            self.complain(place, f"{_article(groups[0])} is one name with its arguments",
                          help="for example `adam: {learning_rate: 1e-3}`")
            return None
        (name, given), = value.items()
        group = next((g for g in groups if name in table()[g]), None)
        if group is None:
            names = [n for g in groups for n in table()[g]]
            self.complain((*place, str(name)), f"`{name}` is not {_article(groups[0])} of optax",
                          nearest(str(name), names), at_key=True,
                          notes=[f"there are: {', '.join(names)}"])
            return None
        return Call(group, name, self.arguments(group, name, given, (*place, name)))

    def arguments(self, group: str, name: str, given: Any, place: Place) -> dict[str, Any]:
        known: dict[str, dict[str, Any]] = table()[group][name]["arguments"]
        if undecided(known) and not any(about["kind"] == "mask" for about in known.values()):
            known = known | {"mask": {"kind": "mask", "default": None}}
        if given is not None and not known:
            self.complain(place, f"{name} takes no arguments")
            return {}
        is_schedule = isinstance(given, Mapping) and len(given) == 1 and (
            next(iter(given)) in table()["schedules"])
        if not isinstance(given, Mapping) or is_schedule:
            given = {} if given is None else {next(iter(known)): given}
        arguments: dict[str, Any] = {}
        for argument, value in given.items():
            if argument not in known:
                self.complain((*place, argument), f"`{argument}` is not an argument of {name}",
                              nearest(str(argument), known), at_key=True,
                              notes=[f"arguments of {name}: {', '.join(known) or 'none'}"])
                continue
            entry = known[argument]
            if value is None and ("default" in entry and entry["default"] is None):
                continue
            arguments[argument] = self.value(entry["kind"], value, (*place, argument))
        for argument, entry in known.items():
            if "default" not in entry and argument not in given and argument != "decay_steps":
                self.complain(place, f"{name} needs `{argument}`", f"`{argument}` is missing")
        return arguments

    def value(self, kind: str, value: Any, place: Place) -> Any:
        """What an argument of some kind holds; complaints go to the list."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind == "schedule":
            return value if number else self.call(value, ("schedules",), place)
        if kind == "steps":
            return self.steps(value, place)
        if kind in ("step list", "schedules", "cycles", "numbers"):
            return self.sequence(kind, value, place)
        if kind == "scales":
            if isinstance(value, Mapping):
                # The keys of a YAML map are texts, numbers too.
                return [(self.steps(int(k) if str(k).isdecimal() else k, (*place, k)),
                         self.value("number", v, (*place, k))) for k, v in value.items()]
            self.complain(place, "expected a map from steps to factors",
                          help="for example `{50%: 0.1, 75%: 0.1}`")
            return None
        if kind.startswith("one of "):
            choices: Sequence[str] = kind.removeprefix("one of ").split(", ")
        else:
            choices = {"dtype": DTYPES, "mask": MASKS}.get(kind, ())
        if choices:
            if value not in choices:
                self.complain(place, f"expected one of {', '.join(choices)}",
                              nearest(str(value), choices))
            return value
        right = {
            "number": number, "number or null": number or value is None,
            "int": number and isinstance(value, int), "bool": isinstance(value, bool),
        }[kind]
        if not right:
            words = {"int": "a whole number", "bool": "true or false"}.get(kind, "a number")
            self.complain(place, f"expected {words}, found {json.dumps(value, default=str)}")
        return value

    def sequence(self, kind: str, value: Any, place: Place) -> list[Any]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.complain(place, f"expected a list, found {json.dumps(value, default=str)}")
            return []
        places = [(*place, i) for i in range(len(value))]
        if kind == "cycles":
            return [self.arguments("schedules", "warmup_cosine_decay_schedule", v, p)
                    for v, p in zip(value, places)]
        inner = {"step list": "steps", "schedules": "schedule", "numbers": "number"}[kind]
        values = [self.value(inner, v, p) for v, p in zip(value, places)]
        if kind == "schedules":  # optax joins functions only
            values = [Call("schedules", "constant_schedule", {"value": v})
                      if isinstance(v, int | float) else v for v in values]
        return values

    def steps(self, value: Any, place: Place) -> Steps | None:
        """100, `3 epochs` or `10%`."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return Steps(value)
        if isinstance(value, str) and (match := AMOUNT.fullmatch(value)):
            unit = {"step": "steps", "epoch": "epochs"}.get(match[2], match[2])
            return Steps(float(match[1]), unit)
        self.complain(place, f"expected a number of steps, found {json.dumps(value, default=str)}",
                      help="steps are counted as `500`, `3 epochs` or `10%` (of the run)")
        return None


def undecided(arguments: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The arguments of a function that decay weights and are under no mask of optax's."""
    masked = any(about["kind"] == "mask" for about in arguments.values())
    decays = [name for name in arguments
              if DECAY in name and arguments[name]["kind"] != "mask"]
    return [name for name in decays if not masked or not name.startswith(DECAY)]


def _article(group: str) -> str:
    return {"optimizers": "an optimiser", "schedules": "a schedule"}[group]


def read_optimizer(value: Any) -> tuple[Call, ...]:
    """An optimiser, or a list of optimisers and gradient transformations, as the recipe gives it.

    Raises:
        ValidationError: names, arguments or values that optax does not have, each with
            its place below this field.
    """
    if isinstance(value, tuple):
        return value
    reader = _Reader()
    if isinstance(value, list):
        calls = [reader.call(v, ("optimizers", "transforms"), (i,)) for i, v in enumerate(value)]
        if not any(c is None or c.group == "optimizers" or c.name in RATED for c in calls):
            reader.complain((), "this chain has no learning rate",
                            help="end it with an optimiser, such as `sgd: 0.1`")
    else:
        calls = [reader.call(value, ("optimizers",), ())]
    _raise(reader, value)
    return tuple(c for c in calls if c is not None)


def read_steps(value: Any) -> Steps:
    """A number of steps as the recipe gives it: 500, `3 epochs`, `10%`.

    Raises:
        ValidationError: it is none of these.
    """
    if isinstance(value, Steps):
        return value
    reader = _Reader()
    steps = reader.steps(value, ())
    _raise(reader, value)
    assert steps is not None
    return steps


def read_schedule(value: Any) -> float | Call:
    """A number, or one of optax's schedules.

    Raises:
        ValidationError: it is neither, with the places below this field.
    """
    if isinstance(value, Call):
        return value
    reader = _Reader()
    found = reader.value("schedule", value, ())
    _raise(reader, value)
    return found


def _raise(reader: _Reader, value: Any) -> None:
    if reader.complaints:
        raise ValidationError.from_exception_data("recipe", [
            InitErrorDetails(type=error, loc=place, input=value)
            for place, error in reader.complaints])



class _Told:
    """The JSON Schema of an optimiser: one of optax's, or a chain with its transformations."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler,
    ) -> JsonSchemaValue:
        alone = _called(table()["optimizers"])
        chained = _called({**table()["optimizers"], **table()["transforms"]})
        return {"anyOf": [*alone, {"type": "array", "items": {"anyOf": chained}}]}


def _called(functions: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Functions of optax: a name, or a map from it to its arguments, or to the first of them."""
    return [{"enum": list(functions)}, {
        "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False,
        "properties": {name: {"anyOf": [
            {"type": "object", "description": f"arguments: {', '.join(told['arguments'])}"},
            {"type": ["number", "null", "string"]}]} for name, told in functions.items()}}]


Optimizer = Annotated[
    tuple[Call, ...],
    PlainValidator(read_optimizer),
    _Told(),
]
