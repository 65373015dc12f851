"""Arrays from a user, as the examples of a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from compiler.types import TensorType
from runtime.data.dataset import FULL_SCALE, Part

NUMBERS = (np.ndarray, int, float, np.number)


def is_arrays(inputs: Any, fields: Sequence[str]) -> bool:
    """Whether inputs are arrays already: numbers, or maps from the fields to numbers."""
    if isinstance(inputs, np.ndarray):
        return inputs.dtype.kind in "biuf"
    if hasattr(inputs, "__array__"):
        return True
    first = inputs[0] if len(inputs) else None
    if isinstance(first, str):  # NumPy's texts claim to be arrays
        return False
    if isinstance(first, Mapping):
        return set(first) == set(fields) and all(
            isinstance(_first(v), NUMBERS) or hasattr(v, "__array__") for v in first.values())
    return isinstance(_first(first), NUMBERS) or hasattr(first, "__array__")


def arrays_part(
    inputs: Any, fields: Mapping[str, TensorType], called: Sequence[str] = (),
) -> Part:
    """Arrays by example as arrays by field; rows of several lengths are padded.

    Args:
        inputs: an array (examples, *axes); or for each example an array, or a map of arrays
            by field.
        fields: the fields that the model takes, with their types.
        called: what messages call each example; `input 1` and so on where not given.

    Raises:
        SpecError: F0811 an example does not fit, with its number.
    """
    names = list(fields)
    by_field: dict[str, list[Any]] = {name: [] for name in names}
    for number, given in enumerate(inputs):
        title = called[number] if called else f"input {number + 1}"
        values = given if isinstance(given, Mapping) else {names[0]: given}
        if set(values) != set(names):
            raise _misfit(title, f"has {_listed(values)}, and the model takes {_listed(names)}",
                          "give each input as a map from these names to arrays")
        for name in names:
            by_field[name].append(_checked(title, name, values[name], fields[name]))
    arrays, lengths = {}, {}
    for name, rows in by_field.items():
        arrays[name], long = _stacked(rows, fields[name])
        if long is not None:
            lengths[name] = long
    return Part(arrays, lengths)


def _checked(title: str, name: str, value: Any, kind: TensorType) -> np.ndarray:
    """One example of a field."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise _misfit(title, f"is not an array: its rows for `{name}` differ in length",
                      f"`{name}` is {kind.described()}") from None
    if array.dtype.kind not in "biuf":
        raise _misfit(title, f"is not an array of numbers: `{value!r:.40}`",
                      f"`{name}` is {kind.described()}")
    fits = array.ndim == len(kind.axes) and all(
        axis == "time" or not isinstance(size, int) or have == size
        for axis, have, size in zip(kind.axes, array.shape, kind.shape))
    if not fits:
        raise _misfit(title, f"has the shape {array.shape}, and `{name}` is {kind.described()}",
                      "inputs come one after another: (examples, "
                      f"{', '.join(kind.axes)}) for an array of them")
    if kind.dtype == "int":
        if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
            raise _misfit(title, f"has fractions, and `{name}` holds whole numbers", "")
        if kind.vocabulary is not None and array.size and not (
                0 <= array.min() and array.max() < kind.vocabulary):
            raise _misfit(title, f"has numbers outside 0 … {kind.vocabulary - 1}, "
                                  f"which are all that `{name}` holds", "")
        return array.astype(np.int32)
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise _misfit(title, f"holds a value for `{name}` that is not a number or not finite, or "
                             "too large for float32", "fill such values in")
    return values / np.float32(FULL_SCALE.get(array.dtype.name) or 1)


def _stacked(rows: list[np.ndarray], kind: TensorType) -> tuple[np.ndarray, np.ndarray | None]:
    """Examples as one array, and their lengths where they differ along time."""
    if "time" not in kind.axes:
        return np.stack(rows), None
    axis = kind.axes.index("time")
    lengths = np.array([row.shape[axis] for row in rows], np.int32)
    declared = kind.shape[axis]
    longest = max(int(lengths.max()), declared if isinstance(declared, int) else 1)
    if (lengths == longest).all():
        return np.stack(rows), None
    padded = [np.pad(row, [(0, longest - row.shape[axis] if i == axis else 0)
                           for i in range(row.ndim)]) for row in rows]
    return np.stack(padded), lengths


def _misfit(title: str, reason: str, help: str) -> SpecError:
    return SpecError([diagnostic("F0811", f"{title} {reason}", help=help)])


def _first(value: Any) -> Any:
    """The innermost first element of nested lists."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return value


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"
