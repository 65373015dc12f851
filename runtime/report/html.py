"""report.html: a run as one page that opens anywhere, offline and without scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from compiler.diagnostics import SpecError, diagnostic
from compiler.graph import Graph
from compiler.plan import Plan
from compiler.targets.diagram import drawings
from runtime import folder as files
from runtime.data.dataset import Dataset
from runtime.report.chart import Line, chart
from runtime.report.console import figure, span, speed
from runtime.report.evidence import evidence
from runtime.report.fold import described, fitting_depth, tree, unfolded
from runtime.report.jsonl import read_events
from runtime.report.page import STYLE, page, table, tile
from runtime.run import Prepared
from runtime.saved import Trained

# Lines of the plan's table: a report is longer than a screen.
PLAN_LINES = 60


def write_report(
    folder: Path, prepared: Prepared, plan: Plan, trained: Trained, dataset: Dataset,
    details: Mapping[str, Any],
) -> None:
    """Write report.html of a run whose other files are there.

    Args:
        folder: the run's folder.
        prepared: its recipe.
        plan: what training it cost.
        trained: its model.
        dataset: its data.
        details: what the task has to say of the test part beyond figures.

    Raises:
        SpecError: F0812 the file cannot be written.
    """
    def content(name: str) -> dict[str, Any]:
        return json.loads((folder / name).read_text(encoding="utf-8"))

    record = Record(
        prepared.program.name, prepared.program.document.summary or "",
        read_events(folder / files.METRICS), content(files.SUMMARY), content(files.ENVIRONMENT),
        # Somebody may have changed it since, and saved it otherwise than as UTF-8.
        (folder / files.SPEC).read_text(encoding="utf-8", errors="replace"), plan, prepared.graph,
        evidence(trained, dataset, details), "test" if dataset.test.size else "validation")
    text = report(record)
    try:
        # The name of a file need not be UTF-8.
        (folder / files.REPORT).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise SpecError([diagnostic(
            "F0812", f"`{folder / files.REPORT}` cannot be written: {error.strerror or error}",
            notes=["the run itself is finished and kept"],
            help="make room, or the folder writable")]) from None


@dataclass(frozen=True)
class Record:
    """All that a report tells.

    Attributes:
        name: the run's name.
        summary: the recipe's own sentence about itself, or "".
        events: the lines of metrics.jsonl.
        result: the content of summary.json.
        environment: the content of environment.json.
        spec: the text of spec.yaml.
        plan: what the model costs in training.
        graph: the model.
        evidence: HTML of what the model says of the test part.
        part: the part that `evidence` is about.
    """

    name: str
    summary: str
    events: Sequence[Mapping[str, Any]]
    result: Mapping[str, Any]
    environment: Mapping[str, Any]
    spec: str
    plan: Plan
    graph: Graph
    evidence: str
    part: str


def report(record: Record) -> str:
    """The page."""
    return page(record.name, _head(record), [
        ("curves", "Learning curves", curves(record.events)),
        ("evidence", f"What it says of the {record.part} part", record.evidence),
        ("plan", "Plan", _plan(record.plan)),
        ("architecture", "Architecture", _architecture(record.graph)),
        ("reproduce", "How to reproduce", _reproduce(record)),
    ])


def _head(record: Record) -> str:
    result = record.result
    part = "test" if result["test"] else "validation"
    tiles = [tile(figure(name, value), f"{name} on {part}")
             for name, value in result[part].items()]
    tiles += [tile(f"{result['params']:,}", "trained parameters"),
              tile(span(result["seconds"]), "in all"),
              tile(f"{result['epochs']:,}", "epochs" if result["kept_epoch"] == result["epochs"]
                   else f"epochs; weights of epoch {result['kept_epoch']}")]
    others = [[name.replace("_", " "), *(figure(k, v) for k, v in figures.items())]
              for name, figures in result.get("baselines", {}).items()]
    compared = ""
    if others:
        names = list(next(iter(result["baselines"].values())))
        own = ["this model", *(figure(k, result["test"][k]) for k in names)]
        compared = table(["", *names], [own, *others], "<" + ">" * len(names))
    summary = f'<p class="dim">{escape(record.summary)}</p>' if record.summary else ""
    return (f"<h1>{escape(record.name)}</h1>{summary}"
            f'<div class="tiles">{"".join(tiles)}</div>{compared}')


def curves(events: Sequence[Mapping[str, Any]]) -> str:
    """A chart for each figure over the epochs, and the learning rate and speed."""
    epochs = [event for event in events if event.get("event") == "epoch"]
    if not epochs:
        return ""
    names = list(dict.fromkeys(
        name for epoch in epochs for part in ("train", "validation")
        for name in epoch.get(part) or {}))

    def line(part: str, name: str) -> Line:
        return Line("training" if part == "train" else part, [
            (epoch["epoch"], epoch[part][name]) for epoch in epochs
            if (epoch.get(part) or {}).get(name) is not None], part)

    charts = [chart(name, [line("train", name), line("validation", name)], "epoch")
              for name in names]
    for key, title in (("learning_rate", "learning rate"),
                       ("examples_per_second", "examples per second")):
        points = [(epoch["epoch"], epoch[key]) for epoch in epochs if epoch.get(key) is not None]
        if len({value for _, value in points}) > 1:
            charts.append(chart(title, [Line(title, points)], "epoch"))
    return f'<div class="charts">{"".join(charts)}</div>'


def notebook_view(trained: Trained) -> str:
    """A run as a notebook shows it: scores and curves, in a frame of their own style."""
    name = escape(str(trained.folder.name if trained.folder else "a run"))
    scores = "".join(tile(figure(key, value), f"{key} on test")
                     for key, value in trained.summary.get("test", {}).items())
    body = f"<h3>{name}</h3><div class='tiles'>{scores}</div>{curves(trained.history)}"
    document = escape(f"<style>{STYLE}</style><main style='padding:8px'>{body}</main>")
    return (f'<iframe srcdoc="{document}" sandbox="" '
            'style="width:100%;height:460px;border:0"></iframe>')


def _plan(plan: Plan) -> str:
    branches = tree(plan)
    depth = fitting_depth(branches, PLAN_LINES)
    rows = []
    for deep, branch in unfolded(branches, depth):
        params, macs = branch.parameters, branch.macs
        times = f"  ×{branch.times}" if branch.times > 1 else ""
        rows.append(["  " * deep + branch.label + times, described(branch, deep == depth - 1),
                     str(branch.last.output), f"{params:,}" if params else "",
                     f"{macs:,}" if macs else ""])
    totals = plan.totals
    memory = totals.activation_bytes["training"]
    frozen = totals.params - totals.trainable
    tiles = [tile(f"{totals.params:,}", "parameters"),
             *([tile(f"{frozen:,}", "of them frozen")] if frozen else []),
             tile(f"{totals.macs:,}", "multiply-accumulates an example"),
             tile(_bytes(totals.weight_bytes), "weights in float32"),
             tile(_bytes(memory), f"kept for a batch of {plan.batch}")]
    return f'<div class="tiles">{"".join(tiles)}</div>' + table(
        ["layer", "what it is", "output", "params", "MACs"], rows, "<<<>>", "plan")


def _bytes(count: int) -> str:
    """"97.7 MiB", "1.3 KiB"."""
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:,.1f} KiB"


def _architecture(graph: Graph) -> str:
    return "".join(f'<figure class="drawing">{drawing.svg}</figure>' for drawing in drawings(graph))


def _reproduce(record: Record) -> str:
    environment = record.environment
    made_by = record.spec.partition("\n")[0].removeprefix("# Made by: ")
    packages = environment.get("packages", {})
    system = environment.get("platform", {})
    devices = ", ".join(f"{d['count']} × {d['kind']}" for d in environment.get("devices", []))
    rows = [["seed", str(record.result.get("seed", ""))],
            ["flaxspec", str(environment.get("flaxspec", ""))],
            ["Python", str(environment.get("python", ""))],
            *([name, version] for name, version in packages.items()),
            ["devices", devices],
            ["system", f"{system.get('system', '')} {system.get('machine', '')}, "
                       f"{system.get('cores', '?')} cores"]]
    rates = [e["examples_per_second"] for e in record.events if e.get("examples_per_second")]
    if rates:
        rows.append(["examples per second", speed(sorted(rates)[len(rates) // 2])])
    return (f"<p>This run was made by</p><pre>{escape(made_by)}</pre>"
            "<p>and its folder's own spec does the same, with every value in place:</p>"
            "<pre>compile-and-train spec.yaml</pre>"
            + table(["", ""], rows, "<<")
            + f"<details><summary>spec.yaml</summary><pre>{escape(record.spec)}</pre></details>")
