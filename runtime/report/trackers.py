"""Programs that keep track of runs: `train: {log: [tensorboard, {wandb: {project: digits}}]}`.

A new one is a choice here and a listener in a file of its own, imported when a run uses it.
From Python any `Listener` will do: `flaxspec.train(spec, listeners=[…])`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from compiler.diagnostics import SpecError, diagnostic
from runtime.report.listener import Epoch, Listener, Result
from runtime.section import Choice, word_of


class _Tracker(Choice):
    # The package that does the work, and the extra that installs it.
    package: ClassVar[str]

    def listener(self, folder: Path, name: str, spec: Mapping[str, Any]) -> Listener:
        """What hears of the run.

        Args:
            folder: the run's folder.
            name: what to call the run.
            spec: the resolved spec as plain data.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Check that its package is there.

        Raises:
            SpecError: F0636 it is not.
        """
        if find_spec(self.package) is None:
            raise SpecError([diagnostic(
                "F0636", f"`log: {self.word}` needs the package {self.package}",
                help=f"install it: `pip install \"flaxspec[{self.word}]\"`")])


class TensorBoard(_Tracker):
    """TensorBoard's files in the run's folder: `tensorboard --logdir runs`."""

    word: ClassVar[str] = "tensorboard"
    package: ClassVar[str] = "tensorboardX"

    def listener(self, folder: Path, name: str, spec: Mapping[str, Any]) -> Listener:
        from runtime.report.tensorboard import TensorBoardFiles

        return TensorBoardFiles(folder, spec)


class Wandb(_Tracker):
    """Weights & Biases."""

    word: ClassVar[str] = "wandb"
    package: ClassVar[str] = "wandb"
    main: ClassVar[str | None] = "project"

    project: str | None = Field(
        default=None, description="the project; the recipe's name where not given")
    entity: str | None = Field(default=None, description="the team or user it belongs to")
    mode: Literal["online", "offline"] = Field(
        default="online", description="`offline` keeps the run in its folder until `wandb sync`")

    def listener(self, folder: Path, name: str, spec: Mapping[str, Any]) -> Listener:
        from runtime.report.wandb import WandbRun

        return WandbRun(folder, spec, project=self.project or name, entity=self.entity,
                        mode=self.mode)


Tracker = Annotated[
    Annotated[TensorBoard, Tag("tensorboard")] | Annotated[Wandb, Tag("wandb")],
    Discriminator(word_of),
]


def scalars(epoch: Epoch) -> dict[str, float]:
    """The figures of an epoch by the names that trackers group by: `train/loss`, …"""
    found = {f"{part}/{name}": value
             for part, figures in (("train", epoch.train), ("validation", epoch.validation))
             for name, value in figures.items()}
    for name, value in (("learning_rate", epoch.learning_rate),
                        ("examples_per_second", epoch.rate), ("memory", epoch.memory)):
        if value is not None:
            found[f"run/{name}"] = value
    return found


def last_scalars(result: Result) -> dict[str, float]:
    """The figures of the test part."""
    return {f"test/{name}": value for name, value in result.test.items()}
