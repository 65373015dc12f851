"""Forecasting: the coming values of a series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.types import TensorType
from runtime.tasks.task import Task, has_field, has_output

if TYPE_CHECKING:
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Ratio
    from runtime.data.dataset import Dataset


class Forecasting(Task):
    """The coming values of a series: mean absolute and root mean square error.

    Both are in the data's own units, averaged over steps and columns. They stand beside
    what simple methods reach on the same windows: the value one season before, and a
    linear autoregression with ridge penalty.
    """

    word: ClassVar[str] = "forecasting"
    monitor: ClassVar[str] = "mae"
    better: ClassVar[Literal["higher", "lower"]] = "lower"

    target: str = Field(default="future", description="the field that holds the values to come")
    past: str = Field(default="past", description="the field that the linear baseline looks at")
    loss: Literal["mse", "mae"] = Field(default="mse", description="what training makes small")

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        if not has_field(self, self.target, fields, report, span):
            return
        name = self.chosen(outputs)
        if not has_output(self, name, outputs, report, span):
            return
        kind, wanted = outputs[name], fields[self.target]
        flat = kind.axes == ("channels",) and kind.channels == wanted.elements
        if not flat and (kind.axes, kind.shape) != (wanted.axes, wanted.shape):
            report.error(
                "F0617", f"the forecast is {wanted.described()}, "
                         f"but `{name}` is {kind.described()}", span,
                help=f"end the model with `dense: {wanted.elements}`; "
                     "its values are then read step by step")

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> dict[str, Ratio]:
        import jax.numpy as jnp

        from runtime.batch import Ratio
        from runtime.tasks.measures import ratio

        future = batch.arrays[self.target]
        forecast = outputs[self.chosen(outputs)].array.astype(jnp.float32)
        error = forecast.reshape(future.shape) - future
        rows = batch.rows[:, None, None]

        def by_column(values: jnp.ndarray) -> Ratio:
            counted = jnp.where(rows, values, 0).sum(axis=(0, 1))
            return Ratio(counted, (batch.rows.sum() * future.shape[1]).astype(jnp.float32))

        penalty = jnp.square(error) if self.loss == "mse" else jnp.abs(error)
        return {"loss": ratio(penalty, rows), "mae": by_column(jnp.abs(error)),
                "rmse": by_column(jnp.square(error))}

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        return {"loss": float(means["loss"]),
                **self._in_units(means["mae"], means["rmse"], dataset)}

    def baselines(self, dataset: Dataset) -> dict[str, dict[str, float]]:
        import numpy as np

        from runtime.tasks.ridge import ridge_forecast

        future = dataset.test.arrays[self.target]
        forecasts = dict(dataset.references)
        if self.past in dataset.train.arrays:
            forecasts["ridge"] = ridge_forecast(
                dataset.train.arrays[self.past], dataset.train.arrays[self.target],
                dataset.test.arrays[self.past])
        return {name: self._in_units(np.abs(forecast - future).mean(axis=(0, 1)),
                                     np.square(forecast - future).mean(axis=(0, 1)), dataset)
                for name, forecast in forecasts.items()}

    def _in_units(
        self, absolute: np.ndarray, square: np.ndarray, dataset: Dataset,
    ) -> dict[str, float]:
        """Errors by column (columns,) of normalised values, in the data's own units."""
        import numpy as np

        scale = dataset.scales.get(self.target)
        deviation = np.ones(1) if scale is None else scale.deviation
        return {"mae": float(np.mean(absolute * deviation)),
                "rmse": float(np.sqrt(np.mean(square * deviation**2)))}
