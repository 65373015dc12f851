"""What a user gives to `flaxspec predict`: files, folders, tables and standard input, as inputs.

What a file holds depends on what the model takes:

- pictures and sounds: every file is an input; so is each line of standard input, a path.
- texts: every line of a file or of standard input is an input; of a table its text column.
- series: a table is one input, its rows the steps of time; the last ones are looked at. A
  table of several series is an input for each.
- anything else: every row of a table is an input.

`.npy` and `.npz` files hold arrays of examples for every model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO

import numpy as np

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.types import TensorType
from runtime.data import tabular
from runtime.data.dataset import Scale
from runtime.data.files import read_text

Kind = Literal["file", "text", "series", "row"]
ARRAYS = (".npy", ".npz")
# Of what is no path messages show so many characters.
LONGEST = 60


class Named(NamedTuple):
    """An input, or why there is none.

    Attributes:
        name: what the output calls it.
        value: the input; None where `error` says why it cannot be read.
        error: see there.
    """

    name: str
    value: Any = None
    error: SpecError | None = None


@dataclass(frozen=True)
class Form:
    """What files of inputs look like.

    Attributes:
        kind: how they are read.
        suffixes: what the names of files end in, where every file is an input: others in a
            folder are passed by.
        delimiter: what separates the cells of a table; "" for what its name says.
        key: the column of a table that tells several series apart.
        arrays: for each field that the model takes what its array may be called in an archive.
        first: the fields whose arrays have the channels before the places, as in the data.
    """

    kind: Kind
    suffixes: tuple[str, ...] = ()
    delimiter: str = ""
    key: str | None = None
    arrays: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    first: frozenset[str] = frozenset()

    def channels_last(self, name: str, array: np.ndarray) -> np.ndarray:
        """A field's array (inputs, …) with its channels where the model has them."""
        return np.moveaxis(array, 1, -1) if name in self.first and array.ndim > 2 else array

    def takes(self, path: Path) -> bool:
        """Whether a file in a folder is an input by its name."""
        suffix = path.suffix.lower()
        if suffix in ARRAYS or self.kind == "text":
            return True
        return suffix in (self.suffixes if self.kind == "file" else tabular.SUFFIXES)


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


def gather(paths: Sequence[str], form: Form, stdin: TextIO) -> list[Named]:
    """The inputs in files, folders and, for `-`, standard input, in order.

    A file or line that cannot be read is an input with an error; the others are read all the
    same.

    Raises:
        SpecError: F0630 there is no such file or folder, F0631 there is nothing in it.
    """
    for path in paths:
        _check(path, form.kind)
    found: list[Named] = []
    for path in paths:
        here = Path(path)
        if path == "-":
            inside = _lines(_piped(stdin), "standard input", form.kind)
            what = "standard input"
        else:
            files = sorted(_below(here, form)) if here.is_dir() else [here]
            inside = [named for file in files for named in _read(file, form)]
            what = f"`{path}`"
        if not inside:
            ends = form.suffixes if form.kind == "file" else tabular.SUFFIXES
            raise SpecError([diagnostic(
                "F0631", f"there is nothing in {what}",
                notes=[f"files that are looked at: {', '.join((*ends, *ARRAYS))}"]
                if here.is_dir() and form.kind != "text" else (),
                help="give a file or folder with inputs in it")])
        found += inside
    return found


def _check(path: str, kind: Kind) -> None:
    """Raise F0630 where there is nothing at a path."""
    # `Path.exists` fails where a name is too long, as a text is that was given in a file's place.
    if path == "-" or os.path.exists(path):
        return
    here = Path(path)
    beside = os.listdir(here.parent) if os.path.isdir(here.parent) and os.access(
        here.parent, os.R_OK) else []
    cut = path if len(path) <= LONGEST else f"{path[:LONGEST]}…"
    raise SpecError([diagnostic(
        "F0630", f"there is no file or folder `{cut}`",
        help=nearest(here.name[:LONGEST], beside) or (
            "give a file with a text in each line, or `-` and the texts on standard input"
            if kind == "text" else "correct the path"))])


def _piped(stdin: TextIO) -> str:
    """All of standard input.

    Raises:
        SpecError: F0630 it is not UTF-8.
    """
    try:
        return stdin.read()
    except UnicodeDecodeError as error:
        raise SpecError([diagnostic(
            "F0630", f"standard input is not {error.encoding.upper()} text: {error.reason}",
            help="convert it: `iconv -f latin1 -t utf-8` does so for Western European text",
        )]) from None


def _below(folder: Path, form: Form) -> Iterator[Path]:
    """The files of inputs under a folder; hidden ones are left out."""
    for path in folder.rglob("*"):
        if path.is_file() and form.takes(path) and not any(
                part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _read(path: Path, form: Form) -> list[Named]:
    """The inputs in a file."""
    suffix = path.suffix.lower()
    try:
        if suffix in ARRAYS:
            return _arrays(path, form)
        if suffix in tabular.SUFFIXES:
            return _table(path, form)
        if form.kind == "file":
            return [Named(str(path), str(path))]
        return _lines(read_text(path), str(path), form.kind)
    except SpecError as error:
        return [Named(str(path), error=error)]


def _arrays(path: Path, form: Form) -> list[Named]:
    """The examples of an archive: arrays by field, or one array for the only field."""
    from runtime.data.array_files import npy, open_archive
    from runtime.data.files import read_bytes

    if path.suffix.lower() == ".npy":
        values: Any = npy(read_bytes(path), f"`{path}`")
        if not values.ndim:
            raise SpecError([diagnostic("F0811", f"`{path}` is a single number",
                                        help="its first axis is that of the inputs")])
        if len(form.arrays) == 1:
            values = form.channels_last(next(iter(form.arrays)), values)
        return [Named(f"{path}:{i}", value) for i, value in enumerate(values)]
    archive = open_archive(path)
    found = {}
    for name, words in form.arrays.items():
        known = next((word for word in words if word in archive.names), None)
        known = archive.names[0] if known is None and (
            len(form.arrays) == len(archive.names) == 1) else known
        found[name] = form.channels_last(name, archive.read(known or words[-1]))
    sizes = {name: len(array) if array.ndim else 0 for name, array in found.items()}
    if len(set(sizes.values())) > 1:
        raise SpecError([diagnostic(
            "F0634", f"the arrays of `{path}` have different numbers of inputs: "
                     + ", ".join(f"{name} {size:,}" for name, size in sizes.items()))])
    return [Named(f"{path}:{i}", {name: array[i] for name, array in found.items()})
            for i in range(next(iter(sizes.values()), 0))]


def _table(path: Path, form: Form) -> list[Named]:
    """The rows of a table; for series the whole of it, or a table for each series."""
    table = tabular.read_table(path, delimiter=form.delimiter)
    names = list(table.columns)
    rows = [dict(zip(names, cells)) for cells in zip(*table.columns.values())]
    if form.kind != "series":
        return [Named(f"{path}:{line}", row) for line, row in zip(table.lines.tolist(), rows)]
    if form.key not in names:
        return [Named(str(path), rows)]
    groups: dict[str, list[Any]] = {}
    for row in rows:
        groups.setdefault(str(row[form.key]).strip(), []).append(row)
    return [Named(f"{path}:{key}", group) for key, group in groups.items()]


def _lines(text: str, where: str, kind: Kind) -> list[Named]:
    """The inputs in lines: JSON where a line is an object or a list, else the line itself."""
    found: list[Named] = []
    # Only these are ends of lines: within a text `splitlines` sees others, such as U+2028.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            found.append(_line(line, f"{where}:{number}", kind))
    if kind == "series" and found and isinstance(found[0].value, Mapping):
        wrong = next((named for named in found if named.error), None)
        return [wrong] if wrong else [Named(where, [named.value for named in found])]
    return found


def _line(line: str, name: str, kind: Kind) -> Named:
    if line.lstrip()[0] not in "{[":
        return Named(line if kind == "file" else name, line)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        # A text may begin with a bracket.
        if kind == "text":
            return Named(name, line)
        said = f"{name} is not JSON: {error}" if isinstance(error, json.JSONDecodeError) else (
            f"{name}: {tabular.UNREADABLE}")
        return Named(name, error=SpecError([diagnostic(
            "F0630", said, help="each line is one JSON value")]))
    return Named(name, line if kind == "text" and not isinstance(value, Mapping) else value)


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
            cell = row.get(word) if isinstance(row, Mapping) else None
            try:
                values[step, column] = float(cell)  # type: ignore[arg-type]
            except (TypeError, ValueError, OverflowError):
                values[step, column] = np.nan
            if not np.isfinite(values[step, column]):
                raise SpecError([diagnostic(
                    "F0633", f"row {len(rows) - window + step + 1} of `{name}` has no number "
                             f"in `{word}`: `{cell!s:.40}`",
                    help="fill it in, or leave the row out")])
    return ((values - scale.mean) / scale.deviation).astype(np.float32)
