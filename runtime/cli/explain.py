"""`flaxspec explain`: a spec at any stage of the compiler."""

from __future__ import annotations

from collections.abc import Sequence

from compiler import printer
from compiler.diagnostics import Report
from compiler.pipeline import Request, graph_of, make_program, read_tree
from compiler.plan import unknown_inputs
from runtime.asking import request
from runtime.cli.terminal import DEFAULT_LENGTH, show


def run(spec: str, variant: str, assignments: Sequence[str], *, stage: str,
        length: int | None, origins: bool = False) -> None:
    """Print a stage of a spec.

    Raises:
        SpecError: the spec does not reach the stage.
    """
    report = Report()
    asked = request(spec, variant, assignments)
    text = _text(asked, stage, length, report, origins=origins)
    show(report.diagnostics)
    print(text, end="")


def _text(
    asked: Request, stage: str, length: int | None, report: Report, *, origins: bool,
) -> str:
    if stage == "tree":
        tree, *_ = read_tree(asked, report)
        report.check()
        return printer.tree_text(tree)
    program = make_program(asked, report)
    if stage == "resolved":
        from compiler.targets.canonical import canonical_text

        report.check()
        if origins:
            from compiler.targets.origins import origins_text

            return origins_text(program)
        return canonical_text(program)
    graph = graph_of(program, report, length=length)
    if stage == "graph":
        return printer.graph_text(graph)

    from compiler.passes import INFERENCE, optimise

    match stage:
        case "optimised":
            return printer.graph_text(optimise(graph))
        case "inference":
            return printer.graph_text(optimise(graph, INFERENCE))
        case "module":
            return printer.module_text(graph)
        case _:
            if unknown_inputs(graph):
                graph = graph_of(program, report, length=DEFAULT_LENGTH)
            from compiler.lower.hlo import hlo_text

            return hlo_text(optimise(graph))
