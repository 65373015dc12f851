"""`flaxspec export`: a model as a file for other programs, and the proof that it is the same."""

from __future__ import annotations

import json as json_
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.diagnostics import Report, SpecError, diagnostic
from runtime.cli.terminal import pairs, say, show, size_of

if TYPE_CHECKING:
    from runtime.export.compare import Error
    from runtime.export.subject import Subject

# What a file of each format may be called; the first is what it is called where nobody says.
SUFFIXES = {"onnx": (".onnx",), "stablehlo": (".stablehlo",), "safetensors": (".safetensors",),
            "torch": (".safetensors", ".pth")}


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for; see its help."""

    to: str
    out: Path | None
    weights: Path | None
    layout: str
    fold: bool
    normalise: bool
    lengths: bool | None
    length: int | None
    platforms: tuple[str, ...]
    tolerance: float
    check: bool
    force: bool
    json: bool


def run(reference: str, variant: str, assignments: Sequence[str], wanted: Wanted) -> int:
    """Write the file and check it; the exit status.

    Raises:
        SpecError: what is to be exported is not in order, or the format cannot express it.
    """
    from runtime.export.subject import Wish, read_subject

    path = None if wanted.out is None else _place(wanted, "")
    report = Report()
    computes = wanted.to in ("onnx", "stablehlo")
    wish = Wish(fold=wanted.fold, normalise=wanted.normalise and computes, lengths=wanted.lengths,
                steps=wanted.length, symbolic=wanted.to == "stablehlo")
    subject = read_subject(reference, wish, report, variant=variant, assignments=assignments,
                           weights=wanted.weights)
    show(report.diagnostics)
    path = path or _place(wanted, subject.name)
    try:
        rows = _written(subject, wanted, path)
        size = path.stat().st_size
    except OSError as error:
        raise SpecError([diagnostic(
            "F0802", f"`{path}` cannot be written: {error.strerror or error}",
            help="choose a file in a folder that you may write to with `-o`")]) from None
    rows = [("file", f"{path}, {size_of(size)}"), ("network", subject.hash),
            ("weights", subject.weights), *rows, *(("remark", r) for r in subject.remarks)]
    if not wanted.json:
        say("\n".join(pairs(rows)))
    errors, note = _checked(subject, wanted, path)
    bad = [e for e in errors if not e.relative <= wanted.tolerance]
    if wanted.json:
        say(json_.dumps({
            "file": str(path), "bytes": size, "format": wanted.to, "network": subject.hash,
            "checked": [{"on": e.what, "output": e.output, "error": _finite(e.largest),
                         "of": _finite(e.scale)} for e in errors], "note": note}, indent=2))
    elif note:
        lines = pairs([*rows, ("checked", note)])
        say("\n".join(lines[len(pairs(rows)):]))
    if bad:
        show([diagnostic(
            "F0923", f"`{path}` does not compute what the compiled model does",
            notes=[f"on {e.what}, `{e.output}` is off by {e.largest:.2g} of {e.scale:.3g}"
                   for e in bad],
            help="do not use the file; if the difference is rounding that you accept, allow it "
                 f"with `--tolerance` (now {wanted.tolerance:g})")])
    return 2 if bad else 0


def _finite(number: float) -> float | None:
    return number if number < float("inf") else None


def _place(wanted: Wanted, name: str) -> Path:
    """Where to write.

    Raises:
        SpecError: F0924 the name does not tell what is in the file, F0807 there is a file.
    """
    suffixes = SUFFIXES[wanted.to]
    path = wanted.out or Path(name + suffixes[0])
    if path.suffix not in suffixes:
        called = " or ".join(f"`NAME{suffix}`" for suffix in suffixes)
        raise SpecError([diagnostic(
            "F0924", f"a file for `--to {wanted.to}` is called {called}, not `{path}`",
            help=f"say `-o {path.name}{suffixes[0]}`")])
    if path.exists() and not (wanted.force and path.is_file()):
        raise SpecError([diagnostic(
            "F0807", f"there is something called `{path}` already",
            help="choose another name with `-o`, or write over it with `--force`")])
    return path


def _written(subject: Subject, wanted: Wanted, path: Path) -> list[tuple[str, str]]:
    match wanted.to:
        case "onnx":
            from runtime.export.onnx_file import write_onnx

            return write_onnx(subject, path, channels_first=wanted.layout == "first")
        case "stablehlo":
            from runtime.export.stablehlo_file import write_stablehlo

            return write_stablehlo(subject, path, wanted.platforms)
        case _:
            from runtime.export.weights_file import write_weights

            return write_weights(subject, path, wanted.to)


def _checked(subject: Subject, wanted: Wanted, path: Path) -> tuple[list[Error], str]:
    """The errors of the file's outputs, and what to say of them."""
    if not wanted.check:
        return [], "not at all: `--no-check`"
    if wanted.to in ("safetensors", "torch"):
        return [], ""
    from runtime.export.compare import compared

    if wanted.to == "onnx":
        from runtime.export.onnx_file import has_onnxruntime, runner

        if not has_onnxruntime():
            return [], ("not at all: onnxruntime is not installed; "
                        '`pip install "flaxspec[onnx]"` brings it')
        import onnxruntime

        runs, who = runner(subject, path, channels_first=wanted.layout == "first"), (
            f"in onnxruntime {onnxruntime.__version__} against the compiled model")
    else:
        from runtime.export.stablehlo_file import runner as loaded

        runs, who = loaded(path), "loaded again, against the compiled model"
    errors = list(compared(subject, runs))
    worst = max(errors, key=lambda e: e.relative)
    what = ", ".join(dict.fromkeys(e.what for e in errors))
    if subject.trained is not None and not any("random" not in e.what for e in errors):
        what += " (the run's own data is not at hand)"
    return errors, (f"{who}, on {what}: largest error {worst.largest:.2g} where the largest number "
                    f"is {worst.scale:.3g}")
