"""Where a classifier looked, or which words weighed, in some examples."""

from __future__ import annotations

from html import escape

import numpy as np

from compiler.diagnostics import SpecError
from runtime.report.evidence.seen import LONGEST, Seen, picture
from runtime.report.weighed import characters, coloured_words, looked_at, maps, weights

# How many examples are shown, and how large a picture is drawn.
PICTURES, TEXTS, SIDE = 8, 8, 96


def looks(seen: Seen) -> str:
    """Pictures under their class-activation maps, or texts in colours.

    "" for other inputs, and where the model has no layer that tells.
    """
    if not seen.said:
        return ""
    try:
        return _pictures(seen) if seen.image(0) is not None else (
            _texts(seen) if seen.tokens(0) else "")
    except SpecError:
        return ""


def _pictures(seen: Seen) -> str:
    chosen = _chosen(seen, PICTURES)
    shown = "".join(picture(looked_at(image, found, SIDE), _caption(seen, i))
                    for i, found in zip(chosen, maps(seen.trained, seen.part.take(chosen)))
                    if (image := seen.image(i)) is not None)
    return ('<h3>Where it looked</h3><p class="dim">Bright is what speaks for the answer '
            f'(Grad-CAM).</p><div class="shots wide2">{shown}</div>')


def _texts(seen: Seen) -> str:
    chosen = _chosen(seen, TEXTS)
    shown = "".join(_text(seen, i, found) for i, found in zip(
        chosen, weights(seen.trained, seen.part.take(chosen))))
    return ('<h3>Which words weighed</h3><p class="dim">Red speaks for the answer, blue against '
            f"it (integrated gradients).</p>{shown}")


def _chosen(seen: Seen, count: int) -> np.ndarray:
    """The numbers of examples: mistakes where there are any, at most half, then others."""
    wrong = np.array([said["label"] != true["label"]
                      for said, true in zip(seen.said, seen.true)], bool)
    mistaken = np.flatnonzero(wrong)[:count // 2]
    right = np.flatnonzero(~wrong)
    spread = np.unique(np.linspace(0, max(len(right) - 1, 0), count - len(mistaken)).astype(int))
    return np.concatenate([mistaken, right[spread] if len(right) else right])


def _caption(seen: Seen, i: int) -> str:
    said, true = str(seen.said[i]["label"]), str(seen.true[i]["label"])
    told = f"{escape(said)} {100 * seen.said[i]['probability']:.0f} %"
    return told if said == true else (
        f'<span class="said">{told}</span>, is <span class="true">{escape(true)}</span>')


def _text(seen: Seen, i: int, found: np.ndarray) -> str:
    words = seen.tokens(i)[:LONGEST]
    text = coloured_words(words, found, spaced=not characters(words))
    return f'<p style="line-height:1.9">{text} <span class="dim">{_caption(seen, i)}</span></p>'
