"""Regression: one or several numbers for each example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from compiler.types import TensorType
from runtime.tasks.numeric import Numeric

if TYPE_CHECKING:
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured
    from runtime.data.dataset import Dataset, Meaning


class Regression(Numeric):
    """One or several numbers for each example: errors in the data's units, and R².

    `r2` is the part of the variance that is explained, averaged over the numbers; 0 for
    a number that is the same in all examples.
    """

    word: ClassVar[str] = "regression"
    axes: ClassVar[tuple[tuple[str, ...], ...]] = ((), ("channels",))

    target: str = Field(default="target", description="the field that holds the numbers")

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        return (*super().figures(outputs), "r2")

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        from runtime.batch import Rows

        measured = super().measure(outputs, batch, training=training)
        # A variance from sums in float32 would lose what is small beside the mean.
        return measured if training else {
            **measured, "targets": Rows(self._wanted(batch), batch.rows)}

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        import numpy as np

        figures = super().finish(means, dataset)
        if "targets" in means:
            variance = means["targets"].astype(np.float64).var(axis=0)
            unexplained = np.divide(means["rmse"], variance, out=np.ones_like(variance),
                                    where=variance > 0)
            figures["r2"] = float(np.mean(1 - unexplained))
        return figures

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """`values` by name, and the `units` of those that have one."""
        from runtime.tasks.naming import rows_of, units_of

        units = units_of(meaning, self.target)
        found = self.numbers(rows_of(outputs[self.chosen(outputs)], batch), meaning)
        return [{"values": row, **({"units": units} if units else {})} for row in found]

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        import numpy as np

        targets = np.asarray(batch.arrays[self.target], np.float64)[np.asarray(batch.rows)]
        return [{"values": row} for row in self.numbers(targets, meaning)]
