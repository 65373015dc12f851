"""Values against their classes: what is taken, and how what is not taken is told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from compiler.diagnostics import Report, render
from compiler.ops.base import NonNegative, Padding, Positive, Probability
from compiler.parse import Mapping, parse
from compiler.source import Source
from compiler.validate import UNKNOWN, validate
from compiler.wording import expected, shown, some


class Part(BaseModel):
    """A map that is the value of a field."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    start: int = Field(description="the first")
    step: Positive = Field(1, description="how far")


class Thing(BaseModel):
    """A field of every kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: Positive = Field(description="how large")
    kind: Literal["small", "large"] = "small"
    sizes: tuple[Positive, ...] = ()
    part: Part | None = None
    return_: bool = Field(False, alias="return")


def node(text: str) -> Mapping:
    report = Report()
    tree = parse(Source("spec.yaml", text), report)
    assert not report.errors
    return tree


def check(text: str, **options: Any) -> tuple[Thing | None, list[str]]:
    """The thing that a map gives, and what is told of it: place, headline, label."""
    report = Report()
    thing = validate(Thing, node(text), report, what="thing", **options)
    for found in report.diagnostics:
        assert render(found)
    return thing, [f"{d.code} {d.labels[0].span.line}:{d.labels[0].span.column} {d.headline}"
                   + (f" | {d.labels[0].text}" if d.labels[0].text else "")
                   for d in report.diagnostics]


def test_lists_become_tuples_and_aliases_are_what_a_spec_calls_a_field():
    thing, told = check("size: 3\nsizes: [1, 2]\nreturn: true")
    assert not told and thing is not None
    assert (thing.size, thing.sizes, thing.return_) == (3, (1, 2), True)


@pytest.mark.parametrize("text, told", [
    ("siez: 3", "F0203 1:1 `siez` is not a field of thing | did you mean `size`?"),
    ("kind: small", "F0204 1:1 `thing` needs `size` | `size` is missing"),
    ("size: 0", "F0205 1:7 `size` of thing takes a whole number above 0, not `0`"),
    ("size: 2.0", "F0205 1:7 `size` of thing takes a whole number above 0, not `2.0`"),
    ("size: true", "F0205 1:7 `size` of thing takes a whole number above 0, not `true`"),
    ("size: '3'", "F0205 1:7 `size` of thing takes a whole number above 0, not the text `3`"),
    ("size: null", "F0205 1:7 `size` of thing takes a whole number above 0, not nothing"),
    ("size: 1\nkind: smal",
     "F0205 2:7 `kind` of thing takes `small` or `large`, not the text `smal` | "
     "did you mean `small`?"),
    ("size: 1\nsizes: [1, -2]",
     "F0205 2:12 `sizes` of thing takes a list of whole numbers above 0, not the list `[1, -2]` | "
     "this is `-2`"),
    ("size: 1\npart: {strat: 2, start: 1}",
     "F0203 2:8 `strat` is not a field of `part` of thing | did you mean `start`?"),
    ("size: 1\npart: {step: 2}", "F0204 2:7 `part` of thing needs `start` | `start` is missing"),
    ("size: 1\npart: {start: 1, step: 0}",
     "F0205 2:24 `step` of `part` of thing takes a whole number above 0, not `0`"),
    ("size: 1\nreturn: 1", "F0205 2:9 `return` of thing takes true or false, not `1`"),
])
def test_a_wrong_value_is_told_at_the_smallest_place(text: str, told: str):
    thing, found = check(text)
    assert thing is None
    assert told in found


def test_every_wrong_field_is_told_at_once():
    assert len(check("size: 0\nkind: 3\nsizes: x\nother: 1")[1]) == 4


def test_an_unknown_value_is_neither_an_error_nor_a_result():
    evaluate = {"3": 3}.get
    thing, told = check("size: 3\nsizes: x",
                        evaluate=lambda n: evaluate(getattr(n, "text", ""), UNKNOWN))
    assert thing is None and not told


def test_a_field_that_comes_from_elsewhere_may_be_missing():
    assert check("kind: small", elsewhere=("size",)) == (None, [])


@pytest.mark.parametrize("kind, words", [
    (Positive, "a whole number above 0"),
    (Probability, "a number from 0 below 1"),
    (Annotated[float, Field(ge=0, le=1)], "a number from 0 to 1"),
    (bool | None, "true or false"),
    (str, "a text"),
    (Literal["a", "b", "c"], "`a`, `b` or `c`"),
    (Positive | tuple[Positive, ...], "a whole number above 0 or a list of whole numbers above 0"),
    (tuple[NonNegative, NonNegative], "a pair of whole numbers from 0"),
    (tuple[str, ...], "a list of texts"),
    (dict, "a map"),
    (Part, "a map of start, step"),
    (Padding, "`same`, `same_upper`, `valid`, a whole number from 0 or a list of whole numbers "
              "from 0 or pairs of whole numbers from 0"),
])
def test_types_are_told_in_words(kind: Any, words: str):
    holder = create_model("Holder", it=(kind, ...))
    assert expected(holder.model_fields["it"]) == words


@pytest.mark.parametrize("value, words", [
    (None, "nothing"), (True, "`true`"), (3, "`3`"), (1.5, "`1.5`"), ("x", "the text `x`"),
    ([], "an empty list"), ([1, "a", [True]], "the list `[1, a, [true]]`"), ({}, "a map"),
])
def test_values_are_shown_as_their_author_writes_them(value: Any, words: str):
    assert shown(value) == words


def test_what_is_shown_of_a_long_value_is_short():
    assert len(shown("x" * 10_000)) < 80
    assert len(shown(list(range(10_000)))) < 120
    assert some(map(str, range(100)), 3) == "0, 1, 2, …"
    assert some([]) == "none"
