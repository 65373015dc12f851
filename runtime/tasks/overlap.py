"""BLEU and chrF: how much of a translation is in a human one, in words and in characters.

Both are those of a whole corpus with one reference for each text, between 0 and 100, and equal
to what the tool sacrebleu gives by default: signatures `nrefs:1|case:mixed|eff:no|tok:13a|
smooth:exp` and `nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

# The longest runs of words and of characters that are compared.
WORDS, CHARACTERS = 4, 6
# How much more recall weighs than precision in chrF.
BETA = 2.0

_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
# Every sign of ASCII is a word of its own, but for the apostrophe and these three,
_SIGN = re.compile(r"([!-&(-+/:-@\[-`{-~])")
# of which point and comma are where they do not stand between digits,
_AFTER_TEXT = re.compile(r"([^0-9])([.,])")
_BEFORE_TEXT = re.compile(r"([.,])([^0-9])")
# and the hyphen is behind a digit.
_AFTER_DIGIT = re.compile(r"([0-9])(-)")


def bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """The BLEU of a corpus (Papineni et al. 2002, https://aclanthology.org/P02-1040).

    The geometric mean of the precisions of runs of one to four words, times a penalty where the
    translations are shorter than the references. Where no run of a length is right, its precision
    is half of the one that a single right run would give, a quarter for the next such length, …
    (the third smoothing of Chen & Cherry 2014, https://aclanthology.org/W14-3346).
    """
    right, found = [0] * WORDS, [0] * WORDS
    length = wanted = 0
    for translation, reference in zip(translations, references, strict=True):
        said, true = words(translation), words(reference)
        length, wanted = length + len(said), wanted + len(true)
        for n in range(WORDS):
            runs = _runs(said, n + 1)
            right[n] += (runs & _runs(true, n + 1)).total()
            found[n] += runs.total()
    if not any(right) or not all(found):
        return 0.0
    total, halved = 0.0, 1.0
    for good, count in zip(right, found):
        if not good:
            halved *= 2
        total += math.log(good / count if good else 1 / (halved * count))
    penalty = min(0.0, 1 - wanted / length)
    return 100 * math.exp(penalty + total / WORDS)


def chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """The chrF of a corpus (Popović 2015, https://aclanthology.org/W15-3049).

    The F score, in which recall weighs twice as much, of the precisions and recalls of runs of
    one to six characters, each averaged over these lengths; white space does not count.
    """
    right, found, wanted = ([0] * CHARACTERS for _ in range(3))
    for translation, reference in zip(translations, references, strict=True):
        said, true = "".join(translation.split()), "".join(reference.split())
        for n in range(CHARACTERS):
            runs, other = _runs(said, n + 1), _runs(true, n + 1)
            right[n] += (runs & other).total()
            # Runs that are longer than the reference could not be right.
            found[n] += runs.total() if other else 0
            wanted[n] += other.total()
    both = [(good / a, good / b) for good, a, b in zip(right, found, wanted) if a and b]
    if not both:
        return 0.0
    precision, recall = (sum(side) / len(both) for side in zip(*both))
    weighted = BETA ** 2 * precision + recall
    return 100 * (1 + BETA ** 2) * precision * recall / weighted if weighted else 0.0


def words(text: str) -> list[str]:
    """The words and signs of a text, as the evaluation script mteval-v13a parts them."""
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in _ENTITIES:
        text = text.replace(entity, sign)
    text = _SIGN.sub(r" \1 ", f" {text} ")
    text = _AFTER_TEXT.sub(r"\1 \2 ", text)
    text = _BEFORE_TEXT.sub(r" \1 \2", text)
    return _AFTER_DIGIT.sub(r"\1 \2 ", text).split()


def _runs(items: Sequence[str], length: int) -> Counter[Any]:
    """How often each run of so many items is there."""
    return Counter(items[i:i + length] if isinstance(items, str) else tuple(items[i:i + length])
                   for i in range(len(items) - length + 1))
