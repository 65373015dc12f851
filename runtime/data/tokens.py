"""Tokenisers: text to numbers and back.

The recipe says which kind; `fit` makes a `Vocabulary` of the training part, which is stored
with the model. Id 0 stands for what the vocabulary does not have; it is also the padding,
which nothing ever looks at.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from runtime.data.files import failure, read_bytes, shown
from runtime.section import Choice, word_of

UNKNOWN = 0
# Where a translation starts and ends, in a vocabulary that has such marks, and how many they are.
START, END, MARKS = 1, 2, 2
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Where in a `data` section with `tokens` a path may stand.
TOKENISER_PATHS = ("tokens.byte_pairs", "tokens.byte_pairs.file")


class Vocabulary(ABC):
    """A tokeniser that has seen its training part.

    Attributes:
        size: how many ids there are, id 0 included.
    """

    size: int

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What each id is called; U+FFFD, the mark for what cannot be shown, is unknown."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The ids of a text's tokens."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text that ids stand for; unknown ones are shown as �."""

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """All that `vocabulary_from` needs to make it again."""


class ListVocabulary(Vocabulary):
    """A list of tokens; what splits a text into them is the tokeniser's kind.

    Attributes:
        kind: the tokeniser.
        tokens: the token of each id, from id 1 on.
    """

    def __init__(self, kind: Characters | Words, tokens: Sequence[str]):
        self.kind, self.tokens, self.size = kind, tuple(tokens), len(tokens) + 1
        self._ids = {token: number for number, token in enumerate(self.tokens, start=1)}

    @property
    def names(self) -> tuple[str, ...]:
        return (REPLACEMENT, *self.tokens)

    def encode(self, text: str) -> list[int]:
        ids = self._ids
        return [ids.get(token, UNKNOWN) for token in self.kind.split(text)]

    def of(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens that somebody else has split."""
        return [self._ids.get(self.kind.clean(token), UNKNOWN) for token in tokens]

    def decode(self, ids: Iterable[int]) -> str:
        return self.kind.between.join(
            self.tokens[i - 1] if 0 < i < self.size else REPLACEMENT for i in ids)

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind.word, **self.kind.model_dump(), "tokens": list(self.tokens)}


class _Tokeniser(Choice):
    def fit(self, texts: Iterable[str], size: int | None) -> Vocabulary:
        """The vocabulary of the training part.

        Args:
            texts: its texts.
            size: how many ids there may be, id 0 included; as many as needed if None.

        Raises:
            SpecError: a file or a package is missing.
        """
        raise NotImplementedError


class Characters(_Tokeniser):
    """Every character is a token."""

    word: ClassVar[str] = "characters"
    between: ClassVar[str] = ""

    def split(self, text: str) -> Iterable[str]:
        return text

    def clean(self, token: str) -> str:
        return token

    def fit(self, texts: Iterable[str], size: int | None) -> ListVocabulary:
        return ListVocabulary(self, _most_frequent(Counter(c for t in texts for c in t), size, 1))


class Words(_Tokeniser):
    """Runs of letters, digits and apostrophes are tokens, and so is every other sign."""

    word: ClassVar[str] = "words"
    main: ClassVar[str | None] = "split_at"
    between: ClassVar[str] = " "

    split_at: Literal["signs", "spaces"] = Field(
        default="signs", description="where words end: at every sign, or at white space only")
    lowercase: bool = Field(default=False, description="whether capital letters are made small")
    minimum: int = Field(
        default=1, ge=1, description="how often a word must occur to have an id of its own")

    def split(self, text: str) -> list[str]:
        text = self.clean(text)
        return text.split() if self.split_at == "spaces" else _WORD.findall(text)

    def clean(self, token: str) -> str:
        return token.lower() if self.lowercase else token

    def fit(self, texts: Iterable[str], size: int | None) -> ListVocabulary:
        counts = Counter(word for text in texts for word in self.split(text))
        return ListVocabulary(self, _most_frequent(counts, size, self.minimum))

    def fit_tokens(self, texts: Iterable[Sequence[str]], size: int | None) -> ListVocabulary:
        """The vocabulary of texts that come as lists of words."""
        counts = Counter(self.clean(word) for text in texts for word in text)
        return ListVocabulary(self, _most_frequent(counts, size, self.minimum))


_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


class BytePairs(_Tokeniser):
    """Pieces of words, merged from bytes by frequency (Sennrich et al. 2016).

    Learnt from the training part, or read from a `tokenizer.json` of the tokenizers package.
    Nothing is unknown to it: every byte is a token. https://arxiv.org/abs/1508.07909
    """

    word: ClassVar[str] = "byte_pairs"
    main: ClassVar[str | None] = "file"

    file: str | None = Field(
        default=None, description="a tokenizer.json to use as it is; learnt where not given")
    minimum: int = Field(
        default=2, ge=1, description="how often a pair must occur to become a token")

    def fit(self, texts: Iterable[str], size: int | None) -> PairVocabulary:
        tokenizers = _tokenizers()
        if self.file is not None:
            path = Path(self.file)
            data = read_bytes(path)
            try:
                return PairVocabulary(tokenizers.Tokenizer.from_buffer(data))
            except Exception as error:  # the package raises nothing narrower
                raise failure("F0630", f"`{shown(path)}` is not a tokenizer.json",
                              notes=[str(error)]) from None
        learnt = tokenizers.Tokenizer(tokenizers.models.BPE())
        learnt.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        learnt.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=size or 30_000, min_frequency=self.minimum, show_progress=False,
            special_tokens=["<unknown>"],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
        learnt.train_from_iterator(map(_whole, texts), trainer)
        return PairVocabulary(learnt)


def _whole(text: str) -> str:
    """A text with ? for halves of characters, which JSON may hold and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode("utf-8")


class PairVocabulary(Vocabulary):
    """A tokeniser of the tokenizers package.

    Attributes:
        tokenizer: it.
    """

    def __init__(self, tokenizer: Any):
        self.tokenizer, self.size = tokenizer, tokenizer.get_vocab_size()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.tokenizer.decode([i]) for i in range(self.size))

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(_whole(text), add_special_tokens=False).ids

    def decode(self, ids: Iterable[int]) -> str:
        return self.tokenizer.decode(list(ids))

    def as_json(self) -> dict[str, Any]:
        return {"kind": BytePairs.word, "tokenizer": self.tokenizer.to_str()}


class MarkedVocabulary(Vocabulary):
    """Another vocabulary, with ids for where a text starts and ends.

    The marks are ids 1 and 2, whatever the data, so that a spec can name them; the other
    vocabulary's ids from 1 on follow. `encode` gives no marks.

    Attributes:
        inner: the other vocabulary.
    """

    def __init__(self, inner: Vocabulary):
        self.inner, self.size = inner, inner.size + MARKS

    @property
    def names(self) -> tuple[str, ...]:
        unknown, *others = self.inner.names
        return (unknown, "⟨start⟩", "⟨end⟩", *others)

    def encode(self, text: str) -> list[int]:
        return [i + MARKS if i != UNKNOWN else i for i in self.inner.encode(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text that ids stand for up to its end."""
        kept = []
        for i in ids:
            if i == END:
                break
            if i != START:
                kept.append(i - MARKS if i > MARKS else UNKNOWN)
        return self.inner.decode(kept)

    def as_json(self) -> dict[str, Any]:
        return {"kind": "marked", "inner": self.inner.as_json()}


def vocabulary_from(stored: Mapping[str, Any]) -> Vocabulary:
    """A vocabulary as `as_json` stored it."""
    if stored["kind"] == "marked":
        return MarkedVocabulary(vocabulary_from(stored["inner"]))
    if stored["kind"] == BytePairs.word:
        return PairVocabulary(_tokenizers().Tokenizer.from_str(stored["tokenizer"]))
    fields = {k: v for k, v in stored.items() if k not in ("kind", "tokens")}
    kind = Words(**fields) if stored["kind"] == Words.word else Characters()
    return ListVocabulary(kind, stored["tokens"])


def _most_frequent(counts: Counter[str], size: int | None, minimum: int) -> list[str]:
    """Tokens by falling frequency, equal ones by the alphabet; at most `size` - 1."""
    kept = [item for item in counts.items() if item[1] >= minimum]
    ranked = sorted(kept, key=lambda item: (-item[1], item[0]))
    return [token for token, _ in ranked[: None if size is None else size - 1]]


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise failure("F0636", "byte pairs need the package tokenizers",
                      help="install it: pip install 'flaxspec[tokenizers]'") from None
    return tokenizers


Tokeniser = Annotated[
    Annotated[Characters, Tag("characters")]
    | Annotated[Words, Tag("words")]
    | Annotated[BytePairs, Tag("byte_pairs")],
    Discriminator(word_of),
]
