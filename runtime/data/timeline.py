"""Dates and times as places on an even grid: what comes next, and what is missing."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
MONTHS = {"month": 1, "quarter": 3, "year": 12}
STEP = re.compile(r"(\d+)?\s*(second|minute|hour|day|week|month|quarter|year)s?")
OTHER_FORMS = ("%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y", "%Y-%m", "%Y/%m")

Moment = datetime | float


@dataclass(frozen=True)
class Step:
    """The distance of neighbours on the grid.

    Attributes:
        size: how many units; of plain numbers, the difference.
        unit: one of `SECONDS` or `MONTHS`, or "" for plain numbers.
    """

    size: float
    unit: str = ""

    def __str__(self) -> str:
        if not self.unit:
            return f"{self.size:g}"
        return f"{self.size:g} {self.unit}{'s' if self.size != 1 else ''}"


def step_of(text: str) -> Step | None:
    """"15 minutes", "day" or "0.5" as a step; None where it is none."""
    if match := STEP.fullmatch(text.strip()):
        return Step(int(match[1] or 1), match[2])
    try:
        size = float(text)
    except ValueError:
        return None
    return Step(size) if size > 0 and math.isfinite(size) else None


def moment(value: Any) -> Moment | None:
    """A cell as a date and time, or as a number such as a year; None where it is neither."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    text = str(value).strip()
    try:
        return float(text)
    except ValueError:
        pass
    for form in ("", *OTHER_FORMS):
        try:
            found = datetime.strptime(text, form) if form else datetime.fromisoformat(text)
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def likely_step(moments: Sequence[Moment]) -> Step:
    """The smallest distance of neighbours: whole months where every day of the month is alike.

    Args:
        moments: two or more different ones, in order.
    """
    if not isinstance(moments[0], datetime):
        return Step(float(np.diff(np.array(moments, float)).min()))
    seconds = np.diff([m.timestamp() for m in moments])  # type: ignore[union-attr]
    if seconds.min() >= 28 * 86400 and len({_in_month(m) for m in moments}) == 1:
        return Step(int(np.diff([_months(m) for m in moments]).min()), "month")
    smallest = seconds.min()
    unit = max((u for u in SECONDS if u != "week" and smallest % SECONDS[u] == 0),
               key=lambda u: SECONDS[u], default="second")
    return Step(smallest / SECONDS[unit], unit)


def places(moments: Sequence[Moment], step: Step, first: Moment) -> np.ndarray:
    """How many steps each moment lies behind `first`: (moments,) float64.

    Whole numbers for those on the grid, and NaN for those beside a grid of months.
    """
    if step.unit in MONTHS:
        alike = [_in_month(m) == _in_month(first) for m in moments]
        months = np.array([_months(m) - _months(first) for m in moments], float)
        return np.where(alike, months / (MONTHS[step.unit] * step.size), np.nan)
    if isinstance(first, datetime):
        seconds = np.array([m.timestamp() for m in moments])  # type: ignore[union-attr]
        return (seconds - first.timestamp()) / (SECONDS[step.unit] * step.size)
    return (np.array(moments, float) - first) / step.size


def _months(moment: Any) -> int:
    return moment.year * 12 + moment.month


def _in_month(moment: Any) -> tuple[int, ...]:
    return moment.day, moment.hour, moment.minute, moment.second
