"""Turns taken by workers that are alive together, and what can be said of their ratios."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.driver import Worker, busy


@dataclass
class Turns:
    """What one worker did in one phase.

    Attributes:
        seconds: of a step, the median of each turn.
        processor: processor seconds of a step, likewise.
        dispatch: seconds until the call of a training step returns, likewise.
        rounds: the number of each turn's round.
        foreign: the share of the machine that others had during each turn.
    """

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    dispatch: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Pace:
    """How long to go on.

    Attributes:
        pairs: rounds in which flaxspec and PyTorch take part.
        fewer: the rounds in which the others do, too.
        turn: seconds that a turn of flaxspec is to take; at least one step.
        seconds: what the turns of a phase should take, and may take twice.
        cores: of the machine.
    """

    pairs: int
    fewer: int
    turn: float
    seconds: float
    cores: int


    def fitted(self, always: float, others: float) -> Pace:
        """One with fewer rounds, where there is no time for all.

        First the rounds of Flax and Keras go, whose ratios are far from 1, down to four; those
        with PyTorch only when twice the time would not do.

        Args:
            always: seconds of the turns of those that take part in every round.
            others: seconds of the others' turns.
        """
        def takes() -> float:
            return pairs * always + fewer * others

        pairs, fewer = self.pairs, min(self.fewer, self.pairs)
        while fewer > 4 and takes() > self.seconds:
            fewer -= 1
        while pairs > 1 and takes() > 2 * self.seconds:
            pairs, fewer = pairs - 1, min(fewer, pairs - 1)
        return replace(self, pairs=pairs, fewer=fewer)


# Who takes part in every round.
ALWAYS = ("flaxspec", "torch")
MOST_STEPS = 30


def take_turns(alive: dict[str, Worker], phase: str, pace: Pace) -> dict[str, Any]:
    """Rounds of turns of workers, flaxspec's first; every other round goes backwards.

    Returns:
        turns: for each worker what it did; steps: how many a turn had; idle: the share of a
        core that those took together whose turn it was not.
    """
    turns = {name: Turns() for name in alive}
    warm = {name: min(worker.ask(f"{phase} 2")["seconds"]) for name, worker in alive.items()}
    steps = max(1, min(MOST_STEPS, round(pace.turn / warm["flaxspec"])))
    always = sum(steps * s for name, s in warm.items() if name.startswith(ALWAYS))
    pace = pace.fitted(always, steps * sum(warm.values()) - always)
    idle, wall, others = 0.0, 0.0, 0
    for number in range(pace.pairs):
        # Spread evenly over the rounds.
        all_in = number * pace.fewer // pace.pairs >= others
        others += all_in
        names = [name for name in alive if all_in or name.startswith(ALWAYS)]
        for name in names if number % 2 == 0 else reversed(names):
            took, slept = _turn(alive, name, phase, steps, number, turns[name], pace.cores)
            wall, idle = wall + took, idle + slept
    return {"turns": turns, "steps": steps, "idle": idle / wall}


def _turn(
    alive: dict[str, Worker], name: str, phase: str, steps: int, number: int, into: Turns,
    cores: int,
) -> tuple[float, float]:
    """One turn: how long it was, and processor seconds of those that should sleep meanwhile."""
    before = {other: worker.processor() for other, worker in alive.items()}
    begun, all_before = time.monotonic(), busy()
    answer = alive[name].ask(f"{phase} {steps}")
    wall, all_after = time.monotonic() - begun, busy()
    used = {other: worker.processor() - before[other] for other, worker in alive.items()}
    into.rounds.append(number)
    for part in ("seconds", "processor", "dispatch"):
        if answer[part]:
            getattr(into, part).append(statistics.median(answer[part]))
    if all_before is not None and all_after is not None:
        foreign = all_after - all_before - sum(used.values())
        into.foreign.append(max(0.0, foreign) / (wall * cores))
    return wall, sum(seconds for other, seconds in used.items() if other != name)


def ratios(peer: Turns, flaxspec: Turns) -> list[float]:
    """Of each round in which both took part, how many times as long the peer took."""
    mine = dict(zip(flaxspec.rounds, flaxspec.seconds))
    return [seconds / mine[number] for number, seconds in zip(peer.rounds, peer.seconds)
            if number in mine]


def interval(values: list[float]) -> tuple[float, float, float]:
    """Two of the values between which the median lies, and how surely.

    By order statistics, a sign test's interval: nothing is supposed of the distribution. The
    narrowest that is at least 95 % sure; all of the values where they are too few for that.
    """
    ordered, n = sorted(values), len(values)
    outside = [2 * sum(math.comb(n, i) for i in range(cut + 1)) / 2**n for cut in range(n // 2)]
    cut = max((c for c, chance in enumerate(outside) if chance <= 0.05), default=0)
    sure = 1 - outside[cut] if outside else 0.0
    return ordered[cut], ordered[n - 1 - cut], sure
