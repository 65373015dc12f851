"""Tables as they lie on disk: CSV, TSV, JSON lines and Parquet, read to columns.

What a cell means is decided by who asks for it: `numbers` or `texts`. A missing value is an
empty cell, `null`, or one of a few words that other programs write.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from compiler.diagnostics import SpecError, nearest
from runtime.data.files import failure, read_bytes, read_text, shown

# What stands for a value that is not there.
MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"})
MAX_CELL = 2**28
# What Python says of such JSON is about Python.
UNREADABLE = "the line has a number with too many digits, or lists that are nested too deep"
# Numbers above this have no square, and so no deviation.
LARGEST = 1e150
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True)
class Table:
    """Columns of equal length.

    Attributes:
        path: the file.
        columns: by name, a value for each row: texts, or what JSON and Parquet hold; None
            where a value is missing.
        lines: (rows,) the line of the file that each row begins in, or its number in a file
            that has no lines.
        has_lines: whether `lines` are lines of a text file.
        called: (rows,) what messages call each row that did not come from a file; () for none.
    """

    path: Path
    columns: Mapping[str, Sequence[Any]]
    lines: np.ndarray
    has_lines: bool = True
    called: Sequence[str] = ()

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self.lines)

    def take(self, rows: np.ndarray) -> Table:
        """The table that holds only some rows, in the order given."""
        return replace(self, lines=self.lines[rows],
                       called=[self.called[i] for i in rows] if self.called else (),
                       columns={n: [c[i] for i in rows] for n, c in self.columns.items()})

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column.

        Raises:
            SpecError: F0632 there is none of that name.
        """
        if name not in self.columns:
            raise failure("F0632", f"`{shown(self.path)}` has no column `{name}`",
                          notes=[f"its columns: {', '.join(self.columns)}"],
                          help=nearest(name, self.columns))
        return self.columns[name]

    def numbers(self, name: str) -> np.ndarray:
        """A column as numbers, NaN where a value is missing: (rows,) float64.

        Raises:
            SpecError: F0632 there is no such column, F0633 a value is no finite number.
        """
        values = self.column(name)
        cleaned = [math.nan if v is None or (isinstance(v, str) and v.strip() in MISSING) else v
                   for v in values]
        try:
            array = np.array(cleaned, np.float64)
        except (TypeError, ValueError, OverflowError):
            array = np.array([self._number(name, row, v) for row, v in enumerate(cleaned)])
        if array.shape != (self.size,):
            raise self.wrong(0, name, f"`{name}` holds lists, not numbers")
        for row in np.flatnonzero(np.abs(array) > LARGEST):
            what = "infinite" if np.isinf(array[row]) else "too large"
            raise self.wrong(int(row), name, f"`{name}` is {what}")
        return array

    def texts(self, name: str) -> list[str | None]:
        """A column as texts, None where a value is missing.

        Raises:
            SpecError: F0632 there is no such column.
        """
        return [None if v is None or (s := _text(v)) in MISSING else s for v in self.column(name)]

    def places(self) -> np.ndarray:
        """What messages call each row: (rows,) texts such as "weather.csv:17"."""
        if self.called:
            return np.array(self.called, object)
        name = self.path.name
        return np.array([f"{name}:{line}" for line in self.lines], object)

    def wrong(
        self, row: int, name: str, headline: str, *, code: str = "F0633", label: str = "",
        help: str = "", notes: Sequence[str] = (),
    ) -> SpecError:
        """An error about the cell of a row and a column, with its place."""
        value, line = self.columns[name][row], int(self.lines[row])
        if self.has_lines:
            cell = value if isinstance(value, str) else ""
            return failure(code, headline, self.path, line, cell, label, notes=notes, help=help)
        place = self.called[row] if self.called else f"row {line:,} of {shown(self.path)}"
        return failure(code, headline, label=label, notes=[place, *notes], help=help)

    def _number(self, name: str, row: int, value: Any) -> float:
        try:
            return float(value)
        except OverflowError:  # JSON's whole numbers have no end
            return sys.float_info.max
        except (TypeError, ValueError):
            text = _text(value)
            comma = text.replace(",", ".", 1).replace(".", "", 1).lstrip("-").isdigit()
            raise self.wrong(
                row, name, f"`{name}` is a number, and `{text[:40]}` is none",
                help="write decimals with a point" if "," in text and comma else "" if self.called
                else "declare the column as a category if it names kinds: "
                f"`categories: {{{name}: [a, b, c]}}`") from None


def read_table(path: Path, *, delimiter: str = "", header: Sequence[str] = ()) -> Table:
    """Read a table; its kind is told by the end of its name.

    Args:
        path: a .csv, .tsv, .jsonl, .ndjson or .parquet file.
        delimiter: what separates the cells of a line; a tab in .tsv files, else a comma.
        header: the names of the columns of a text file that does not begin with them.

    Raises:
        SpecError: F0630 and following: it cannot be read, is empty, or a row is wrong.
    """
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return _json_lines(path)
        case ".parquet":
            return _parquet(path)
        case ".csv" | ".tsv" | ".txt":
            tab = "\t" if path.suffix.lower() == ".tsv" else ","
            return _separated(path, delimiter or tab, header)
        case suffix:
            raise failure("F0630", f"`{shown(path)}` is no kind of table that can be read",
                          notes=[f"its name ends in `{suffix}`"],
                          help=f"tables end in {', '.join(SUFFIXES)}")


def from_records(
    records: Sequence[Any], names: Sequence[str], called: Sequence[str] = (),
) -> Table:
    """Rows as maps from column to value, as a user of Python has them, as a table.

    Args:
        records: the rows.
        names: the columns that are taken.
        called: what messages call each row; `input 1` and so on where not given.

    Raises:
        SpecError: F0633 a record is no map, F0632 it lacks a column.
    """
    called = called or [f"input {number}" for number in range(1, len(records) + 1)]
    for title, record in zip(called, records, strict=True):
        if not isinstance(record, dict):
            raise failure("F0633", f"{title} is no map from columns to values",
                          help='give `{"a": 1, "b": "x"}`, or a table with named columns')
        for name in names:
            if name not in record:
                raise failure("F0632", f"{title} has no `{name}`",
                              notes=[f"it has {', '.join(map(str, record)) or 'nothing'}"],
                              help=nearest(name, map(str, record)))
    columns = {name: [record[name] for record in records] for name in names}
    return Table(Path(), columns, np.arange(1, len(records) + 1), has_lines=False, called=called)


def _separated(path: Path, delimiter: str, header: Sequence[str]) -> Table:
    # Where tabs separate, quotes are ordinary characters.
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter,
                        quoting=quoting, strict=True)
    names, rows, lines = list(header), [], []
    before = 0
    try:
        for row in reader:
            line, before = before + 1, reader.line_num
            if not row:
                continue
            if not names:
                names = _names(path, [cell.strip() for cell in row], line, delimiter)
                continue
            if len(row) != len(names):
                raise failure(
                    "F0633", f"a row has {len(row)} cells, not {len(names)}", path, line,
                    notes=[f"the columns are {', '.join(names)}"],
                    help="put a cell that contains the separator into double quotes"
                    if len(row) > len(names) else "")
            rows.append(row)
            lines.append(line)
    except csv.Error as error:
        raise failure("F0633", f"`{shown(path)}` is not well formed: {error}", path,
                      max(reader.line_num, 1)) from None
    if not rows:
        raise failure("F0631", f"`{shown(path)}` has no rows", path, 1,
                      label="the names of the columns, and nothing below")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return Table(path, columns, np.array(lines))


def _names(path: Path, names: list[str], line: int, delimiter: str) -> list[str]:
    """The names of the columns, checked."""
    for index, name in enumerate(names):
        if not name:
            raise failure("F0633", f"column {index + 1} has no name", path, line)
        if name in names[:index]:
            raise failure("F0633", f"two columns are called `{name}`", path, line, name)
    other = next((d for d in ";\t|" if d != delimiter and d in names[0]), "")
    if len(names) == 1 and other:
        said = {"\t": "a tab", ";": "`;`", "|": "`|`"}[other]
        quoted = '"\\t"' if other == "\t" else f'"{other}"'
        raise failure("F0633", f"the columns seem to be separated by {said}", path, line,
                      help=f"say so: `delimiter: {quoted}`")
    return names


def _json_lines(path: Path) -> Table:
    records: list[dict[str, Any]] = []
    lines: list[int] = []
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise failure("F0633", f"the line is not JSON: {error.msg}", path, line,
                          notes=[f"at character {error.colno}"],
                          help="write one JSON object on each line") from None
        except (ValueError, RecursionError):
            raise failure("F0633", UNREADABLE, path, line) from None
        if not isinstance(record, dict):
            raise failure("F0633", "the line is not a JSON object", path, line,
                          help='write one on each line: {"text": "…", "label": "…"}')
        records.append(record)
        lines.append(line)
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: [record.get(name) for record in records] for name in names}
    return Table(path, columns, np.array(lines))


def _parquet(path: Path) -> Table:
    read_bytes(path)  # for its complaints
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise failure("F0636", "reading Parquet needs the package pyarrow",
                      help="install it: pip install 'flaxspec[parquet]'") from None
    try:
        table = parquet.read_table(path)
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise failure("F0630", f"`{shown(path)}` is not a Parquet file, or a damaged one",
                      notes=[reason]) from None
    if not table.num_rows:
        raise failure("F0631", f"`{shown(path)}` has no rows")
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return Table(path, columns, np.arange(1, table.num_rows + 1), has_lines=False)


def _text(value: Any) -> str:
    """A value as a table of texts would hold it: whole numbers without a point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
