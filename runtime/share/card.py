"""README.md of a bundle: what the model is, what it costs, how good it is and how that is known.

All of it is made of the run's own files, so that it says nothing that nobody measured. The lines
between `---` are for the Hugging Face hub, which reads figures and licence there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.plan import Plan
from runtime.cli.plan import reach_told
from runtime.cli.terminal import short, size_of
from runtime.report.console import figure, span
from runtime.report.fold import described, fitting_depth, tree, unfolded

TABLE_LINES = 24
UNSTATED = "not stated"
# What stands in the place of a task where a recipe writes its losses out.
WRITTEN = "written"


@dataclass(frozen=True)
class Told:
    """All that a card tells.

    Attributes:
        name: the model's name.
        summary: the spec's sentence about itself, or "".
        source: where the architecture is described, or "".
        task: what it was trained for.
        data: what it was trained on: `name`, `about`, `source`, `licence`.
        licence: of the model, or "".
        network: the hash of the network.
        score: the claim: `metric`, `part`, `examples`, `figures` and the like.
        result: the content of summary.json.
        environment: the content of environment.json.
        plan: what an example costs in evaluation.
        wanted: the fields whose files the recipe reads and the bundle does not hold.
        start: the file of weights that it began with: `name` and `sha256`; {} for none.
        drawing: the file of the drawing, or "".
    """

    name: str
    summary: str
    source: str
    task: str
    data: Mapping[str, str]
    licence: str
    network: str
    score: Mapping[str, Any]
    result: Mapping[str, Any]
    environment: Mapping[str, Any]
    plan: Plan
    wanted: Mapping[str, str]
    start: Mapping[str, str]
    drawing: str


def card(told: Told) -> str:
    """The text of README.md."""
    title = f"# {_text(told.name)}"
    summary = f"{_text(told.summary)}.".replace("..", ".") if told.summary else ""
    purpose = "losses of its own" if told.task == WRITTEN else told.task.replace("_", " ")
    what = (f"A neural network for {purpose}, declared in YAML and trained "
            "with flaxspec: `spec.yaml` is the whole recipe, `weights.safetensors` what came of "
            "it.")
    origin = f"The architecture is described in {_text(told.source)}." if told.source else ""
    parts = [
        title, summary, what, origin,
        "## Score", *_score(told),
        "## How to use it", _use(told),
        "## Architecture", *_architecture(told),
        "## What it costs", _table(("", ""), _costs(told.plan), "<<"),
        "## Data and licence", *_licences(told),
        "## How it was made", *_made(told),
    ]
    return _front(told) + "\n\n".join(part for part in parts if part) + "\n"


def _front(told: Told) -> str:
    """What the hub reads; JSON is YAML, too."""
    score = told.score
    metrics = [{"type": name, "value": value,
                "name": f"{name} on {score['part']}"}
               for name, value in score["figures"].items() if value is not None]
    index = [{"name": told.name, "results": [{
        "task": {"type": told.task}, "dataset": {"type": told.data["name"],
                                                 "name": told.data["name"]},
        "metrics": metrics}]}]
    lines = ["---", "library_name: flaxspec", "tags: [flaxspec, jax, flax]"]
    if told.licence:
        lines.append(f"license: {json.dumps(told.licence, ensure_ascii=False)}")
    if metrics:
        lines.append(f"model-index: {json.dumps(index, ensure_ascii=False)}")
    return "\n".join([*lines, "---", "", ""])


def _score(told: Told) -> list[str]:
    score, result = told.score, told.result
    parts = [part for part in ("test", "validation") if result.get(part)]
    if not parts:
        return ["Nobody measured it: the run had neither a test nor a validation part."]
    counts = score["examples_of"]
    names = list(dict.fromkeys(name for part in parts for name in result[part]))
    head = ["", *(f"{part}, {_count(counts.get(part))}" for part in parts)]
    rows = [[f"**{name}**" if name == score["metric"] else name,
             *(_figure(name, result[part].get(name)) for part in parts)] for name in names]
    lines = [_table(head, rows, "<" + ">" * len(parts))]
    others = [[_text(name.replace("_", " ")), *(_figure(k, v) for k, v in figures.items())]
              for name, figures in result.get("baselines", {}).items()]
    if others:
        of = list(next(iter(result["baselines"].values())))
        own = ["this model", *(_figure(k, result["test"].get(k)) for k in of)]
        lines.append("On the same test part:\n\n"
                     + _table(["", *of], [own, *others], "<" + ">" * len(of)))
    lines.append(" ".join(filter(None, [_evidence(score), _chosen(result)])))
    return lines


def _evidence(score: Mapping[str, Any]) -> str:
    part, count = score["part"], score.get("examples")
    said = {"test": "The test part was looked at once, after training, and is in neither of the "
                    "other parts.",
            "validation": "There was no test part. The validation part may have decided which "
                          "weights were kept, which flatters them."}[part]
    accuracy = score["figures"].get("accuracy")
    if not score["counts_examples"] or accuracy is None or not count:
        return said
    low, high = interval(accuracy, count)
    return (f"{said} With {count:,} examples, the accuracy on others like them is between "
            f"{100 * low:.1f} % and {100 * high:.1f} % (95 % interval of Wilson).")


def interval(share: float, count: int) -> tuple[float, float]:
    """Between what the true share is, in 95 of 100 cases (Wilson 1927)."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = math.sqrt(share * (1 - share) * z2 / count + z2**2 / (4 * count**2)) / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def _chosen(result: Mapping[str, Any]) -> str:
    epochs, kept = result.get("epochs"), result.get("kept_epoch")
    if not epochs or kept == epochs:
        return ""
    return f"The weights are those of epoch {kept} of {epochs}, the best one by validation."


def _use(told: Told) -> str:
    file = f"{told.name}.flaxspec.zip"
    return ("With the bundle as a file, or its address (`https://…`, `git+https://…`, "
            "`hf:owner/name`) in the file's place:\n\n"
            f"```sh\nflaxspec predict {file} INPUT...\n"
            f"flaxspec evaluate {file}\n"
            f"flaxspec reproduce {file}          # trains it again and compares the score\n"
            f"compile-and-train {file}\n```\n\n"
            "and in Python:\n\n"
            f"```python\nimport flaxspec\n\nrun = flaxspec.load({file!r})\n"
            "run.predict(inputs)             # in the data's own words and units\n"
            "run.model                       # the plain nnx.Module\n```")


def _architecture(told: Told) -> list[str]:
    picture = f"![drawing of {_text(told.name)}]({told.drawing})" if told.drawing else ""
    branches = tree(told.plan)
    depth = fitting_depth(branches, TABLE_LINES)
    rows = []
    for deep, branch in unfolded(branches, depth):
        params, macs = branch.parameters, branch.macs
        times = f" ×{branch.times}" if branch.times > 1 else ""
        rows.append(["\N{NO-BREAK SPACE}" * 2 * deep + _text(branch.label + times),
                     _text(described(branch, deep == depth - 1)), str(branch.last.output),
                     f"{params:,}" if params else "", short(macs) if macs else ""])
    table = _table(["layer", "what it is", "output", "parameters", "MACs"], rows, "<<<>>")
    return [picture, table,
            f"Hash of the network (`flaxspec hash`): `{told.network}`" if told.network else ""]


def _costs(plan: Plan) -> Sequence[Sequence[str]]:
    totals = plan.totals
    statistics = f", and {totals.buffers:,} running statistics" if totals.buffers else ""
    rows = [
        *((f"input {name}", f"{t.described()}{' ' + t.dtype if t.dtype != 'float' else ''}")
          for name, t in totals.inputs.items()),
        *((name if name == "output" else f"output {name}", t.described())
          for name, t in totals.outputs.items()),
        ("parameters", f"{totals.params:,}{statistics}"),
        ("weights", f"{size_of(totals.weight_bytes)} in float32"),
        ("multiply-accumulates", f"{totals.macs:,} for one example"),
        ("activations", f"{size_of(totals.activation_bytes['inference'])} alive at once for one "
                        "example"),
    ]
    for name, axes in totals.receptive_field.items():
        of = f" of {name}" if len(totals.receptive_field) > 1 else ""
        rows.append((f"receptive field{of}", reach_told(axes)))
    return rows


def _licences(told: Told) -> list[str]:
    data = told.data
    rows = [("model", _text(told.licence or UNSTATED)),
            ("trained on", _text(data["name"] + (f": {data['about']}" if data["about"] else ""))),
            ("licence of the data", _text(data["licence"] or UNSTATED))]
    if data["source"]:
        rows.insert(2, ("the data's source", _text(data["source"])))
    lines = [_table(("", ""), rows, "<<")]
    if not told.licence:
        lines.append("Without a licence nobody but its makers may use it: ask them.")
    if told.wanted:
        given = " ".join(f"--set {key}=PATH" for key in told.wanted)
        what = "data" if any(key.startswith("data.") for key in told.wanted) else "file"
        lines.append(f"The {what} that it was trained with is not part of the bundle. Training "
                     "needs it: "
                     f"`compile-and-train {told.name}.flaxspec.zip {given}`.")
    return lines


def _made(told: Told) -> list[str]:
    environment, result = told.environment, told.result
    devices = ", ".join(f"{d['count']} × {d['kind']}" for d in environment.get("devices", []))
    packages = environment.get("packages", {})
    rows = [
        ("seed", str(result.get("seed", ""))),
        ("began with", f"{_text(told.start['name'])}, sha256 `{told.start['sha256']}`"
         if told.start else ""),
        ("trained for", f"{result.get('epochs', 0):,} epochs ({result.get('steps', 0):,} steps), "
                        f"{span(result.get('seconds', 0.0))}"),
        ("flaxspec", " ".join(filter(None, [str(environment.get("flaxspec", "")),
                                            str(environment.get("commit") or "")]))),
        ("Python", str(environment.get("python", ""))),
        ("packages", ", ".join(f"{name} {version}" for name, version in packages.items())),
        ("devices", devices),
    ]
    return [_table(("", ""), [row for row in rows if row[1]], "<<"),
            "`flaxspec reproduce` trains the recipe again and compares the score to this one."]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], sides: str) -> str:
    marks = ["---:" if side == ">" else "---" for side in sides]
    lines = [head, marks, *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
                     for line in lines)


def _figure(name: str, value: float | None) -> str:
    """"98.89 %", "0.0412"."""
    if value is None:
        return "–"
    return figure(name, value)


def _count(count: int | None) -> str:
    return f"{count:,} examples" if count else "examples not counted"


def _text(text: str) -> str:
    """A text as Markdown shows it, whatever signs are in it."""
    line = " ".join(text.split())
    # An underscore inside a word emphasises nothing.
    return re.sub(r"[\\`*\[\]<>]|(?<!\w)_|_(?!\w)", r"\\\g<0>", line)
