"""Whether a bundle's claim holds: its weights measured again, its recipe trained again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.diagnostics import Report, SpecError, diagnostic
from runtime.execution import Wish, execute
from runtime.report.listener import Listener
from runtime.run import Prepared, prepare
from runtime.share.bundle import Bundle

# How far a score may be from the claim, in parts of the claim.
TOLERANCE = 0.02
# What alone may be set: the files that the recipe reads, none of which a bundle holds.
SETTABLE = ("data.", "train.from=")


@dataclass(frozen=True)
class Claim:
    """What a bundle says that its recipe reaches.

    Attributes:
        metric: the score that counts.
        part: the part of the data that it was measured on.
        figures: all figures of that part.
        examples: how many examples that part has; None where nobody says.
    """

    metric: str
    part: str
    figures: Mapping[str, float]
    examples: int | None


@dataclass(frozen=True)
class Finding:
    """A figure of the claim, and what it was found to be.

    Attributes:
        figure: its name.
        claimed: what the bundle says.
        measured: with the bundle's weights.
        trained: with those of the new run.
        counts: whether it is the score that the verdict is about.
    """

    figure: str
    claimed: float
    measured: float | None
    trained: float | None
    counts: bool


@dataclass(frozen=True)
class Verdict:
    """What came of it.

    Attributes:
        claim: the claim.
        findings: each figure, the score first.
        tolerance: how far the score might be from the claim, in parts of it.
        folder: the new run's.
    """

    claim: Claim
    findings: Sequence[Finding]
    tolerance: float
    folder: Path

    @property
    def score(self) -> Finding:
        return self.findings[0]

    @property
    def weights_hold(self) -> bool:
        """Whether the bundle's weights score as it says."""
        return near(self.score.claimed, self.score.measured, self.tolerance)

    @property
    def recipe_holds(self) -> bool:
        """Whether its recipe leads there again."""
        return near(self.score.claimed, self.score.trained, self.tolerance)


def near(claimed: float, found: float | None, tolerance: float) -> bool:
    """Whether a figure is as claimed, or off by no more than a part of the claim."""
    return found is not None and math.isfinite(found) and (
        abs(found - claimed) <= tolerance * abs(claimed) + 1e-9)


def claim_of(bundle: Bundle) -> Claim:
    """The claim of a bundle.

    Raises:
        SpecError: F0862 it makes none.
    """
    score = bundle.manifest.about.get("score")
    figures = score.get("figures") if isinstance(score, dict) else None
    if not isinstance(score, dict) or not isinstance(figures, dict):
        raise _no_claim(bundle)
    metric, part, examples = score.get("metric"), score.get("part"), score.get("examples")
    known = {name: float(value) for name, value in figures.items()
             if isinstance(value, int | float) and not isinstance(value, bool)}
    if not isinstance(metric, str) or metric not in known or part not in ("test", "validation"):
        raise _no_claim(bundle)
    return Claim(metric, str(part), known, examples if isinstance(examples, int) else None)


def prepared_of(bundle: Bundle, assignments: Sequence[str]) -> Prepared:
    """The recipe of a bundle, its files where the user says they are.

    Raises:
        SpecError: F0219 something else is to be set, F0862 a file is needed and not given; others
            where the recipe is not in order.
    """
    for text in assignments:
        if not text.startswith(SETTABLE):
            raise SpecError([diagnostic(
                "F0219", f"`--set {text}` would make another recipe of it",
                help="only where files are may be set: `--set data.images=PATH`; to train another "
                     "recipe there is `compile-and-train`")])
    wanted = bundle.manifest.about.get("wanted")
    given = {text.partition("=")[0] for text in assignments}
    missing = sorted(set(wanted if isinstance(wanted, dict) else ()) - given)
    if missing:
        raise SpecError([diagnostic(
            "F0862", f"the bundle does not hold what `{missing[0]}` reads",
            help="say where yours is: " + " ".join(f"--set {key}=PATH" for key in missing))])
    return prepare(bundle.spec, Report(), assignments=assignments)


def reproduced(
    bundle: Bundle, prepared: Prepared, claim: Claim, folder: Path, tolerance: float,
    command: str, listeners: Sequence[Listener], wish: Wish,
) -> Verdict:
    """Measure the bundle's weights, train its recipe in a fresh folder, and compare.

    Raises:
        SpecError: the data cannot be had, or the run came to nothing.
    """
    from runtime import saved

    trained = saved.load_from(bundle.folder, prepared)
    part = getattr(prepared.training.data.load(), claim.part)
    measured: Mapping[str, Any] = trained.evaluate(part)[0] if part.size else {}
    result = execute(prepared, folder, command, listeners, wish)
    again = result.test if claim.part == "test" else result.validation
    names = [claim.metric, *(name for name in claim.figures if name != claim.metric)]
    findings = [Finding(name, claim.figures[name], measured.get(name), again.get(name),
                        name == claim.metric) for name in names]
    return Verdict(claim, findings, tolerance, folder)


def _no_claim(bundle: Bundle) -> SpecError:
    return SpecError([diagnostic(
        "F0862", f"`{bundle.manifest.name}` claims no score", notes=[str(bundle.folder)],
        help="`flaxspec evaluate` measures its weights, `compile-and-train` trains its recipe")])
