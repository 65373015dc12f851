"""`flaxspec predict` and `flaxspec evaluate`: a finished run meets new inputs."""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from runtime.cli.terminal import bold, columns, show, width
from runtime.folder import finite
from runtime.report.console import figure, shown

if TYPE_CHECKING:
    from runtime.data.dataset import Part
    from runtime.inputs import Named
    from runtime.saved import Trained
    from runtime.tasks.drawing import Drawing

# Inputs that are read, predicted and printed together.
CHUNK = 1024
# Of so many inputs that cannot be read the whole diagnostic is shown; of the others the line of
# JSON says why.
TOLD = 20


def predict(
    run: str, paths: Sequence[str], *, batch_size: int, top: int | None,
    draw: Path | None = None, force: bool = False,
) -> int:
    """Print a line of JSON for each input.

    An input that cannot be read has an `error` in its line and a diagnostic on standard error;
    the others are predicted all the same.

    Args:
        run: the run.
        paths: where the inputs are.
        batch_size: how many at once.
        top: how many probabilities are told; all where None.
        draw: the folder that drawings go to; nothing is drawn where None.
        force: whether files that are there already are written over.

    Returns:
        The exit status: 2 where an input could not be read, else 0.

    Raises:
        SpecError: the run is not in order, or there is no such file; F0690 the task draws
            nothing, F0807 and F0841 a drawing cannot be written.
    """
    from runtime.cli.drawings import DrawingFolder
    from runtime.inputs import gather
    from runtime.saved import load

    trained = load(run)
    inputs = gather(paths, trained.form, sys.stdin)
    folder = None if draw is None else DrawingFolder(draw, force=force)
    failed = 0
    for start in range(0, len(inputs), CHUNK):
        for name, told, drawing in predicted(
                trained, inputs[start:start + CHUNK], batch_size, draw=folder is not None):
            if isinstance(told, SpecError):
                failed += 1
                if failed <= TOLD:
                    show(told.diagnostics)
                first = told.diagnostics[0]
                told = {"error": f"{first.code}: {'; '.join([first.headline, *first.notes])}"}
            elif folder is not None:
                told = told | {"drawing": drawing and str(folder.write(name, drawing))}
            print(json_.dumps({"input": name, **finite(_cut(told, top))}, ensure_ascii=False))
    if failed:
        print(f"{failed:,} of {len(inputs):,} inputs could not be read", file=sys.stderr)
    return 2 if failed else 0


def predicted(
    trained: Trained, inputs: Sequence[Named], batch_size: int, *, draw: bool = False,
) -> Iterator[tuple[str, dict[str, Any] | SpecError, Drawing | None]]:
    """For each input its name, its prediction or what is wrong with it, and its drawing.

    Args:
        trained: the run.
        inputs: what was given.
        batch_size: how many at once.
        draw: whether to draw.
    """
    good = [named for named in inputs if named.error is None]
    errors = {id(named): named.error for named in inputs if named.error is not None}
    try:
        parts = [_encoded(trained, good)]
    except SpecError:
        # One at a time tells which of them it is.
        for named in good:
            try:
                _encoded(trained, [named])
            except SpecError as error:
                errors[id(named)] = error
        good = [named for named in good if id(named) not in errors]
        try:
            parts = [_encoded(trained, good)]
        except SpecError:  # arrays among rows: each is in order, but they are read differently
            parts = [_encoded(trained, [named]) for named in good]
    said = (told for part in parts if part is not None
            for told in _said(trained, part, batch_size, draw))
    for named in inputs:
        error = errors.get(id(named))
        yield (named.name, error, None) if error else (named.name, *next(said))


def _said(
    trained: Trained, part: Part, batch_size: int, draw: bool,
) -> Iterator[tuple[dict[str, Any], Drawing | None]]:
    """For each example of a part its prediction, and its drawing."""
    said = trained.predictions(part, batch_size)
    drawings = trained.task.drawings(trained, part, said) if draw else repeat(None)
    return zip(said, drawings)


def _encoded(trained: Trained, inputs: Sequence[Named]) -> Part | None:
    """Inputs as fields, under their names; None where there are none."""
    if not inputs:
        return None
    names = [named.name for named in inputs]
    part = trained.encode([named.value for named in inputs], names)
    return replace(part, names=np.array(names, object))


def _cut(told: dict[str, Any], top: int | None) -> dict[str, Any]:
    """A prediction with only the largest probabilities."""
    found = told.get("probabilities")
    if top is None or not isinstance(found, dict):
        return told
    return told | {"probabilities": dict(list(found.items())[:top])}


def evaluate(run: str, data: str | None, part: str, *, batch_size: int, json: bool) -> None:
    """Print the figures of a part of the run's data, or of other data.

    Raises:
        SpecError: the run or the data is not in order.
    """
    from runtime.saved import load

    trained = load(run)
    examples = _own(trained, part) if data is None else (
        trained.training.data.examples(Path(data), trained.preprocessing))
    figures, details = trained.evaluate(examples, batch_size)
    what = data if data is not None else f"{part} part"
    count = f"{examples.size:,} example{'s' if examples.size != 1 else ''}"
    if json:
        print(json_.dumps(finite({"run": str(trained.folder), "data": what,
                                  "examples": examples.size, "figures": figures, **details}),
                          ensure_ascii=False))
        return
    told = [*(shown({name: value}) for name, value in figures.items()), f"|  {count} of {what}"]
    print("\n".join(map(bold, _filled(told))))
    classes = details.get("classes", [])
    if classes:
        scores = [key for key in classes[0] if key not in ("name", "examples")]
        rows = [("class", "examples", *scores), *(
            (str(c["name"]), f"{c['examples']:,}", *(figure(s, c[s]) for s in scores))
            for c in classes)]
        print("\n" + "\n".join(columns(rows, "<" + ">" * (len(scores) + 1), squeeze=0)))
    if "calibration" in details:
        print(f"\nexpected calibration error {100 * details['calibration']['ece']:.2f} %: how far "
              "the model is from being right as often as it is sure")


def _filled(words: Sequence[str]) -> list[str]:
    """Words in lines as wide as the terminal, two spaces apart."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 2 + len(word) <= width():
            lines[-1] += f"  {word}"
        else:
            lines.append(word.removeprefix("|  "))
    return lines


def _own(trained: Trained, name: str) -> Part:
    """A part of the data that the run was made with."""
    part = getattr(trained.training.data.load(), name)
    if not part.size:
        raise SpecError([diagnostic(
            "F0618", f"the run's data has no {name} part",
            help="choose another one with `--part`, or other data with `--data`")])
    return part
