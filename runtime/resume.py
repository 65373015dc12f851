"""Going on with a run: which folder, and whether the spec still tells of the same past."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.parse import parse
from compiler.program import Program
from compiler.source import Source
from compiler.targets.canonical import canonical_files
from compiler.tree import plain
from compiler.version import VERSION
from runtime import folder as files
from runtime.optim import schedule
from runtime.optim_document import Call, Run, Steps
from runtime.recipe import Train
from runtime.train_parts import Changes, Phase

if TYPE_CHECKING:
    from runtime.checkpoint import Saved
    from runtime.mesh import Placement

# Parts of a spec that no number of the past depends on.
FREE = ("name", "summary", "source", "facts", "train.checkpoint", "train.early_stop",
        "train.evaluation_batch_size", "train.epochs", "train.log", "train.steps", "search")
# What `--reschedule` sets free besides.
SCHEDULE = ("train.optimizer", "train.clip", "train.phases.optimizer", "train.phases.clip")
SHOWN = 20  # differences that an error lists
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")

Spec = Mapping[str, str]  # the files of a resolved spec, by name


# ------------------------------------------------------------------------------ the folder


def folder_to_resume(out: Path | None, name: str) -> Path | None:
    """The folder of the run to go on with: `out`, or the latest `runs/<name>-<number>`.

    Returns:
        None where there is none yet.

    Raises:
        SpecError: F0801 the folder is of something else, or the run cannot go on.
    """
    found = out if out is not None else _latest(name)
    if found is None or not found.is_dir() or not any(found.iterdir()):
        return None
    known = (files.SPEC, files.METRICS, files.LOCK, "checkpoints", "used")
    if not any((found / part).exists() for part in known):
        raise SpecError([diagnostic(
            "F0801", f"`{found}` is not the folder of a run",
            help="name the folder of the run with `--out`")])
    return found


def _latest(name: str) -> Path | None:
    pattern = re.compile(rf"{re.escape(name)}-(\d+)")
    runs = [(int(match[1]), path) for path in Path("runs").glob(f"{name}-*")
            if (match := pattern.fullmatch(path.name))]
    return max(runs)[1] if runs else None


def batch_size_of(run: Path) -> int | None:
    """The batch size that a run was begun with; None where its spec cannot be read."""
    try:
        text = (run / files.SPEC).read_text(encoding="utf-8")
        size = plain(parse(Source(files.SPEC, text), Report()))["train"]["batch_size"]
    except (OSError, ValueError, SpecError, KeyError, TypeError):
        return None
    return size if isinstance(size, int) else None


# -------------------------------------------------------------------------------- the spec


@dataclass(frozen=True)
class Difference:
    """A value of a spec that was another one.

    Attributes:
        path: where, with dots: `train.batch_size`.
        before: what the run began with, or None for nothing.
        now: what is asked for, or None for nothing.
    """

    path: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.path}: {_short(self.before)} → {_short(self.now)}"

    def within(self, paths: Sequence[str]) -> bool:
        """Whether it is in one of some parts of the spec."""
        # What is said of each item of a list is said without its number.
        own = re.sub(r"\[\d+\]", "", self.path)
        return any(own == path or own.startswith(f"{path}.") for path in paths)


def spec_of(program: Program) -> Spec:
    """A resolved spec as it is kept beside a checkpoint."""
    return canonical_files(program, files.SPEC)


def differences(before: Spec, now: Spec) -> list[Difference]:
    """What two specs say differently."""
    trees = [{name: plain(parse(Source(name, text), Report())) for name, text in spec.items()}
             for spec in (before, now)]
    found = []
    for name in sorted(trees[0].keys() | trees[1].keys(), key=lambda name: name != files.SPEC):
        prefix = "" if name == files.SPEC else f"{name}: "
        found += [Difference(prefix + d.path, d.before, d.now)
                  for d in _compare("", trees[0].get(name, {}), trees[1].get(name, {}))]
    return found


def check_spec(saved: Saved, now: Spec, *, reschedule: bool) -> None:
    """Check that a spec may go on from a checkpoint, as far as no data is needed to tell.

    Raises:
        SpecError: F0823 it tells of another past.
    """
    free = (*FREE, *SCHEDULE) if reschedule else FREE
    wrong = [d for d in differences(saved.facts["spec"], now)
             if not d.within(free) and not _is_keep_last(d)]
    if wrong:
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        rate = all(d.within(SCHEDULE) for d in wrong)
        raise SpecError([diagnostic(
            "F0823", f"the run was begun with another spec; it has made {saved.step:,} steps",
            notes=[*map(str, wrong[:SHOWN]), *more],
            help="`--reschedule` goes on with the new optimiser's settings from here" if rate else
                 "take these changes back, or begin a new run without `--resume`")])


def check_schedule(saved: Saved, train: Train, run: Run, *, reschedule: bool) -> None:
    """Check that a run of another length has the same past.

    Args:
        saved: the checkpoint.
        train: the recipe's section.
        run: how long it is now.
        reschedule: the past may have followed another schedule.

    Raises:
        SpecError: F0823 it is too short, the data has changed, or the past would differ.
    """
    kept = saved.facts["run"]
    before = Run(kept["steps"], kept["steps_per_epoch"], tuple(kept["epoch_ends"]))
    past = [[end for end in r.epoch_ends if end <= saved.step] for r in (before, run)]
    if before.steps_per_epoch != run.steps_per_epoch or past[0] != past[1]:
        raise SpecError([diagnostic(
            "F0823", "the training part has another size than when the run was begun",
            notes=[f"steps in an epoch: {before.steps_per_epoch} → {run.steps_per_epoch}"],
            help="give the run its data back, or begin a new one without `--resume`")])
    if run.steps < saved.step:
        raise SpecError([diagnostic(
            "F0823", f"the run has made {saved.step:,} steps, more than the {run.steps:,} that "
                     "are asked for", help="ask for more epochs, or begin a new run")])
    if reschedule or before.steps == run.steps:
        return
    for path, then, now in _schedules(train, before, run, "train"):
        if step := _first_difference(then, now, saved.step):
            number, old, new = step
            raise SpecError([diagnostic(
                "F0823", f"with another length, the {saved.step:,} steps that are made would have "
                         "been others",
                notes=[f"{path} at step {number:,}: {old:.6g} → {new:.6g}"],
                help="`--reschedule` goes on with the new schedule from here; a constant rate, "
                     "or steps counted as such and not in %, can always be extended")])


def _schedules(value: Any, before: Run, now: Run, path: str) -> Iterator[tuple[str, Any, Any]]:
    """All that depends on the length of a run: path, value then, value now.

    A value is a number, or a function of the step.
    """
    match value:
        case Steps():
            yield path, value.count(before), value.count(now)
        case Changes(values=changes):
            yield from ((path, when.count(before), when.count(now)) for when, _ in changes)
        case Call(group="schedules"):
            yield path, schedule(value, before), schedule(value, now)
        case Call():
            for name, argument in value.arguments.items():
                yield from _schedules(argument, before, now, f"{path}.{value.name}.{name}")
        case BaseModel():
            if isinstance(value, Phase):  # its optimiser counts its own updates
                before, now = value.run(before), value.run(now)
            for name in type(value).model_fields:
                if f"{path}.{name}" not in FREE:
                    yield from _schedules(getattr(value, name), before, now, f"{path}.{name}")
        case Mapping():
            for name, item in value.items():
                yield from _schedules(item, before, now, f"{path}.{name}")
        case list() | tuple():
            for item in value:
                yield from _schedules(item, before, now, path)


def _first_difference(then: Any, now: Any, steps: int) -> tuple[int, float, float] | None:
    """The first step, from 1, of the past where two values differ."""
    if not callable(then):
        return None if then == now else (1, then, now)
    import jax
    import jax.numpy as jnp
    import numpy as np

    counts = jnp.arange(steps)
    old, new = (np.asarray(jax.vmap(f)(counts)) for f in (then, now))
    where = np.flatnonzero(old != new)
    return None if not len(where) else (
        int(where[0]) + 1, float(old[where[0]]), float(new[where[0]]))


def _is_keep_last(difference: Difference) -> bool:
    """Whether the best weights are wanted no longer: that needs no past."""
    return difference.within(("train.keep",)) and difference.now in (None, "last")


def _compare(path: str, before: Any, now: Any) -> list[Difference]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [d for key in [*before, *(k for k in now if k not in before)]
                for d in _compare(f"{path}.{key}" if path else str(key), before.get(key),
                                  now.get(key))]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [d for i, (b, n) in enumerate(zip(before, now))
                for d in _compare(f"{path}[{i}]", b, n)]
    # 1 and 1.0 are the same number in a recipe, but true is none.
    same = before == now and isinstance(before, bool) == isinstance(now, bool)
    return [] if same else [Difference(path, before, now)]


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


# -------------------------------------------------------------------------------- the bits


def bits(placement: Placement, kernels: str, steps_per_dispatch: int) -> dict[str, Any]:
    """All besides the spec and the data that the last bits of a run's numbers depend on."""
    return {
        "devices": len(placement.devices), "device": placement.devices[0].device_kind,
        "platform": placement.devices[0].platform, "machine": platform.machine(),
        "kernels": kernels, "steps_per_dispatch": steps_per_dispatch,
        "flaxspec": VERSION, **{name: _version(name) for name in PACKAGES}}


def other_bits(saved: Saved, now: Mapping[str, Any]) -> list[str]:
    """What is other than when the run was begun: "jax: 0.10.1 → 0.10.2"."""
    before = {"steps_per_dispatch": 1} | saved.facts["bits"]
    return [f"{name}: {before.get(name)} → {now[name]}" for name in now
            if before.get(name) != now[name]]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
