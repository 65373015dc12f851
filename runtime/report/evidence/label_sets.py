"""Any number of labels for each example: scores by label, thresholds, the worst mistakes."""

from __future__ import annotations

from html import escape

import numpy as np

from runtime.report.chart import Line, chart
from runtime.report.console import figure
from runtime.report.evidence.classes import by_class
from runtime.report.evidence.seen import SHOWN, Seen, names, shots
from runtime.report.page import table
from runtime.tasks.scores import by_class as scores_of

THRESHOLDS = np.arange(0.05, 0.96, 0.05)


def label_sets(seen: Seen) -> str:
    words = [str(c["name"]) for c in seen.details.get("classes", [])]
    if not words or any(set(words) - set(said["probabilities"]) for said in seen.said[:1]):
        # Of very many labels a prediction tells only the most probable.
        return by_class(seen.details, "label")
    given = np.array([[said["probabilities"][word] for word in words] for said in seen.said])
    true = np.array([[word in told["labels"] for word in words] for told in seen.true])
    return (by_class(seen.details, "label") + _thresholds(seen, words, given, true)
            + _mistakes(seen, words, given, true))


def _mistakes(seen: Seen, words: list[str], given: np.ndarray, true: np.ndarray) -> str:
    """The examples of which the model was most surely wrong about a label."""
    surprise = np.where(true, 1 - given, given)
    answers = np.array([[word in said["labels"] for word in words] for said in seen.said])
    wrong = answers != true
    order = np.argsort(-np.where(wrong, surprise, 0).max(axis=1), kind="stable")
    worst = [int(i) for i in order[:SHOWN] if wrong[i].any()]
    if not worst:
        return ""
    cells = []
    for i in worst:
        told = sorted(np.flatnonzero(wrong[i]), key=lambda j: -surprise[i, j])
        cells.append((
            f'<span class="said">{names(seen.said[i]["labels"])}</span>',
            f'<span class="true">{names(seen.true[i]["labels"])}</span>',
            ", ".join(f"{escape(words[j])} {100 * given[i, j]:.0f} %" for j in told)))
    count = int(wrong.any(axis=1).sum())
    return ('<h3>The most certain mistakes</h3><p class="dim">'
            f"{count:,} of {len(true):,} examples have a label too many or too few; wrong are the "
            "labels with their probabilities.</p>"
            + shots(seen, worst, ["says", "is", "wrong"], cells))


def _thresholds(seen: Seen, words: list[str], given: np.ndarray, true: np.ndarray) -> str:
    """F1 by the probability from which on the answer is yes."""
    found = np.stack([scores_of(_matches(given > at, true))["f1"] for at in THRESHOLDS])
    micro = [float(scores_of(_matches(given > at, true).sum(axis=1, keepdims=True))["f1"][0])
             for at in THRESHOLDS]
    own = float(getattr(seen.trained.task, "threshold", 0.5))
    now = scores_of(_matches(given > own, true))["f1"]
    best = found.argmax(axis=0)
    rows = [[word, f"{own:g}", figure("f1", float(now[j])), f"{THRESHOLDS[best[j]]:.2f}",
             figure("f1", float(found[best[j], j]))] for j, word in enumerate(words[:100])
            if true[:, j].any()]
    return (
        '<h3>Thresholds</h3><p class="dim">From which probability on the answer is yes. What is '
        "best here was chosen on these very examples: for use, choose it on others.</p>"
        '<div class="charts">' + chart("F1 by threshold", [
            Line("mean over labels", list(zip(THRESHOLDS, found.mean(axis=1))), "validation"),
            Line("all answers together", list(zip(THRESHOLDS, micro)), "train")], "threshold")
        + "<div>" + table(["label", "threshold", "f1", "best", "f1 there"], rows, "<>>>>")
        + "</div></div>")


def _matches(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(3, labels) how often each label was right, said, and true."""
    return np.stack([(found & true).sum(axis=0), found.sum(axis=0), true.sum(axis=0)])
