"""Other data with what is right: the examples of `flaxspec evaluate RUN --data PATH`.

They are read as the run's own data was, with what that data taught: its class names, its
vocabulary, its means. Nothing is learnt anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.types import TensorType
from runtime.data.dataset import Part, Scale
from runtime.inputs import Named
from runtime.saved import Trained

Rows = Sequence[Any]


def with_targets(trained: Trained, inputs: Sequence[Named], title: str) -> Part:
    """Inputs as examples with their targets.

    Args:
        trained: the run.
        inputs: what `gather` found.
        title: what messages call the data.

    Raises:
        SpecError: F0632 or F0633 a target is missing or wrong, F0634 a class is unknown.
    """
    values = [value for _, value in inputs]
    goals = trained.training.data.targets()
    meaning = trained.preprocessing.meaning
    if goals == ("next",):
        return _texts(trained, values, title)
    if goals == ("future",):
        return _windows(trained, values, title)
    part = trained.encode(values)
    arrays = dict(part.arrays)
    for goal in goals:
        if goal in arrays:
            continue
        kind, labels = meaning.fields[goal], meaning.labels.get(goal, ())
        if kind.axes == () and kind.dtype == "int":
            words = _folders(inputs) if trained.kind == "file" else [
                str(cell) for cell in _cells(values, _column(trained, goal), title)]
            arrays[goal] = _classes(words, labels, [name for name, _ in inputs])
        elif kind.axes in ((), ("channels",)):
            scale = meaning.scales.get(goal)
            columns = scale.names if scale is not None else labels or (goal,)
            found = np.stack([_numbers(_cells(values, column, title), column, title)
                              for column in columns], axis=-1)
            found = scale.normalised(found) if scale is not None else found
            arrays[goal] = (found if kind.axes else found[:, 0]).astype(np.float32)
        else:
            raise SpecError([diagnostic(
                "F0632", f"`{title}` cannot be read with its `{goal}`",
                help="evaluate the run's own parts, or `flaxspec.load(run).evaluate(part)` "
                     "with arrays")])
    return replace(part, arrays=arrays)


def _column(trained: Trained, goal: str) -> str:
    """The column that holds a class."""
    named = getattr(trained.training.data, "target", None)
    if isinstance(named, list | tuple):
        named = named[0] if named else None
    return named or goal


def _cells(rows: Rows, column: str, title: str) -> list[Any]:
    """A column of rows that are maps."""
    cells = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping) or column not in row:
            names = [str(name) for name in row] if isinstance(row, Mapping) else []
            raise SpecError([diagnostic(
                "F0632", f"row {number} of `{title}` does not say what is right: it has no "
                         f"`{column}`", notes=[f"it has: {', '.join(names)}"] if names else (),
                help=nearest(column, names) or "evaluating needs the targets beside the inputs")])
        cells.append(row[column])
    return cells


def _numbers(cells: Sequence[Any], column: str, title: str) -> np.ndarray:
    try:
        return np.array([float(cell) for cell in cells])
    except (TypeError, ValueError) as error:
        raise SpecError([diagnostic(
            "F0633", f"`{column}` of `{title}` holds something that is no number: {error}",
            help="fill it in, or leave the row out")]) from None


def _classes(words: Sequence[str], labels: Sequence[str], places: Sequence[str]) -> np.ndarray:
    """Class numbers of names."""
    numbers = {name: i for i, name in enumerate(labels)}
    for word, place in zip(words, places):
        if word not in numbers:
            raise SpecError([diagnostic(
                "F0634", f"`{place}` is of the class `{word}`, which the run does not know",
                notes=[f"its classes: {', '.join(labels[:20])}"],
                help=nearest(word, labels) or "correct it, or leave it out")])
    return np.array([numbers[word] for word in words], np.int32)


def _folders(inputs: Sequence[Named]) -> list[str]:
    """The classes of files: the folders they lie in."""
    return [Path(name).parent.name for name, _ in inputs]


def _texts(trained: Trained, lines: Rows, title: str) -> Part:
    """A running text in pieces, each with the token after every token."""
    from runtime.data.tokens import vocabulary_from
    from runtime.data.windows import chunks

    window = trained.preprocessing.meaning.fields["text"].length
    path = Path(title)  # the text itself has its empty lines, too
    text = path.read_text(encoding="utf-8") if path.is_file() else "\n".join(map(str, lines))
    ids = vocabulary_from(trained.preprocessing.fitted["vocabulary"]).encode(text)
    if len(ids) < 2 or not isinstance(window, int):
        raise SpecError([diagnostic("F0631", f"there is too little text in `{title}`",
                                    help="give a longer one")])
    first, second, lengths = chunks(np.array(ids, np.int32), window)
    return Part({"text": first, "next": second}, {"text": lengths, "next": lengths})


def _windows(trained: Trained, tables: Rows, title: str) -> Part:
    """Every window of a table of steps, with the steps after it."""
    from runtime.data import windows

    meaning = trained.preprocessing.meaning
    others = [name for name in meaning.fields if name not in ("past", "future")]
    if others:
        raise SpecError([diagnostic(
            "F0632", f"`{title}` cannot be read with its `{others[0]}`",
            help="evaluate the run's own parts")])
    found: dict[str, list[np.ndarray]] = {"past": [], "future": []}
    lengths = {name: _size(meaning.fields[name]) for name in found}
    for rows in tables:
        at = windows.origins(0, len(rows), lengths["past"], lengths["future"])
        for name, cut in (("past", windows.past), ("future", windows.future)):
            scale: Scale = meaning.scales[name]
            values = np.stack([_numbers(_cells(rows, column, title), column, title)
                               for column in scale.names], axis=-1)
            found[name].append(cut(scale.normalised(values), at, lengths[name]))
    part = Part({name: np.concatenate(pieces).astype(np.float32)
                 for name, pieces in found.items()})
    if not part.size:
        raise SpecError([diagnostic(
            "F0811", f"`{title}` is shorter than a window of {lengths['past']} steps and the "
                     f"{lengths['future']} after it", help="give a longer one")])
    return part


def _size(kind: TensorType) -> int:
    assert isinstance(kind.length, int), "windows have a length"
    return kind.length
