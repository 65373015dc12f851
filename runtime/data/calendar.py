"""Places in the year, the week and the day, as columns that are known of every step to come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runtime.data.timeline import moment

if TYPE_CHECKING:
    from runtime.data.tabular import Table

# The length of each cycle in days. They begin with 1 January of the year 1, a Monday.
CYCLES = {"year": 365.2425, "week": 7.0, "day": 1.0}
CALENDAR = tuple(f"{cycle}_{part}" for cycle in CYCLES for part in ("sin", "cos"))


def place(column: str, at: datetime) -> float:
    """A column of `CALENDAR` at a moment: the sine or cosine of the place in the cycle."""
    cycle, _, part = column.rpartition("_")
    days = at.toordinal() + (at.hour * 3600 + at.minute * 60 + at.second) / 86400
    angle = 2 * math.pi * days / CYCLES[cycle]
    return math.sin(angle) if part == "sin" else math.cos(angle)


def with_calendar(table: Table, time: str | None, wanted: Sequence[str]) -> Table:
    """A table with those columns of the calendar that are wanted and that it does not have.

    Where its times are no dates it stays as it is.

    Args:
        table: the rows.
        time: its column of times; None where it has none.
        wanted: names of columns.
    """
    absent = [name for name in wanted if name in CALENDAR and name not in table.columns]
    if not absent or time is None or time not in table.columns:
        return table
    moments = [moment(value) for value in table.columns[time]]
    dates = [at for at in moments if isinstance(at, datetime)]
    if len(dates) < len(moments):
        return table
    added: dict[str, Sequence[Any]] = {
        name: [place(name, at) for at in dates] for name in absent}
    return replace(table, columns={**table.columns, **added})
