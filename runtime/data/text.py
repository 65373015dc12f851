"""Running text, to predict each next token: a file of the user's own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from compiler.types import TensorType
from runtime.data.files import failure, read_text, shown
from runtime.data.source import Fraction, Source
from runtime.data.tokens import TOKENISER_PATHS, Characters, Tokeniser, vocabulary_from

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset, Part
    from runtime.preprocessing import Preprocessing


class RunningText(Source):
    """What the sources of running text share.

    Gives `text` and `next` (length), the second being the first one token on. The parts
    follow each other in the text: training, validation, test. Every token of the validation
    and test parts but the first is predicted exactly once; the last chunk is shorter.
    """

    validation: Fraction = Field(default=0.1, description="the part of the text that validates")
    test: Fraction = Field(
        default=0.1, description="the part of the text that is looked at once, at the end")
    tokens: Tokeniser = Field(
        default=Characters(), description="what a token is: characters, words or byte_pairs")
    length: int = Field(default=128, gt=0, description="how many tokens an example has")
    vocabulary: int | None = Field(
        default=None, gt=1, description="how many ids there are; rarer tokens share id 0; as many "
                                        "as the training part needs where not given")

    def read(self) -> dict[str, str]:
        """The text of each part, by train, validation and test."""
        raise NotImplementedError

    def cut(
        self, text: str, validation: float | None = None, test: float | None = None,
    ) -> dict[str, str]:
        """A text cut into its parts, by the source's own fractions where none are given."""
        validation = self.validation if validation is None else validation
        test = self.test if test is None else test
        rest, testing = _cut(text, test, len(text), self.tokens.word)
        train, validating = _cut(rest, validation, len(text), self.tokens.word)
        return {"train": train, "validation": validating, "test": testing}

    def fields(self) -> dict[str, TensorType]:
        return self._fields(self.vocabulary)

    def targets(self) -> tuple[str, ...]:
        return ("next",)

    def load(self) -> Dataset:
        import numpy as np

        from runtime.data.dataset import Dataset, Part
        from runtime.data.windows import chunks

        texts = self.read()
        vocabulary = self.tokens.fit([texts["train"]], self.vocabulary)
        if self.vocabulary is not None and vocabulary.size > self.vocabulary:
            raise failure(
                "F0634", f"the tokens of {self.title} have {vocabulary.size} ids, and the recipe "
                         f"declares {self.vocabulary}",
                help=f"declare `vocabulary: {vocabulary.size}` in `data` and for the model")

        def part(name: str) -> Part:
            ids = np.array(vocabulary.encode(texts.get(name, "")), np.int32)
            first, second, lengths = chunks(ids, self.length, whole=name == "train")
            if not len(first) or lengths.min() == self.length:
                return Part({"text": first, "next": second})
            return Part({"text": first, "next": second}, {"text": lengths, "next": lengths})

        return Dataset(
            self._fields(self.vocabulary or vocabulary.size), part("train"), part("validation"),
            part("test"), fitted={"vocabulary": vocabulary.as_json()},
            labels={"text": vocabulary.names, "next": vocabulary.names})

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Texts as the model takes them.

        Args:
            inputs: texts; of longer ones than `length` tokens, the last `length` tokens.
            fitted: what `load` gave.
            called: what messages call each.
        """
        from runtime.data.dataset import Part
        from runtime.data.padding import padded

        vocabulary = vocabulary_from(fitted["vocabulary"])
        array, lengths = padded([vocabulary.encode(str(text))[-self.length:] for text in inputs])
        return Part({"text": array}, {"text": lengths})

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """Another text, every token of which but the first is predicted."""
        import numpy as np

        from runtime.data.dataset import Part
        from runtime.data.windows import chunks

        ids = vocabulary_from(known.fitted["vocabulary"]).encode(read_text(path))
        if len(ids) < 2:
            raise failure("F0631", f"there is too little text in `{shown(path)}`",
                          help="give two tokens or more: the first one is only looked at")
        first, second, lengths = chunks(np.array(ids, np.int32), self.length)
        return Part({"text": first, "next": second}, {"text": lengths, "next": lengths})

    def _fields(self, vocabulary: int | None) -> dict[str, TensorType]:
        text = TensorType(("time",), (self.length,), "int", vocabulary=vocabulary)
        return {"text": text, "next": text}


class Text(RunningText):
    """A text file: the last parts of it validate and test, or files of their own."""

    word: ClassVar[str] = "text"
    paths: ClassVar[tuple[str, ...]] = (
        "text", "validation_file", "test_file", *TOKENISER_PATHS)

    text: str = Field(description="the path of a UTF-8 text")
    validation_file: str | None = Field(
        default=None, description="a text that validates, in place of a part of `text`")
    test_file: str | None = Field(
        default=None, description="a text that tests, in place of a part of `text`")

    def has(self, part: str) -> bool:
        return super().has(part) or bool(getattr(self, f"{part}_file", None))

    def read(self) -> dict[str, str]:
        self.fetch()
        text = read_text(Path(self.text))
        files = {"validation": self.validation_file, "test": self.test_file}
        own = {name: read_text(Path(path)) for name, path in files.items() if path}
        shares = [0.0 if name in own else getattr(self, name) for name in files]
        return self.cut(text, *shares) | own


def _cut(text: str, share: float, whole: int, tokens: str) -> tuple[str, str]:
    """A text without its last part, and that part: `share` of `whole` characters.

    Where tokens are not characters, the part begins behind the next white space, so that no
    word is cut in two.
    """
    at = max(len(text) - math.ceil(whole * share), 0)
    if share and tokens != Characters.word:
        space = re.search(r"\s", text[at:])
        at += space.end() if space else 0
    return text[:at], text[at:]
