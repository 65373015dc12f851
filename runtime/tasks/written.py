"""What a recipe writes out: losses and metrics of named outputs and fields, with or without a task.

Without a task, predictions are the model's outputs. With one, its own loss is one more among
those that are written out, under the task's word, and predictions and what there is to say of a
part are the task's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, SkipValidation

from compiler.diagnostics import Report, nearest
from compiler.graph import During, active
from compiler.source import Span
from compiler.types import TensorType
from runtime.losses import AnyLoss, AnyMetric
from runtime.losses.loss import Given, Measured
from runtime.optim_document import Call
from runtime.policies import Mode
from runtime.tasks.task import Task

if TYPE_CHECKING:
    import jax
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Ratio
    from runtime.batch import Measured as Figures
    from runtime.data.dataset import Dataset, Meaning, Part, Scale
    from runtime.losses.values import Values
    from runtime.optim_document import Run
    from runtime.saved import Trained
    from runtime.step import Arrays, PureModel
    from runtime.tasks.drawing import Drawing

# What an argument may begin with, where an output and a field have the same name.
OUTPUT, DATA = "outputs.", "data."
# What the task measures itself stands behind this in the figures of a batch.
OWN = "task/"
# Examples whose pictures are made together.
DRAWN_AT_ONCE = 64


class Written(Task):
    """Losses and metrics as a recipe writes them out."""

    word: ClassVar[str] = "written"
    monitor: ClassVar[str] = "loss"
    better: ClassVar[Literal["higher", "lower"]] = "lower"

    losses: dict[str, AnyLoss] = Field(default={}, description="what is made small, by name")
    metrics: dict[str, AnyMetric] = Field(default={}, description="what is told besides")
    own: Annotated[Task | None, SkipValidation] = Field(
        default=None, description="the task that the recipe names besides")

    # Where each stands; how fields were normalised; the schedules of weights, as functions of
    # the step, and the last step.
    _places: Mapping[str, Span] = PrivateAttr(default={})
    _scales: Mapping[str, Scale] = PrivateAttr(default={})
    _weights: Mapping[str, Callable[[Any], Any]] = PrivateAttr(default={})
    _end: int = PrivateAttr(default=0)

    @property
    def title(self) -> str:
        return "a recipe with losses written out"

    @property
    def ways(self) -> Mapping[str, Mode]:
        found: dict[str, Mode] = dict(self.own.ways) if self.own is not None else {}
        found["loss"] = "lower"
        for name, what in self._all.items():
            if what.better is not None:
                found[name] = what.better
        return found

    @property
    def _all(self) -> dict[str, Measured]:
        return {**self.losses, **self.metrics}

    @property
    def parts(self) -> dict[str, During]:
        """The names of all that the loss is a sum of, and when each counts."""
        own: dict[str, During] = {}
        if self.own is not None and self.own.has_loss:
            own = {self.own.word: "always"}
        return {**own, **{name: loss.during for name, loss in self.losses.items()}}

    def placed(self, places: Mapping[str, Span]) -> Self:
        """The same, knowing where in the recipe each loss and metric stands."""
        self._places = places
        return self

    # ------------------------------------------------------------------------------ checking

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None, phases: Mapping[str, During] | None = None,
    ) -> None:
        """Report what does not suit; see `Task.check`.

        Args:
            outputs: the model's outputs in training by name, the main one first.
            fields: the data's fields.
            report: where errors go.
            span: where the recipe has the task, or the losses.
            phases: the outputs that exist in one phase only.
        """
        if self.own is not None:
            self.own.check(outputs, fields, report, span)
        self._check_names(outputs, report, span)
        for name, what in self._all.items():
            place = self._places.get(name, span)
            given = {field: _found(argument, what.word, outputs, fields, report,
                                   self._place(name, field, number, place))
                     for number, (field, argument) in enumerate(what.given.items())}
            known = {field: found for field, found in given.items() if found is not None}
            if len(known) < len(given):
                continue
            if misfit := what.misfit(known):
                report.error("F0642", misfit.headline, place, help=misfit.help)
            elif name in self.losses and not any(
                    _output_name(argument, outputs) for argument in what.given.values()):
                report.error("F0642", f"no output of the model is in `{name}`: nothing can make it "
                                      "smaller", place,
                             help=f"name one: `{what.example()}`; the outputs are "
                                  f"{', '.join(outputs)}")
            elif name in self.metrics and not any(
                    _output_name(argument, outputs) for argument in what.given.values()):
                report.warning("F0725", f"no output of the model is in `{name}`: it tells of the "
                                        "data alone", place,
                               help="name one, if the model is meant: the outputs are "
                                    f"{', '.join(outputs)}")
            for argument in what.given.values():
                self._check_phase(name, what, argument, outputs, phases or {}, report, place)

    def _place(self, name: str, field: str, number: int, beside: Span | None) -> Span | None:
        """Where an argument stands: by its field, by its number in a list, or with its loss."""
        places = self._places
        return places.get(f"{name}.{field}") or places.get(f"{name}.{number}") or beside

    def _check_names(
        self, outputs: Mapping[str, TensorType], report: Report, span: Span | None,
    ) -> None:
        """Report names that would be two figures."""
        taken = {"loss": "the sum of all losses"}
        if self.own is not None:
            taken |= dict.fromkeys(self.own.figures(outputs), f"a figure of {self.own.word}")
            taken |= {self.own.word: f"the loss of {self.own.word}", "loss": taken["loss"]}
        for kind, named in (("loss", self.losses), ("metric", self.metrics)):
            for name in named:
                if name in taken:
                    report.error("F0643", f"a {kind} cannot be called `{name}`: that is "
                                          f"{taken[name]}", self._places.get(name, span),
                                 help="give it another name")
            taken |= dict.fromkeys(named, f"one of the {kind}es")

    def _check_phase(
        self, name: str, what: Measured, argument: str | float,
        outputs: Mapping[str, TensorType], phases: Mapping[str, During], report: Report,
        place: Span | None,
    ) -> None:
        """Report a loss of an output that is not always there."""
        output = _output_name(argument, outputs)
        phase = phases.get(output, "always") if output is not None else "always"
        if phase not in ("always", what.during):
            report.error(
                "F0644", f"`{name}` counts {_when(what.during)}, but the output `{output}` "
                         f"exists {_when(phase)}", place, help=f"say `during: {phase}` beside it")

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        own = self.own.figures(outputs) if self.own is not None else ()
        parts = [name for name, during in self.parts.items() if active(during, training=False)]
        told = [name for name, what in self.metrics.items() if what.is_active(training=False)]
        return (*(("loss",) if parts else ()), *parts, *told, *(n for n in own if n != "loss"))

    def target_axes(self, rank: int) -> tuple[str, ...] | None:
        return self.own.target_axes(rank) if self.own is not None else None

    # ------------------------------------------------------------------------------ measuring

    def fitted(self, dataset: Dataset) -> Self:
        own = self.own.fitted(dataset) if self.own is not None else None
        return self.model_copy(update={"own": own}).seen(dataset)

    def seen(self, dataset: Dataset) -> Self:
        """The same, knowing how the data was normalised; see `Task.seen`."""
        own = self.own.seen(dataset) if self.own is not None else None
        found = self.model_copy(update={"own": own})
        found._scales = {**dataset.normalise, **dataset.scales}
        return found

    def knowing(self, meaning: Meaning) -> Self:
        if self.own is None:
            return self
        return self.model_copy(update={"own": self.own.knowing(meaning)})

    def scheduled(self, run: Run) -> Self:
        """The same, knowing what its weights are at each step of a run."""
        from runtime.optim import schedule

        found = self.model_copy()
        found._end = run.steps
        found._weights = {name: schedule(loss.weight, run) for name, loss in self.losses.items()
                          if isinstance(loss.weight, Call)}
        return found

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Figures:
        """Every loss and metric by its name, `loss` the weighted sum; see `Task.measure`.

        What the task measures besides stands behind `OWN`.
        """
        own: Figures = {}
        parts: dict[str, Ratio] = {}
        if self.own is not None:
            own = self.own.measure(outputs, batch, training=training)
            if self.own.has_loss:
                parts[self.own.word] = _as_ratio(own["loss"])
        found = {name: what.measure(_values(what, outputs, batch), training=training)
                 for name, what in self._all.items() if what.is_active(training=training)}
        parts |= {name: found[name] for name in self.losses if name in found}
        total = {"loss": self.total(parts, batch.step)} if parts else {}
        return {**found, **parts, **{f"{OWN}{name}": part for name, part in own.items()}, **total}

    def total(self, parts: Mapping[str, Any], step: jax.Array | None) -> Ratio:
        """The weighted sum of the means of some of the losses, as a ratio.

        It adds up over batches as the first of them does.

        Args:
            parts: what `measure` gave, by name.
            step: how many steps were made, for weights that change; None for the end of the run.
        """
        import jax.numpy as jnp

        from runtime.batch import Ratio

        first, *_ = parts.values()
        total = jnp.zeros((), jnp.float32)
        for name, part in parts.items():
            mean = part.total / jnp.where(part.weight > 0, part.weight, 1)
            total += self._weight(name, step) * mean
        return Ratio(total * first.weight, first.weight)

    def _weight(self, name: str, step: jax.Array | None) -> Any:
        if name in self._weights:
            return self._weights[name](self._end if step is None else step)
        loss = self.losses.get(name)
        if loss is None:  # the task's own
            return 1.0
        assert not isinstance(loss.weight, Call), "the task does not know its run"
        return loss.weight

    def outputs(
        self, model: PureModel, params: Arrays, rest: Arrays, batch: Batch, *, key: jax.Array,
    ) -> tuple[dict[str, Tensor], Arrays]:
        if self.own is None:
            return super().outputs(model, params, rest, batch, key=key)
        return self.own.outputs(model, params, rest, batch, key=key)

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        parts = [name for name in self.parts if name in means]
        found: dict[str, float] = {}
        if "loss" in means:
            # The sum of the exact means, where the weights were the same all the time.
            found["loss"] = float(means["loss"]) if self._weights else sum(
                float(self._weight(name, None)) * float(means[name]) for name in parts)
        if self.own is not None and self.own.word in parts:
            found[self.own.word] = float(means[self.own.word])
        for name, what in self._all.items():
            if name in means:
                # Whichever of its arguments is a field says the units.
                scale = next((self._scales[field] for given in reversed(what.given.values())
                              if isinstance(given, str)
                              and (field := _field_name(given)) in self._scales), None)
                found[name] = what.finished(means[name], scale)
        if self.own is not None:
            own = self.own.finish(_own(means), dataset)
            found |= {name: figure for name, figure in own.items() if name not in found}
        return found

    def details(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
        return self.own.details(_own(means), dataset) if self.own is not None else {}

    def baselines(self, dataset: Dataset) -> dict[str, dict[str, float]]:
        return self.own.baselines(dataset) if self.own is not None else {}

    # ------------------------------------------------------------------------------ predicting

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """Each output by its name, as nested lists of numbers."""
        import numpy as np

        arrays = {name: list(_real(tensor, batch)) for name, tensor in outputs.items()}
        return [{name: _listed(rows[i]) for name, rows in arrays.items()}
                for i in range(int(np.asarray(batch.rows).sum()))]

    def drawings(
        self, trained: Trained, part: Part, said: Sequence[Mapping[str, Any]],
    ) -> Iterator[Drawing | None]:
        """The first output that is a picture, as a PNG; values outside 0 and 1 are cut off."""
        import numpy as np

        from runtime.report.png import png
        from runtime.tasks.drawing import Drawing, nothing_to_draw

        for outputs, batch in trained.outputs(part, DRAWN_AT_ONCE):
            pictures = [tensor for tensor in outputs.values()
                        if tensor.axes == ("height", "width", "channels")
                        and tensor.array.shape[-1] in (1, 3)]
            if not pictures:
                raise nothing_to_draw(self, "no output is a picture: (height, width, 1 or 3)")
            for picture in _real(pictures[0], batch):
                pixels = np.round(np.clip(np.nan_to_num(picture), 0, 1) * 255).astype(np.uint8)
                yield Drawing(".png", png(pixels))

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        """The fields that the losses are measured against, by name."""
        import numpy as np

        rows = np.asarray(batch.rows)
        wanted = {_field_name(argument) for what in self._all.values()
                  for argument in what.given.values() if isinstance(argument, str)}
        arrays = {name: np.asarray(array)[rows] for name, array in batch.arrays.items()
                  if name in wanted}
        return [{name: _listed(array[i]) for name, array in arrays.items()}
                for i in range(int(rows.sum()))]


# ---------------------------------------------------------------------------------- arguments


def _found(
    argument: str | float, word: str, outputs: Mapping[str, TensorType],
    fields: Mapping[str, TensorType], report: Report, place: Span | None,
) -> Given | None:
    """What an argument is; reports where it is nothing, or two things."""
    if not isinstance(argument, str):
        return Given(f"{argument:g}", TensorType((), ()), float(argument))
    output, field = _output_name(argument, outputs), _field_name(argument)
    if output is not None and argument == field and field in fields:
        report.error(
            "F0641", f"`{argument}` is both an output of the model and a field of the data", place,
            help=f"say `{OUTPUT}{argument}` or `{DATA}{argument}`")
        return None
    if output is not None:
        return Given(f"`{argument}`", outputs[output])
    if field in fields:
        return Given(f"`{argument}`", fields[field])
    report.error(
        "F0640", f"`{argument}`, which {word} names, is neither an output of the model nor a field "
                 "of the data", place, nearest(argument, [*outputs, *fields]),
        notes=[f"outputs: {', '.join(f'{n} {t}' for n, t in outputs.items())}",
               f"fields: {', '.join(f'{n} {t}' for n, t in fields.items())}"])
    return None


def _output_name(argument: str | float, outputs: Collection[str]) -> str | None:
    """The output that an argument names; None where it names none."""
    if not isinstance(argument, str):
        return None
    if argument in outputs:
        return argument
    bare = argument.removeprefix(OUTPUT)
    return bare if bare in outputs and bare != argument else None


def _field_name(argument: str) -> str:
    """The field that an argument names, if it names one."""
    return argument.removeprefix(DATA)


def _values(what: Measured, outputs: Mapping[str, Tensor], batch: Batch) -> Values:
    """The arguments of a loss as arrays."""
    from runtime.losses.values import Value, Values

    def value(argument: str | float) -> Value:
        import jax.numpy as jnp

        if not isinstance(argument, str):
            return Value(jnp.float32(argument))
        output = _output_name(argument, outputs)
        if output is not None:
            tensor = outputs[output]
            return Value(tensor.array, tensor.axes, tensor.lengths)
        name = _field_name(argument)
        array, lengths = batch.arrays[name], batch.lengths.get(name)
        # A field has no names of axes here; where it has lengths, time is the first.
        axes = ("time", *("",) * (array.ndim - 2)) if lengths is not None else (
            ("",) * (array.ndim - 1))
        return Value(array, axes, lengths)

    return Values({field: value(argument) for field, argument in what.given.items()}, batch.rows)


def _own(means: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The means of what the task measured itself."""
    return {name.removeprefix(OWN): mean for name, mean in means.items() if name.startswith(OWN)}


def _as_ratio(found: Any) -> Ratio:
    from runtime.batch import Ratio

    return Ratio(*found)


def _when(during: str) -> str:
    return {"always": "always", "training": "in training only",
            "evaluation": "in evaluation only"}[during]


# ---------------------------------------------------------------------------------- predictions


def _real(tensor: Tensor, batch: Batch) -> Iterator[np.ndarray]:
    """The rows of an output that count, without the steps that only pad."""
    from runtime.tasks.naming import lengths_of, rows_of

    rows = rows_of(tensor, batch)
    if tensor.lengths is None:
        yield from rows
        return
    dim = tensor.dim("time") - 1
    for row, length in zip(rows, lengths_of(tensor, batch)):
        yield row.take(range(int(length)), axis=dim)


def _listed(array: np.ndarray) -> Any:
    """An array as nested lists of numbers of six digits; its value where it is a single one."""
    import numpy as np

    from runtime.tasks.naming import number

    if array.dtype.kind in "iub":
        return array.tolist()
    return np.vectorize(number, otypes=[float])(array).tolist() if array.size else array.tolist()
