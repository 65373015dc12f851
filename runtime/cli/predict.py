"""`flaxspec predict` and `flaxspec evaluate`: a finished run meets new inputs."""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from compiler.diagnostics import SpecError, diagnostic
from runtime.cli.terminal import bold, columns
from runtime.report.console import figure, shown
from runtime.report.jsonl import finite

if TYPE_CHECKING:
    from runtime.data.dataset import Part
    from runtime.saved import Trained

# Inputs that are read, predicted and printed together.
CHUNK = 1024


def predict(run: str, paths: Sequence[str], *, batch_size: int, top: int | None) -> None:
    """Print a line of JSON for each input.

    Raises:
        SpecError: the run or an input is not in order.
    """
    from runtime.inputs import gather
    from runtime.saved import load

    trained = load(run)
    inputs = gather(paths, trained.kind, sys.stdin)
    for start in range(0, len(inputs), CHUNK):
        piece = inputs[start:start + CHUNK]
        said = trained.predict([value for _, value in piece], batch_size=batch_size)
        for (name, _), told in zip(piece, said, strict=True):
            print(json_.dumps({"input": name, **finite(_cut(told, top))}, ensure_ascii=False))


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
    examples = _other(trained, data) if data is not None else _own(trained, part)
    figures, details = trained.evaluate(examples, batch_size)
    what = data if data is not None else f"{part} part"
    if json:
        print(json_.dumps(finite({"run": str(trained.folder), "data": what,
                                  "examples": examples.size, "figures": figures, **details}),
                          ensure_ascii=False))
        return
    print(f"{bold(shown(figures))}  |  {examples.size:,} examples of {what}")
    classes = details.get("classes", [])
    if classes:
        scores = [key for key in classes[0] if key not in ("name", "examples")]
        rows = [("class", "examples", *scores), *(
            (str(c["name"]), f"{c['examples']:,}", *(figure(s, c[s]) for s in scores))
            for c in classes)]
        print("\n" + "\n".join(columns(rows, "<" + ">" * (len(scores) + 1), squeeze=0)))


def _own(trained: Trained, name: str) -> Part:
    """A part of the data that the run was made with."""
    part = getattr(trained.training.data.load(), name)
    if not part.size:
        raise SpecError([diagnostic(
            "F0618", f"the run's data has no {name} part",
            help="choose another one with `--part`, or other data with `--data`")])
    return part


def _other(trained: Trained, data: str) -> Part:
    """Other examples with their targets, read as the training data was."""
    from runtime.inputs import gather
    from runtime.targets import with_targets

    return with_targets(trained, gather([data], trained.kind, sys.stdin), data)
