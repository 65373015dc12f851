"""A finished run, taken up again: to predict, to evaluate, to go on in Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.graph import inputs_read
from compiler.lower import carry
from compiler.lower.build import build_model
from compiler.lower.module import Model
from compiler.lower.tensor import Tensor
from compiler.lower.weights import load_weights
from compiler.passes import optimise
from compiler.types import TensorType
from runtime import folder as files
from runtime import preprocessing
from runtime.arrays import arrays_part, is_arrays
from runtime.batch import Batch
from runtime.data.arrays import Arrays
from runtime.data.dataset import Dataset, Part
from runtime.data.images import SUFFIXES as PICTURES
from runtime.data.pictures import as_field
from runtime.data.pipeline import examples
from runtime.evaluation import measured, measurer, searcher
from runtime.finding import find, summary
from runtime.inputs import Form, Kind, as_series, as_text, kind_of
from runtime.optim_document import Run
from runtime.preprocessing import Preprocessing
from runtime.recipe import Training
from runtime.report.jsonl import read_events
from runtime.run import Prepared, prepare
from runtime.share.reference import MANIFEST
from runtime.step import PureModel
from runtime.streams import EVALUATION_STREAMS
from runtime.tasks.task import Task
from runtime.tasks.written import Written

Inputs = Sequence[Any] | np.ndarray
# Examples at once where the recipe's batch is larger or nobody says.
BATCH = 256


class Trained:
    """A trained model with what stands before and behind it.

    Example:
        >>> run = flaxspec.load("runs/digits-1")
        >>> run.predict(images)[0]["label"]
        '7'
        >>> run.model(images)                   # the plain nnx.Module, in evaluation

    Attributes:
        model: the module, switched to evaluation, with the run's weights.
        training: the recipe's `data`, `task` and `train`.
        preprocessing: what the data taught.
        folder: where the run is kept; None where it is not.
        pure: the model as a function of its arrays, with normalisation before it.
        params: its trained parameters, by path.
        rest: its other arrays, by path.
    """

    def __init__(
        self, model: Model, training: Training, inputs: Mapping[str, str],
        known: Preprocessing, folder: Path | None = None,
    ):
        """Take a model with its trained weights in it; `inputs` are the fields it gets."""
        model.eval()
        self.model, self.training, self.folder = model, training, folder
        self.preprocessing = known
        self._task = training.task.knowing(known.meaning)
        if carry.carries(model):
            carry.begin(model, EVALUATION_STREAMS)
        self.pure, self.params, self.rest = PureModel.split(model, inputs, known.normalise)
        carry.end(model)

        def forward(params: Any, rest: Any, batch: Batch, key: jax.Array) -> dict[str, Tensor]:
            outputs = self.task.outputs(self.pure, params, rest, batch, key=key)[0]
            if self.task.searched:
                outputs |= self.pure.searched(params, rest, batch, key=key)
            return outputs

        self._forward = jax.jit(forward)

    @property
    def summary(self) -> dict[str, Any]:
        """The run's scores, epochs, time and seed: the content of summary.json."""
        return summary(self.folder) if self.folder else {}

    @property
    def history(self) -> list[dict[str, Any]]:
        """A map for each epoch: `epoch`, `train`, `validation`, `seconds`, …"""
        if self.folder is None:
            return []
        return [event for event in read_events(self.folder / files.METRICS)
                if event.get("event") == "epoch"]

    def _repr_html_(self) -> str:
        """In a notebook: the learning curves."""
        from runtime.report.html import notebook_view

        return notebook_view(self)

    @property
    def inputs(self) -> Mapping[str, str]:
        """For each input of the model the field of the data that it gets."""
        return self.pure.inputs

    @property
    def task(self) -> Task:
        return self._task

    def predict(self, inputs: Inputs, *, batch_size: int = BATCH) -> list[dict[str, Any]]:
        """What the model says of raw inputs, in the data's own words and units.

        Args:
            inputs: what the run's data source takes: paths of pictures or sounds, texts, rows
                of a table as maps, whole tables for series; or arrays with the axes of the
                model's input, in the data's own units.
            batch_size: how many at once; no prediction depends on it.

        Returns:
            For each input a map: `label` and `probabilities` of a classification, `forecast`
            of a forecast, and so on.

        Raises:
            SpecError: F0811 an input does not fit; others by the source.
        """
        return [] if not len(inputs) else self.predictions(self.encode(inputs), batch_size)

    def encode(self, inputs: Inputs, called: Sequence[str] = ()) -> Part:
        """Raw inputs as the fields that the model takes.

        Args:
            inputs: as `predict` takes them.
            called: what messages call each; `input 1` and so on where not given.

        Raises:
            SpecError: F0811 an input does not fit; others by the source.
        """
        return self._complete(self._encoded(inputs, called))

    def _encoded(self, inputs: Inputs, called: Sequence[str]) -> Part:
        """Raw inputs as the fields that the model reads outside training."""
        wanted = self.wanted
        if is_arrays(inputs, list(wanted)):
            return self._arrays(inputs, called)
        source, given = self.training.data, list(inputs)
        (first, kind), *_ = wanted.items()
        if self.kind == "text" and not source.reads_rows:
            given = [as_text(value, first) for value in given]
        try:
            return source.encode(given, self.preprocessing.fitted, called)
        except NotImplementedError:
            scale, window = self.preprocessing.meaning.scales.get(first), kind.length
            if self.kind == "series" and scale is not None and isinstance(window, int):
                titles = called or [f"input {i}" for i in range(1, len(given) + 1)]
                rows = [as_series(table, scale, window, title)
                        for title, table in zip(titles, given)]
                return arrays_part(rows, wanted, called)
            paths = all(isinstance(value, str | Path) for value in given)
            if paths and len(wanted) == 1 and self.kind == "file":
                return as_field(given, first, kind)
            return self._arrays(given, called)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            if self.folder is None or not (self.folder / MANIFEST).is_file():
                raise  # our own fault, or the caller's
            raise SpecError([diagnostic(
                "F0810", f"`{self.folder / files.PREPROCESSING}` does not suit the data of the "
                "spec", notes=[f"{type(error).__name__}: {error}"],
                help="the bundle was not made by `flaxspec pack`: ask where it comes from")],
                ) from None

    def _complete(self, part: Part) -> Part:
        """With zeros for the fields that only training reads, such as what losses compare with."""
        fields, known = self.preprocessing.meaning.fields, self.wanted
        zeros = {}
        for field in self.pure.inputs.values():
            if field not in known and field not in part.arrays:
                kind = fields[field]
                sizes = (size if isinstance(size, int) else 1 for size in kind.shape)
                zeros[field] = np.zeros((part.size, *sizes),
                                        np.float32 if kind.dtype == "float" else np.int32)
        return replace(part, arrays={**part.arrays, **zeros}) if zeros else part

    @property
    def wanted(self) -> dict[str, TensorType]:
        """The fields that the model reads outside training, with their types."""
        fields, read = self.preprocessing.meaning.fields, inputs_read(self.model.graph)
        inputs = self.pure.inputs
        return {field: fields[field] for name, field in inputs.items()
                if name in read or not read}

    @property
    def kind(self) -> Kind:
        """How files of inputs are read."""
        return "file" if self.training.data.reads_files else kind_of(self.wanted)

    @property
    def form(self) -> Form:
        """What files of inputs look like."""
        source = self.training.data
        pictures = any(kind.axes == ("height", "width", "channels")
                       for kind in self.wanted.values())
        suffixes = source.suffixes or (PICTURES if pictures else ())
        own, first = {}, frozenset()
        if isinstance(source, Arrays):
            own, contents = source.called(), source.contents
            first = frozenset(n for n in contents if contents[n].channels == "first")
        return Form(self.kind, suffixes, getattr(source, "delimiter", ""),
                    getattr(source, "key", None),
                    {name: own.get(name, (name,)) for name in self.wanted}, first)

    def _arrays(self, inputs: Inputs, called: Sequence[str] = ()) -> Part:
        """Arrays in the data's own units as the model takes them."""
        part = arrays_part(inputs, self.wanted, called)
        scales = self.preprocessing.meaning.scales
        return Part({name: scales[name].normalised(array) if name in scales else array
                     for name, array in part.arrays.items()}, part.lengths)

    def predictions(self, part: Part, batch_size: int = BATCH) -> list[dict[str, Any]]:
        """What the model says of the examples of a part, in order."""
        return [told for outputs, batch in self.outputs(part, batch_size)
                for told in self.task.predictions(outputs, batch, self.preprocessing.meaning)]

    def truths(self, part: Part, batch_size: int = BATCH) -> list[dict[str, Any]]:
        """What the targets of a part say, in the terms of `predictions`."""
        return [told for batch in batches(part, batch_size)
                for told in self.task.truths(batch, self.preprocessing.meaning)]

    def outputs(self, part: Part, batch_size: int) -> Iterator[tuple[dict[str, Tensor], Batch]]:
        """The model's outputs, batch by batch; the last batch is filled up."""
        for batch in batches(part, batch_size):
            yield self.forward(batch), batch

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The model's outputs for a batch."""
        return self._forward(self.params, self.rest, batch, jax.random.key(0))

    def evaluate(
        self, part: Part | None = None, batch_size: int = BATCH,
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """The figures of a part, and what there is to say beyond them.

        Args:
            part: examples with their targets; the run's own test part where not given.
            batch_size: how many at once; no figure depends on it.
        """
        if part is None:
            part = self.training.data.load().test
        dataset = self.preprocessing.around(part)
        size = max(1, min(batch_size, part.size))
        goal = self._goal(dataset)
        means: dict[str, np.ndarray] = {}
        for look in (measurer(self.pure, goal), searcher(self.pure, goal)):
            if look is not None:
                means |= measured(self.pure, look, self.params, self.rest, examples(part), size,
                                  jax.random.key(0)).means()
        return goal.finish(means, dataset), goal.details(means, dataset)

    def _goal(self, dataset: Dataset) -> Task:
        """What is measured, with what it takes from the data and the length of the run."""
        goal = self.training.goal.knowing(dataset.meaning)
        if not isinstance(goal, Written):
            return goal
        steps, epochs = (self.summary.get(name) or 1 for name in ("steps", "epochs"))
        return goal.seen(dataset).scheduled(Run(steps, max(1, steps // epochs)))


def load(run: str | Path) -> Trained:
    """A finished run from its folder.

    Args:
        run: the folder, or its name in `runs/`.

    Raises:
        SpecError: F0810 it is not the folder of a finished run, F0805 and F0806 its weights are
            damaged.
    """
    folder = find(run)
    return load_from(folder, prepare(folder / files.SPEC, Report()))


def load_from(folder: Path, prepared: Prepared) -> Trained:
    """A finished run whose recipe was read, perhaps with other paths of its data.

    Raises:
        SpecError: F0810 its preprocessing is damaged, F0805 and F0806 its weights.
    """
    known = _known(folder, prepared)
    train = prepared.training.train
    model = build_model(optimise(prepared.graph), seed=train.seed, kernels=train.compile.kernels,
                        **train.precision.of_build)
    load_weights(model, folder / files.WEIGHTS, prepared.graph)
    training = prepared.training
    return Trained(model, training, prepared.inputs, known, folder)


def read_run(folder: Path) -> tuple[Prepared, Preprocessing]:
    """The checked spec and the preprocessing of a run."""
    prepared = prepare(folder / files.SPEC, Report())
    return prepared, _known(folder, prepared)


def _known(folder: Path, prepared: Prepared) -> Preprocessing:
    """The preprocessing of a run, which may be a stranger's.

    Raises:
        SpecError: F0810 it is missing, damaged, or that of another model.
    """
    try:
        known = preprocessing.read(folder / files.PREPROCESSING)
        preprocessing.check_fits(known, prepared.inputs.values())
        return known
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SpecError([diagnostic(
            "F0810", f"`{folder / files.PREPROCESSING}` is damaged",
            notes=[f"{type(error).__name__}: {error}".partition("\n")[0]],
            help="take it from a copy of the run, or train it again")]) from None


def batches(part: Part, batch_size: int) -> Iterator[Batch]:
    """The examples in their order, which batches of about equal lengths would change."""
    size = max(1, min(batch_size, part.size))
    return iter(examples(replace(part, buckets=())).batches(np.arange(part.size), size))
