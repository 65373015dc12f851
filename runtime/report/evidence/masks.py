"""A class for every pixel: scores by class, and the worst pictures beside what is right."""

from __future__ import annotations

from html import escape
from typing import cast

import numpy as np

from runtime.report.evidence.classes import by_class, confusion
from runtime.report.evidence.seen import SHOWN, Seen, picture
from runtime.tasks.segmentation import Segmentation

# How many pixels are looked at in search of mistakes: masks are large.
PIXELS = 50_000_000
# Colours of pixels without a class, and of wrong and right ones where mistakes are shown.
NOTHING, WRONG, RIGHT = (128, 128, 128), (230, 80, 30), (52, 58, 68)


def masks(seen: Seen) -> str:
    task = cast(Segmentation, seen.trained.task)
    size = int(np.prod(seen.part.arrays[task.target].shape[1:]))
    said, true = _masks(seen, task, max(1, PIXELS // max(size, 1)))
    ignored = task.ignored
    counts = np.ones(true.shape, bool) if ignored is None else true != ignored
    wrong = (said != true) & counts
    rate = wrong.sum(axis=(1, 2)) / np.maximum(counts.sum(axis=(1, 2)), 1)
    worst = [int(i) for i in np.argsort(-rate, kind="stable")[:SHOWN // 2]]
    classes = len(seen.details.get("classes", [])) or 1 + int(max(said.max(), true.max()))
    words = seen.dataset.meaning.names(task.target, classes)
    colours = wheel(classes)
    rows = []
    for i in worst:
        image = seen.image(i)
        pictures = [picture(image, "picture")] if image is not None else []
        pictures += [picture(coloured(true[i], colours), "what is right"),
                     picture(coloured(said[i], colours), "what the model says"),
                     picture(_mistakes(wrong[i], counts[i]), "mistakes")]
        rows.append(f'<div class="row4">{"".join(pictures)}</div><p class="dim">'
                    f"{escape(seen.part.called(i))}: {100 * rate[i]:.1f} % of its pixels are "
                    "wrong</p>")
    order = "iou" if seen.details.get("classes") else "f1"
    return (by_class(seen.details, "class", "pixels", order) + confusion(seen.details, "pixels")
            + f"<h3>The worst masks</h3>{_legend(words, colours, ignored is not None)}"
            + "".join(rows))


def _masks(seen: Seen, task: Segmentation, most: int) -> tuple[np.ndarray, np.ndarray]:
    """What the model says and what is right, of so many examples: (examples, height, width)."""
    part = seen.part.take(np.arange(min(seen.part.size, most)))
    said = []
    for outputs, batch in seen.trained.outputs(part, 64):
        logits = outputs[task.chosen(outputs)].array
        said.append(np.asarray(logits.argmax(axis=-1))[np.asarray(batch.rows)])
    true = np.asarray(part.arrays[task.target][np.arange(part.size)])
    return np.concatenate(said), true


def wheel(count: int) -> np.ndarray:
    """So many colours, as different as hues are, the first one dark: (count, 3) bytes."""
    hue = np.arange(max(count - 1, 1)) / max(count - 1, 1)
    found = np.stack([np.clip(np.abs((hue + shift) * 6 % 6 - 3) - 1, 0, 1)
                      for shift in (0, 2 / 3, 1 / 3)], axis=-1)
    hues = np.round(50 + 190 * found).astype(np.uint8)
    return np.concatenate([np.array([RIGHT], np.uint8), hues])[:count]


def coloured(mask: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """A mask (height, width) of class numbers in colours: (height, width, 3) bytes."""
    numbers = np.asarray(mask, int)
    inside = (numbers >= 0) & (numbers < len(colours))
    found = colours[np.where(inside, numbers, 0)]
    return np.where(inside[..., None], found, np.array(NOTHING, np.uint8)).astype(np.uint8)


def _mistakes(wrong: np.ndarray, counts: np.ndarray) -> np.ndarray:
    found = np.where(wrong[..., None], np.array(WRONG, np.uint8), np.array(RIGHT, np.uint8))
    return np.where(counts[..., None], found, np.array(NOTHING, np.uint8)).astype(np.uint8)


def _legend(words: tuple[str, ...], colours: np.ndarray, ignores: bool) -> str:
    entries = [*zip(words, colours.tolist()), *([("without a class", NOTHING)] if ignores else [])]
    chips = "".join(f'<span><i style="background:rgb({r},{g},{b})"></i>{escape(word)}</span>'
                    for word, (r, g, b) in entries)
    return f'<p class="legend">{chips}</p>'
