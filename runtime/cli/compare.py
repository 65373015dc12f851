"""`flaxspec compare`: how two networks reach, remember, share weights, and wait."""

from __future__ import annotations

import json as json_
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.character import Character, character, grows
from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.graph import Graph
from compiler.pipeline import graph_of, make_program
from compiler.plan import Plan, as_json, make_plan, unknown_inputs
from compiler.program import Program
from runtime.asking import request
from runtime.cli.diff import found_spec, names_of
from runtime.cli.plan import reach_told
from runtime.cli.terminal import DEFAULT_LENGTH, bold, columns, say, short, show, size_of
from runtime.cli.writing import write_text

if TYPE_CHECKING:
    from runtime.stopwatch import Taken

# The open lengths that are compared where nobody names any.
LENGTHS = (32, 64, 128, 256)


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        name: what it is called in the comparison.
        graph: its network, lengths open.
        plans: what it costs by length; under one length only where none is open.
        character: what kind of network it is, at the length that most is told of.
        taken: seconds by length; empty where nobody asked.
    """

    name: str
    graph: Graph
    plans: dict[int, Plan]
    character: Character
    taken: dict[int, Taken]

    @property
    def open(self) -> bool:
        """Whether its length is open."""
        return bool(unknown_inputs(self.graph))

    def plan(self, length: int) -> Plan:
        """What it costs at a length, or at its own."""
        return self.plans[length] if self.open else next(iter(self.plans.values()))

    def seconds(self, length: int) -> Taken:
        """What it takes at a length, or at its own."""
        return self.taken[length] if self.open else next(iter(self.taken.values()))


def run(
    first: str, second: str, sets: Sequence[str], sets_a: Sequence[str], sets_b: Sequence[str], *,
    length: int | None, lengths: Sequence[int], measure: bool, batch: int, out: Path | None,
    json: bool,
) -> None:
    """Print two networks side by side.

    Args:
        first, second: a file, a zoo name, either with `:VARIANT` behind it, a run, or a bundle.
        sets: the texts of `--set`, for both.
        sets_a, sets_b: those for one of them.
        length: what stands for lengths that are open, in what is told of one length.
        lengths: the open lengths that figures are told for.
        measure: also the time that a prediction and a step of training take here.
        batch: examples at once.
        out: a page with charts to write.
        json: print JSON.

    Raises:
        SpecError: one of them has errors, or F0807, F0841 the page cannot be written.
    """
    if out is not None and out.exists():
        raise SpecError([diagnostic("F0807", f"there is something called `{out}` already",
                                    help="choose another name with `-o`")])
    names = names_of(first, second)
    at = length or DEFAULT_LENGTH
    asked = tuple(sorted({*lengths, at, 2 * at}))
    sides = [_side(reference, (*sets, *own), name, at, asked, batch)
             for reference, own, name in ((first, sets_a, names[0]), (second, sets_b, names[1]))]
    if measure:
        sides = [_measured(side, lengths or (at,), at, batch) for side in sides]
    if out is not None:
        _write(out, sides, at, lengths)
    if json:
        print(json_.dumps({"length": at, "batch": batch, "specs": [
            _json(side, at, lengths) for side in sides]}, indent=2, ensure_ascii=False))
        return
    lines = _told(sides, at, batch)
    if any(side.open for side in sides):
        lines += ["", *_by_length(sides, lengths)]
    if measure:
        lines += ["", *_times(sides, lengths, at, batch)]
    if out is not None:
        lines += ["", f"charts: {out}"]
    say("\n".join(lines))


def _side(reference: str, assignments: Sequence[str], name: str, at: int,
          lengths: Sequence[int], batch: int) -> Side:
    report, (spec, variant) = Report(), found_spec(reference)
    program = make_program(request(spec, variant, assignments), report)
    graph = graph_of(program, report)
    show(report.diagnostics)
    if not unknown_inputs(graph):
        plan = make_plan(graph, batch=batch)
        return Side(name, graph, {0: plan}, character(plan), {})
    plans = {length: _plan(program, length, batch) for length in lengths}
    return Side(name, graph, plans, character(plans[at]), {})


def _plan(program: Program, length: int, batch: int) -> Plan:
    return make_plan(graph_of(program, Report(), length=length), batch=batch)


def _measured(side: Side, lengths: Sequence[int], at: int, batch: int) -> Side:
    from runtime.stopwatch import taken

    found = {length: taken(side.graph, length, batch)
             for length in (lengths if side.open else (at,))}
    return Side(side.name, side.graph, side.plans, side.character, found)


# ----------------------------------------------------------------------------------- as text


def _told(sides: Sequence[Side], at: int, batch: int) -> list[str]:
    plans = [side.plan(at) for side in sides]
    totals = [plan.totals for plan in plans]
    kinds = [side.character for side in sides]
    rows: list[tuple[str, ...]] = [("", *(side.name for side in sides))]

    def row(name: str, cells: Sequence[str]) -> None:
        rows.append((name, *cells))

    row("kind", [_kind(plan, kind) for plan, kind in zip(plans, kinds)])
    row("parameters", [f"{t.params:,}" for t in totals])
    row("MACs for an example", [short(t.macs) for t in totals])
    row("a weight is used", [f"{_times_told(k.uses)} on average" for k in kinds])
    row("most in", [f"{k.most_used[0]}: {_times_told(k.most_used[1])}" if k.most_used[0] else "–"
                    for k in kinds])
    row("sees", [_reach(kind) for kind in kinds])
    row("remembers", ["all steps before" if k.recurrent else "nothing beyond what it sees"
                      for k in kinds])
    row("waits", [f"{k.chain:,} steps in a row" for k in kinds])
    row("at the same time", [f"{short(round(k.side_by_side))} MACs on average" for k in kinds])
    row("alive at once", [size_of(t.activation_bytes["inference"]) for t in totals])
    row("kept in training", [size_of(t.activation_bytes["training"]) for t in totals])
    if any(side.open for side in sides):
        for name, figure in (("MACs grow", _macs), ("waiting grows", _chain),
                             ("memory grows", _kept)):
            row(name, [grows(figure(side.plan(at)), figure(side.plan(2 * at)), 2)
                       if side.open else "its length is fixed" for side in sides])
    head, *lines = columns(rows, "<" * (len(sides) + 1))
    note = f"for a batch of {batch}" + (
        f", and {at} steps where the length is open (--length N)"
        if any(side.open for side in sides) else "")
    return [bold(head), *lines, "", f"memory is {note}"]


def _macs(plan: Plan) -> int:
    return plan.totals.macs


def _chain(plan: Plan) -> int:
    return plan.totals.steps


def _kept(plan: Plan) -> int:
    return plan.totals.activation_bytes["training"]


def _kind(plan: Plan, kind: Character) -> str:
    words = [row.operation.word for row in plan.rows if row.runs]
    found = [name for name, there in (
        ("recurrent", kind.recurrent), ("convolutional", any("conv" in w for w in words)),
        ("attention", any("attention" in w for w in words))) if there]
    return " and ".join(found) or "dense"


def _times_told(uses: float) -> str:
    return "once" if round(uses, 1) == 1 else f"{uses:,.1f} times" if uses < 10 else (
        f"{uses:,.0f} times")


def _reach(kind: Character) -> str:
    told = [reach_told(axes) for axes in kind.reach.values()]
    return "; ".join(text for text in told if text) or "all of its input"


def _by_length(sides: Sequence[Side], lengths: Sequence[int]) -> list[str]:
    rows = [("steps", *(f"{what} {side.name}" for side in sides
                        for what in ("MACs", "waits", "kept")))]
    rows += [(str(length), *(cell for side in sides for cell in (
        short(_macs(side.plan(length))), f"{_chain(side.plan(length)):,}",
        size_of(_kept(side.plan(length)))))) for length in lengths]
    head, *lines = columns(rows, ">" * (1 + 3 * len(sides)))
    return [bold(head), *lines]


def _times(sides: Sequence[Side], lengths: Sequence[int], at: int, batch: int) -> list[str]:
    rows = [("steps", *(f"{side.name}, {what}" for side in sides
                        for what in ("predict", "train")))]
    for length in lengths if any(side.open for side in sides) else (at,):
        taken = [side.seconds(length) for side in sides]
        rows.append((str(length), *(f"{1000 * s:,.1f} ms" for t in taken
                                    for s in (t.prediction, t.training))))
    head, *lines = columns(rows, ">" * (1 + 2 * len(sides)))
    return [bold(head), *lines, "", f"for a batch of {batch} on this machine, medians; "
            "training is forward and backward"]


# ------------------------------------------------------------------------- as JSON, as a page


def _json(side: Side, at: int, lengths: Sequence[int]) -> dict[str, Any]:
    kind = side.character
    found = {"name": side.name, "totals": as_json(side.plan(at))["totals"],
             "recurrent_layers": kind.recurrent, "uses_of_a_weight": kind.uses,
             "most_used": {"layer": kind.most_used[0], "times": kind.most_used[1]},
             "macs_at_once": kind.side_by_side}
    if side.open:
        found["lengths"] = [{"length": n, "macs": _macs(side.plan(n)),
                             "steps": _chain(side.plan(n)), "kept_bytes": _kept(side.plan(n))}
                            for n in lengths]
    if side.taken:
        found["seconds"] = [{"length": n if side.open else None, "predict": t.prediction,
                             "train": t.training} for n, t in side.taken.items()]
    return found


def _write(out: Path, sides: Sequence[Side], at: int, lengths: Sequence[int]) -> None:
    from html import escape

    from runtime.report.chart import Line, chart
    from runtime.report.page import page

    def lines(figure: Any) -> list[Line]:
        return [Line(side.name, [(n, figure(side, n)) for n in lengths], kind)
                for side, kind in zip(sides, ("validation", "other"))]

    charts = [chart("million MACs", lines(lambda s, n: _macs(s.plan(n)) / 1e6), "steps"),
              chart("steps that wait for each other", lines(lambda s, n: _chain(s.plan(n))),
                    "steps"),
              chart("MiB kept in training", lines(lambda s, n: _kept(s.plan(n)) / 2**20), "steps")]
    if all(side.taken for side in sides):
        charts += [chart("ms, prediction",
                         lines(lambda s, n: 1e3 * s.seconds(n).prediction), "steps"),
                   chart("ms, training", lines(lambda s, n: 1e3 * s.seconds(n).training), "steps")]
    title = " and ".join(side.name for side in sides)
    table = "\n".join(_told(sides, at, sides[0].plan(at).batch))
    body = f'<div class="charts">{"".join(charts)}</div>'
    write_text(out, page(title, f"<h1>{escape(title)}</h1>", [
        ("figures", "Side by side", f"<pre>{escape(table)}</pre>"),
        ("lengths", "By length", body)]))
