"""Texts with a class each, or with a class for each of their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from compiler.types import TensorType
from runtime.data.files import failure
from runtime.data.rows import Kinds, Rows, count_of
from runtime.data.tokens import (
    TOKENISER_PATHS,
    ListVocabulary,
    Tokeniser,
    Vocabulary,
    Words,
    vocabulary_from,
)
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part
    from runtime.data.tabular import Table
    from runtime.preprocessing import Preprocessing


# The field that holds digests of the texts while duplicates are looked for.
RAW = "text as it is"


def _lengths(value: Any) -> Any:
    """Buckets are a number, or a list of lengths that grow."""
    if type(value) is int and value > 0:
        return value
    if isinstance(value, list) and value and all(type(n) is int and n > 0 for n in value) and (
            sorted(set(value)) == value):
        return value
    raise problem("`buckets` is the number of lengths that batches may have, or a list of them",
                  help="say `buckets: 4`, or `buckets: [16, 64, 256]`")


class Documents(Rows):
    """A table of texts: TSV, CSV, JSON lines or Parquet.

    Gives `text` (length), and `label`, or, where `tags` are declared, `tags` (length), a
    class for each token. Texts keep their lengths: what pads the shorter ones of a batch
    changes nothing.
    """

    word: ClassVar[str] = "documents"
    paths: ClassVar[tuple[str, ...]] = ("documents", *Rows.file_paths, *TOKENISER_PATHS)

    reads_rows: ClassVar[bool] = True

    documents: str = Field(
        min_length=1, description="the file: .tsv, .csv, .jsonl or .parquet, with named columns")
    input: str = Field(default="text", description="the column with the text")
    target: str | None = Field(
        default=None, description="the column to be told: `label`, or `tags`, where not given")
    classes: Kinds | None = Field(
        default=None, description="the number of classes of a text, or their names in the order "
                                  "of their numbers; as the data has them where not given")
    tags: Kinds | None = Field(
        default=None, description="in place of `classes`, for tagging: those of a word. Texts and "
                                  "tags are then lists of equal length, or parted by spaces")
    tokens: Tokeniser = Field(
        default=Words(), description="what a token is: characters, words or byte_pairs")
    vocabulary: int | None = Field(
        default=None, gt=1, description="how many ids there are; rarer tokens share id 0; as many "
                                        "as the training part needs where not given")
    length: int | None = Field(
        default=None, gt=0, description="how many tokens a text may have; that of the longest "
                                        "where not given")
    longer: Literal["cut", "error"] = Field(
        default="cut", description="what to do about texts with more tokens: keep the first "
                                   "ones, or stop")
    buckets: Annotated[int | list[int], BeforeValidator(_lengths)] = Field(
        default=4, description="how many lengths batches may have, each compiled once, or which; "
                               "1 for always the longest")

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.tags is not None and self.classes is not None:
            raise problem("texts have `classes`, or their words have `tags`",
                          help="take one away")
        if self.tags is not None and not isinstance(self.tokens, Words):
            raise problem("tags belong to words", help="say `tokens: words`")
        if isinstance(self.buckets, list) and self.length not in (None, self.buckets[-1]):
            raise problem("the last of `buckets` is the length of the longest texts",
                          help=f"say `length: {self.buckets[-1]}`")
        return self

    @property
    def longest(self) -> int | None:
        """How many tokens a text may have."""
        return self.buckets[-1] if isinstance(self.buckets, list) else self.length

    def fields(self) -> dict[str, TensorType]:
        return self._fields(self.vocabulary, self.tags if self._tagged else self.classes)

    def targets(self) -> tuple[str, ...]:
        return ("tags",) if self._tagged else ("label",)

    @property
    def _tagged(self) -> bool:
        return self.tags is not None

    @property
    def _target(self) -> str:
        return self.target or self.targets()[0]

    def load(self) -> Dataset:
        return self.made_of(self.parts(None if self._tagged else self._target))

    def made_of(self, tables: Mapping[str, Table]) -> Dataset:
        """The data set whose parts have these rows."""
        from runtime.data.columns import kind_names, kinds
        from runtime.data.dataset import Dataset, Part

        read = {name: self._texts(table) for name, table in tables.items()}
        vocabulary = self._vocabulary(read["train"])
        tokens = {name: [self._ids(vocabulary, text) for text in texts]
                  for name, texts in read.items()}
        longest = self._longest(tables, tokens)
        names = self._tag_names(tables) if self._tagged else kind_names(
            tables.values(), self._target, self.classes, "classes")
        parts = {}
        for name, table in tables.items():
            arrays, lengths = _padded("text", tokens[name], longest)
            if self._tagged:
                tags, more = _padded("tags", self._tag_ids(table, read[name], names), longest)
                arrays, lengths = arrays | tags, lengths | more
            else:
                arrays["label"] = kinds(table, self._target, names, None, "take the row out")
            # Texts are compared as they are: unknown words look alike in numbers.
            arrays[RAW] = _digests(read[name])
            parts[name] = Part(arrays, lengths, table.places())
        parts = {name: replace(part, arrays={k: a for k, a in part.arrays.items() if k != RAW})
                 for name, part in self.without_leaks(parts, [RAW, *self.targets()]).items()}
        buckets = self._buckets(parts["train"], longest)
        parts = {name: replace(part, buckets=buckets) for name, part in parts.items()}
        goal = self.targets()[0]
        return Dataset(
            self._fields(self.vocabulary or vocabulary.size, names), parts["train"],
            parts["validation"], parts["test"],
            fitted={"vocabulary": vocabulary.as_json(), goal: names, "length": longest},
            labels={"text": vocabulary.names, goal: tuple(names)})

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Texts as the model takes them.

        Args:
            inputs: texts, or rows as maps with one under `input`; for tagging also lists of
                words.
            fitted: what `load` gave.
            called: what messages call each.
        """
        from runtime.data.tabular import from_records

        rows = [row if isinstance(row, dict) else {self.input: row} for row in inputs]
        return self._part(from_records(rows, [self.input], called), fitted, told=False)

    def examples(self, path: Path, known: Preprocessing) -> Part:
        from runtime.data.tabular import read_table

        table = self.usable(read_table(path, delimiter=self.delimiter))
        table.column(self._target)  # complains where it is missing
        return replace(self._part(table, known.fitted, told=True), names=table.places())

    def _part(self, table: Table, fitted: Mapping[str, Any], told: bool) -> Part:
        """The texts of a table, and what they are where that is told, by what `load` taught."""
        from runtime.data.columns import kinds
        from runtime.data.dataset import Part

        vocabulary, longest = vocabulary_from(fitted["vocabulary"]), fitted["length"]
        texts = self._texts(table)
        arrays, lengths = _padded(
            "text", [self._ids(vocabulary, text)[:longest] for text in texts], None)
        if told and self._tagged:
            tags = [row[:longest] for row in self._tag_ids(table, texts, fitted["tags"])]
            more, _ = _padded("tags", tags, None)
            return Part(arrays | more, lengths | {"tags": lengths["text"]})
        if told:
            arrays["label"] = kinds(table, self._target, fitted["label"], None,
                                    "take the row out")
        return Part(arrays, lengths)

    def _fields(
        self, vocabulary: int | None, kinds: list[str] | int | None,
    ) -> dict[str, TensorType]:
        # Batches have lengths of their own, so that a model may not ask for one.
        fixed = self.longest if self.buckets == 1 else None
        length = "length" if fixed is None else fixed
        text = TensorType(("time",), (length,), "int", vocabulary=vocabulary)
        axes, shape = (text.axes, text.shape) if self._tagged else ((), ())
        return {"text": text,
                self.targets()[0]: TensorType(axes, shape, "int", vocabulary=count_of(kinds))}

    def _texts(self, table: Table) -> list[Any]:
        """The texts of a table; for tagging, lists of words."""
        column = table.column(self.input)
        texts: list[Any] = []
        for row, value in enumerate(column):
            if isinstance(value, list) and self._tagged:
                value = [str(word) for word in value]
            elif isinstance(value, str) or value is None:
                value = value or ""
                value = value.split() if self._tagged else value
            else:
                raise table.wrong(row, self.input, f"`{self.input}` is no text",
                                  help="lists of words are for tagging: declare `tags`")
            if not value or isinstance(value, str) and not value.strip():
                raise table.wrong(row, self.input, f"`{self.input}` is empty",
                                  help="take the row out")
            texts.append(value)
        return texts

    def _vocabulary(self, texts: Sequence[Any]) -> Vocabulary:
        if self._tagged and isinstance(self.tokens, Words):
            return self.tokens.fit_tokens(texts, self.vocabulary)
        vocabulary = self.tokens.fit(texts, self.vocabulary)
        if self.vocabulary is not None and vocabulary.size > self.vocabulary:
            raise failure(
                "F0634", f"the tokens of {self.title} have {vocabulary.size} ids, and the recipe "
                         f"declares {self.vocabulary}",
                help=f"declare `vocabulary: {vocabulary.size}` in `data` and for the model")
        return vocabulary

    def _ids(self, vocabulary: Vocabulary, text: Any) -> list[int]:
        if self._tagged and isinstance(vocabulary, ListVocabulary):
            return vocabulary.of(text)
        return vocabulary.encode(text)

    def _longest(self, tables: Mapping[str, Table], tokens: Mapping[str, list[list[int]]]) -> int:
        """The length of the arrays; texts that are longer are cut, or an error."""
        found = max((len(ids) for texts in tokens.values() for ids in texts), default=1)
        if self.longest is None:
            return found
        if self.longer == "error":
            for name, texts in tokens.items():
                for row, ids in enumerate(texts):
                    if len(ids) > self.longest:
                        raise tables[name].wrong(
                            row, self.input, f"a text has {len(ids)} tokens, more than the "
                                             f"{self.longest} of `length`",
                            help="make `length` larger, or say `longer: cut`")
        return self.longest

    def _buckets(self, train: Part, longest: int) -> tuple[int, ...]:
        from runtime.data.buckets import chosen

        if isinstance(self.buckets, list):
            return tuple(self.buckets)
        return chosen(train.lengths["text"], self.buckets, longest)

    def _tags(self, table: Table, row: int) -> list[str]:
        """The tags of a row."""
        value = table.column(self._target)[row]
        return [str(tag) for tag in value] if isinstance(value, list) else str(value or "").split()

    def _tag_names(self, tables: Mapping[str, Table]) -> list[str]:
        """The tags in order, as declared or as found."""
        if isinstance(self.tags, list):
            return self.tags
        found = sorted({tag for table in tables.values() for row in range(table.size)
                        for tag in self._tags(table, row)})
        if len(found) != self.tags:
            raise failure("F0634", f"`{self._target}` has {len(found)} kinds, and the recipe "
                                   f"declares {self.tags}",
                          notes=[f"the data has {', '.join(found[:12])}"],
                          help=f"say `tags: {len(found)}`, and set the model to that number")
        return found

    def _tag_ids(
        self, table: Table, texts: Sequence[list[str]], names: Sequence[str],
    ) -> list[list[int]]:
        """The tags of every text as numbers."""
        from compiler.diagnostics import nearest

        place = {tag: number for number, tag in enumerate(names)}
        found = []
        for row, words in enumerate(texts):
            tags = self._tags(table, row)
            if len(tags) != len(words):
                raise table.wrong(row, self._target, f"a text has {len(words)} words, "
                                                     f"but {len(tags)} tags")
            if odd := [tag for tag in tags if tag not in place]:
                raise table.wrong(
                    row, self._target, f"`{odd[0]}` is none of the tags",
                    label=nearest(odd[0], names), notes=[f"they are {', '.join(names[:12])}"])
            found.append([place[tag] for tag in tags])
        return found


def _digests(texts: Sequence[Any]) -> np.ndarray:
    """A digest of each text, or list of words: (texts, 16) bytes."""
    import hashlib

    import numpy as np

    found = [hashlib.blake2b(repr(text).encode(), digest_size=16).digest() for text in texts]
    return np.frombuffer(b"".join(found), np.uint8).reshape(len(texts), 16)


def _padded(
    field: str, rows: Sequence[Sequence[int]], length: int | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rows of tokens as the arrays and lengths of a part, cut to `length`."""
    from runtime.data.padding import padded

    array, lengths = padded([row[:length] for row in rows], length)
    return {field: array}, {field: lengths}
