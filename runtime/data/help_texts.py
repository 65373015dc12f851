"""Python's own help texts, as text for a language model.

They are read from the standard library (`pydoc_data.topics`) and not stored: about 370,000
characters of English and program text on every machine that runs Python. Their wording
changes a little from one version of Python to the next, and scores with it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from compiler.types import TensorType
from runtime.data.source import Fraction, Source

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset

# What stands for a character outside the vocabulary, and for padding.
UNKNOWN = 0


class HelpTexts(Source):
    """Python's help texts, to predict each next character.

    Gives `text` and `next` (window), the second being the first one character on. The
    parts follow each other in the text. Ids are ranks by frequency in the training part
    from 1 on; 0 stands for every other character. Paragraphs that several topics repeat
    are taken once, so that the test part holds no text that was trained on.
    """

    dataset: Literal["help_texts"] = Field(description="the word that chooses this source")
    validation: Fraction = Field(default=0.1, description="the part of the text that validates")
    test: Fraction = Field(
        default=0.1, description="the part of the text that is looked at once, at the end")
    window: int = Field(default=128, gt=0, description="how many characters an example has")
    vocabulary: int = Field(
        default=128, gt=1, description="how many ids there are; rarer characters share id 0")

    def fields(self) -> dict[str, TensorType]:
        text = TensorType(("time",), (self.window,), "int", vocabulary=self.vocabulary)
        return {"text": text, "next": text}

    def targets(self) -> tuple[str, ...]:
        return ("next",)

    def load(self) -> Dataset:
        import numpy as np

        from runtime.data.dataset import Dataset, Part
        from runtime.data.split import ordered
        from runtime.data.windows import chunks

        text = read()
        cut = ordered(len(text), self.validation, self.test)
        ids = alphabet(text[: len(cut.train)], self.vocabulary)
        tokens = np.array([ids.get(c, UNKNOWN) for c in text], np.int32)

        def part(places: np.ndarray) -> Part:
            first, second, lengths = chunks(tokens[places], self.window)
            return Part({"text": first, "next": second}, {"text": lengths, "next": lengths})

        # U+FFFD, the mark for what cannot be shown, stands for all other characters.
        characters = ("\N{REPLACEMENT CHARACTER}", *ids)
        return Dataset(self.fields(), part(cut.train), part(cut.validation), part(cut.test),
                       labels={"text": characters, "next": characters})


def read() -> str:
    """The topics in alphabetical order, without paragraphs that were there before."""
    from pydoc_data.topics import topics

    seen: set[str] = set()
    kept: list[str] = []
    for name in sorted(topics):
        for paragraph in topics[name].split("\n\n"):
            words = " ".join(paragraph.split())
            if words not in seen:
                seen.add(words)
                kept.append(paragraph)
    return "\n\n".join(kept)


def alphabet(text: str, size: int) -> dict[str, int]:
    """Ids below `size` for the most frequent characters, from 1 on."""
    ranked = sorted(Counter(text).items(), key=lambda item: (-item[1], item[0]))
    return {character: rank for rank, (character, _) in enumerate(ranked[: size - 1], start=1)}
