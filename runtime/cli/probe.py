"""`flaxspec probe`: what the textbooks say of networks, measured on some."""

from __future__ import annotations

import json as json_
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.lower.build import build_model, load_named_weights
from compiler.passes import optimise
from compiler.pipeline import graph_of, make_program
from compiler.plan import make_plan, unknown_inputs
from runtime.asking import request
from runtime.cli.diff import found_spec
from runtime.cli.terminal import DEFAULT_LENGTH, bold, columns, say, show
from runtime.cli.writing import write_text
from runtime.finding import find, run_folder
from runtime.folder import SPEC, finite
from runtime.probing import Backward, Field, Findings, Share, Subject, probe
from runtime.random_inputs import random_input
from runtime.run import prepare
from runtime.saved import batches, load_from
from runtime.share.reference import names_bundle
from runtime.step import PureModel

# Distances that the table of gradients has.
DISTANCES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
# A layer with less of it out of action is not worth a line.
TOLD = 0.005
# A step's factor between these keeps gradients alive over a hundred steps, more or less.
FADES, GROWS = 0.95, 1.05
CHARACTERS = " .:-=+*#%@"
MOST_COLUMNS = 48


def run(
    references: Sequence[str], sets: Sequence[str], *, examples: int, length: int | None,
    seed: int, out: Path | None, json: bool,
) -> None:
    """Probe models and print what was found.

    Args:
        references: files, zoo names, either with `:VARIANT` behind it, runs, or bundles.
        sets: the texts of `--set`, for all specs.
        examples: how many examples a model is asked about.
        length: steps of random inputs whose length is open.
        seed: of fresh weights, random inputs and directions.
        out: a page to write.
        json: print JSON.

    Raises:
        SpecError: a spec has errors, a run is not in order, F0720 `--set` meets a run, or
            F0807, F0841 the page cannot be written.
    """
    if out is not None and out.exists():
        raise SpecError([diagnostic("F0807", f"there is something called `{out}` already",
                                    help="choose another name with `-o`")])
    subjects = [_subject(reference, sets, examples, length or DEFAULT_LENGTH, seed)
                for reference in references]
    found = [(subject, probe(subject, seed)) for subject in subjects]
    if out is not None:
        write_text(out, _page(found))
    if json:
        print(json_.dumps({"examples": examples, "models": [
            finite(_json(subject, findings)) for subject, findings in found]},
            indent=2, ensure_ascii=False))
        return
    lines = _told(found, examples)
    if out is not None:
        lines += ["", f"charts: {out}"]
    say("\n".join(lines))


def _subject(reference: str, sets: Sequence[str], examples: int, length: int,
             seed: int) -> Subject:
    if names_bundle(reference) or run_folder(reference) is not None:
        if sets:
            raise SpecError([diagnostic(
                "F0720", f"`--set` changes a spec, and `{reference}` is a finished run",
                help="probe its spec, or leave out `--set`")])
        return _of_run(reference, examples)
    report, (spec, variant) = Report(), found_spec(reference)
    program = make_program(request(spec, variant, sets), report)
    graph = graph_of(program, report)
    if unknown_inputs(graph):
        graph = graph_of(program, Report(), length=length)
    show(report.diagnostics)
    model = build_model(optimise(graph), seed=seed)
    load_named_weights(model, graph, program.weights_file)
    model.eval()
    pure, params, rest = PureModel.split(model, {})
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    arrays = {v.name: random_input(v.type, length, examples, rng) for v in graph.inputs}
    return Subject(
        Path(spec).stem + (f":{variant}" if variant else ""), graph, make_plan(graph),
        lambda given, watch: pure.merge(params, rest).run(
            given, training=False, key=key, watch=watch),
        arrays, trained=program.weights_file is not None)


def _of_run(reference: str, examples: int) -> Subject:
    """A finished run or a bundle, on examples of its validation part, or of its test part."""
    folder = find(reference)
    prepared = prepare(folder / SPEC, Report())
    trained = load_from(folder, prepared)
    data = trained.training.data.load()
    part = next((p for p in (data.validation, data.test, data.train) if p.size), data.train)
    batch = next(batches(part.take(np.arange(min(examples, part.size))), examples))
    inputs = trained.inputs
    arrays = {name: np.asarray(batch.arrays[of]) for name, of in inputs.items()}
    lengths = {name: np.asarray(batch.lengths[of]) for name, of in inputs.items()
               if of in batch.lengths}
    key = jax.random.key(0)

    def asked(given: Any, watch: Any) -> Any:
        changed = batch._replace(arrays=batch.arrays | {
            of: given[name] for name, of in inputs.items()})
        return trained.pure.run(trained.params, trained.rest, changed, training=False, key=key,
                                watch=watch)[0]

    graph = sized = trained.model.graph
    if unknown_inputs(graph):
        steps = [arrays[v.name].shape[1] for v in graph.inputs if "time" in v.type.axes]
        sized = graph_of(prepared.program, Report(), length=max(steps, default=DEFAULT_LENGTH))
    return Subject(Path(reference).name, graph, make_plan(sized), asked, arrays, lengths, True)


# ----------------------------------------------------------------------------------- as text


def _told(found: Sequence[tuple[Subject, Findings]], examples: int) -> list[str]:
    lines: list[str] = []
    through = [(s, f.backward) for s, f in found if f.backward is not None]
    if through:
        lines += _backward_told([(s.name, b) for s, b in through])
    for subject, findings in found:
        if findings.field is not None:
            lines += ["", *_field_told(subject, findings.field)]
        for title, shares in (("units that never answer", findings.dead),
                              ("values at a limit", findings.saturated)):
            if shares:
                lines += ["", *_shares_told(f"{subject.name}: {title}", shares)]
    state = {True: "trained weights", False: "fresh weights"}
    kinds = " and ".join(dict.fromkeys(state[s.trained] for s, _ in found))
    return [*(lines or ["nothing here applies: no sequence, no windows, no rectifiers"]), "",
            f"{kinds}; {examples} examples at most"]


def _backward_told(found: Sequence[tuple[str, Backward]]) -> list[str]:
    most = max(len(b.norms) for _, b in found)
    rows = [("gradient, steps before the last", *(name for name, _ in found))]
    for distance in (d for d in DISTANCES if d < most):
        rows.append((str(distance), *(
            f"{b.norms[distance] / max(b.norms[0], 1e-300):.3g}" if distance < len(b.norms) else ""
            for _, b in found)))
    rows.append(("each step times", *(f"{b.factor:.3f}" for _, b in found)))
    rows.append(("so that it", *(_word(b.factor) for _, b in found)))
    head, *lines = columns(rows, ">" * len(rows[0]))
    return [bold(head), *lines]


def _word(factor: float) -> str:
    if factor <= 0:
        return "ends at once"
    if factor < FADES:
        return f"halves in {math.log(0.5) / math.log(factor):.1f}"
    return f"doubles in {math.log(2) / math.log(factor):.1f}" if factor > GROWS else "lasts"


def _field_told(subject: Subject, found: Field) -> list[str]:
    size = " × ".join(map(str, found.reach))
    side = f"{found.effective:.1f}" + (" × " + f"{found.effective:.1f}" if len(found.reach) > 1
                                       else "")
    lines = [bold(f"{subject.name}: what the middle of {found.layer} hangs on, in {found.input}"),
             f"it could be {size}; it is about {side}"]
    if found.map.ndim == 2 and max(found.map.shape) <= MOST_COLUMNS:
        lines += ["".join(2 * CHARACTERS[min(len(CHARACTERS) - 1, int(v * len(CHARACTERS)))]
                          for v in row).rstrip() for row in found.map]
    return lines


def _shares_told(title: str, shares: Sequence[Share]) -> list[str]:
    worst = [s for s in shares if s.share >= TOLD]
    if not worst:
        return [bold(title), f"none, in {len(shares)} layer{'s' if len(shares) > 1 else ''}"]
    rows = [(title, "", ""), *((s.layer, s.word, f"{100 * s.share:.1f} % of {s.count:,}")
                               for s in worst)]
    head, *lines = columns(rows, "<<>")
    rest = len(shares) - len(worst)
    return [bold(head), *lines, *([f"none in {rest} others"] if rest else [])]


# ------------------------------------------------------------------------- as JSON, as a page


def _json(subject: Subject, found: Findings) -> dict[str, Any]:
    def shares(given: Sequence[Share]) -> list[dict[str, Any]]:
        return [{"layer": s.layer, "operator": s.word, "share": s.share, "of": s.count}
                for s in given]

    return {
        "name": subject.name, "trained": subject.trained,
        "gradient": None if found.backward is None else {
            "norms": found.backward.norms.tolist(), "factor": found.backward.factor},
        "field": None if found.field is None else {
            "layer": found.field.layer, "input": found.field.input,
            "reach": list(found.field.reach), "effective": found.field.effective,
            "map": found.field.map.tolist()},
        "dead": shares(found.dead), "saturated": shares(found.saturated)}


def _page(found: Sequence[tuple[Subject, Findings]]) -> str:
    from html import escape

    from runtime.report.chart import Line, chart
    from runtime.report.page import page, table
    from runtime.report.paint import enlarged, heat
    from runtime.report.png import data_uri

    kinds = ("model", "other", "train", "truth")
    through = [(s.name, f.backward.norms) for s, f in found
               if f.backward is not None and f.backward.norms[0] > 0]
    lines = [Line(name, [(d, math.log10(norm / norms[0])) for d, norm in enumerate(norms)
                         if norm > 0], kind)
             for (name, norms), kind in zip(through, kinds * len(found))]
    gradients = chart("log10 of the gradient's norm, against the last step's", lines,
                      "steps before the last")
    fields = []
    for subject, findings in found:
        if (there := findings.field) is None:
            continue
        plane = there.map if there.map.ndim == 2 else there.map[None]
        size = " × ".join(map(str, there.reach))
        caption = (f"{subject.name}, {there.layer}: {size} possible, "
                   f"{there.effective:.1f} effective")
        look = "width:min(100%,300px);image-rendering:pixelated"
        picture = data_uri(enlarged(heat(np.sqrt(plane)), 96))
        fields.append(f'<figure><img alt="" style="{look}" src="{picture}">'
                      f"<figcaption>{escape(caption)}</figcaption></figure>")
    rows = [(s.name, share.layer, share.word, what, f"{100 * share.share:.1f} %",
             f"{share.count:,}")
            for s, f in found
            for what, shares in (("never answers", f.dead), ("at a limit", f.saturated))
            for share in shares]
    title = ", ".join(s.name for s, _ in found)
    return page(title, f"<h1>{escape(title)}</h1>", [
        ("gradients", "Gradients through time",
         f'<div class="charts">{gradients}</div>' if gradients else ""),
        ("reach", "Effective receptive field",
         f'<div class="charts">{"".join(fields)}</div>' if fields else ""),
        ("units", "Dead and saturated units", table(
            ("model", "layer", "operator", "", "share", "of"), rows, "<<<<>>") if rows else "")])
