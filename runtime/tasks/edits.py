"""How far a text is from another: the least insertions, deletions and substitutions.

Levenshtein 1966. Error rates are those over all texts together, edits over units of the true
texts, as jiwer counts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A unit of the true text and what was said in its place; None for nothing.
Edit = tuple[str | None, str | None]


def distance(true: Sequence[str], said: Sequence[str]) -> int:
    """The least number of edits that make one sequence the other."""
    known = {unit: number for number, unit in enumerate(dict.fromkeys((*true, *said)))}
    across = np.array([known[unit] for unit in said], int)
    places = np.arange(len(said) + 1)
    costs = places.copy()
    for unit in true:
        fresh = np.empty_like(costs)
        fresh[0] = costs[0] + 1
        fresh[1:] = np.minimum(costs[1:] + 1, costs[:-1] + (across != known[unit]))
        # What insertions add grows by one a place: the least of those before, less its place.
        costs = np.minimum.accumulate(fresh - places) + places
    return int(costs[-1])


def edits(true: Sequence[str], said: Sequence[str]) -> list[Edit]:
    """Pairs of units on a cheapest way from one sequence to the other, equal ones among them."""
    costs = np.zeros((len(true) + 1, len(said) + 1), int)
    costs[0], costs[:, 0] = np.arange(len(said) + 1), np.arange(len(true) + 1)
    for i, unit in enumerate(true, 1):
        for j, other in enumerate(said, 1):
            costs[i, j] = min(costs[i - 1, j - 1] + (unit != other), costs[i - 1, j] + 1,
                              costs[i, j - 1] + 1)
    pairs: list[Edit] = []
    i, j = len(true), len(said)
    while i or j:
        if i and j and costs[i, j] == costs[i - 1, j - 1] + (true[i - 1] != said[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((true[i], said[j]))
        elif i and costs[i, j] == costs[i - 1, j] + 1:
            i -= 1
            pairs.append((true[i], None))
        else:
            j -= 1
            pairs.append((None, said[j]))
    return pairs[::-1]


@dataclass(frozen=True)
class Errors:
    """The errors in texts, counted together.

    Attributes:
        wer: edits of words over the words of the true texts.
        cer: edits of characters over the characters of the true texts, spaces among them.
        exact: the share of texts without an error.
        pairs: how often each true word was taken for each, None being nothing.
    """

    wer: float
    cer: float
    exact: float
    pairs: Counter[Edit]


def errors(true: Sequence[str], said: Sequence[str]) -> Errors:
    """The errors of some texts; blanks at their ends never count, nor how many part words."""
    pairs: Counter[Edit] = Counter()
    words = characters = wrong = 0
    for right, found in zip(true, said, strict=True):
        pairs.update(edits(right.split(), found.split()))
        words += len(right.split())
        wrong += distance(right.strip(), found.strip())
        characters += len(right.strip())
    mistaken = sum(count for (a, b), count in pairs.items() if a != b)
    same = [a.split() == b.split() for a, b in zip(true, said)]
    return Errors(mistaken / max(words, 1), wrong / max(characters, 1),
                  sum(same) / max(len(same), 1), pairs)
