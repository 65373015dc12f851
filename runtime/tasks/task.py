"""What a task is: what the model's outputs are compared with, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from compiler.diagnostics import Report, nearest
from compiler.source import Span
from compiler.types import TensorType
from runtime.policies import Mode
from runtime.section import Choice

if TYPE_CHECKING:
    from pathlib import Path

    import jax
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured
    from runtime.data.dataset import Dataset, Meaning, Part
    from runtime.job import Job
    from runtime.optim_document import Run
    from runtime.report.listener import Listener
    from runtime.saved import Trained
    from runtime.step import Arrays, PureModel
    from runtime.tasks.drawing import Drawing


class Task(Choice):
    """The base of every task.

    `check` imports neither NumPy nor JAX, so that a recipe is checked without them.
    """

    output: str | None = Field(
        default=None, description="the model's output to use; the main one where not given")

    # The metric that tells runs and epochs apart, and which way is better.
    monitor: ClassVar[str]
    better: ClassVar[Literal["higher", "lower"]]
    # Whether its loss understands examples that were mixed with others (mixup, CutMix).
    mixes: ClassVar[bool] = False
    # The fields that hold paths, `a.b` for one in a map, or the names of runs.
    paths: ClassVar[tuple[str, ...]] = ()
    # Whether it has a loss of its own, or is for a recipe that writes the losses out.
    has_loss: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.word

    @property
    def ways(self) -> Mapping[str, Mode]:
        """Which way its figures are better, where that is known; `monitor` is among them."""
        return {"loss": "lower", self.monitor: self.better}

    def chosen(self, outputs: Mapping[str, Any]) -> str:
        """The name of the output that the task is about; the main output stands first."""
        return self.output or next(iter(outputs))

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        """Report what in a model's outputs or a data set's fields does not suit the task.

        Args:
            outputs: the model's outputs in training by name, the main one first.
            fields: the data's fields.
            report: where errors go.
            span: where the recipe names the task.
        """
        raise NotImplementedError

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        """The names of all figures that `finish` may give outside training, the loss first.

        Args:
            outputs: the model's outputs by name, the main one first. What only the data can tell,
                such as what classes are called, is taken to allow every figure.
        """
        raise NotImplementedError

    def target_axes(self, rank: int) -> tuple[str, ...] | None:
        """The axes of a target with so many of them besides the examples; None where any will do.

        Arrays from Python carry no names of axes.
        """
        return None

    def fitted(self, dataset: Dataset) -> Self:
        """The task with what it takes from the training part, such as balanced class weights.

        Raises:
            SpecError: F0619 the recipe asks for what this data does not have.
        """
        return self

    def seen(self, dataset: Dataset) -> Self:
        """The task with what it needs to measure any part of the data: how that was normalised, …

        Raises:
            SpecError: something that the recipe names is not there, or does not suit the data.
        """
        return self

    def knowing(self, meaning: Meaning) -> Self:
        """The task with what it takes from the fields of the data, without the examples."""
        return self

    def scheduled(self, run: Run) -> Self:
        """The task with what it takes from the length of the run, such as weights that change."""
        return self

    def outputs(
        self, model: PureModel, params: Arrays, rest: Arrays, batch: Batch, *, key: jax.Array,
    ) -> tuple[dict[str, Tensor], Arrays]:
        """What is measured and told outside training, and the model's other arrays after it.

        A task may run the model several times, as one does that goes on from what it said.

        Args:
            model: the model.
            params: its trained parameters.
            rest: its other arrays.
            batch: the examples.
            key: of random numbers, for models that draw them outside training too.
        """
        return model.run(params, rest, batch, training=False, key=key)

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        """The loss and the metrics of a batch, as ratios that add up over batches.

        Args:
            outputs: the model's outputs by name.
            batch: the examples, as the model takes them; rows that do not count add nothing.
            training: whether `loss` is the one to minimise, with smoothing and the
                auxiliary heads, or the plain one.
        """
        raise NotImplementedError

    @property
    def searched(self) -> int:
        """How many validation examples are searched after an epoch, where outputs are searched.

        A search costs much more than the model's outputs. 0 where there is none.
        """
        return 0

    def measure_search(self, outputs: Mapping[str, Tensor], batch: Batch) -> Measured:
        """What is measured on a batch besides, of what a search found; not in training.

        Args:
            outputs: as `PureModel.searched` gives them.
            batch: the examples.
        """
        return {}

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        """The figures to report, the loss first, from the means of what `measure` gave."""
        figures = {name: float(mean) for name, mean in means.items() if not mean.shape}
        return {name: figures[name] for name in sorted(figures, key=lambda n: n != "loss")}

    def details(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
        """What there is to say beyond single figures, as JSON holds it: scores by class, …"""
        return {}

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """What the outputs say, in the data's own words and units, as JSON holds it.

        The targets need not be in the batch.

        Args:
            outputs: the model's outputs by name, outside training.
            batch: what they were made from; rows that do not count are left out.
            meaning: what the numbers in the data mean.

        Returns:
            A map for each row that counts.
        """
        raise NotImplementedError

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        """What the targets in a batch say, in the terms of `predictions`: its main keys."""
        raise NotImplementedError

    def drawings(
        self, trained: Trained, part: Part, said: Sequence[Mapping[str, Any]],
    ) -> Iterator[Drawing | None]:
        """What there is to see of predictions: boxes on a picture, words that weighed, …

        Args:
            trained: the model, with the module and the arrays that it is made of.
            part: the inputs as the model takes them; the targets need not be there.
            said: what `predictions` gave for each.

        Returns:
            For each example, in order, its drawing, or None where it has none. They are made
            one at a time, as they are asked for.

        Raises:
            SpecError: F0690 there is nothing to draw for any input.
        """
        from runtime.tasks.drawing import nothing_to_draw

        raise nothing_to_draw(self)

    def listeners(self, job: Job, dataset: Dataset, folder: Path) -> tuple[Listener, ...]:
        """Who else hears of a run of this task: what writes samples while it is trained, …

        Args:
            job: what is trained.
            dataset: on what.
            folder: the run's folder.
        """
        return ()

    def baselines(self, dataset: Dataset) -> dict[str, dict[str, float]]:
        """Figures of simple methods on the test part, for comparison, by method."""
        return {}


def has_field(
    task: Task, name: str, fields: Mapping[str, TensorType], report: Report, span: Span | None,
) -> bool:
    """Whether the data has the field that a task wants; reports where not."""
    if name in fields:
        return True
    report.error("F0615", f"{task.word} needs a field `{name}`, which this data set does not have",
                 span, nearest(name, fields),
                 notes=[f"its fields: {', '.join(f'{n} {t}' for n, t in fields.items())}"])
    return False


def has_output(
    task: Task, name: str, outputs: Mapping[str, TensorType], report: Report, span: Span | None,
) -> bool:
    """Whether the model has the output that a task wants; reports where not."""
    if name in outputs:
        return True
    report.error("F0616", f"{task.word} names an output `{name}`, which the model does not have",
                 span, nearest(name, outputs),
                 notes=[f"its outputs: {', '.join(f'{n} {t}' for n, t in outputs.items())}"])
    return False
