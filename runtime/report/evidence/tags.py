"""A class for every step: scores by tag and by span, the sentences that went worst."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from runtime.report.console import figure
from runtime.report.evidence.classes import by_class, confusion
from runtime.report.evidence.seen import SHOWN, Seen
from runtime.report.page import table
from runtime.tasks.spans import marks_spans, spans


def tags(seen: Seen) -> str:
    return (_by_span(seen) + by_class(seen.details, "tag", "steps")
            + confusion(seen.details, "steps") + _sentences(seen))


def _by_span(seen: Seen) -> str:
    """How many spans of each kind are found exactly, where the tags mark spans."""
    if not marks_spans([str(c["name"]) for c in seen.details.get("classes", [])]):
        return ""
    counts: dict[str, list[int]] = {}
    for said, true in zip(seen.said, seen.true):
        kept = [i for i, tag in enumerate(true["tags"]) if tag is not None]
        found = spans([said["tags"][i] for i in kept])
        wanted = spans([true["tags"][i] for i in kept])
        for row, some in enumerate((found & wanted, found, wanted)):
            for kind, *_ in some:
                counts.setdefault(kind, [0, 0, 0])[row] += 1

    def f1(count: Sequence[int]) -> float:
        return 2 * count[0] / max(count[1] + count[2], 1)

    rows = [[kind, f"{true:,}", f"{said:,}", f"{right:,}",
             figure("precision", right / max(said, 1)), figure("recall", right / max(true, 1)),
             figure("f1", f1((right, said, true)))]
            for kind, (right, said, true) in sorted(counts.items(), key=lambda item: f1(item[1]))]
    if not rows:
        return ""
    return ('<h3>By kind of span, the hardest first</h3><p class="dim">A span is right where its '
            "kind and both its ends are.</p>" + table(
                ["kind", "true", "said", "right", "precision", "recall", "f1"], rows, "<>>>>>>"))


def _sentences(seen: Seen) -> str:
    def wrong(i: int) -> int:
        return sum(t is not None and s != t
                   for s, t in zip(seen.said[i]["tags"], seen.true[i]["tags"]))

    worst = [i for i in sorted(range(len(seen.said)), key=wrong, reverse=True)[:SHOWN] if wrong(i)]
    if not worst:
        return '<p class="dim">No step is mistaken.</p>'
    count = sum(wrong(i) > 0 for i in range(len(seen.said)))
    lines = []
    for i in worst:
        words = seen.tokens(i) or [str(n + 1) for n in range(len(seen.said[i]["tags"]))]
        steps = "".join(_step(word, str(said), true) for word, said, true in zip(
            words, seen.said[i]["tags"], seen.true[i]["tags"]))
        lines.append(f'<p class="steps"><span class="dim">{escape(seen.part.called(i))}</span>'
                     f"{steps}</p>")
    return (f'<h3>The worst mistakes</h3><p class="dim">{count:,} of {len(seen.said):,} examples '
            'have one. Below a word its tag; where they differ, <span class="said">what the model '
            'says</span> and <span class="true">what is right</span>.</p>' + "".join(lines))


def _step(word: str, said: str, true: str | None) -> str:
    """A word with its tag below it; "O" needs no words where it is right."""
    if true is None or said == true:
        below = "" if said == "O" or true is None else f'<i class="dim">{escape(said)}</i>'
    else:
        below = f'<i class="said">{escape(said)}</i><i class="true">{escape(true)}</i>'
    return f"<span><b>{escape(word)}</b>{below}</span>"
