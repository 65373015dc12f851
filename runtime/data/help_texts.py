"""Python's own help texts, as text for a language model.

They are read from the standard library (`pydoc_data.topics`) and not stored: about 370,000
characters of English and program text on every machine that runs Python. Their wording
changes a little from one version of Python to the next, and scores with it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from runtime.data.source import Origin
from runtime.data.text import RunningText


class HelpTexts(RunningText):
    """Python's help texts, to predict each next character.

    Paragraphs that several topics repeat are taken once, so that the test part holds no text
    that was trained on.
    """

    embedded: ClassVar[Origin] = Origin(
        "the help texts of the Python that runs", "https://docs.python.org",
        "Python Software Foundation License")

    dataset: Literal["help_texts"] = Field(description="the word that chooses this source")
    vocabulary: int | None = Field(
        default=128, gt=1, description="how many ids there are; rarer characters share id 0")

    def read(self) -> dict[str, str]:
        return self.cut(read())


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

