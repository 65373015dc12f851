"""`flaxspec import`: a Keras JSON or an ONNX graph becomes a spec."""

from __future__ import annotations

import os
from pathlib import Path

from compiler.diagnostics import Diagnostic, SpecError, diagnostic
from compiler.imports.convert import LARGEST, Imported, convert
from compiler.plan import make_plan, unknown_inputs
from compiler.weights.files import write_file
from runtime.cli.terminal import say, show


def run(model: Path, out: Path | None, weights: Path | None) -> None:
    """Write a model of another program as a spec, and its weights beside it.

    Raises:
        SpecError: the file cannot be read or imported, or a file is there already.
    """
    beside = out.with_suffix(".safetensors") if out is not None else None
    _refuse(out, beside if weights is not None or model.suffix.lower() == ".onnx" else None)
    if weights is not None and out is None:
        raise SpecError([diagnostic(
            "F0948", "weights are written beside a spec, and the spec goes nowhere",
            help="say where: `-o model.yaml` gives `model.safetensors`, too")])
    found = convert(_content(model), str(model))
    arrays = found.weights
    if weights is not None:
        from compiler.imports.keras_weights import keras_weights

        arrays = keras_weights(weights, found.graph, found.origins)
    show(found.remarks)
    if out is None:
        say(found.text.rstrip("\n"))
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(found.text)
    except OSError as error:
        raise SpecError([_unwritable(out, error)]) from None
    if arrays and beside is not None:
        write_file(beside, arrays, {})
    say(_told(found, out, beside if arrays else None))


def _content(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        SpecError: F0943 it cannot be read, or is too large.
    """
    try:
        if os.stat(path).st_size > LARGEST:
            raise SpecError([diagnostic("F0943", f"`{path}` is larger than 2 GiB")])
        if not path.is_file():
            raise SpecError([diagnostic("F0943", f"`{path}` is no file")])
        return path.read_bytes()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError([diagnostic(
            "F0943", f"`{path}` cannot be read: {said}",
            help="the path of a Keras JSON or an ONNX graph is expected")]) from None


def _refuse(*paths: Path | None) -> None:
    """Nothing is written over.

    Raises:
        SpecError: F0807 a file is there already.
    """
    found = [path for path in paths if path is not None and path.exists()]
    if found:
        raise SpecError(diagnostic(
            "F0807", f"`{path}` is there already",
            help="give another name with `-o`, or remove it") for path in found)


def _unwritable(path: Path, error: OSError) -> Diagnostic:
    return diagnostic("F0948", f"`{path}` cannot be written: {error.strerror or error}",
                      help="choose a folder that is there and writable with `-o`")


def _told(found: Imported, out: Path, beside: Path | None) -> str:
    """"model.yaml: 177 layers, 25,583,592 parameters, in 72 lines; weights in …"."""
    layers = f"{found.graph.instances:,} layers"
    if not unknown_inputs(found.graph):
        totals = make_plan(found.graph).totals
        layers = f"{totals.layers:,} layers, {totals.params:,} parameters"
    lines = found.text.count("\n")
    stored = f"; weights in {beside}" if beside is not None else ""
    return (f"{out}: {layers}, in {lines} lines{stored}\n"
            f"flaxspec plan {out} shows it; `flaxspec draw {out}` draws it")
