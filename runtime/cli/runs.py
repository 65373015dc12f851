"""`flaxspec runs`: the runs there are, and how two or more of them differ."""

from __future__ import annotations

import json as json_
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.modifiers import MODIFIERS
from compiler.parse import parse, read_source
from compiler.tree import plain
from runtime.cli.terminal import bold, columns, short, width
from runtime.folder import METRICS, SPEC, SUMMARY, finite
from runtime.report.console import figure, span

# Of a comparison: the least columns for a value, and the most for the name of one.
VALUE, NAME = 14, 40
# Sections of a spec that do not change a result.
DEAD = ("name", "summary", "source", "facts", "flaxspec", "search")


def list_runs(root: Path, *, json: bool) -> None:
    """Print a line for each run below a folder.

    Raises:
        SpecError: F0810 there is no such folder.
    """
    if not root.is_dir():
        raise SpecError([diagnostic(
            "F0810", f"there are no runs: `{root}` is not a folder",
            help="train one with `compile-and-train RECIPE`, or say where they are with `--in`")])
    found = [_told(folder, root) for folder in _folders(root)]
    if json:
        print(json_.dumps(finite(found), indent=2, ensure_ascii=False))
        return
    if not found:
        print(f"no runs in {root}")
        return
    rows = [("run", "score", "loss", "params", "epochs", "time")]
    for run in found:
        test, metric = run["test"] or run["validation"], run["metric"]
        part = "" if run["test"] else ", validation"
        rows.append((
            run["run"], f"{metric} {figure(metric, test[metric])}{part}" if metric in test
            else "" if run["state"] == "finished" else run["state"],
            figure("loss", test["loss"]) if "loss" in test else "",
            short(run["params"]) if run["params"] is not None else "",
            str(run["epochs"]), span(run["seconds"]) if run["seconds"] is not None else ""))
    first, *others = columns(rows, "<<>>>>", squeeze=0)
    print("\n".join([bold(first), *others]))


def compare(names: Sequence[str], root: Path, *, json: bool) -> None:
    """Print what differs between runs: scores, and every value of their specs.

    Raises:
        SpecError: F0810 one of them is no run.
    """
    folders = [_find(name, root) for name in names]
    told = [_told(folder, root) for folder in folders]
    plain_specs = [_spec(folder) for folder in folders]
    specs = [_flat(spec) for spec in plain_specs]
    keys = list(dict.fromkeys(key for spec in specs for key in spec))
    differing = [key for key in keys if len({_word(spec.get(key)) for spec in specs}) > 1]
    if json:
        print(json_.dumps(finite({"runs": told, "differences": {
            key: [spec.get(key) for spec in specs] for key in differing}}),
            indent=2, ensure_ascii=False))
        return
    # The validation part is told where a run has no other.
    parts = ("test",) if all(run["test"] for run in told) else ("test", "validation")
    scores = dict.fromkeys((part, name) for part in parts for run in told for name in run[part])
    rows = [("", *(str(run["run"]) for run in told)), *((f"{part} {name}", *(
        figure(name, run[part][name]) if name in run[part] else "–" for run in told))
        for part, name in scores)]
    rows += [("parameters", *(f"{run['params']:,}" if run["params"] is not None else "–"
                              for run in told)),
             ("time", *(span(run["seconds"]) if run["seconds"] is not None else "–"
                        for run in told))]
    whole = _whole_sections(plain_specs, differing)
    rows += [(section, *(_in_short(spec.get(section)) for spec in plain_specs))
             for section in whole]
    rows += [(key, *(_word(spec.get(key)) for spec in specs)) for key in differing
             if key.partition(".")[0] not in whole]
    first, *others = columns(_fitted(rows), "<" + ">" * len(folders))
    print("\n".join([bold(first), *others]))
    if not differing:
        print("the specs do not differ")


def _whole_sections(specs: Sequence[Any], differing: Sequence[str]) -> list[str]:
    """Sections that are others altogether: told in short, not value by value."""
    found = []
    for section, kind in (("model", _layers), ("data", _source)):
        kinds = [kind(spec.get(section)) for spec in specs]
        if kinds.count(kinds[0]) < len(kinds) and any(
                key.partition(".")[0] == section for key in differing):
            found.append(section)
    # The shapes of other data, and how blocks differ, say nothing beside that.
    return found + [name for name in ("inputs", "blocks") if found and any(
        key.partition(".")[0] == name for key in differing)]


def _layers(model: Any) -> list[str]:
    """The operators of a model's outermost layers."""
    if not isinstance(model, list):
        return [_word(model)]
    return [next((str(key) for key in layer if key not in MODIFIERS), "")
            if isinstance(layer, Mapping) else str(layer) for layer in model]


def _source(data: Any) -> str:
    """What data a recipe reads: its first key and value."""
    if not isinstance(data, Mapping) or not data:
        return _word(data)
    key, value = next(iter(data.items()))
    return f"{key} {Path(value).name if isinstance(value, str) else _word(value)}"


def _in_short(section: Any) -> str:
    """A section in a few words."""
    if isinstance(section, list):
        return ", ".join(_layers(section))
    if isinstance(section, Mapping) and section and all(
            isinstance(value, Mapping) for value in section.values()):
        return ", ".join(map(str, section))  # inputs and blocks by their names
    return "–" if section is None else _source(section)


def _fitted(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows whose values are cut at their ends, and names at their beginnings, to fit a line."""
    count = len(rows[0]) - 1
    name = max(len(row[0]) for row in rows)
    name = min(name, max(width() - count * (VALUE + 2), 12), NAME)
    room = max((width() - name) // count - 2, VALUE)
    return [[row[0] if len(row[0]) <= name else "…" + row[0][1 - name:],
             *(cell if len(cell) <= room else cell[:room - 1] + "…" for cell in row[1:])]
            for row in rows]


def _folders(root: Path) -> list[Path]:
    """The folders of runs in a folder, and in those of sweeps below, oldest first."""
    found = [path.parent for path in (*root.glob(f"*/{SPEC}"), *root.glob(f"*/*/{SPEC}"))
             if (path.parent / METRICS).exists()]
    return sorted(found, key=lambda folder: ((folder / SPEC).stat().st_mtime, str(folder)))


def _find(name: str, root: Path) -> Path:
    """The folder of a run, finished or not, by its path or its name."""
    for folder in (Path(name), root / name):
        if os.path.exists(folder / SPEC) and os.path.exists(folder / METRICS):
            return folder
    raise SpecError([diagnostic("F0810", f"`{name}` is not the folder of a run",
                                help="`flaxspec runs` lists the runs there are")])


def _told(folder: Path, root: Path) -> dict[str, Any]:
    """What is known of a run at a glance."""
    summary = _json(folder / SUMMARY)
    begun = 0
    for line in (folder / METRICS).read_text(encoding="utf-8", errors="replace").split("\n"):
        begun += '"event": "epoch"' in line
    test, validation = summary.get("test", {}), summary.get("validation", {})
    here = folder.relative_to(root) if folder.is_relative_to(root) else folder
    return {"run": str(here),
            "state": "finished" if summary else "unfinished", "test": test,
            "validation": validation, "metric": summary.get("metric") or next(
                (n for n in test or validation if n != "loss"), "loss"),
            "params": summary.get("params"),
            "epochs": summary.get("epochs", begun), "seconds": summary.get("seconds"),
            "seed": summary.get("seed")}


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json_.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _spec(folder: Path) -> Any:
    return plain(parse(read_source(folder / SPEC), Report()))


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """The values of a spec by their dotted paths; lists of plain values stay whole."""
    if isinstance(value, Mapping):
        items = [(str(key), inner) for key, inner in value.items()
                 if path or str(key) not in DEAD]
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        items = [(str(i), inner) for i, inner in enumerate(value)]
    else:
        return {path: value}
    return {key: inner for name, item in items
            for key, inner in _flat(item, f"{path}.{name}" if path else name).items()}


def _word(value: Any) -> str:
    return "–" if value is None else value if isinstance(value, str) else json_.dumps(
        value, ensure_ascii=False)
