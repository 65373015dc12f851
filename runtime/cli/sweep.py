"""`flaxspec sweep`: try values, and tell which were best."""

from __future__ import annotations

import json as json_
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.cli.terminal import bold, columns
from runtime.folder import make_folder
from runtime.report.console import figure, span

TOP = 10  # trials in the table at the end


def run(
    spec: str, variant: str, assignments: Sequence[str], *, trials: int | None, out: Path | None,
    resume: bool, json: bool,
) -> int:
    """Make a sweep and print its trials; the exit status.

    Raises:
        SpecError: the recipe, its search or the folder is not in order.
    """
    from runtime import sweep
    from runtime.report.sweep import ranked, shown, sweep_page
    from runtime.stopping import Stopped, on_signals

    plan = sweep.plan(spec, variant, assignments, trials)
    name = plan.prepared.program.name
    folder = _latest(out, name) if resume else None
    folder = folder or make_folder(out, f"{name}-sweep")
    total = plan.trials

    def tell(trial: sweep.Trial, best: sweep.Trial | None) -> None:
        if json:
            print(json_.dumps(vars(trial)), flush=True)
            return
        score = figure(plan.metric, trial.score) if trial.score is not None else trial.state
        values = "  ".join(f"{_last(p)}={shown(v)}" for p, v in trial.values.items())
        top = (f"best {figure(plan.metric, best.score)} (trial {best.number})"
               if best is not None and best.score is not None else "")
        print(f"trial {trial.number:{len(str(total))}}/{total}  {plan.metric} {score}  "
              f"{span(trial.seconds)}  {values}  {top}".rstrip(), flush=True)
        if trial.note:
            print(f"      {trial.note}")

    try:
        with on_signals() as stop:
            found = sweep.run(plan, folder, tell, resume=resume, stop=stop)
    except Stopped as stopped:
        print(f"stopped by {stopped.name}; go on with --resume --out {folder}", file=sys.stderr)
        return stopped.status
    except KeyboardInterrupt:
        print(f"interrupted; go on with --resume --out {folder}", file=sys.stderr)
        return 130
    top = sweep.best(found, plan.highest)
    again = ["compile-and-train", spec, *(["--variant", variant] if variant else [])]
    for text in (*assignments, *(sweep.assignment(p, v) for p, v in (
            top.values if top else {}).items())):
        again += ["--set", text]
    page = sweep_page(name, plan.metric, plan.highest, found, shlex.join(again) if top else "")
    (folder / "sweep.html").write_text(page, encoding="utf-8")
    if not json:
        paths = list(plan.search.space)
        rows = [("trial", plan.metric, *map(_last, paths), "time"), *(
            (str(t.number), figure(plan.metric, t.score) if t.score is not None else t.state,
             *(shown(t.values[p]) for p in paths), span(t.seconds))
            for t in ranked(found, plan.highest)[:TOP])]
        first, *others = columns(rows, ">" * (len(paths) + 3))
        print("\n" + "\n".join([bold(first), *others]))
        if top:
            print(f"\nthe best one again: {shlex.join(again)}")
        print(folder)
    return 0 if top else 2


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _latest(out: Path | None, name: str) -> Path | None:
    """The folder of the sweep to go on with, if there is one."""
    from runtime.sweep import REQUEST

    if out is not None:
        return out if (out / REQUEST).exists() else None
    found = [p.parent for p in Path("runs").glob(f"{name}-sweep-*/{REQUEST}")]
    return max(found, key=lambda p: (p / REQUEST).stat().st_mtime, default=None)
