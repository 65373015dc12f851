"""`flaxspec check`: every mistake of a spec at once, and the proof of its facts."""

from __future__ import annotations

import json as json_
from collections.abc import Sequence
from dataclasses import replace

from compiler.diagnostics import Diagnostic, Report, SpecError, as_json, summary
from compiler.facts import Proof, check_facts
from compiler.pipeline import MAX_WORK, Request, graph_of, read_spec, uncollected, work_of
from compiler.program import Program
from compiler.resolve import resolve
from compiler.scope import Budget
from compiler.tree import Mapping, present
from runtime.asking import request
from runtime.cli.terminal import columns, say, show
from runtime.recipe import is_recipe, read_training
from runtime.train_checks import check_recipe


def run(spec: str, variant: str, assignments: Sequence[str], *, facts: bool, json: bool,
        hints: bool) -> int:
    """Check a spec and tell what was found; the exit status."""
    report = Report()
    checked: list[str] = []
    proofs: list[Proof] = []
    try:
        asked = request(spec, variant, assignments)
        checked = check_spec(asked, report)
        if facts and not report.errors:
            proofs = check_facts(replace(asked, variant="", assignments=()), report,
                                 only=checked[0] if len(checked) == 1 else "")
    except SpecError as error:
        for complaint in error.diagnostics:
            report.add(complaint)
    found = [d for d in report.diagnostics if hints or d.severity != "hint"]
    status = 2 if report.errors else 0
    if json:
        say(json_.dumps({"diagnostics": [as_json(d) for d in report.diagnostics]}, indent=2,
                        ensure_ascii=False))
        return status
    show(report.diagnostics, hints=hints)
    if proofs:
        say("\n".join(columns([("model", "figure", "published", ""), *(
            (p.variant, p.figure, f"{p.published:,}",
             "proven" if p.holds else "open" if p.found is None else "not true")
            for p in proofs)], "<<><")))
    elif facts and not report.errors:
        say("there are no facts to prove")
    hidden = "" if hints or not any(d.severity == "hint" for d in report.diagnostics) else (
        " (--hints shows what could be clearer)")
    variants = len(checked) - 1
    how_many = f" in {variants} variant{'s' if variants > 1 else ''}" if variants > 0 else ""
    say(f"{spec}: {summary(found)}{how_many}{hidden}")
    return status


@uncollected()
def check_spec(request: Request, report: Report) -> list[str]:
    """Check a spec, and where no variant is chosen, each of its variants; what was checked.

    Raises:
        SpecError: nothing could be made of it.
    """
    tree, directory, implied, stem = read_spec(request, report)
    chosen = request.variant or implied
    declared = tree.get("variants")
    names = [chosen] if chosen or not isinstance(declared, Mapping) else ["", *declared]
    work = 0
    for i, name in enumerate(names):
        if work > MAX_WORK:
            report.warning("F0502", f"only the first {i - 1} of {len(names) - 1} variants were "
                           "checked: all of them take too long", tree.key_spans["variants"],
                           help=f"check the others one by one: `--variant {name}`")
            return names[:i]
        found, budget = Report(), Budget()
        try:
            program = resolve(tree, request.document, found, directory=directory, variant=name,
                              assignments=request.assignments, name=stem, values=request.values,
                              operators=request.operators, budget=budget)
            _check_program(program, found)
        except SpecError as error:
            for complaint in error.diagnostics:
                found.add(complaint)
        work += work_of(budget, tree)
        needs_variant = not name and {d.code for d in found.errors} == {"F0214"}
        if needs_variant and len(names) > 1:
            continue  # its params are required: only its variants are models
        # What is wrong in every variant is told once.
        known = {_place(complaint) for complaint in report.diagnostics}
        for complaint in found.diagnostics:
            if not complaint.labels or _place(complaint) not in known:
                report.add(complaint)
    return names


def _place(complaint: Diagnostic) -> tuple[str, str]:
    return complaint.code, str(complaint.labels[0].span) if complaint.labels else ""


def _check_program(program: Program, report: Report) -> None:
    """The rest of the way: to the graph, and whether a recipe's data and task suit it."""
    document = program.document
    if document.model is None and document.blocks is not None and not is_recipe(document):
        return  # blocks for other files: their layers are checked where they are used
    training = None
    if is_recipe(document):
        training = read_training(document, program.tree, report)
    graph = graph_of(program, report)
    if training is not None:
        check_recipe(training, graph, program.tree, report)
        if present(program.tree.get("search")) is not None:
            from runtime.search import read_search

            read_search(program, training, graph, report)
