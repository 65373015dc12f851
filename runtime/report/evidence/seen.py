"""The examples that a report looks at, and how one of them is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import numpy as np

from runtime.data.dataset import Dataset, Part
from runtime.report.inputs import image_in, tokens_in
from runtime.report.page import rich_table
from runtime.report.png import data_uri
from runtime.report.samples import text_of
from runtime.saved import Trained

# How many examples are looked at in search of mistakes, and how many of these are shown.
LOOKED_AT, SHOWN = 5000, 12
# Of a text so many characters are shown.
LONGEST = 300
Told = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """Examples with what the model says of them.

    Attributes:
        trained: the model.
        dataset: the data; `part` is one of its parts.
        part: the examples.
        details: scores by class, counted over every example of the part.
    """

    trained: Trained
    dataset: Dataset
    part: Part
    details: Mapping[str, Any]

    @cached_property
    def said(self) -> Sequence[Told]:
        """The prediction for each."""
        return self.trained.predictions(self.part)

    @cached_property
    def true(self) -> Sequence[Told]:
        """The truth for each, in the same terms."""
        return self.trained.truths(self.part)

    def image(self, i: int) -> np.ndarray | None:
        """The picture that the model got: (height, width, channels) bytes; None for none."""
        return image_in(self.part, self.dataset.fields, i)

    def tokens(self, i: int) -> list[str]:
        """The tokens that the model got; [] where it got none or nobody knows what they are."""
        return tokens_in(self.part, self.dataset.meaning,
                         self.trained.training.data.targets(), i)


def shots(
    seen: Seen, chosen: Sequence[int], heads: Sequence[str], cells: Sequence[Sequence[str]],
) -> str:
    """Examples with what there is to say of them: pictures, texts, or rows of a table.

    Args:
        seen: the examples.
        chosen: the numbers of those to show.
        heads: what the cells tell.
        cells: for each of `chosen`, as HTML.
    """
    if not chosen:
        return ""
    if seen.image(chosen[0]) is None and not seen.tokens(chosen[0]):
        rows = [[escape(seen.part.called(i)), *told] for i, told in zip(chosen, cells)]
        return rich_table(["example", *heads], rows)
    return '<div class="shots">' + "".join(
        _shot(seen, i, "<br>".join(f'<span class="dim">{escape(head)}</span> {cell}'
                                   for head, cell in zip(heads, told) if cell))
        for i, told in zip(chosen, cells)) + "</div>"


def _shot(seen: Seen, i: int, caption: str) -> str:
    """An example with a caption: its picture, or its text."""
    name = f'<br><span class="dim">{escape(seen.part.called(i))}</span>'
    image = seen.image(i)
    if image is not None:
        return picture(image, caption + name)
    text = text_of(seen.tokens(i))
    cut = text[:LONGEST] + ("…" if len(text) > LONGEST else "")
    return (f'<figure class="words"><pre class="text">{escape(cut)}</pre>'
            f"<figcaption>{caption}{name}</figcaption></figure>")


def picture(pixels: np.ndarray, caption: str) -> str:
    """A figure of (height, width, channels) bytes; the caption is HTML."""
    return (f'<figure><img src="{data_uri(pixels)}" alt="">'
            f"<figcaption>{caption}</figcaption></figure>")


def names(labels: Sequence[str]) -> str:
    """"war, drama", as HTML."""
    return escape(", ".join(map(str, labels))) or "none"
