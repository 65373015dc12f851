"""Speech recognition: which words are mistaken for which, the sounds that went worst."""

from __future__ import annotations

from html import escape

import numpy as np

from runtime.report.evidence.seen import SHOWN, Seen
from runtime.report.page import rich_table, table
from runtime.tasks.edits import distance, edits

# How many of the worst sounds are drawn.
DRAWN = 4
# How many kinds of mistakes are listed.
KINDS = 20


def speech(seen: Seen) -> str:
    return _words(seen) + _mistakes(seen) + _worst(seen)


def _words(seen: Seen) -> str:
    counts = seen.details.get("words", {})
    if not counts:
        return ""
    return "<h3>Words</h3>" + table(list(counts), [[f"{n:,}" for n in counts.values()]],
                                    ">" * len(counts))


def _mistakes(seen: Seen) -> str:
    mistakes = seen.details.get("mistakes", [])[:KINDS]
    if not mistakes:
        return ""
    rows = [[m["true"] or "(nothing)", m["said"] or "(nothing)", f"{m['count']:,}"]
            for m in mistakes]
    return "<h3>The most frequent mistakes</h3>" + table(["true", "said", "times"], rows, "<<>")


def _worst(seen: Seen) -> str:
    pairs = [(str(t["text"]), str(s["text"])) for t, s in zip(seen.true, seen.said)]
    wrong = [distance(true.split(), said.split()) for true, said in pairs]
    order = [i for i in sorted(range(len(pairs)), key=lambda i: -wrong[i]) if wrong[i]][:SHOWN]
    shown = order[:DRAWN] or list(range(min(DRAWN, len(pairs))))
    part = seen.part.take(np.array(shown, int))
    drawings = seen.trained.task.drawings(seen.trained, part, [seen.said[i] for i in shown])
    figures = []
    for drawing, i in zip(drawings, shown):
        if drawing is not None:
            svg = drawing.content.decode().partition("\n")[2]
            figures.append(f'<figure class="drawing">{svg}<figcaption>'
                           f"{_compared(*pairs[i])}</figcaption></figure>")
    rows = [[escape(true), _compared(true, said)] for true, said in (pairs[i] for i in order)]
    head = "<h3>The worst mistakes</h3>" if order else (
        '<p class="dim">No word is mistaken.</p>')
    return head + "".join(figures) + (rich_table(["true", "said"], rows) if rows else "")


def _compared(true: str, said: str) -> str:
    """What was said, words that are wrong beside what is right."""
    words = []
    for right, found in edits(true.split(), said.split()):
        if right == found:
            words.append(escape(str(right)))
        else:
            words.append(f'<span class="said">{escape(found or "–")}</span>'
                         f'<span class="true">{escape(right or "–")}</span>')
    return " ".join(words) or "(nothing)"
