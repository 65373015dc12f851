"""Proof of the figures that a spec publishes under `facts`."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.diagnostics import Report, SpecError
from compiler.pipeline import (
    MAX_WORK,
    Request,
    graph_of,
    make_program,
    requests_of_facts,
    uncollected,
    work_of,
)
from compiler.plan import Plan, Row, make_plan, unknown_inputs
from compiler.tree import Mapping, Scalar

FIGURES = ("params", "buffers", "macs")
HEAVIEST = 5  # layers named where a figure is wrong


@dataclass(frozen=True, slots=True)
class Proof:
    """A published figure and the one that the compiler counts; None where it cannot."""

    variant: str
    figure: str
    published: int
    found: int | None

    @property
    def holds(self) -> bool:
        return self.published == self.found


def check_facts(request: Request, report: Report, *, only: str = "") -> list[Proof]:
    """Compare the facts of every variant with what the compiler counts.

    Args:
        request: the spec; its variant and assignments do not matter.
        report: gets an F0701 for each figure that is not true, and every error of a variant.
        only: the one variant to look at, where not all.

    Raises:
        SpecError: nothing could be made of the spec itself.
    """
    program = make_program(request, report)
    proofs: list[Proof] = []
    facts = program.document.facts or {}
    work = 0
    for name, wanted in zip(facts, requests_of_facts(request, program)):
        if only and name != only:
            continue
        if work > MAX_WORK:
            report.error("F0502", f"the facts of all variants take too long to prove; `{name}` and "
                         "those after it are not proven", program.tree.key_spans["facts"],
                         help=f"prove them one by one: `--variant {name}`")
            break
        more, cost = _proofs(name, wanted, report)
        proofs += more
        work += cost
    return proofs


@uncollected()
def _proofs(name: str, request: Request, report: Report) -> tuple[list[Proof], int]:
    """The proofs of one variant's facts, and the work they took."""
    found, proofs = Report(), []
    try:
        # Read again, for this variant's own values; the places are those of its own reading.
        program = make_program(request, found)
        graph = graph_of(program, found)
    except SpecError as error:
        for complaint in error.diagnostics:
            report.add(complaint)
        return [], MAX_WORK // 10
    facts = program.document.facts[name]
    assert isinstance(facts, Mapping)
    phase = facts.get("during")
    training = isinstance(phase, Scalar) and phase.value == "training"
    unknown = unknown_inputs(graph)
    if unknown:
        graph = graph_of(program, found, length=1)  # no parameter depends on a length
    plan = make_plan(graph, training=training)
    for figure in FIGURES:
        node = facts.get(figure)
        if not isinstance(node, Scalar) or not isinstance(node.value, int):
            continue
        if figure == "macs" and unknown:
            report.error("F0701", f"the macs of {name} depend on the length of "
                         f"{', '.join(unknown)}", node.span,
                         help="give the variant a length, or take this fact away")
            proofs.append(Proof(name, figure, node.value, None))
            continue
        proof = Proof(name, figure, node.value, getattr(plan.totals, figure))
        if not proof.holds:
            _complain(proof, node, plan, report)
        proofs.append(proof)
    return proofs, work_of(program.scope.budget, program.tree) + graph.instances


def _complain(proof: Proof, node: Scalar, plan: Plan, report: Report) -> None:
    assert proof.found is not None
    more = proof.found - proof.published
    report.error(
        "F0701", f"{proof.variant} has {proof.found:,} {proof.figure}, not {proof.published:,}",
        node.span, f"{abs(more):,} {'fewer' if more > 0 else 'more'} than there are",
        notes=[f"most {proof.figure}: {_heaviest(plan.rows, proof.figure)}"] if proof.found else (),
        help="a fact is an exact integer: compare the published model with `flaxspec plan`")


def _heaviest(rows: tuple[Row, ...], figure: str) -> str:
    """"dense_1 512,000; conv_1 9,408": the layers with most of a figure."""
    found = [(getattr(row, figure), row.path) for row in rows]
    heavy = sorted(found, key=lambda pair: -pair[0])[:HEAVIEST]
    return "; ".join(f"{path} {count:,}" for count, path in heavy if count)
