"""`flaxspec runs`: the runs there are, and how two or more of them differ."""

from __future__ import annotations

import json as json_
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.parse import parse
from compiler.source import Source
from compiler.tree import plain
from runtime.cli.terminal import bold, columns, short
from runtime.folder import METRICS, SPEC, SUMMARY
from runtime.report.console import figure, span

# Sections of a spec that say what was trained and how; the others do not change a result.
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
    found = [_told(folder) for folder in _folders(root)]
    if json:
        print(json_.dumps(found, indent=2, ensure_ascii=False))
        return
    if not found:
        print(f"no runs in {root}")
        return
    names = list(dict.fromkeys(name for run in found for name in run["test"]))[:4]
    rows = [("run", "state", *names, "params", "epochs", "time")]
    for run in found:
        rows.append((
            run["run"], run["state"],
            *(figure(n, run["test"][n]) if n in run["test"] else "" for n in names),
            short(run["params"]) if run["params"] is not None else "",
            str(run["epochs"]), span(run["seconds"]) if run["seconds"] is not None else ""))
    first, *others = columns(rows, "<<" + ">" * (len(names) + 3), squeeze=0)
    print("\n".join([bold(first), *others]))


def compare(names: Sequence[str], root: Path, *, json: bool) -> None:
    """Print what differs between runs: scores, and every value of their specs.

    Raises:
        SpecError: F0810 one of them is no run.
    """
    folders = [_find(name, root) for name in names]
    told = [_told(folder) for folder in folders]
    specs = [_flat(_spec(folder)) for folder in folders]
    keys = list(dict.fromkeys(key for spec in specs for key in spec))
    differing = [key for key in keys if len({_word(spec.get(key)) for spec in specs}) > 1]
    if json:
        print(json_.dumps({"runs": told, "differences": {
            key: [spec.get(key) for spec in specs] for key in differing}},
            indent=2, ensure_ascii=False))
        return
    scores = list(dict.fromkeys(name for run in told for name in run["test"]))
    head = ("", *(str(run["run"]) for run in told))
    rows = [head, *((f"test {name}", *(
        figure(name, run["test"][name]) if name in run["test"] else "–" for run in told))
        for name in scores)]
    rows += [("parameters", *(f"{run['params']:,}" if run["params"] is not None else "–"
                              for run in told)),
             ("time", *(span(run["seconds"]) if run["seconds"] is not None else "–"
                        for run in told))]
    rows += [(key, *(_word(spec.get(key)) for spec in specs)) for key in differing]
    first, *others = columns(rows, "<" + ">" * len(folders), squeeze=0)
    print("\n".join([bold(first), *others]))
    if not differing:
        print("the specs do not differ")


def _folders(root: Path) -> list[Path]:
    """The folders of runs in a folder, and in those of sweeps below, oldest first."""
    found = [path.parent for path in (*root.glob(f"*/{SPEC}"), *root.glob(f"*/*/{SPEC}"))
             if (path.parent / METRICS).exists()]
    return sorted(found, key=lambda folder: ((folder / SPEC).stat().st_mtime, str(folder)))


def _find(name: str, root: Path) -> Path:
    """The folder of a run, finished or not, by its path or its name."""
    for folder in (Path(name), root / name):
        if (folder / SPEC).exists() and (folder / METRICS).exists():
            return folder
    raise SpecError([diagnostic("F0810", f"`{name}` is not the folder of a run",
                                help="`flaxspec runs` lists the runs there are")])


def _told(folder: Path) -> dict[str, Any]:
    """What is known of a run at a glance."""
    summary = _json(folder / SUMMARY)
    begun = 0
    for line in (folder / METRICS).read_text(encoding="utf-8").splitlines():
        begun += '"event": "epoch"' in line
    return {"run": folder.name if folder.parent.name == "runs" else str(folder),
            "state": "finished" if summary else "unfinished",
            "test": summary.get("test", {}), "params": summary.get("params"),
            "epochs": summary.get("epochs", begun), "seconds": summary.get("seconds"),
            "seed": summary.get("seed")}


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json_.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _spec(folder: Path) -> Any:
    text = (folder / SPEC).read_text(encoding="utf-8")
    return plain(parse(Source(str(folder / SPEC), text), Report()))


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
