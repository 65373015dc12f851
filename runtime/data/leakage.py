"""Examples that stand in two parts of the data: the model would be tested on what it learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from runtime.data.dataset import Part

Duplicates = Literal["error", "drop", "allow"]
# How many pairs a message names.
SHOWN = 3


def without_leaks(
    parts: Mapping[str, Part], fields: str | Sequence[str], title: str,
    duplicates: Duplicates,
) -> dict[str, Part]:
    """The parts, when no example of one is in another.

    Args:
        parts: in the order train, validation, test.
        fields: the field or fields by which examples are compared, to the byte.
        title: what messages call the data.
        duplicates: what to do about them: stop, leave them out of the part that comes first,
            or nothing.

    Raises:
        SpecError: F0635 there are some, and they are an error.
    """
    if duplicates == "allow":
        return dict(parts)
    names = [fields] if isinstance(fields, str) else fields
    marks = {name: [b"".join(each) for each in zip(*(digests(part.arrays[f]) for f in names))]
             for name, part in parts.items()}
    found: list[tuple[str, int, str, int]] = []
    kept = {name: np.ones(part.size, bool) for name, part in parts.items()}
    # From the test part back: what a later part has is taken from the earlier one.
    seen: dict[bytes, tuple[str, int]] = {}
    for name in reversed(list(parts)):
        for number, mark in enumerate(marks[name]):
            other, place = seen.setdefault(mark, (name, number))
            if other != name:
                found.append((name, number, other, place))
                kept[name][number] = False
    if not found:
        return dict(parts)
    if duplicates == "drop":
        return {name: part.take(np.flatnonzero(kept[name])) for name, part in parts.items()}
    notes = [f"{parts[a].called(i)} ({a}) is the same as {parts[b].called(j)} ({b})"
             for a, i, b, j in found[:SHOWN]]
    if len(found) > SHOWN:
        notes.append(f"and {len(found) - SHOWN:,} more")
    count = f"{len(found):,} examples of {title} are" if len(found) > 1 else (
        f"an example of {title} is")
    raise SpecError([diagnostic(
        "F0635", f"{count} in more than one part", notes=notes,
        help="leave them out of training with `duplicates: drop`, or keep them with "
             "`duplicates: allow`")])


def digests(array: Any) -> list[bytes]:
    """A digest of each example; equal for equal examples only."""
    if not isinstance(array, np.ndarray):
        return array.digests()
    return [hashlib.blake2b(row.data if row.ndim else row.tobytes(), digest_size=16).digest()
            for row in np.ascontiguousarray(array)]
