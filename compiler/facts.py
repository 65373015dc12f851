"""Proof of the figures that a spec publishes under `facts`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compiler.diagnostics import Report, SpecError
from compiler.pipeline import Request, graph_of, make_program, requests_of_facts
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
    for name, wanted in zip(facts, requests_of_facts(request, program)):
        if not only or name == only:
            proofs += _proofs(name, wanted, report)
    return proofs


def _proofs(name: str, request: Request, report: Report) -> Iterator[Proof]:
    found = Report()
    try:
        # Read again, for this variant's own values; the places are those of its own reading.
        program = make_program(request, found)
        graph = graph_of(program, found)
    except SpecError as error:
        for complaint in error.diagnostics:
            report.add(complaint)
        return
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
            yield Proof(name, figure, node.value, None)
            continue
        proof = Proof(name, figure, node.value, getattr(plan.totals, figure))
        if not proof.holds:
            _complain(proof, node, plan, report)
        yield proof


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
