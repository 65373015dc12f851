"""`flaxspec backtest`: forecasts of a series as of several days, step by step ahead."""

from __future__ import annotations

import json as json_
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from runtime import backtesting
from runtime.backtesting import MODEL, Fold
from runtime.cli.terminal import bold, columns, say
from runtime.finding import run_folder
from runtime.folder import finite, make_folder
from runtime.report.console import figure

FOLDS = 3


def run(
    reference: str, variant: str, assignments: Sequence[str], *, folds: int | None,
    out: Path | None, json: bool,
) -> int:
    """Backtest a recipe or judge a run, and print what came of it; the exit status.

    Args:
        reference: a recipe, or a finished run.
        variant: one of the spec's variants.
        assignments: the texts of `--set`.
        folds: how often a recipe is trained; `FOLDS` where None.
        out: the folder of a recipe's runs.
        json: print JSON.

    Raises:
        SpecError: the recipe or run is not in order; F0720 an option is for recipes, F0721 it
            forecasts nothing, F0722 there are too many folds.
    """
    from runtime.stopping import Stopped

    if run_folder(reference) is not None:
        _refuse(reference, variant=variant, set=assignments, folds=folds, out=out)
        from runtime.saved import load

        _print(Path(reference).name, [backtesting.judged(load(reference))], None, json)
        return 0
    plan = backtesting.plan(reference, variant, assignments, folds or FOLDS)
    name = plan.prepared.program.name
    folder = make_folder(out, f"{name}-backtest")

    def tell(number: int, fold: Fold) -> None:
        if not json:
            told = "  ".join(f"{key} {figure(key, float(np.mean(fold.figures[MODEL][key])))}"
                             for key in ("mae", "mase") if key in fold.figures[MODEL])
            print(f"fold {number}/{len(plan.folds)}  {_span(fold)}  {told}", flush=True)

    command = shlex.join(["flaxspec", *sys.argv[1:]])
    try:
        found = list(backtesting.run(plan, folder, command, tell))
    except Stopped as stopped:
        print(f"stopped by {stopped.name}; {folder} has what was done", file=sys.stderr)
        return stopped.status
    _print(name, found, folder, json)
    return 0


def _refuse(reference: str, **options: Any) -> None:
    """Raise where an option was given that a finished run has no use for."""
    for name, value in options.items():
        if value:
            raise SpecError([diagnostic(
                "F0720", f"`--{name}` is for recipes, which are trained in each fold, and "
                         f"`{reference}` is a finished run",
                help="give its recipe instead, or leave the option out: a run is judged as it is")])


def _span(fold: Fold) -> str:
    """"287 origins, 2015-03-14 to 2015-12-25, after 987 windows"."""
    return (f"{fold.origins:,} origins, {fold.first} to {fold.last}, "
            f"after {fold.trained_on:,} windows")


def _print(name: str, folds: Sequence[Fold], folder: Path | None, json: bool) -> None:
    every = backtesting.together(folds)
    if json:
        print(json_.dumps(finite({
            "name": name, "runs": None if folder is None else str(folder),
            "folds": [{**vars(fold), "figures": _lists(fold.figures)} for fold in folds],
            "all": _lists(every)}), ensure_ascii=False))
        return
    lines = ["", *_folds_told(folds)] if len(folds) > 1 else [f"{name}: {_span(folds[0])}"]
    lines += ["", *_steps_told(every)]
    if told := _ratios(every):
        lines += ["", told]
    say("\n".join([*lines, *([str(folder)] if folder is not None else [])]))


def _lists(figures: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, list[float]]]:
    return {method: {name: values.tolist() for name, values in own.items()}
            for method, own in figures.items()}


def _folds_told(folds: Sequence[Fold]) -> list[str]:
    """A line for each fold: the scaled errors of all methods."""
    methods = list(folds[0].figures)
    score = _score(folds[0].figures)
    rows = [("fold", "windows", "origins", "from", "to", *methods)]
    for number, fold in enumerate(folds, 1):
        rows.append((str(number), f"{fold.trained_on:,}", f"{fold.origins:,}", fold.first,
                     fold.last, *(figure(score, float(np.mean(fold.figures[method][score])))
                                  if method in fold.figures else "–" for method in methods)))
    head, *lines = columns(rows, ">>><<" + ">" * len(methods))
    return [f"{score} by fold", bold(head), *lines]


def _steps_told(figures: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """A line for each step ahead: the model's figures, and the scaled errors of the others."""
    score, (own, *others) = _score(figures), figures
    names = list(figures[own])
    rows = [("ahead", *names, *(f"{other} {score}" for other in others))]
    cells = [figures[own][name] for name in names] + [figures[o][score] for o in others]
    kinds = [*names, *(score for _ in others)]
    for step in range(len(cells[0])):
        rows.append((f"+{step + 1}", *(figure(k, float(c[step])) for k, c in zip(kinds, cells))))
    rows.append(("all", *(figure(k, float(np.mean(c))) for k, c in zip(kinds, cells))))
    head, *lines = columns(rows, ">" * len(rows[0]))
    return [bold(head), *lines]


def _ratios(figures: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """How the model's error compares with the others'."""
    score = _score(figures)
    own = float(np.mean(figures[MODEL][score]))
    return "; ".join(f"{score} {own / float(np.mean(other[score])):.3f} times that of {name}"
                     for name, other in figures.items()
                     if name != MODEL and np.mean(other[score]) > 0)


def _score(figures: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """What methods are compared by: `mase`, or `mae` where no column ever changed."""
    return "mase" if np.isfinite(figures[MODEL].get("mase", np.nan)).all() else "mae"
