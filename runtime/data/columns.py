"""Columns of a table as numbers that a model takes, by what the training part taught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from compiler.diagnostics import SpecError, nearest
from runtime.data.dataset import Scale
from runtime.data.files import failure
from runtime.data.labelled import listed
from runtime.data.tabular import Table

Missing = Literal["error", "drop", "mean", "median"]
REMEDY = ("`missing: drop` passes such rows over; `missing: median` (or `mean`) fills the "
          "inputs in, from the training part")


def numbers(table: Table, names: Sequence[str], fill: dict[str, float]) -> np.ndarray:
    """Columns side by side: (rows, columns) float64.

    Args:
        table: the table.
        names: its columns.
        fill: what stands for a missing value, by column; those without it may miss none.

    Raises:
        SpecError: F0632, F0633: a column or a value is missing, or a value is no number.
    """
    columns = []
    for name in names:
        values = table.numbers(name)
        absent = np.flatnonzero(np.isnan(values))
        if len(absent) and name not in fill:
            raise missing(table, int(absent[0]), name, len(absent))
        values[absent] = fill.get(name, 0.0)
        columns.append(values)
    return np.stack(columns, axis=-1) if columns else np.zeros((table.size, 0))


def fills(train: Table, names: Sequence[str], policy: Missing) -> dict[str, float]:
    """What stands for missing numbers, by column; {} where none may be missing."""
    if policy not in ("mean", "median"):
        return {}
    found = {}
    for name in names:
        values = train.numbers(name)
        if np.isnan(values).all():
            raise failure("F0633", f"`{name}` has no values in the training part",
                          help="take the column out of `columns`")
        found[name] = float(np.nanmean(values) if policy == "mean" else np.nanmedian(values))
    return found


def scale_of(values: np.ndarray, names: Sequence[str]) -> Scale:
    """The mean and deviation of columns (rows, columns), which puts them on 0 and 1."""
    if not len(values):  # the run will say that the part is empty
        return no_scale(names)
    deviation = values.std(axis=0)
    return Scale(tuple(names), values.mean(axis=0), np.where(deviation > 0, deviation, 1.0))


def no_scale(names: Sequence[str]) -> Scale:
    """The scale that changes nothing."""
    return Scale(tuple(names), np.zeros(len(names)), np.ones(len(names)))


def kinds(
    table: Table, name: str, names: Sequence[str], fill: str | None, remedy: str = REMEDY,
) -> np.ndarray:
    """A column of kinds as their numbers: (rows,) int32.

    Args:
        table: the table.
        name: the column.
        names: the kinds, in order.
        fill: what stands for a missing one; None where none may be missing.
        remedy: what to do about those.

    Raises:
        SpecError: F0632, F0633: a value is missing, or none of the kinds.
    """
    place = {text: number for number, text in enumerate(names)}
    # A kind may be called NA.
    texts = [str(raw).strip() if str(raw).strip() in place else text
             for raw, text in zip(table.column(name), table.texts(name))]
    found = np.empty(len(texts), np.int32)
    for row, text in enumerate(texts):
        text = fill if text is None else text
        if text is None:
            raise missing(table, row, name, texts.count(None), remedy)
        if text not in place:
            raise table.wrong(
                row, name, f"`{text[:40]}` is none of the kinds of `{name}`",
                label=nearest(text, names), notes=[f"they are {listed(list(names))}"])
        found[row] = place[text]
    return found


def kind_names(
    tables: Iterable[Table], name: str, declared: list[str] | int | None, what: str,
) -> list[str]:
    """The kinds of a column in order, as declared or as found: numbers by size, else by letter.

    Args:
        tables: all parts.
        name: the column.
        declared: what the recipe says of them.
        what: the recipe's key for them, for messages.

    Raises:
        SpecError: F0634 there are more or fewer kinds than declared.
    """
    if isinstance(declared, list):
        return declared
    found = {text for table in tables for text in table.texts(name) if text is not None}
    ordered = sorted(found, key=_order)
    if declared is not None and declared != len(ordered):
        raise failure(
            "F0634", f"`{name}` has {len(ordered)} kinds, and the recipe declares {declared}",
            notes=[f"the data has {listed(ordered)}"],
            help=f"say `{what}: {len(ordered)}`, and set the model to that number")
    if len(ordered) < 2:
        raise failure("F0634", f"`{name}` has only one kind: {listed(ordered) or 'nothing'}",
                      help="choose another column")
    return ordered


def most_frequent(train: Table, name: str) -> str:
    """The kind that stands for missing ones."""
    counts = Counter(text for text in train.texts(name) if text is not None)
    if not counts:
        raise failure("F0633", f"`{name}` has no values in the training part",
                      help="take the column out of `columns`")
    return min(counts, key=lambda text: (-counts[text], text))


def missing(
    table: Table, row: int, name: str, count: int, remedy: str = REMEDY,
) -> SpecError:
    """The error about a value that is not there."""
    more = [f"{count:,} rows have none"] if count > 1 else []
    return table.wrong(row, name, f"`{name}` has no value", notes=more, help=remedy)


def _order(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)
