"""What a run tells of, and who may listen.

A new way to report is a subclass of `Listener` with the methods that it needs:

    class Loud(Listener):
        def epoch(self, epoch: Epoch) -> None:
            print(epoch.epoch, epoch.validation)

    flaxspec.train("recipe.yaml", listeners=[Loud()])
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Stage:
    """A piece of work before the first step, or after the last.

    Attributes:
        name: "check", "plan", "start", "data", "build", "compile", "test", "report".
        seconds: how long it took; None where it only begins.
        note: what came of it.
    """

    name: str
    seconds: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Beginning:
    """What is known before the first step.

    Attributes:
        name: the recipe's name.
        parameters: how many numbers are trained.
        examples: the number of examples in each part.
        epochs: how many epochs are planned; the last may be cut short by `steps`.
        steps: how many steps are planned in all.
        steps_per_epoch: how many steps see every example once.
        device: what it runs on.
        done: how many steps were made before, where a run is taken up again.
    """

    name: str
    parameters: int
    examples: Mapping[str, int]
    epochs: int
    steps: int
    steps_per_epoch: int
    device: str
    done: int = 0


@dataclass(frozen=True)
class Epoch:
    """An epoch that is done.

    Attributes:
        epoch: its number, from 1.
        step: how many steps were made since the beginning.
        seconds: since the beginning.
        learning_rate: after its last step; None where the optimiser has none.
        train: means over its batches, while the weights were changing.
        validation: figures of the validation part after it; {} where it was not looked at.
        rate: examples per second while training, without compiling and evaluating; None where
            there was too little to tell.
        memory: bytes in use after it; None where the system does not say.
        raw: figures of the validation part with the weights as the optimiser has them, where
            averaged ones are evaluated; else {}.
        weights: gives the weights that are judged, the parameters and the other arrays by path;
            to be called while this is told, since the next step consumes them.
    """

    epoch: int
    step: int
    seconds: float
    learning_rate: float | None
    train: Figures
    validation: Figures
    rate: float | None = None
    memory: int | None = None
    raw: Figures = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    weights: Callable[[], tuple[dict[str, Any], dict[str, Any]]] | None = None


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        test: figures of the test part.
        baselines: figures of simple methods on the same part, by method.
        epochs: how many epochs were made.
        steps: how many steps were made.
        best_epoch: the epoch whose weights were kept.
        seconds: from the beginning to the end, compilation included.
        parameters: how many numbers were trained.
        seed: the training seed.
        raw: figures of the test part with the weights as the optimiser left them, where averaged
            ones are kept; else {}.
        details: what the task has to say of the test part, or of the validation part where there
            is no other, beyond figures: scores by class, …
        validation: figures of the validation part, with the weights that were kept.
    """

    test: Figures
    epochs: int
    steps: int
    best_epoch: int
    seconds: float
    parameters: int
    seed: int
    baselines: Mapping[str, Figures] = field(default_factory=dict)
    raw: Figures = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    validation: Figures = field(default_factory=dict)

    @property
    def judged(self) -> tuple[str, Figures]:
        """The part whose figures stand for the run, the test part where there is one."""
        if self.validation and not self.test:
            return "validation", self.validation
        return "test", self.test

    def as_json(self) -> dict[str, Any]:
        """The content of summary.json."""
        return {"test": dict(self.test), "validation": dict(self.validation),
                **({"test_raw": dict(self.raw)} if self.raw else {}),
                "epochs": self.epochs, "steps": self.steps, "kept_epoch": self.best_epoch,
                "seconds": round(self.seconds, 3), "params": self.parameters, "seed": self.seed,
                **({"baselines": {k: dict(v) for k, v in self.baselines.items()}}
                   if self.baselines else {})}

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Result:
        """The result whose `as_json` this is; its details are not in there.

        Raises:
            KeyError: a part is missing.
        """
        test, validation, raw = (
            {name: math.nan if value is None else value for name, value in figures.items()}
            for figures in (content["test"], content["validation"], content.get("test_raw", {})))
        return cls(test, content["epochs"], content["steps"], content["kept_epoch"],
                   content["seconds"], content["params"], content["seed"],
                   content.get("baselines", {}), raw, validation=validation)


class Listener(Protocol):
    """Hears of a run; every method may be left out."""

    def stage(self, stage: Stage) -> None:
        """A stage begins (`seconds` is None), or is done."""

    def begin(self, beginning: Beginning) -> None:
        """The first step is about to be compiled."""

    def step(self, step: int, so_far: Callable[[], Figures]) -> None:
        """A step was handed to the device, where several are made at once, with the others.

        Args:
            step: its number, from 1; none is left out.
            so_far: gives the epoch's means over the steps that are done; {} before the first.
        """

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is done."""

    def end(self, result: Result) -> None:
        """The run is done."""

    def close(self) -> None:
        """Nothing more will come, whether the run is done or broke off."""


class Note:
    """What came of a stage, filled in while it runs."""

    text = ""


@contextmanager
def stage(name: str, listeners: Sequence[Listener]) -> Iterator[Note]:
    """Tell of the beginning and the end of a stage; one that fails does not end.

    Example:
        >>> with stage("data", listeners) as note:
        ...     note.text = "1,257 train"
    """
    for listener in listeners:
        listener.stage(Stage(name))
    begun, note = time.monotonic(), Note()
    yield note
    done = Stage(name, time.monotonic() - begun, note.text)
    for listener in listeners:
        listener.stage(done)
