"""Spans that tags mark: `B-x` begins one of kind x, `I-x` goes on, `O` is outside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Span = tuple[str, int, int]


def marks_spans(names: Sequence[str]) -> bool:
    """Whether tags of these names mark spans."""
    return "O" in names and len(names) > 1 and all(
        name == "O" or name.startswith(("B-", "I-")) for name in names)


def spans(tags: Sequence[str]) -> set[Span]:
    """The spans in a sequence: kind, first step, step behind the last.

    An `I-x` that continues nothing of kind x begins a span, as in the CoNLL-2000 evaluation.
    """
    found: set[Span] = set()
    kind, first = "", 0
    for step, tag in enumerate([*tags, "O"]):
        mark, _, name = tag.partition("-")
        if kind and (mark != "I" or name != kind):
            found.add((kind, first, step))
            kind = ""
        if mark != "O" and not kind:
            kind, first = name, step
    return found


def span_scores(tags: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """How many spans are found exactly, kind and borders, over all examples together.

    Args:
        tags: (examples, 2, steps) true and predicted classes, -1 at steps that do not count.
        names: what the classes are called.
    """
    right = predicted = true = 0
    for truth, guess in tags.tolist():
        wanted, found = spans(_named(truth, names)), spans(_named(guess, names))
        right += len(wanted & found)
        predicted += len(found)
        true += len(wanted)
    return {"span_f1": 2 * right / max(predicted + true, 1),
            "span_precision": right / max(predicted, 1), "span_recall": right / max(true, 1)}


def _named(tags: Sequence[int], names: Sequence[str]) -> list[str]:
    return [names[i] for i in tags if i >= 0]
