"""What in `train.phases` has to suit the losses and the model; no JAX is needed to tell."""

from __future__ import annotations

from compiler.diagnostics import Report, nearest
from compiler.graph import Graph, active
from compiler.source import Span
from runtime.patterns import check_patterns, matches, parameter_paths
from runtime.recipe import Training
from runtime.tasks.written import Written
from runtime.train_parts import Phase

SHOWN = 4  # layers that are named


def check_phases(training: Training, graph: Graph, report: Report) -> None:
    """Report phases that name what there is not, and parameters that none of them trains.

    Args:
        training: the recipe's sections, with phases.
        graph: the model, with what the recipe freezes.
        report: where errors go.
    """
    phases, written = training.train.phases, training.written
    assert isinstance(written, Written), "recipes with phases have losses written out"
    spans = training.spans
    span = spans.get("phases", spans["train"])
    for number, phase in enumerate(phases):
        _check_losses(phase, written, report, spans.get(f"phases.{number}.minimise", span))
        check_patterns(dict.fromkeys(phase.update, 1.0), graph, report,
                       spans.get(f"phases.{number}.update", span))
    paths = dict.fromkeys(parameter_paths(graph))
    patterns = [pattern for phase in phases for pattern in phase.update]
    left = dict.fromkeys(path.rpartition(".")[0] for path in paths
                         if not any(matches(pattern, path) for pattern in patterns))
    if left:
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        first = next(iter(left)).split(".")[0]
        report.error(
            "F0647", f"no phase updates {', '.join(f'`{name}`' for name in list(left)[:SHOWN])}"
                     f"{more}", span,
            help=f"add `{first}` to the `update` of a phase; what is to stay as it is stands in "
                 f"`freeze: [{first}]`")


def _check_losses(phase: Phase, written: Written, report: Report, span: Span | None) -> None:
    """Report losses that a phase cannot make small."""
    parts = written.parts
    for name in phase.minimise:
        if name not in parts:
            report.error("F0646", f"a phase minimises `{name}`, which is no loss of this recipe",
                         span, nearest(name, parts),
                         notes=[f"its losses: {', '.join(parts) or 'none'}"],
                         help="it is a metric: write it out under `losses`"
                         if name in written.metrics else "")
        elif not active(parts[name], training=True):
            report.error("F0646", f"a phase minimises `{name}`, which counts in evaluation only",
                         span, help="take its `during` away")
