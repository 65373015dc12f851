"""Texts with their translations: tables of two columns, and gettext catalogues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from runtime.data.files import failure, shown
from runtime.data.paired import PATHS, Longer, Paired, Texts, grouping
from runtime.data.rows import Rows
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part
    from runtime.data.tabular import Table
    from runtime.preprocessing import Preprocessing

# What the columns are called once a file is read.
SOURCE, TARGET = "source", "target"
# Files whose columns may have no names.
SEPARATED = (".tsv", ".txt", ".csv")
# What is read in a folder, where .txt files may be something else.
SUFFIXES = (".tsv", ".csv", ".jsonl", ".ndjson", ".parquet", ".po", ".mo")


class Pairs(Paired, Rows):
    """Pairs of a text and its translation: a TSV, JSON lines, or gettext catalogues.

    Pairs whose texts are the same, whatever their capitals, are in one part: nothing is tested
    that was trained on.
    """

    word: ClassVar[str] = "pairs"
    paths: ClassVar[tuple[str, ...]] = ("pairs", *Rows.file_paths, *PATHS)
    reads_rows: ClassVar[bool] = True

    pairs: str = Field(
        min_length=1, description="the file: .tsv or .txt with two columns, .csv, .jsonl, "
                                  ".parquet, .po or .mo; or a folder of such, all of which is read")
    source: str = Field(
        default="source", description="the column with the text, in files whose columns have names")
    target: str = Field(default="target", description="the column with the translation, likewise")
    header: bool = Field(
        default=False, description="whether a .tsv, .txt or .csv begins with the names of its "
                                   "columns; where not, the first two are text and translation")
    reverse: bool = Field(
        default=False, description="whether translations are turned back into the texts")
    length: int | None = Field(
        default=None, gt=0, description="how many tokens a text or translation may have; those of "
                                        "the longest where not given")
    longer: Longer = Field(
        default="drop", description="what to do about pairs with more tokens: leave them out "
                                    "of every part, cut them, or stop")
    buckets: int = Field(
        default=4, gt=0, description="how many lengths batches may have, each compiled once")

    @model_validator(mode="after")
    def _keeps_texts_together(self) -> Self:
        if self.split == "stratified":
            raise problem("pairs have no classes to be stratified by",
                          help="say `split: random`, which keeps equal texts in one part")
        return self

    def load(self) -> Dataset:
        tables = self._without_leaks(self.parts(None))
        return self.assembled(
            {name: _texts(table) for name, table in tables.items()},
            {name: table.places() for name, table in tables.items()},
            self.buckets, self.length, self.longer)

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Texts, or rows as maps with one under `source`, as the model takes them."""
        from runtime.data.tabular import from_records

        key = self.target if self.reverse else self.source
        rows = [row if isinstance(row, dict) else {key: row} for row in inputs]
        table = from_records(rows, [key], called)
        return super().encode([_text(table, row, key) for row in range(table.size)], fitted)

    def examples(self, path: Path, known: Preprocessing) -> Part:
        table = self.read(path)
        return self.told(_texts(table), known.fitted, table.places(), self.longer)

    def read(self, path: Path) -> Table:
        """The pairs of a file, or of the files below a folder."""
        if not path.is_dir():
            return self._read(path)
        files = sorted(p for p in path.rglob("*")
                       if p.is_file() and p.suffix.lower() in SUFFIXES)
        if not files:
            raise failure("F0631", f"`{shown(path)}` has no files of pairs",
                          notes=[f"files that are read: {', '.join(SUFFIXES)}"])
        return _joined(path, [self._read(file) for file in files])

    def cut(
        self, table: Table, target: str | None, validation: float, test: float,
    ) -> Sequence[np.ndarray]:
        from runtime.data import split

        if self.split == "ordered":
            return super().cut(table, target, validation, test)
        keys = [grouping(text) for text in table.column(SOURCE)]
        cut = split.grouped(keys, validation, test, self.split_seed)
        return cut.train, cut.validation, cut.test

    def _read(self, path: Path) -> Table:
        """The pairs of one file: columns `source`, `target`, and what `split_column` names.

        Raises:
            SpecError: F0630 and following: it cannot be read, or a row lacks one of its texts.
        """
        from runtime.data import catalogue, tabular

        suffix = path.suffix.lower()
        names = self.source, self.target
        if suffix in catalogue.SUFFIXES:
            table, names = catalogue.read_catalogue(path), (SOURCE, TARGET)
        else:
            delimiter = self.delimiter or ("\t" if suffix in (".tsv", ".txt") else "")
            header = () if self.header or suffix not in SEPARATED else self._columns(
                path, delimiter or ",")
            table = tabular.read_table(path, delimiter=delimiter, header=header)
        texts = [[_text(table, row, name) for row in range(table.size)] for name in names]
        texts = texts[::-1] if self.reverse else texts
        columns: dict[str, Sequence[Any]] = dict(zip((SOURCE, TARGET), texts))
        if self.split_column is not None:
            columns[self.split_column] = list(table.column(self.split_column))
        return replace(table, columns=columns)

    def _columns(self, path: Path, delimiter: str) -> list[str]:
        """Names for the columns of a file that has none."""
        import csv

        from runtime.data.files import read_text

        first = next(line for line in read_text(path).split("\n") if line.strip())
        quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
        count = len(next(csv.reader([first], delimiter=delimiter, quoting=quoting)))
        if count < 2:
            raise failure("F0633", "a line has a text, but no translation", path, 1,
                          help="put a tab between the two" if delimiter == "\t" else
                          f"put `{delimiter}` between the two, or say what separates them: "
                          "`delimiter`")
        return [self.source, self.target, *(f"column {n}" for n in range(3, count + 1))]

    def _without_leaks(self, tables: dict[str, Table]) -> dict[str, Table]:
        """The pairs, when no text of one part is in another; see `leakage.without_leaks`."""
        import hashlib

        import numpy as np

        from runtime.data.dataset import Part

        parts = {}
        for name, table in tables.items():
            digests = [hashlib.blake2b(grouping(text).encode("utf-8", "surrogatepass"),
                                       digest_size=16).digest() for text in table.column(SOURCE)]
            marks = np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), 16)
            parts[name] = Part({"text": marks, "row": np.arange(table.size)}, {}, table.places())
        return {name: tables[name].take(part.arrays["row"])
                for name, part in self.without_leaks(parts, ["text"]).items()}


def _text(table: Table, row: int, name: str) -> str:
    """The text in a cell.

    Raises:
        SpecError: F0633 it holds none.
    """
    value = table.column(name)[row]
    if value is not None and not isinstance(value, str):
        raise table.wrong(row, name, f"`{name}` is no text")
    if value is None or not value.strip():
        raise table.wrong(row, name, f"`{name}` is empty", help="take the row out")
    # JSON may hold halves of characters, which no file of UTF-8 can.
    return value.strip().encode("utf-8", "replace").decode("utf-8")


def _texts(table: Table) -> Texts:
    return list(zip(table.column(SOURCE), table.column(TARGET)))


def _joined(path: Path, tables: Sequence[Table]) -> Table:
    """The rows of several tables one after another."""
    import numpy as np

    from runtime.data.tabular import Table

    names = tables[0].columns
    return Table(
        path, {name: [value for table in tables for value in table.column(name)]
               for name in names},
        np.arange(1, sum(table.size for table in tables) + 1), has_lines=False,
        called=[str(place) for table in tables for place in table.places()])
