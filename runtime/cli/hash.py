"""`flaxspec hash`: which network, and which recipe, a spec is."""

from __future__ import annotations

import json as json_
from collections.abc import Sequence

from compiler.diagnostics import Report
from compiler.pipeline import graph_of, make_program
from compiler.targets.identity import network_hash
from runtime.asking import request
from runtime.cli.terminal import show
from runtime.identity import recipe_hash
from runtime.recipe import is_recipe, read_training


def run(spec: str, variant: str, assignments: Sequence[str], *, json: bool) -> None:
    """Print the hashes of a spec.

    Raises:
        SpecError: the spec has errors.
    """
    report = Report()
    program = make_program(request(spec, variant, assignments), report)
    training = None
    if is_recipe(program.document):
        training = read_training(program.document, program.tree, report, program.directory)
    graph = graph_of(program, report)
    hashes = {"network": network_hash(graph)}
    if training is not None:
        hashes["recipe"] = recipe_hash(program, graph, training)
    show(report.diagnostics)
    print(json_.dumps(hashes, indent=2) if json else "\n".join(
        f"{what:<7}  {value}" for what, value in hashes.items()))
