"""The shared table of operators: one row is one use of an operator that must work.

`tests/compiler/test_operators.py` runs every rule on every row. The rows of a family stand
in the file of its name as `ROWS`; each word of `compiler.ops.FAMILIES` needs at least one.
Counts of parameters and multiplications are worked out in the rows by hand or by plain
arithmetic, never by asking the compiler.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.ops import FAMILIES
from compiler.types import DEFAULT_AXES, TensorType


@dataclass(frozen=True, eq=False)
class Row:
    """One use of an operator.

    Attributes:
        word: the operator.
        about: what is special about this row; names the test.
        fields: the operator's fields, lists as tuples.
        inputs: the types of its inputs; sizes are small and known.
        params: how many trained numbers it owns, counted independently of the compiler.
        macs: its multiply-accumulates for one example, counted independently.
        statistics: how many numbers of running statistics it keeps.
        tied: the shape of each parameter that it borrows.
        rows_apart: False where a row's result depends on the other rows of its batch even
            in evaluation, or on how long the longest of them is.
        bfloat16: how far a bfloat16 result may be from the float32 one, relative to the
            largest number of the result.
    """

    word: str
    about: str = "plain"
    fields: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[TensorType, ...] = ()
    params: int = 0
    macs: int = 0
    statistics: int = 0
    tied: tuple[tuple[int, ...], ...] = ()
    rows_apart: bool = True
    bfloat16: float = 0.05

    def __str__(self) -> str:
        return f"{self.word}-{self.about.replace(' ', '_')}"


def floats(*shape: int, axes: tuple[str, ...] | None = None) -> TensorType:
    """A float tensor: (5, 3) is (time, channels), (6, 6, 3) is (height, width, channels)."""
    return TensorType(axes or DEFAULT_AXES[len(shape)], shape)


def tokens(length: int, vocabulary: int = 7) -> TensorType:
    """A sequence of indices into a vocabulary."""
    return TensorType(("time",), (length,), "int", vocabulary)


def category(vocabulary: int = 7) -> TensorType:
    """One index for each example."""
    return TensorType((), (), "int", vocabulary)


def _rows() -> tuple[Row, ...]:
    rows: list[Row] = []
    for family in FAMILIES:
        name = f"{__name__}.{family}"
        if importlib.util.find_spec(name) is not None:
            rows.extend(importlib.import_module(name).ROWS)
    return tuple(rows)


ROWS = _rows()
