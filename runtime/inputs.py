"""What a user gives to `flaxspec predict`: files, folders, tables and standard input, as inputs.

What a file holds depends on what the model takes:

- pictures and sounds: every file is an input; so is each line of standard input, a path.
- texts: every line of a file or of standard input is an input; of a table its text column.
- series: a table is one input, its rows the steps of time; the last ones are looked at.
- anything else: every row of a table is an input.

`.npy` files are arrays of examples for every model.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.types import TensorType
from runtime.data.dataset import Scale

Kind = Literal["file", "text", "series", "row"]
Named = tuple[str, Any]  # what to call an input in the output, and the input
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")


def kind_of(fields: Mapping[str, TensorType]) -> Kind:
    """How the files for a model that takes these fields are read."""
    types = list(fields.values())
    if any({"height", "width"} <= set(kind.axes) for kind in types):
        return "file"
    if any(kind.axes == ("time",) and kind.dtype == "int" for kind in types):
        return "text"
    if any("time" in kind.axes for kind in types):
        return "series"
    return "row"


def gather(paths: Sequence[str], kind: Kind, stdin: TextIO) -> list[Named]:
    """The inputs in files, folders and, for `-`, standard input, in order.

    Raises:
        SpecError: F0630 a file cannot be read, F0631 there is nothing in it.
    """
    found: list[Named] = []
    for path in paths:
        here = Path(path)
        if path == "-":
            inside = _lines(stdin.read(), "standard input", kind)
        else:
            files = sorted(_below(here)) if here.is_dir() else [here]
            inside = [named for file in files for named in _read(file, kind)]
        if not inside:
            what = "standard input" if path == "-" else f"`{path}`"
            raise SpecError([diagnostic("F0631", f"there is nothing in {what}",
                                        help="give a file or folder with inputs in it")])
        found += inside
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Every file under a folder; hidden ones are left out."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(
                part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _read(path: Path, kind: Kind) -> list[Named]:
    """The inputs in a file."""
    suffix = path.suffix.lower()
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise SpecError([diagnostic("F0630", f"there is no file or folder `{path}`",
                                    help=nearest(path.name, beside) or "correct the path")])
    try:
        if suffix == ".npy":
            return [(f"{path}:{i}", example) for i, example in enumerate(np.load(path))]
        if suffix in TABLES:
            return _table(path, suffix, kind)
        if kind == "file":
            return [(str(path), str(path))]
        return _lines(path.read_text(encoding="utf-8"), str(path), kind)
    except (OSError, ValueError, csv.Error) as error:
        raise SpecError([diagnostic(
            "F0630", f"`{path}` cannot be read: {error}".partition("\n")[0],
            help="give tables as CSV, TSV or JSONL, arrays as .npy, texts in UTF-8")]) from None


def _table(path: Path, suffix: str, kind: Kind) -> list[Named]:
    if suffix in (".csv", ".tsv"):
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ",",
                                    strict=True)
            rows: list[Any] = []
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(f"line {reader.line_num} has another number of cells than "
                                     "the first one has names")
                rows.append(row)
    else:
        rows = [_json(line, f"line {i + 1} of {path}") for i, line in enumerate(
            path.read_text(encoding="utf-8").splitlines()) if line.strip()]
    if kind == "series":
        return [(str(path), rows)]
    return [(f"{path}:{i + 1}", row) for i, row in enumerate(rows)]


def _lines(text: str, where: str, kind: Kind) -> list[Named]:
    """The inputs in lines: JSON where a line is an object or a list, else the line itself."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            is_json = line.lstrip()[0] in "{["
            value = _json(line, f"line {number} of {where}") if is_json and kind != "text" else (
                _json_or_text(line) if is_json else line)
            found.append((f"{where}:{number}", value))
    if kind == "series" and found and isinstance(found[0][1], Mapping):
        return [(where, [value for _, value in found])]
    return found


def _json(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise SpecError([diagnostic("F0630", f"{place} is not JSON: {error}",
                                    help="each line is one JSON value")]) from None


def _json_or_text(line: str) -> Any:
    try:
        value = json.loads(line)
    except ValueError:
        return line
    return value if isinstance(value, Mapping) else line


def as_text(value: Any, column: str) -> Any:
    """The text of a row of a table: the input's column, `text`, or the only one.

    Raises:
        SpecError: F0632 there is no such column.
    """
    if not isinstance(value, Mapping):
        return value
    for name in (column, "text"):
        if name in value:
            return value[name]
    if len(value) == 1:
        return next(iter(value.values()))
    raise SpecError([diagnostic(
        "F0632", "the table has no column `text`",
        notes=[f"its columns: {', '.join(map(str, value))}"],
        help="call the column with the texts `text`")])


def as_series(rows: Any, scale: Scale, window: int, name: str) -> np.ndarray:
    """The last steps of a table, in the model's units: (window, columns).

    Args:
        rows: for each step a map from column to number, or to text that is one.
        scale: the columns that the model takes, and how they were normalised.
        window: how many steps the model sees.
        name: what to call the table.

    Raises:
        SpecError: F0632 a column is missing, F0633 a cell holds no number, F0811 there are too
            few rows.
    """
    if len(rows) < window:
        raise SpecError([diagnostic(
            "F0811", f"`{name}` has {len(rows)} rows, and the model looks at {window}",
            help=f"give the last {window} steps before the forecast, or more")])
    missing = [column for column in scale.names if column not in rows[-1]]
    if missing:
        raise SpecError([diagnostic(
            "F0632", f"`{name}` has no column `{missing[0]}`",
            notes=[f"its columns: {', '.join(map(str, rows[-1]))}",
                   f"the model takes: {', '.join(scale.names)}"],
            help=nearest(missing[0], map(str, rows[-1])) or "add it")])
    values = np.empty((window, len(scale.names)))
    for step, row in enumerate(rows[-window:]):
        for column, word in enumerate(scale.names):
            try:
                values[step, column] = float(row[word])
            except (TypeError, ValueError, KeyError):
                raise SpecError([diagnostic(
                    "F0633", f"row {len(rows) - window + step + 1} of `{name}` has no number "
                             f"in `{word}`: `{row.get(word)!s:.40}`",
                    help="fill it in, or leave the row out")]) from None
    return ((values - scale.mean) / scale.deviation).astype(np.float32)
