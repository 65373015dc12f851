"""`flaxspec plan`: what a model costs, as a table or as JSON."""

from __future__ import annotations

import json as json_
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace

from compiler.diagnostics import Report, SpecError
from compiler.diagnostics import as_json as diagnostic_json
from compiler.graph import Graph
from compiler.pipeline import Request, graph_of, make_program
from compiler.plan import Plan, Reach, as_json, make_plan, unknown_inputs
from runtime.asking import request
from runtime.cli.terminal import DEFAULT_LENGTH, bold, columns, pairs, short, show, size_of, width
from runtime.freezing import frozen, patterns_of
from runtime.report.fold import Branch, described, fitting_depth, tree, unfolded


def run(spec: str, variant: str, assignments: Sequence[str], *, json: bool, batch: int,
        length: int | None, training: bool, depth: int | None) -> int:
    """Print the plan of a spec; the exit status.

    Raises:
        SpecError: the spec has errors, which are not to be told as JSON.
    """
    report = Report()
    try:
        asked = request(spec, variant, assignments)
        graph, unknown = _known_graph(asked, length or DEFAULT_LENGTH, report)
    except SpecError as error:
        if not json:
            raise
        print(json_.dumps({"diagnostics": [diagnostic_json(d) for d in error.diagnostics]},
                          indent=2, ensure_ascii=False))
        return 2
    show(report.diagnostics)
    plan = make_plan(graph, training=training, batch=batch)
    if json:
        steps = length or DEFAULT_LENGTH if unknown else None
        print(json_.dumps({**as_json(plan), "length": steps}, indent=2, ensure_ascii=False))
        return 0
    print("\n".join([*_table(plan, depth), "", *_totals(plan)]))
    if unknown:
        print("\n" + textwrap.fill(
            f"The length of {' and '.join(unknown)} is open; the figures are for "
            f"{length or DEFAULT_LENGTH} steps (--length N).", width(), break_on_hyphens=False))
    return 0


def _known_graph(asked: Request, length: int, report: Report) -> tuple[Graph, tuple[str, ...]]:
    """The graph with a length for each open one, and the inputs that have one.

    Raises:
        SpecError: the spec has errors, or the length does not suit it.
    """
    program = make_program(asked, report)
    graph = frozen(graph_of(program, report), patterns_of(program))
    unknown = unknown_inputs(graph)
    if not unknown:
        return graph, ()
    found = Report()
    try:
        graph = graph_of(program, found, length=length)
        return frozen(graph, patterns_of(program)), unknown
    except SpecError as error:
        note = f"this is for {length} steps of {' and '.join(unknown)}; --length N chooses another"
        raise SpecError(replace(d, notes=(*d.notes, note)) for d in error.diagnostics) from None


def _table(plan: Plan, depth: int | None) -> list[str]:
    branches = tree(plan)
    depth = depth or fitting_depth(branches)
    lines = unfolded(branches, depth)
    head = ("layer", "what it is", "output", "params", "MACs")
    last = depth - 1  # how deep the lines stand whose insides are not shown
    rows = [head, *(_cells(deep, branch, deep == last) for deep, branch in lines)]
    first, *others = columns(rows, "<<<>>", squeeze=1)
    table = [bold(first), *others]
    if any(branch.inside and deep == last for deep, branch in lines):
        table.append(f"folded below depth {depth}: --depth {depth + 1} shows more")
    if any(branch.times > 1 and branch.inside and deep < last for deep, branch in lines):
        table.append("a line with × holds the sum; the lines under it are one of the repeats")
    return table


def _cells(deep: int, branch: Branch, folded: bool) -> tuple[str, ...]:
    params, macs = branch.parameters, branch.macs
    label = "  " * deep + branch.label + (f"  ×{branch.times}" if branch.times > 1 else "")
    return (label, described(branch, folded), str(branch.last.output),
            f"{params:,}" if params else "", short(macs) if macs else "")


def _totals(plan: Plan) -> list[str]:
    totals = plan.totals
    frozen = totals.params - totals.trainable
    memory = totals.activation_bytes
    phase = "training" if plan.training else "evaluation"
    rows = [
        *((f"input {name}", f"{t.described()}{' ' + t.dtype if t.dtype != 'float' else ''}")
          for name, t in totals.inputs.items()),
        *((name if name == "output" else f"output {name}", t.described())
          for name, t in totals.outputs.items()),
        ("parameters", f"{totals.params:,}" + (f", {frozen:,} of them frozen" if frozen else "")
         + (f", and {totals.buffers:,} running statistics" if totals.buffers else "")),
        ("weights", f"{size_of(totals.weight_bytes)} in float32"),
        ("MACs", f"{totals.macs:,} for one example in {phase}: {short(totals.flops, 'FLOP')}"),
        ("activations", f"{size_of(memory['inference'])} alive at once in evaluation, "
         f"{size_of(memory['training'])} kept in training, for a batch of {plan.batch}"),
        ("layers", f"{totals.layers:,}" + (
            f"; {totals.steps:,} steps have to wait for each other" if totals.steps > 1 else "")),
    ]
    for name, axes in totals.receptive_field.items():
        of = f" of {name}" if len(totals.receptive_field) > 1 else ""
        rows.append((f"receptive field{of}", reach_told(axes)))
    return pairs(rows)


def reach_told(axes: Mapping[str, Reach]) -> str:
    """"height 427, width 427, up to a layer that sees all of it"."""
    parts = [f"{axis} {reach.size or reach.local:,}" if reach.size or reach.local > 1 else
             f"all of {axis}" for axis, reach in axes.items()]
    widened = any(reach.size is None and reach.local > 1 for reach in axes.values())
    return ", ".join(parts) + (", up to a layer that sees all of it" if widened else "")
