"""Forecasting: the coming values of a series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from runtime.tasks.numeric import Numeric

if TYPE_CHECKING:
    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch
    from runtime.data.dataset import Dataset, Meaning


class Forecasting(Numeric):
    """The coming values of a series: mean absolute and root mean square error.

    Both are in the data's own units, averaged over steps and columns. They stand beside
    what simple methods reach on the same windows: the value one season before, and a
    linear autoregression with ridge penalty.
    """

    word: ClassVar[str] = "forecasting"
    axes: ClassVar[tuple[tuple[str, ...], ...]] = (("time", "channels"),)

    target: str = Field(default="future", description="the field that holds the values to come")
    past: str = Field(default="past", description="the field that the linear baseline looks at")

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """`forecast`, a list of coming values by column; `units` of those that have one."""
        from runtime.tasks.naming import rows_of, units_of

        units = units_of(meaning, self.target)
        found = self.numbers(rows_of(outputs[self.chosen(outputs)], batch), meaning)
        return [{"forecast": row, **({"units": units} if units else {})} for row in found]

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        import numpy as np

        targets = np.asarray(batch.arrays[self.target], np.float64)[np.asarray(batch.rows)]
        return [{"forecast": row} for row in self.numbers(targets, meaning)]

    def baselines(self, dataset: Dataset) -> dict[str, dict[str, float]]:
        import numpy as np

        from runtime.tasks.ridge import ridge_forecast

        future = dataset.test.arrays[self.target]
        forecasts = dict(dataset.references)
        if self.past in dataset.train.arrays:
            forecasts["ridge"] = ridge_forecast(
                dataset.train.arrays[self.past], dataset.train.arrays[self.target],
                dataset.test.arrays[self.past])
        return {name: self.in_units(np.abs(forecast - future).mean(axis=(0, 1)),
                                    np.square(forecast - future).mean(axis=(0, 1)), dataset)
                for name, forecast in forecasts.items()}
