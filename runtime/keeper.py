"""Where a run stands, when it is saved, and how it is taken up again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime.checkpoint import Checkpoints, Named, Saved, named, refill
from runtime.meter import Meter
from runtime.policies import Checkpointing

if TYPE_CHECKING:
    from runtime.step import Arrays, State

# Seconds between checkpoints where the recipe does not say: at the end of an epoch, within one.
AT_THE_END, WITHIN = 10.0, 300.0
# A checkpoint may hold the training up for one part in so many of its time.
SHARE = 20


@dataclass
class Progress:
    """Where a run stands; with the state, the weights kept and the meter this is all of it.

    Attributes:
        epoch: the epoch under way, from 1.
        position: how many of its batches are done.
        step: how many steps were made in all.
        seconds: how long the run took until now, over all its processes.
        best_epoch: the epoch whose weights are kept; 0 for none.
        best_score: its figure, higher being better.
        top_epoch: the epoch that early stopping counts from; 0 for none.
        top_score: its figure, higher being better.
    """

    epoch: int = 1
    position: int = 0
    step: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_score: float = 0.0
    top_epoch: int = 0
    top_score: float = 0.0


@dataclass(frozen=True)
class Snapshot:
    """A moment of a run, its arrays by name on the host."""

    progress: Progress
    arrays: Named


class Keeper:
    """Takes snapshots of a run as often as asked, and writes them where it may.

    Without a folder snapshots stay in memory: what the run goes back to when it fails.
    """

    def __init__(
        self, policy: Checkpointing, run: Path | None = None, *,
        facts: Mapping[str, Any] | None = None, saved: Saved | None = None,
        history: Path | None = None,
    ):
        """Get ready; nothing is written yet.

        Args:
            policy: how often, and how many are kept.
            run: the folder of the run.
            facts: what is written beside the arrays.
            saved: the checkpoint that the run goes on from.
            history: the file whose lines a run that goes on is cut back to.
        """
        self.saved = saved
        self.last: Snapshot | None = None
        self._every = policy.every
        writes = run is not None and policy.every.unit != "never"
        self._checkpoints = Checkpoints(run, policy.keep) if run and writes else None
        self._facts, self._history = facts or {}, history
        self._cost = 0.0
        self._at = time.monotonic()

    @property
    def writes(self) -> bool:
        """Whether snapshots go to the disk."""
        return self._checkpoints is not None

    def remember(self, progress: Progress, state: State) -> None:
        """Take a first snapshot, which is never written: whoever has the seed has it too."""
        self.last = Snapshot(Progress(**asdict(progress)), named(_tree(state, None)))

    def due(self, progress: Progress, *, epoch_is_over: bool = False) -> bool:
        """Whether it is time to save."""
        since = time.monotonic() - self._at
        match self._every.unit:
            case "step":
                return not epoch_is_over and progress.step % int(self._every.amount) == 0
            case "epoch":
                return epoch_is_over and (progress.epoch - 1) % int(self._every.amount) == 0
            case "second":
                return since >= self._every.amount
            case _:
                return since >= max(AT_THE_END if epoch_is_over else WITHIN, SHARE * self._cost)

    def save(
        self, progress: Progress, state: State, best: tuple[Arrays, Arrays] | None, meter: Meter,
    ) -> bool:
        """Take a snapshot; what is written is written behind the training.

        Args:
            progress: where the run stands.
            state: what training changes.
            best: the parameters and other arrays that are kept, if any.
            meter: the figures of the epoch under way.

        Returns:
            False, and no snapshot, where the parameters hold what is not a number.

        Raises:
            SpecError: F0820 it cannot be written.
        """
        begun = time.monotonic()
        arrays = named(_tree(state, best))
        if not all(np.isfinite(array).all() for name, array in arrays.items()
                   if name.startswith("state/params/")):
            return False
        arrays |= {f"meter/{name}": array for name, array in meter.saved().items()}
        self.last = Snapshot(Progress(**asdict(progress)), arrays)
        if self._checkpoints is not None:
            lines = self._history.read_bytes().count(b"\n") if self._history else 0
            self._checkpoints.save(progress.step, arrays, {
                **self._facts, "progress": asdict(progress), "lines": lines,
                "batches": meter.batches})
        self._at = time.monotonic()
        self._cost = self._at - begun
        return True

    def restore(
        self, state: State,
    ) -> tuple[Progress, State, tuple[Arrays, Arrays] | None, Meter]:
        """The run as it was saved.

        Args:
            state: a first state of the model, whose structure is filled.

        Raises:
            SpecError: F0821 the checkpoint is damaged, F0822 it is of another model.
        """
        assert self.saved is not None, "there is nothing to restore"
        progress = Progress(**self.saved.facts["progress"])
        arrays = self.saved.arrays()
        self.last = Snapshot(Progress(**asdict(progress)), arrays)
        meter = Meter.restored(
            {name.removeprefix("meter/"): array for name, array in arrays.items()
             if name.startswith("meter/")}, self.saved.facts["batches"])
        best = (state.params, state.rest) if progress.best_epoch else None
        tree = refill(_tree(state, best), {name: array for name, array in arrays.items()
                                           if not name.startswith("meter/")}, self.saved)
        kept = tree.get("best")
        return progress, tree["state"], kept and (kept["params"], kept["rest"]), meter

    def wait(self) -> None:
        """Wait until everything is written.

        Raises:
            SpecError: F0820 it cannot be.
        """
        if self._checkpoints is not None:
            self._checkpoints.wait()

    def close(self) -> None:
        """Stop writing, whatever became of it."""
        if self._checkpoints is not None:
            self._checkpoints.close()


def state_of(snapshot: Snapshot, state: State, saved: Saved | None = None) -> State:
    """The state of a snapshot, in the structure of another state."""
    arrays = {name: array for name, array in snapshot.arrays.items() if name.startswith("state/")}
    where = saved or Saved(Path("memory"), snapshot.progress.step, {})
    return refill({"state": state}, arrays, where)["state"]


def _tree(state: State, best: tuple[Arrays, Arrays] | None) -> dict[str, Any]:
    """What is saved as one tree."""
    kept = {} if best is None else {"best": {"params": best[0], "rest": best[1]}}
    return {"state": state, **kept}
