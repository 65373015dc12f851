"""`flaxspec reproduce`: a bundle's recipe is run again, and its score compared to the claim."""

from __future__ import annotations

import json as json_
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.cli.terminal import bold, columns, pairs
from runtime.execution import Wish
from runtime.folder import finite, make_folder
from runtime.report.console import console, figure
from runtime.share.opening import opened
from runtime.share.reproduce import Verdict, claim_of, prepared_of, reproduced

# The exit status where the claim does not hold; 2 is for what could not be tried.
DIFFERS = 1


def run(
    reference: str, assignments: Sequence[str], *, tolerance: float, out: Path | None,
    device: str, json: bool, quiet: bool,
) -> int:
    """Reproduce a bundle's claim and print the comparison.

    Returns:
        The exit status: 0 where weights and recipe both score as claimed, 1 where not.

    Raises:
        SpecError: the bundle claims nothing, or cannot be trained.
    """
    from runtime.stopping import Stopped, on_signals

    bundle = opened(reference)
    claim = claim_of(bundle)
    prepared = prepared_of(bundle, assignments)
    folder = make_folder(out, f"{prepared.program.name}-again")
    terminal = console("quiet" if quiet or json else "auto")
    try:
        with on_signals() as stop:
            verdict = reproduced(
                bundle, prepared, claim, folder, tolerance,
                shlex.join(["flaxspec", *sys.argv[1:]]), [terminal],
                Wish(device=device, stop=stop))
    except Stopped as stopped:
        print(f"stopped by {stopped.name}", file=sys.stderr)
        return stopped.status
    finally:
        terminal.close()
    if json:
        print(json_.dumps(_as_json(verdict, bundle.sha256), ensure_ascii=False))
    elif not quiet:
        print("\n".join(["", *_table(verdict), "", *pairs(_words(verdict))]))
    return 0 if verdict.weights_hold and verdict.recipe_holds else DIFFERS


def _table(verdict: Verdict) -> list[str]:
    rows: list[Sequence[str]] = [
        ("figure", "claimed", "its weights", "trained again", "difference")]
    for found in verdict.findings:
        name = found.figure
        gap = "–" if found.trained is None or not found.claimed else (
            f"{100 * (found.trained - found.claimed) / abs(found.claimed):+.2f} %")
        rows.append((name, *(figure(name, value) for value in (
            found.claimed, found.measured, found.trained)), gap))
    first, *others = columns(rows, "<>>>>")
    return [bold(first), bold(others[0]), *others[1:]]


def _words(verdict: Verdict) -> list[tuple[str, str]]:
    claim, score = verdict.claim, verdict.score
    many = f"{claim.examples:,} examples of " if claim.examples else ""
    allowed = figure(score.figure, verdict.tolerance * abs(score.claimed))
    return [
        ("claim", f"{score.figure} {figure(score.figure, score.claimed)} on {many}the "
                  f"{claim.part} part, give or take {allowed}"),
        ("weights", "they score as claimed" if verdict.weights_hold
         else "they do not score as claimed"),
        ("recipe", "it leads there again" if verdict.recipe_holds
         else "it does not lead there"),
        ("run", str(verdict.folder)),
    ]


def _as_json(verdict: Verdict, sha256: str) -> dict[str, object]:
    return finite({
        "sha256": sha256, "metric": verdict.score.figure, "part": verdict.claim.part,
        "tolerance": verdict.tolerance, "weights_hold": verdict.weights_hold,
        "recipe_holds": verdict.recipe_holds, "run": str(verdict.folder),
        "figures": {found.figure: {"claimed": found.claimed, "measured": found.measured,
                                   "trained": found.trained} for found in verdict.findings}})
