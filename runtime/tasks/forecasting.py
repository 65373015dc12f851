"""Forecasting: the coming values of a series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.source import Span
from compiler.types import TensorType
from runtime.policies import Mode
from runtime.section import problem
from runtime.tasks.forecast_words import RECURSIVE, intervals
from runtime.tasks.numeric import Numeric

if TYPE_CHECKING:
    import jax
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured
    from runtime.data.dataset import Dataset, Meaning, Part
    from runtime.saved import Trained
    from runtime.step import Arrays, PureModel
    from runtime.tasks.drawing import Drawing

Level = Annotated[float, Field(gt=0, lt=1)]


class Forecasting(Numeric):
    """The coming values of a series: mean absolute and root mean square error, MASE and sMAPE.

    With `quantiles` the model says several values for each step, which a part `q` of the truth is
    expected to lie below each; the forecast is the median. They stand beside what simple methods
    reach on the same windows: the last value, the value one season before, and a linear
    autoregression with ridge penalty.
    """

    word: ClassVar[str] = "forecasting"
    axes: ClassVar[tuple[tuple[str, ...], ...]] = (("time", "channels"),)

    target: str = Field(default="future", description="the field that holds the values to come")
    past: str = Field(default="past", description="the field with the values before; the linear "
                                                  "baseline looks at it")
    known: str = Field(default="known", description="the field with what is known of the steps "
                                                    "to come")
    quantiles: list[Level] | None = Field(
        default=None, min_length=1,
        description="what the model says of each value, such as `[0.1, 0.5, 0.9]`, with the "
                    "pinball loss; it ends with as many numbers for each value, beside each other")
    strategy: Literal["direct", "recursive"] = Field(
        default="direct", description="all steps at once; or one, from which the next is told, "
                                      "and so on")

    @field_validator("quantiles")
    @classmethod
    def _in_order(cls, levels: list[float] | None) -> list[float] | None:
        if levels is not None and (levels != sorted(set(levels)) or 0.5 not in levels):
            raise problem("quantiles rise from one to the next, with 0.5, the forecast, among them",
                          help="say `quantiles: [0.1, 0.5, 0.9]`")
        return levels

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.quantiles is not None and "loss" in self.model_fields_set:
            raise problem("`quantiles` have a loss of their own, the pinball loss",
                          help="leave out `loss`, or `quantiles`")
        if self.quantiles is not None and self.strategy == "recursive":
            raise problem("a forecast made step by step has no quantiles",
                          notes=["what is uncertain of a step would be lost in the next"],
                          help="say `strategy: direct`, or leave out `quantiles`")
        return self

    @property
    def ways(self) -> Mapping[str, Mode]:
        return {**super().ways, "rmse": "lower", "mase": "lower", "smape": "lower",
                **({"pinball": "lower"} if self.quantiles else {})}

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        before = len(report.diagnostics)
        super().check(outputs, fields, report, span)
        if len(report.diagnostics) > before or self.strategy == "direct":
            return
        past, future = fields.get(self.past), fields[self.target]
        columns = _channels(future) + _channels(fields.get(self.known))
        if past is None or _channels(past) != columns:
            report.error(
                "F0710", "a step that is told becomes the past of the next one, but "
                         f"`{self.past}` is not what is told and what is known", span,
                notes=[f"`{self.past}` has {_channels(past)} columns, `{self.target}` and "
                       f"`{self.known}` together {columns}"], help=RECURSIVE)

    def expected(self, wanted: TensorType) -> TensorType:
        steps, columns = wanted.shape
        steps = 1 if self.strategy == "recursive" else steps
        if self.quantiles is not None and isinstance(columns, int):
            columns *= len(self.quantiles)
        return TensorType(wanted.axes, (steps, columns))

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        if self.quantiles is None:
            return (*super().figures(outputs), "mase", "smape")
        return (*super().figures(outputs), "mase", "smape", "pinball",
                *(f"coverage_{name}" for name in intervals(self.quantiles)))

    # How many steps are to come, once the data has told it.
    _horizon: int = PrivateAttr(default=0)

    @property
    def horizon(self) -> int:
        """How many steps are to come."""
        assert self._horizon, "the task does not know its data"
        return self._horizon

    def fitted(self, dataset: Dataset) -> Self:
        return self.knowing(dataset.meaning)

    def knowing(self, meaning: Meaning) -> Self:
        """The task that knows how many steps are to come.

        Raises:
            SpecError: F0710 the columns do not allow that what is told becomes the past.
        """
        names = {field: list(scale.names) for field, scale in meaning.scales.items()
                 if field in (self.past, self.known, self.target)}
        if self.strategy == "recursive" and names and names.get(self.past) != (
                names.get(self.target, []) + names.get(self.known, [])):
            raise SpecError([diagnostic(
                "F0710", "a step that is told becomes the past of the next one, but "
                         f"`{self.past}` is not what is told and what is known",
                notes=[f"`{field}` is {', '.join(columns)}" for field, columns in names.items()],
                help=RECURSIVE)])
        kind = meaning.fields.get(self.target)
        found = self.model_copy()
        if kind is not None and kind.shape and isinstance(kind.shape[0], int):
            found._horizon = kind.shape[0]
        return found

    def outputs(
        self, model: PureModel, params: Arrays, rest: Arrays, batch: Batch, *, key: jax.Array,
    ) -> tuple[dict[str, Tensor], Arrays]:
        """The model's outputs; with `recursive`, those of as many steps as are to come.

        The model is run once for each step, of the same shapes each time: what it said, with what
        is known of that step, moves into the past, and the oldest step out of it.
        """
        if self.strategy == "direct":
            return super().outputs(model, params, rest, batch, key=key)
        from runtime.tasks.rolling import rolled

        return rolled(self, model, params, rest, batch, key=key)

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        import jax.numpy as jnp

        from runtime.batch import Rows
        from runtime.tasks.measures import ratio

        if training and self.strategy == "recursive":
            future = batch.arrays[self.target][:, :1]
            batch = batch._replace(arrays={**batch.arrays, self.target: future})
        wanted = self._wanted(batch)
        said = self._told(outputs, wanted.shape)
        if self.quantiles is None:
            found = dict(super().measure(outputs, batch, training=training))
        else:
            levels, error = jnp.asarray(self.quantiles), wanted[..., None] - said
            penalty = jnp.maximum(levels * error, (levels - 1) * error).mean(axis=-1)
            # Quantiles that cross are put in order, which never makes the loss larger.
            said = said if training else jnp.sort(said, axis=-1)
            middle = said[..., self.quantiles.index(0.5)]
            rows = batch.rows.reshape(-1, *(1,) * (wanted.ndim - 1))
            found = {"loss": ratio(penalty, rows), **self.by_channel(middle - wanted, batch.rows)}
        if training:
            return found
        seen = {"said": said, "true": wanted}
        if "series" in batch.arrays:
            seen["series"] = batch.arrays["series"]
        return {**found, **{name: Rows(values, batch.rows) for name, values in seen.items()}}

    def _told(self, outputs: Mapping[str, Tensor], shape: tuple[int, ...]) -> jax.Array:
        """What the model says of each value: (*shape, quantiles), a single one without them."""
        return self._given(outputs, (*shape, len(self.quantiles or [0.5])))

    def forecasts(self, trained: Trained, part: Part) -> np.ndarray:
        """What a trained model says of the windows of a part, normalised.

        Returns:
            (examples, horizon, columns, quantiles), the quantiles in order; a single one where
            the task has none.
        """
        import numpy as np

        from runtime.saved import BATCH

        found = []
        for outputs, batch in trained.outputs(part, BATCH):
            said = np.asarray(self._told(outputs, self._wanted(batch).shape), np.float64)
            found.append(np.sort(said, axis=-1)[np.asarray(batch.rows)])
        return np.concatenate(found)

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        figures = super().finish(means, dataset)
        if "said" not in means:
            return figures
        return figures | self.scores(
            means["said"], means["true"], means.get("series"), dataset)

    def scores(
        self, said: np.ndarray, true: np.ndarray, series: np.ndarray | None, dataset: Dataset,
    ) -> dict[str, float]:
        """MASE, sMAPE and, of quantiles, pinball loss and coverage, all in the data's own units.

        Args:
            said: (examples, horizon, columns, quantiles), normalised; a single one of forecasts
                without quantiles.
            true: (examples, horizon, columns), normalised.
            series: (examples,) the number of each one's series; None where there is one.
            dataset: whose scales and naive errors are taken.
        """
        import numpy as np

        from runtime.tasks.forecast_scores import coverage, mase, pinball, smape
        from runtime.tasks.naming import in_units

        scale = dataset.scales.get(self.target)
        true = in_units(np.asarray(true, np.float64), scale)
        said = np.moveaxis(in_units(np.moveaxis(np.asarray(said, np.float64), -1, 0), scale), 0, -1)
        levels = self.quantiles if said.shape[-1] > 1 and self.quantiles else [0.5]
        middle = said[..., levels.index(0.5)]
        found: dict[str, float] = {}
        if naive := dataset.fitted.get("naive_errors"):
            of = np.zeros(len(true), int) if series is None else np.asarray(series)
            found["mase"] = mase(middle - true, np.asarray(naive, np.float64)[of])
        found["smape"] = smape(middle, true)
        if len(levels) > 1:
            found["pinball"] = pinball(said, true, levels)
            for name, (low, high) in intervals(levels).items():
                found[f"coverage_{name}"] = coverage(said[..., low], said[..., high], true)
        return found

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """`forecast`, a list of coming values by column; `units` of those that have one.

        With `quantiles`, those too: for each, by its number, lists by column. `times` of the steps
        to come, where the data tells them.
        """
        import numpy as np

        from runtime.data.moments import WHEN, told
        from runtime.tasks.naming import rows_of, units_of

        units = units_of(meaning, self.target)
        found = rows_of(outputs[self.chosen(outputs)], batch)
        said: list[dict[str, Any]] = [{} for _ in found]
        if WHEN in batch.arrays:
            for row, when in zip(said, np.asarray(batch.arrays[WHEN])[np.asarray(batch.rows)]):
                row["times"] = told(when)
        if self.quantiles is not None:
            found = np.sort(found.reshape(len(found), -1, len(self.quantiles)), axis=-1)
            for level, values in zip(self.quantiles, np.moveaxis(found, -1, 0)):
                for row, numbers in zip(said, self.numbers(values, meaning)):
                    row.setdefault("quantiles", {})[f"{level:g}"] = numbers
            found = found[..., self.quantiles.index(0.5)]
        return [{"forecast": numbers, **row, **({"units": units} if units else {})}
                for numbers, row in zip(self.numbers(found, meaning), said)]

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        import numpy as np

        targets = np.asarray(batch.arrays[self.target], np.float64)[np.asarray(batch.rows)]
        return [{"forecast": row} for row in self.numbers(targets, meaning)]

    def drawings(
        self, trained: Trained, part: Part, said: Sequence[Mapping[str, Any]],
    ) -> Iterator[Drawing | None]:
        """The past and what is forecast, with what lies between the quantiles, as SVG."""
        from runtime.report.forecast import drawings

        return drawings(self, trained, part, said)

    def simple(self, dataset: Dataset) -> dict[str, np.ndarray]:
        """What simple methods forecast of the test part: (examples, horizon, columns), normalised.

        The linear autoregression learns from the training part, as the model does.
        """
        import numpy as np

        from runtime.tasks.ridge import ridge_forecast

        forecasts = dict(dataset.references)
        if self.past in dataset.train.arrays:
            def flat(part: Part) -> np.ndarray:
                return np.concatenate([part.arrays[name].reshape(part.size, -1) for name in (
                    self.past, self.known) if name in part.arrays], axis=1)

            forecasts["ridge"] = ridge_forecast(
                flat(dataset.train), dataset.train.arrays[self.target], flat(dataset.test))
        return forecasts

    def baselines(self, dataset: Dataset) -> dict[str, dict[str, float]]:
        import numpy as np

        test = dataset.test
        future = test.arrays[self.target]
        return {name: {**self.in_units(np.abs(forecast - future).mean(axis=(0, 1)),
                                       np.square(forecast - future).mean(axis=(0, 1)), dataset),
                       **self.scores(forecast[..., None], future, test.arrays.get("series"),
                                     dataset)}
                for name, forecast in self.simple(dataset).items()}


def _channels(kind: TensorType | None) -> int:
    """The number of columns of a field; 0 where there is none."""
    found = kind.channels if kind is not None else 0
    return found if isinstance(found, int) else 0
