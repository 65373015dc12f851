"""`flaxspec eject`: a model as Flax source that needs nothing of flaxspec."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.passes import optimise
from compiler.pipeline import graph_of, make_program
from compiler.plan import Plan, make_plan, unknown_inputs
from compiler.targets.flax_source import About, eject
from compiler.version import VERSION
from runtime.asking import request
from runtime.cli.terminal import DEFAULT_LENGTH, say, short, show
from runtime.cli.writing import write_text
from runtime.finding import run_folder
from runtime.folder import SPEC, WEIGHTS


def run(spec: str, variant: str, assignments: Sequence[str], *, out: Path | None,
        length: int | None) -> None:
    """Write a model's source into a file, or print it.

    Raises:
        SpecError: the spec has errors or an operator without source, or the file is there.
    """
    if out is not None and out.exists():
        raise SpecError([diagnostic(
            "F0807", f"`{out}` is there already", help="choose another name with `-o`, or remove "
            "it: what you changed in it would be lost")])
    folder = run_folder(spec)
    report = Report()
    asked = request(str(folder / SPEC) if folder else spec, variant, assignments)
    program = make_program(asked, report)
    graph = graph_of(program, report)
    show(report.diagnostics)
    known = graph if not unknown_inputs(graph) else graph_of(
        program, Report(), length=length or DEFAULT_LENGTH)
    plan = make_plan(known)
    text = eject(optimise(graph), About(
        source=_source(spec, variant, assignments), version=VERSION,
        module=_module(out), weights=str((folder or Path()) / WEIGHTS),
        figures=_figures(plan, length or DEFAULT_LENGTH if known is not graph else None)))
    if out is None:
        say(text.rstrip("\n"))
        return
    write_text(out, text)
    lines, classes = text.count("\n"), text.count("\nclass ")
    say(f"{out}: {lines:,} lines, {classes} {'class' if classes == 1 else 'classes'}, "
        f"{plan.totals.params:,} parameters")


def _source(spec: str, variant: str, assignments: Sequence[str]) -> str:
    """ "resnet.yaml --variant resnet50 --set classes=10"."""
    parts = [spec, *(["--variant", variant] if variant else [])]
    for assignment in assignments:
        parts += ["--set", assignment]
    return " ".join(parts)


def _module(out: Path | None) -> str:
    """How the file is called when it is imported."""
    stem = out.stem if out is not None else "model"
    return stem if stem.isidentifier() else re.sub(r"\W", "_", stem)


def _figures(plan: Plan, length: int | None) -> list[str]:
    """What the docstring tells of shapes and sizes."""
    totals = plan.totals
    lines = [f"    input {name}: {type.described()}"
             + (f" {type.dtype}" if type.dtype != "float" else "")
             for name, type in totals.inputs.items()]
    lines += [f"    {'output' if name == 'output' else f'output {name}'}: {type.described()}"
              for name, type in totals.outputs.items()]
    buffers = f", and {totals.buffers:,} running statistics" if totals.buffers else ""
    lines.append(f"    parameters: {totals.params:,}{buffers}")
    steps = f", for {length} steps" if length is not None else ""
    lines.append(f"    multiply-accumulates: {totals.macs:,} ({short(totals.macs)}) for one "
                 f"example{steps}")
    return lines
