"""One class for each example: what is taken for what, and the most certain mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from runtime.report.console import figure
from runtime.report.evidence.looks import looks
from runtime.report.evidence.reliability import reliability
from runtime.report.evidence.seen import SHOWN, Seen, shots
from runtime.report.page import table

# A confusion matrix of more classes is a list of what is most often mistaken instead.
MATRIX = 30


def labels(seen: Seen) -> str:
    wrong = [i for i, (said, true) in enumerate(zip(seen.said, seen.true))
             if said["label"] != true["label"]]
    worst = sorted(wrong, key=lambda i: -seen.said[i]["probability"])[:SHOWN]
    rate = f"{len(wrong):,} of {len(seen.said):,} examples are mistaken"
    cells = [(f'<span class="said">{escape(str(seen.said[i]["label"]))}</span> '
              f'{100 * seen.said[i]["probability"]:.0f} %',
              f'<span class="true">{escape(str(seen.true[i]["label"]))}</span>') for i in worst]
    mistakes = (f'<h3>The most certain mistakes</h3><p class="dim">{rate}; these are the ones of '
                f'which the model is most sure.</p>{shots(seen, worst, ["says", "is"], cells)}'
                if worst else f'<p class="dim">{rate}.</p>')
    return (confusion(seen.details) + mistakes + looks(seen) + by_class(seen.details)
            + reliability(seen))


def confusion(details: Mapping[str, Any], things: str = "examples") -> str:
    """The confusion matrix, or for many classes the pairs that are most often mistaken.

    Args:
        details: what the task says of the part.
        things: what was counted.
    """
    counts, classes = details.get("confusion"), details.get("classes", [])
    if not counts:
        return ""
    words = [str(c["name"]) for c in classes]
    if len(words) > MATRIX:
        pairs = sorted(((count, i, j) for i, row in enumerate(counts)
                        for j, count in enumerate(row) if i != j and count), reverse=True)[:25]
        return "<h3>What is most often mistaken</h3>" + table(
            ["true", "taken for", things],
            [[words[i], words[j], f"{count:,}"] for count, i, j in pairs], "<<>")
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in words)
    rows = []
    for i, row in enumerate(counts):
        total = max(sum(row), 1)
        cells = "".join(_cell(count, count / total, i == j) for j, count in enumerate(row))
        rows.append(f'<tr><th scope="row" class="row">{escape(words[i])}</th>{cells}</tr>')
    return ('<h3>Confusion matrix</h3><p class="dim">'
            f'{things.capitalize()}: a row is a true class, a column what the model takes it for.'
            '</p><div class="wide"><table class="matrix">'
            f'<thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>')


def _cell(count: int, share: float, right: bool) -> str:
    colour = "heat" if right else "wrong"
    # Rare mistakes are to be seen, too.
    strength = 0.75 * share if right else min(0.85, 0.18 + 1.5 * share)
    style = f' style="background:rgba(var(--{colour}),{strength:.2f})"' if count else ""
    return f"<td{style}>{count:,}</td>" if count else '<td class="dim">·</td>'


def by_class(
    details: Mapping[str, Any], thing: str = "class", things: str = "examples", by: str = "f1",
) -> str:
    """A table of the scores of each class.

    Args:
        details: what the task says of the part.
        thing: what a row is about.
        things: what was counted.
        by: the score that says which are the hardest.
    """
    classes = details.get("classes", [])
    if not classes:
        return ""
    scores = [key for key in classes[0] if key not in ("name", "examples")]
    rows = [[str(c["name"]), f"{c['examples']:,}", *(figure(s, c[s]) for s in scores)]
            for c in sorted(classes, key=lambda c: c.get(by, 0))[:100]]
    return f"<h3>By {thing}, the hardest first</h3>" + table(
        [thing, things, *scores], rows, "<" + ">" * (len(scores) + 1))
