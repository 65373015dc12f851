"""Dates as people write them, with the same dates as ISO 8601 writes them: made, not stored."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from runtime.data.paired import Paired
from runtime.data.source import Origin

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset

# A hundred years, so that two digits of a year are enough.
FIRST, LAST = date(1930, 1, 1), date(2029, 12, 31)
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
            "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth",
            "seventeenth", "eighteenth", "nineteenth", "twentieth",
            *(f"twenty-{word}" for word in ("first", "second", "third", "fourth", "fifth", "sixth",
                                            "seventh", "eighth", "ninth")),
            "thirtieth", "thirty-first")
# Tokens of the longest way to write a date, and of a date in ISO 8601.
LONGEST, ISO = 36, 10
# Of so many examples one is written in small letters.
SMALL = 5


def _nth(day: int) -> str:
    """"1st", "22nd", "13th"."""
    end = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{end}"


def _month(when: date) -> str:
    return MONTHS[when.month - 1]


def _weekday(when: date) -> str:
    return WEEKDAYS[when.weekday()]


WAYS: tuple[Callable[[date], str], ...] = (
    lambda d: f"{d.day} {_month(d)} {d.year}",
    lambda d: f"{_month(d)} {d.day}, {d.year}",
    lambda d: f"{_nth(d.day)} of {_month(d)} {d.year}",
    lambda d: f"the {_nth(d.day)} of {_month(d)}, {d.year}",
    lambda d: f"{_month(d)} {_nth(d.day)}, {d.year}",
    lambda d: f"{_weekday(d)}, {d.day} {_month(d)} {d.year}",
    lambda d: f"{_weekday(d)}, {_month(d)} {d.day}, {d.year}",
    lambda d: f"{_weekday(d)} the {_nth(d.day)} of {_month(d)} {d.year}",
    lambda d: f"the {ORDINALS[d.day - 1]} of {_month(d)} {d.year}",
    lambda d: f"{_month(d)} the {ORDINALS[d.day - 1]}, {d.year}",
    lambda d: f"{_weekday(d)[:3]} {d.day} {_month(d)[:3]} {d.year}",
    lambda d: f"{_month(d)[:3]} {d.day} '{d.year % 100:02}",
    lambda d: f"{d.day} {_month(d)[:3]} {d.year % 100:02}",
    lambda d: f"{d.day}-{_month(d)[:3]}-{d.year}",
    lambda d: f"{d.year} {_month(d)[:3]} {d.day:02}",
    lambda d: f"{d.day}.{d.month}.{d.year}",
    lambda d: f"{d.day:02}.{d.month:02}.{d.year % 100:02}",
    lambda d: f"{d.month}/{d.day}/{d.year}",
    lambda d: f"{d.month:02}/{d.day:02}/{d.year % 100:02}",
    lambda d: f"{d.year}{d.month:02}{d.day:02}",
)


class Dates(Paired):
    """Dates as people write them (`Tuesday, 5 May 1998`), to be written as `1998-05-05`.

    Twenty ways to write a date, some in small letters. Points stand between day and month,
    slashes between month and day. All ways to write a day are in one part: no date that is tested
    was trained on, however it is written.
    """

    embedded: ClassVar[Origin] = Origin("dates in twenty notations, made from a seed")

    dataset: Literal["dates"] = Field(description="the word that chooses this source")
    count: int = Field(default=12_000, ge=100, le=500_000, description="how many to make")
    seed: int = Field(
        default=0, ge=0, description="chooses them, and their parts, whatever the training seed")
    vocabulary: int | None = Field(default=64, gt=3, description="how many ids a date may have")
    target_vocabulary: int | None = Field(
        default=14, gt=3, description="how many ids a date in ISO 8601 has")

    def sizes(self) -> tuple[int | None, int | None]:
        return LONGEST, ISO + 1

    def load(self) -> Dataset:
        from runtime.data.split import grouped

        pairs = made(self.count, self.seed)
        cut = grouped([iso for _, iso in pairs], self.validation, self.test, self.seed)
        return self.assembled({
            name: [pairs[i] for i in getattr(cut, name)]
            for name in ("train", "validation", "test")})


def made(count: int, seed: int) -> list[tuple[str, str]]:
    """So many different ways to write dates, each with the date in ISO 8601."""
    # Python promises that `random` and `Random(seed)` stay as they are, and no more.
    draw = random.Random(seed).random
    days = (LAST - FIRST).days + 1
    found: dict[str, str] = {}
    while len(found) < count:
        when = FIRST + timedelta(days=int(draw() * days))
        text = WAYS[int(draw() * len(WAYS))](when)
        if draw() * SMALL < 1:
            text = text.lower()
        found[text] = when.isoformat()
    return list(found.items())
