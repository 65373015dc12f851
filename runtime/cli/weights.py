"""`flaxspec weights`: weights of other libraries become a model's, and a model's theirs."""

from __future__ import annotations

import json as json_
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.passes import optimise
from compiler.pipeline import graph_of, make_program
from compiler.weights.files import kind_of, write_file
from compiler.weights.load import Loaded, Row, load
from compiler.weights.save import weights_to
from runtime import folder as files
from runtime.asking import request, spec_of
from runtime.cli.terminal import bold, columns, pairs, show
from runtime.finding import run_folder
from runtime.share.reference import names_bundle

SHOWN = 12  # rows that are printed where nobody asks for all


def run(
    spec: str, file: str | None, variant: str, assignments: Sequence[str], *, names: str,
    to: str, out: Path | None, every: bool, json: bool,
) -> None:
    """Map the weights in a file to a model, tell how, and write them where that is asked.

    Raises:
        SpecError: the spec has errors, the file does not fit, or nothing can be written.
    """
    asked = spec
    spec, path = _of_run(spec, file)
    if out is not None and out.exists():
        raise SpecError([diagnostic("F0807", f"`{out}` is there already",
                                    help="give another name with `-o`, or remove it")])
    to = to or _fitting(out)
    if out is not None and (to == "keras") != (kind_of(out) == "keras"):
        raise SpecError([diagnostic(
            "F0881", f"`{out}` is no file for the names of {to}",
            help="Keras reads its own from NAME.weights.h5, and the others go into .safetensors "
                 "or .pth")])
    report = Report()
    program = make_program(request(spec, variant, assignments), report)
    path = path or program.weights_file
    if path is None:
        raise SpecError([diagnostic(
            "F0805", f"nothing says where the weights of `{spec}` are",
            help=f"give a file: `flaxspec weights {spec} FILE`, or the folder of a run")])
    graph = optimise(graph_of(program, report))
    show(report.diagnostics)
    loaded = load(path, graph, names)
    arrays = weights_to(graph, loaded.arrays, to) if out is not None else {}
    if out is not None:
        write_file(out, arrays, {"name": program.name})
    if json:
        print(json_.dumps(_as_json(path, loaded, out), indent=2, ensure_ascii=False))
        return
    # Where a bundle is kept that was unpacked for this says nothing to its user.
    where = f"{path.name} of {asked}" if file is None and names_bundle(asked) else str(path)
    print("\n".join([*_summary(where, loaded), "", *_table(path, loaded, every), "",
                     _written(out, arrays, to)]))


def _fitting(out: Path | None) -> str:
    """The names that go with a file's ending."""
    kind = "safetensors" if out is None else kind_of(out)
    return {"safetensors": "flaxspec", "torch": "auto", "keras": "keras"}[kind]


def _of_run(spec: str, file: str | None) -> tuple[str, Path | None]:
    """The spec and the weights of a run's folder, or what was given."""
    folder = Path(spec_of(spec)).parent if names_bundle(spec) else run_folder(spec)
    path = Path(file) if file is not None else None
    if folder is None:
        return spec, path
    return str(folder / files.SPEC), path or folder / files.WEIGHTS


def _summary(where: str, loaded: Loaded) -> list[str]:
    """What was mapped, missing and left over, in a few lines."""
    left = ", ".join(_modules(loaded.left)) or "nothing"
    added = sum(row.added for row in loaded.rows)
    return pairs([
        ("file", f"{where}, with {loaded.whose.rstrip(',')} names"),
        ("mapped", f"{len(loaded.arrays):,} arrays, {loaded.numbers:,} numbers"
         + (f"; {added} second biases were added to the first" if added else "")),
        ("missing", "nothing"),
        ("left over", left + (
            f"; {len(loaded.idle)} counts of batches say nothing here" if loaded.idle else ""))])


def _modules(tensors: Sequence[str]) -> list[str]:
    """The outermost modules that tensors belong to, with how many each has."""
    counts: dict[str, int] = {}
    for name in tensors:
        first = name.partition(".")[0]
        counts[first] = counts.get(first, 0) + 1
    return [f"{name} ({count} tensors)" for name, count in counts.items()]


def _table(path: Path, loaded: Loaded, every: bool) -> list[str]:
    rows = loaded.rows if every else loaded.rows[:SHOWN]
    cells = [("array", "shape", f"in {path.name}", "shape"), *map(_cells, rows)]
    first, *others = columns(cells, "<<<<")
    hidden = len(loaded.rows) - len(rows)
    return [bold(first), *others, *([f"and {hidden:,} more: --all shows them"] if hidden else [])]


def _cells(row: Row) -> tuple[str, str, str, str]:
    sign = "+ " if row.added else ""
    return (", ".join(row.ours), ", ".join(map(str, row.our_shapes)), f"{sign}{row.theirs}",
            str(row.their_shape))


def _written(out: Path | None, arrays: dict[str, Any], to: str) -> str:
    if out is None:
        return "nothing was written: -o FILE writes them, --to LIBRARY under its names"
    whose = {"flaxspec": "", "auto": " for PyTorch", "torch": " for PyTorch", "keras": " for Keras"}
    return f"wrote {out}: {len(arrays):,} arrays{whose.get(to, f' for {to}')}"


def _as_json(path: Path, loaded: Loaded, out: Path | None) -> dict[str, Any]:
    return {
        "file": str(path), "names": loaded.whose.rstrip(","), "numbers": loaded.numbers,
        "mapped": [{"arrays": list(row.ours), "shapes": list(row.our_shapes),
                    "tensor": row.theirs, "tensor_shape": list(row.their_shape),
                    **({"added": True} if row.added else {})} for row in loaded.rows],
        "missing": [], "left": list(loaded.left), "idle": list(loaded.idle),
        "written": None if out is None else str(out)}
