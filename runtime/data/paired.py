"""Pairs of texts, as the numbers that an encoder and a decoder take: what their sources share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from compiler.types import TensorType
from runtime.data.files import failure
from runtime.data.source import Source
from runtime.data.tokens import (
    END,
    MARKS,
    START,
    TOKENISER_PATHS,
    Characters,
    MarkedVocabulary,
    Tokeniser,
    Vocabulary,
    vocabulary_from,
)
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part

# Where in `data` a path of a tokeniser may stand.
PATHS = (*TOKENISER_PATHS, *(f"target_{path}" for path in TOKENISER_PATHS))
SOURCE, TARGET = "source_vocabulary", "target_vocabulary"
# The fields of a part: what is translated, what the decoder is told, what it has to say, and, of
# what is judged, the translation as it is written.
GIVEN, TOLD, SAID, WRITTEN = "source", "target", "next", "reference"

Texts = Sequence[tuple[str, str]]
# What to do about pairs that are too long.
Longer = Literal["drop", "cut", "error"]


class Paired(Source):
    """What the sources of pairs of texts share.

    Gives `source` (length); `target` (length), a start mark and the translation; and `next`
    (length), the translation and an end mark. The marks have the numbers 1 and 2 in both
    vocabularies. What is judged has `reference` (characters), too: the translation as it is
    written, the number of each character, behind it 0.
    """

    tokens: Tokeniser = Field(
        default=Characters(), description="what a token is: characters, words or byte_pairs")
    target_tokens: Tokeniser | None = Field(
        default=None, description="what a token of a translation is, if something else")
    vocabulary: int | None = Field(
        default=None, gt=MARKS + 1, description="how many ids a text may have, start and end "
        "among them; rarer tokens share id 0; as many as the training part needs where not given")
    target_vocabulary: int | None = Field(
        default=None, gt=MARKS + 1, description="how many ids a translation may have, if others")
    joint: bool = Field(
        default=False, description="whether texts and translations share one vocabulary")

    @model_validator(mode="after")
    def _one_or_two(self) -> Self:
        if self.joint and (self.target_tokens or self.target_vocabulary):
            raise problem("a `joint` vocabulary is that of the translations, too",
                          help="take `target_tokens` and `target_vocabulary` away")
        return self

    def fields(self) -> dict[str, TensorType]:
        return self.typed(self.vocabulary, self.target_vocabulary or self.vocabulary)

    def targets(self) -> tuple[str, ...]:
        return (SAID, WRITTEN)

    def sizes(self) -> tuple[int | None, int | None]:
        """How long texts are, and translations with a mark, where that is always the same."""
        return None, None

    def typed(self, source: int | None, target: int | None) -> dict[str, TensorType]:
        """The types of the fields, for vocabularies of these sizes."""
        given, said = self.sizes()
        text = TensorType(("time",), (said or TOLD,), "int", vocabulary=target)
        return {GIVEN: TensorType(("time",), (given or GIVEN,), "int", vocabulary=source),
                TOLD: text, SAID: text,
                WRITTEN: TensorType(("time",), (said - 1 if said else WRITTEN,), "int")}

    def vocabularies(self, train: Texts) -> tuple[Vocabulary, Vocabulary]:
        """Those of the texts and of their translations.

        Raises:
            SpecError: F0634 the recipe declares smaller ones than a tokeniser has.
        """
        kinds = self.tokens, self.target_tokens or self.tokens
        sides = [source for source, _ in train], [target for _, target in train]
        if self.joint:
            both = self._fitted(kinds[0], [*sides[0], *sides[1]], self.vocabulary, "vocabulary")
            return both, both
        return (self._fitted(kinds[0], sides[0], self.vocabulary, "vocabulary"),
                self._fitted(kinds[1], sides[1], self.target_vocabulary or self.vocabulary,
                             "target_vocabulary"))

    def _fitted(
        self, tokens: Tokeniser, texts: Sequence[str], size: int | None, key: str,
    ) -> Vocabulary:
        found = MarkedVocabulary(tokens.fit(texts, None if size is None else size - MARKS))
        if size is not None and found.size > size:
            raise failure(
                "F0634", f"the tokens of {self.title} have {found.size} ids with start and end, "
                         f"and the recipe declares {size}",
                help=f"declare `{key}: {found.size}` in `data` and for the model")
        return found

    def assembled(
        self, texts: Mapping[str, Texts], names: Mapping[str, np.ndarray] | None = None,
        buckets: int | None = None, length: int | None = None, longer: Longer = "cut",
    ) -> Dataset:
        """The data set of pairs that were parted.

        Args:
            texts: the pairs of train, validation and test.
            names: what messages call each pair.
            buckets: how many lengths batches may have; None to leave all as long as the longest.
            length: how many tokens a text may have.
            longer: what to do about pairs with more; see `Pairs`.
        """
        from runtime.data.dataset import Dataset

        source, target = self.vocabularies(texts["train"])
        coded = {name: _coded(rows, source, target, None if names is None else names[name])
                 for name, rows in texts.items()}
        if length is not None:
            coded = {name: one.within(length, longer) for name, one in coded.items()}
        if not coded["train"].texts:
            raise failure("F0631", f"{self.title} has no pairs to train on",
                          notes=[f"all have more than {length} tokens"] if length else (),
                          help="make `length` larger" if length else "")
        # Of a large training part whose translations may be long nobody judges any.
        known = self.sizes()[1] is not None
        parts = {name: one.part(judged=known or name != "train") for name, one in coded.items()}
        widths = {field: known or max(part.arrays[field].shape[1] for part in parts.values())
                  for field, known in zip((GIVEN, TOLD), self.sizes())}
        widths[SAID] = widths[TOLD]
        parts = {name: _as_wide(part, widths) for name, part in parts.items()}
        if buckets is not None:
            lengths = _buckets(parts["train"], buckets)
            parts = {name: replace(part, buckets=lengths) for name, part in parts.items()}
        fitted = {SOURCE: source.as_json(), TARGET: target.as_json(), "length": length}
        declared = self.vocabulary, self.target_vocabulary or self.vocabulary
        return Dataset(
            self.typed(declared[0] or source.size, declared[1] or target.size),
            parts["train"], parts["validation"], parts["test"], fitted=fitted,
            labels={GIVEN: source.names, TOLD: target.names, SAID: target.names})

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Texts to translate, as the model takes them; of the translation the start alone.

        Args:
            inputs: texts; of longer ones than `length` tokens, the first tokens.
            fitted: what `load` gave.
            called: what messages call each.
        """
        from runtime.data.dataset import Part
        from runtime.data.padding import padded

        vocabulary = vocabulary_from(fitted[SOURCE])
        array, lengths = padded(
            [vocabulary.encode(str(text))[:fitted["length"]] for text in inputs])
        start, ones = padded([[START]] * len(inputs))
        return Part({GIVEN: array, TOLD: start}, {GIVEN: lengths, TOLD: ones})

    def told(
        self, texts: Texts, fitted: Mapping[str, Any], names: np.ndarray | None, longer: Longer,
    ) -> Part:
        """Other pairs as examples, by what `load` taught.

        Args:
            texts: the pairs.
            fitted: what it taught.
            names: what messages call each.
            longer: what to do about pairs that are too long.
        """
        coded = _coded(texts, vocabulary_from(fitted[SOURCE]), vocabulary_from(fitted[TARGET]),
                       names)
        if fitted["length"] is not None:
            coded = coded.within(fitted["length"], longer)
        return coded.part(judged=True)


def grouping(text: str) -> str:
    """What two texts have in common that are the same to a reader: words in small letters."""
    return " ".join(text.split()).casefold()


@dataclass(frozen=True)
class _Coded:
    """Pairs as numbers.

    Attributes:
        texts: the pairs as they are written.
        source: the ids of each text.
        target: those of each translation, without marks.
        names: what messages call each pair; None for their numbers.
    """

    texts: Texts
    source: list[list[int]]
    target: list[list[int]]
    names: np.ndarray | None

    def within(self, length: int, longer: Longer) -> _Coded:
        """The pairs with no more than so many tokens on either side.

        Raises:
            SpecError: F0634 one has more, and that is an error.
        """
        if longer == "cut":
            return replace(self, source=[ids[:length] for ids in self.source],
                           target=[ids[:length] for ids in self.target])
        counts = [max(len(a), len(b)) for a, b in zip(self.source, self.target)]
        kept = [i for i, count in enumerate(counts) if count <= length]
        if longer == "error" and len(kept) < len(counts):
            worst = max(range(len(counts)), key=counts.__getitem__)
            name = f"pair {worst + 1:,}" if self.names is None else str(self.names[worst])
            raise failure("F0634", f"{name} has {counts[worst]:,} tokens, more than the "
                                   f"{length:,} of `length`",
                          help="make `length` larger, or say `longer: drop` or `longer: cut`")
        return _Coded([self.texts[i] for i in kept], [self.source[i] for i in kept],
                      [self.target[i] for i in kept],
                      None if self.names is None else self.names[kept])

    def part(self, *, judged: bool) -> Part:
        """The pairs as arrays; `judged` ones with their translations as they are written."""
        import numpy as np

        from runtime.data.dataset import Part
        from runtime.data.padding import padded

        given, ends = padded(self.source)
        told, lengths = padded([[START, *ids] for ids in self.target])
        said, _ = padded([[*ids, END] for ids in self.target], told.shape[1])
        arrays = {GIVEN: given, TOLD: told, SAID: said}
        if judged:
            longest = max((len(other) for _, other in self.texts), default=1)
            arrays[WRITTEN] = np.zeros((len(self.texts), longest), np.int32)
            for row, (_, other) in zip(arrays[WRITTEN], self.texts):
                row[:len(other)] = [ord(sign) for sign in other]
        return Part(arrays, {GIVEN: ends, TOLD: lengths, SAID: lengths}, self.names)


def _coded(
    texts: Texts, source: Vocabulary, target: Vocabulary, names: np.ndarray | None,
) -> _Coded:
    return _Coded(texts, [source.encode(one) for one, _ in texts],
                  [target.encode(other) for _, other in texts], names)


def _as_wide(part: Part, widths: Mapping[str, int]) -> Part:
    """A part whose arrays are as long as those of the others."""
    import numpy as np

    arrays = {field: np.pad(array, [(0, 0), (0, widths[field] - array.shape[1])])
              if field in widths else array for field, array in part.arrays.items()}
    return replace(part, arrays=arrays)


def _buckets(train: Part, count: int) -> tuple[int, ...]:
    """The lengths that batches are cut to: the longer of the two texts counts."""
    from runtime.data.buckets import chosen, longest_row

    longest = max(train.arrays[field].shape[1] for field in (GIVEN, TOLD))
    return chosen(longest_row(train.lengths.values(), train.size), count, longest)
