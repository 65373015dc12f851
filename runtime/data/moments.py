"""Times of the steps to come, as whole numbers that go with the examples of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from runtime.data.timeline import MONTHS, SECONDS, Moment, Step

# The field that holds them: (examples, horizon, 2) int32, the day since 1970 and the second of it.
WHEN = "when"
# In place of the second: the step has no time of day, or is a plain number and no date.
WHOLE_DAY, NUMBER = -1, -2
FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def after(last: Moment, step: Step, count: int, back: int = 0) -> list[Moment] | None:
    """The `count` moments that follow; None where the calendar has no such day.

    Args:
        last: the moment before them.
        step: from one to the next.
        count: how many.
        back: how many steps before `last` they begin instead.
    """
    try:
        return [_shifted(last, step, number + 1 - back) for number in range(count)]
    except (ValueError, OverflowError):
        return None


def _shifted(moment: Moment, step: Step, count: int) -> Moment:
    if not isinstance(moment, datetime):
        return moment + count * step.size
    if step.unit in MONTHS:
        months = moment.year * 12 + moment.month - 1 + int(MONTHS[step.unit] * step.size) * count
        return moment.replace(year=months // 12, month=months % 12 + 1)
    return moment + timedelta(seconds=SECONDS[step.unit] * step.size * count)


def stored(moments: Sequence[Moment]) -> np.ndarray | None:
    """Moments as whole numbers, (moments, 2) int32; None where they cannot be."""
    whole = all(isinstance(m, datetime) and m == datetime(m.year, m.month, m.day, tzinfo=UTC)
                for m in moments)
    found = []
    for moment in moments:
        if isinstance(moment, datetime):
            past = moment.astimezone(UTC) - FIRST
            found.append((past.days, WHOLE_DAY if whole else past.seconds))
        elif float(moment).is_integer() and abs(moment) < 2**31:
            found.append((int(moment), NUMBER))
        else:
            return None
    return np.array(found, np.int32)


def told(when: np.ndarray) -> list[str | int]:
    """The moments (steps, 2) as people write them: 2015-12-31, 2015-12-31 13:45, 2009."""
    found: list[str | int] = []
    for first, second in when.tolist():
        if second == NUMBER:
            found.append(first)
            continue
        moment = FIRST + timedelta(days=first, seconds=max(second, 0))
        found.append(moment.date().isoformat() if second == WHOLE_DAY
                     else moment.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00"))
    return found
