"""`flaxspec diff`: two networks and their recipes, layer by layer and value by value."""

from __future__ import annotations

import json as json_
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compiler.diagnostics import Report
from compiler.graph import Graph
from compiler.pipeline import graph_of, make_program
from compiler.plan import Plan, make_plan, unknown_inputs
from compiler.targets.difference import Change, changes
from compiler.targets.identity import network_hash
from compiler.targets.matching import Part, parts
from runtime.asking import request
from runtime.cli.terminal import DEFAULT_LENGTH, bold, columns, say, short, show, size_of
from runtime.difference import different_values, recipe_values
from runtime.finding import run_folder
from runtime.folder import SPEC
from runtime.identity import recipe_hash
from runtime.recipe import is_recipe, read_training
from runtime.share.reference import names_bundle

MARKS = {"added": "+", "removed": "-", "changed": "~", "renamed": ">", "repeats": "~",
         "wired": "~"}
LISTED = 4  # numbers in a path that are listed, where they do not follow each other
_VARIANT = re.compile(r"(.+):([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        name: what it is called in the comparison.
        graph: its network, lengths open.
        plan: what that costs.
        parts: its layers.
        network: its hash.
        recipe: the recipe's hash, or "".
        values: the recipe's values by path.
    """

    name: str
    graph: Graph
    plan: Plan
    parts: list[Part]
    network: str
    recipe: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


def run(
    first: str, second: str, sets: Sequence[str], sets_a: Sequence[str], sets_b: Sequence[str], *,
    length: int | None, json: bool,
) -> int:
    """Print how two specs differ; 0 where they do not, else 1.

    Args:
        first, second: what to compare: see `read_side`.
        sets: the texts of `--set`, for both.
        sets_a, sets_b: those for one of them.
        length: what stands for lengths that are open.
        json: print JSON.

    Raises:
        SpecError: one of them has errors.
    """
    names = names_of(first, second)
    a = read_side(first, (*sets, *sets_a), length, names[0])
    b = read_side(second, (*sets, *sets_b), length, names[1])
    same_network, same_recipe = a.network == b.network, a.recipe == b.recipe
    found = [] if same_network else changes(a.parts, b.parts)
    ends = {} if same_network else _ends(a.graph, b.graph)
    values = different_values(a.values, b.values) if a.recipe and b.recipe else {}
    if json:
        print(json_.dumps(_json(a, b, found, ends, values), indent=2, ensure_ascii=False))
    else:
        say("\n".join(_told(a, b, found, ends, values)))
    return 0 if same_network and same_recipe else 1


def names_of(first: str, second: str) -> tuple[str, str]:
    """What the two are called: by the ends of their paths where these tell them apart."""
    if first == second:
        return f"{Path(first).name} (A)", f"{Path(second).name} (B)"
    names = Path(first).name, Path(second).name
    return names if names[0] != names[1] and all(names) else (first, second)


def read_side(reference: str, assignments: Sequence[str], length: int | None, name: str) -> Side:
    """One side of a comparison.

    Args:
        reference: a file, a zoo name, either with `:VARIANT` behind it, a run, or a bundle.
        assignments: the texts of `--set`.
        length: what stands for lengths that are open.
        name: what it is called in the comparison.

    Raises:
        SpecError: the spec has errors.
    """
    report, (spec, variant) = Report(), found_spec(reference)
    program = make_program(request(spec, variant, assignments), report)
    training = None
    if is_recipe(program.document):
        training = read_training(program.document, program.tree, report, program.directory)
    graph = graph_of(program, report)
    known = graph_of(program, Report(), length=length or DEFAULT_LENGTH) if (
        unknown_inputs(graph)) else graph
    show(report.diagnostics)
    plan = make_plan(known)
    side = Side(name, graph, plan, parts(known, plan), network_hash(graph))
    if training is None:
        return side
    return Side(side.name, graph, plan, side.parts, side.network,
                recipe_hash(program, graph, training), recipe_values(program, training))


def found_spec(reference: str) -> tuple[str, str]:
    """(the spec, its variant) that a reference names."""
    if names_bundle(reference):
        return reference, ""
    if (folder := run_folder(reference)) is not None:
        return str(folder / SPEC), ""
    if not Path(reference).exists() and (match := _VARIANT.fullmatch(reference)):
        return match[1], match[2]
    return reference, ""


def _ends(a: Graph, b: Graph) -> dict[str, tuple[str, str]]:
    """The inputs and outputs that differ: "input image" with both types."""
    found: dict[str, tuple[str, str]] = {}
    for what, one, other in (
            ("input", {v.name: v for v in a.inputs}, {v.name: v for v in b.inputs}),
            ("output", a.outputs, b.outputs)):
        for name in dict.fromkeys((*one, *other)):
            x, y = (_end(values[name], graph, what, name) if name in values else "–"
                    for values, graph in ((one, a), (other, b)))
            if x != y:
                found[what if what == name else f"{what} {name}"] = (x, y)
    return found


def _end(value: Any, graph: Graph, what: str, name: str) -> str:
    phase = graph.phases.get(name) if what == "output" else None
    below = f" below {value.type.vocabulary}" if value.type.vocabulary else ""
    dtype = f" {value.type.dtype}" if value.type.dtype != "float" else ""
    return value.type.described() + dtype + below + (f" during {phase}" if phase else "")


# ----------------------------------------------------------------------------------- as text


def _told(a: Side, b: Side, found: Sequence[Change], ends: Mapping[str, tuple[str, str]],
          values: Mapping[str, tuple[str, str]]) -> list[str]:
    lines = [_verdict(a, b)]
    if a.network != b.network:
        lines += ["", *_figures(a, b)]
        if ends:
            lines += ["", *columns([("", a.name, b.name), *(
                (name, x, y) for name, (x, y) in ends.items())], "<<<")[1:]]
        if found:
            lines += ["", *_layers(found)]
        if sizes := _sizes(a, b):
            lines += ["", *sizes]
        if not found and not ends:
            lines += ["", "the layers are the same; names of parameters, or what is read where, "
                      "are not"]
    if values:
        head, *rows = columns([("recipe", a.name, b.name), *(
            (path, x, y) for path, (x, y) in values.items())], "<<<", squeeze=2)
        lines += ["", bold(head), *rows]
    return lines


def _verdict(a: Side, b: Side) -> str:
    if a.network != b.network:
        return f"{a.name} and {b.name} are different networks"
    same = f"{a.name} and {b.name} are the same network"
    if a.recipe == b.recipe:
        return f"{same}, trained by the same recipe" if a.recipe else same
    if a.recipe and b.recipe:
        return f"{same}, trained by different recipes"
    return f"{same}; only {(a if a.recipe else b).name} says how to train it"


def _figures(a: Side, b: Side) -> list[str]:
    def row(name: str, x: int, y: int, text: Any = "{:,}".format) -> tuple[str, ...]:
        return name, text(x), text(y), _share(x, y) if x and x != y else ""

    one, other = a.plan.totals, b.plan.totals
    rows = [("", a.name, b.name, ""), row("parameters", one.params, other.params)]
    if one.buffers or other.buffers:
        rows.append(row("running statistics", one.buffers, other.buffers))
    rows += [row("MACs", one.macs, other.macs, short),
             row("kept in training", one.activation_bytes["training"],
                 other.activation_bytes["training"], size_of),
             row("layers", one.layers, other.layers)]
    head, *lines = columns(rows, "<>>>")
    return [bold(head), *lines]


def _share(before: int, after: int) -> str:
    """"+86.5 %"; two digits of what is less than a tenth of a per cent."""
    share = 100 * (after - before) / before
    text = f"{abs(share):.1f}" if abs(share) >= 0.1 else f"{abs(share):.2g}"
    return f"{'+' if share > 0 else '−'}{text} %"


def _layers(found: Sequence[Change]) -> list[str]:
    """The changes, equal ones in several places as one line."""
    groups: dict[Any, list[Change]] = {}
    for change in found:
        numbers = re.compile(r"\d+")
        what = tuple(sorted(change.fields)) if change.kind == "changed" else (
            change.what if change.kind == "repeats" else numbers.sub("#", change.what))
        key = (change.kind, numbers.sub("#", change.path), numbers.sub("#", change.before), what)
        groups.setdefault(key, []).append(change)
    rows = [("", "layers", "", "params", "MACs")]
    for group in groups.values():
        change = group[0]
        path = ranged([c.path for c in group], listed=True)
        what = ranged([c.what for c in group])
        if change.kind == "renamed":
            what = f"was {ranged([c.before for c in group], listed=True)}"
        elif change.before:
            what += f"  (was {ranged([c.before for c in group], listed=True)})"
        times = f"  ×{len(group)}" if len(group) > 1 else ""
        rows.append((MARKS[change.kind], path + times, what,
                     _more(sum(c.params for c in group)),
                     _more(sum(c.macs for c in group), short)))
    head, *lines = columns(rows, "<<<>>", squeeze=2)
    return [bold(head), *lines]


def _more(number: int, text: Any = "{:,}".format) -> str:
    return f"{'+' if number > 0 else '−'}{text(abs(number))}" if number else ""


def _sizes(a: Side, b: Side) -> list[str]:
    """The outermost layers and blocks of both whose output is of another size."""
    others = {part.label: part for part in b.parts}
    rows = [(part.label, str(one), str(two)) for part in a.parts
            if (other := others.get(part.label))
            and (one := _output(part)) != (two := _output(other))]
    if not rows:
        return []
    head, *lines = columns([("outputs", a.name, b.name), *rows], "<<<")
    return [bold(head), *lines]


def _output(part: Part) -> Any:
    rows = list(part.rows)
    return next((r.output for r in reversed(rows) if r.runs), rows[-1].output)


def ranged(texts: Sequence[str], listed: bool = False) -> str:
    """Texts that differ in their numbers as one: "conv 64…512"; else the first, and "…".

    Args:
        texts: the texts.
        listed: numbers that do not follow each other are listed: "stage0,3.unit0…1".
    """
    pieces = [re.split(r"(\d+(?:\.\d+)?)", text) for text in texts]
    if len({tuple(p[::2]) for p in pieces}) > 1:
        return texts[0] + " …"
    return "".join(_range(list(dict.fromkeys(column)), listed) for column in zip(*pieces))


def _range(values: Sequence[str], listed: bool) -> str:
    if len(values) == 1:
        return values[0]
    ordered = sorted(values, key=float)
    if listed and len(values) <= LISTED and all(v.isdigit() for v in values) and (
            int(ordered[-1]) - int(ordered[0]) >= len(values)):
        return ",".join(ordered)
    return f"{ordered[0]}…{ordered[-1]}"


# ----------------------------------------------------------------------------------- as JSON


def _json(a: Side, b: Side, found: Sequence[Change], ends: Mapping[str, tuple[str, str]],
          values: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    def side(s: Side) -> dict[str, Any]:
        totals = s.plan.totals
        return {"name": s.name, "network": s.network, "recipe": s.recipe or None,
                "params": totals.params, "buffers": totals.buffers, "macs": totals.macs,
                "layers": totals.layers,
                "activation_bytes": totals.activation_bytes["training"]}

    return {
        "same_network": a.network == b.network,
        "same_recipe": a.recipe == b.recipe if a.recipe or b.recipe else None,
        "first": side(a), "second": side(b),
        "inputs_and_outputs": {name: list(pair) for name, pair in ends.items()},
        "layers": [{"change": c.kind, "path": c.path, "was": c.before or None,
                    "what": c.what, "params": c.params, "macs": c.macs,
                    "fields": {name: list(pair) for name, pair in c.fields.items()}}
                   for c in found],
        "recipe": {path: list(pair) for path, pair in values.items()}}
