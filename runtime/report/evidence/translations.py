"""A text for a text: sample translations, the worst ones, and where the decoder looked."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from compiler.diagnostics import SpecError
from runtime.data.tokens import vocabulary_from
from runtime.report.evidence.seen import LONGEST, SHOWN, Seen
from runtime.report.page import rich_table
from runtime.report.samples import text_of
from runtime.tasks.alignment import alignments, drawn
from runtime.tasks.overlap import chrf
from runtime.tasks.translation import Translation

# How many translations are shown, and of how many where the decoder looked.
SAMPLES, MAPS = 6, 2
# A larger map is not shown in the page.
WIDEST = 60


def translations(seen: Seen) -> str:
    said, true = ([str(told["translation"]) for told in side] for side in (seen.said, seen.true))
    wrong = [i for i, (one, other) in enumerate(zip(said, true)) if one.split() != other.split()]
    some = np.unique(np.linspace(0, len(said) - 1, min(len(said), SAMPLES)).astype(int)).tolist()
    parts = ["<h3>Some translations</h3>", _table(seen, some, said, true)]
    if wrong:
        worst = sorted(wrong, key=lambda i: chrf([said[i]], [true[i]]))[:SHOWN]
        parts += [f'<h3>The worst ones</h3><p class="dim">{len(wrong):,} of {len(said):,} are not '
                  "word by word what is written; these have the least in common with it.</p>",
                  _table(seen, worst, said, true)]
    return "".join(parts) + _maps(seen, some)


def _table(seen: Seen, chosen: Sequence[int], said: Sequence[str], true: Sequence[str]) -> str:
    rows = []
    for i in chosen:
        colour = "true" if said[i].split() == true[i].split() else "said"
        rows.append([escape(_short(_source(seen, i))),
                     f'<span class="{colour}">{escape(_short(said[i]))}</span>',
                     escape(_short(true[i])), escape(seen.part.called(i))])
    return rich_table(["text", "the model says", "what is written", "example"], rows)


def _source(seen: Seen, i: int) -> str:
    """The text of an example."""
    stored = seen.trained.preprocessing.fitted.get("source_vocabulary")
    field = next(iter(seen.trained.inputs.values()))
    row = np.asarray(seen.part.arrays[field])[i][:seen.part.lengths[field][i]]
    return text_of(seen.tokens(i)) if stored is None else (
        vocabulary_from(stored).decode(row.tolist()))


def _maps(seen: Seen, chosen: Sequence[int]) -> str:
    """Where the decoder looked, where it tells."""
    task = seen.trained.task
    assert isinstance(task, Translation)
    try:
        found = list(alignments(task, seen.trained, seen.part.take(np.array(chosen[:MAPS]))))
    except SpecError:
        return ""
    maps = "".join(drawn(one).inside() for one in found
                   if max(len(one.source), len(one.target)) <= WIDEST)
    return maps and (
        '<h3>Where the decoder looked</h3><p class="dim">A column is a token of the text, a row '
        "one of the translation; the darker, the more this step looked there.</p>"
        f'<div class="wide">{maps}</div>')


def _short(text: str) -> str:
    return text[:LONGEST] + ("…" if len(text) > LONGEST else "")
