"""The ways in which each peer is run: process settings, memory layouts, compiled or not.

A variant is an engine and settings: `torch-last+memory+passive` is eager PyTorch, channels last,
with flaxspec's memory settings and with threads that sleep while they wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from benchmarks.rows import Row
from runtime.cli.process import SETTINGS

# What a word behind a `+` adds to the environment.
WORDS = {"memory": SETTINGS, "passive": {"OMP_WAIT_POLICY": "passive"}}
# Engines that run in the project's own Python; the others in that of the peers.
OWN = ("flaxspec", "reference", "flax")
FAMILIES = ("flax", "torch", "keras")
# Tries variants; seconds of a training step of each, infinity where it does not run.
Trials = Callable[[list[str]], dict[str, float]]


def engine(variant: str) -> str:
    """"torch-last" of "torch-last+passive"."""
    return variant.partition("+")[0]


def family(variant: str) -> str:
    """"torch" of "torch-last+passive"."""
    return engine(variant).partition("-")[0]


def environment(variant: str) -> dict[str, str]:
    """What stands in the environment of a variant's process."""
    words = variant.split("+")[1:]
    if engine(variant) in ("flaxspec", "reference"):
        words.append("memory")
    return {name: value for word in words for name, value in WORDS[word].items()}


def search(row: Row, kind: str, try_: Trials, compiled: bool) -> None:
    """Try a family's variants on a row: first the settings, then layouts and compiled.

    Args:
        row: for whether there are layouts to choose from.
        kind: the family.
        try_: tries variants that may be started together.
        compiled: also try `torch.compile`.
    """
    if kind != "torch":
        try_([f"{kind}+memory", kind])
        return
    pictures = len(row.input) == 3
    first = "torch-last" if pictures else "torch"
    took = try_([f"{first}{settings}"
                 for settings in ("", "+memory", "+passive", "+memory+passive")])
    settings = min(took, key=lambda name: took[name])[len(first):]
    others = ["torch"] if pictures else []
    if compiled:
        others += ["torch-compile-last", "torch-compile"] if pictures else ["torch-compile"]
    if others:
        try_([other + settings for other in others])


def best(trials: dict[str, dict[str, float]], kind: str, phase: str) -> list[str]:
    """The variants of a family that are compared with flaxspec.

    The fastest; of PyTorch the fastest of those whose threads spin while they wait, and of those
    whose threads sleep, because which is faster depends on how busy a machine is.

    Args:
        trials: by variant and phase, seconds of a step.
        kind: the family.
        phase: "train" or "infer".
    """
    def fastest(names: Iterable[str]) -> list[str]:
        able = [name for name in names if trials[name].get(phase) is not None]
        return sorted(able, key=lambda name: trials[name][phase])[:1]

    mine = [name for name in trials if family(name) == kind]
    asleep = [name for name in mine if "+passive" in name]
    return fastest(name for name in mine if name not in asleep) + fastest(asleep)
