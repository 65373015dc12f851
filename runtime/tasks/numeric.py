"""What regression and forecasting share: numbers to come close to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.types import TensorType
from runtime.tasks.task import Task, has_field, has_output

if TYPE_CHECKING:
    import jax
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured, Ratio
    from runtime.data.dataset import Dataset, Meaning


class Numeric(Task):
    """Numbers: the loss on normalised values, mean absolute and root mean square error in units."""

    monitor: ClassVar[str] = "mae"
    better: ClassVar[Literal["higher", "lower"]] = "lower"

    target: str = Field(description="the field that holds the numbers")
    loss: Literal["mse", "mae", "huber"] = Field(
        default="mse", description="what training makes small, on values as the data source "
                                   "normalises them: squares, distances, or squares that go on "
                                   "as distances")
    delta: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="where `huber` goes over from squares to distances")

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        if not has_field(self, self.target, fields, report, span):
            return
        wanted = fields[self.target]
        if wanted.dtype != "float" or wanted.axes not in self.axes:
            report.error("F0617", f"{self.word} needs numbers, but `{self.target}` is {wanted}",
                         span, notes=[f"axes of a target: {self._axes_in_words()}"])
            return
        name = self.chosen(outputs)
        if not has_output(self, name, outputs, report, span):
            return
        kind = outputs[name]
        expected = self.expected(wanted)
        flat = kind.axes == ("channels",) and kind.channels == expected.elements
        if not flat and (kind.axes, kind.shape) != (expected.axes, expected.shape):
            said = "the target of {} is {}" if expected == wanted else (
                "with this target {} needs {}")
            report.error(
                "F0617", f"{said.format(self.word, expected.described())}, "
                         f"but `{name}` is {kind.described()}", span,
                help=f"end the model with `dense: {expected.elements}`"
                     + ("; its values are then read step by step" if "time" in wanted.axes else ""))

    def expected(self, wanted: TensorType) -> TensorType:
        """What the model's output has to be for a target; its values may also be flat."""
        return wanted

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        return ("loss", "mae", "rmse")

    # What the target's axes may be.
    axes: ClassVar[tuple[tuple[str, ...], ...]]

    def _axes_in_words(self) -> str:
        return " or ".join(f"({', '.join(axes)})" for axes in self.axes)

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        import jax.numpy as jnp
        import optax

        from runtime.tasks.measures import ratio

        wanted = self._wanted(batch)
        error = self._given(outputs, wanted.shape) - wanted
        rows = batch.rows.reshape(-1, *(1,) * (wanted.ndim - 1))
        match self.loss:
            case "mse":
                penalty = jnp.square(error)
            case "mae":
                penalty = jnp.abs(error)
            case "huber":
                penalty = optax.losses.huber_loss(error, delta=self.delta)
        return {"loss": ratio(penalty, rows), **self.by_channel(error, batch.rows)}

    def by_channel(self, error: jax.Array, rows: jax.Array) -> dict[str, Ratio]:
        """The absolute and the square error of each channel.

        Args:
            error: (batch, *axes, channels).
            rows: (batch,) False for those that do not count.
        """
        import jax.numpy as jnp

        from runtime.batch import Ratio

        rows = rows.reshape(-1, *(1,) * (error.ndim - 1))
        number = jnp.broadcast_to(rows, (*error.shape[:-1], 1)).sum().astype(jnp.float32)
        dims = tuple(range(error.ndim - 1))
        return {name: Ratio(jnp.where(rows, values, 0).sum(axis=dims), number)
                for name, values in (("mae", jnp.abs(error)), ("rmse", jnp.square(error)))}

    def _wanted(self, batch: Batch) -> jax.Array:
        """The targets (batch, *axes, channels) in float32."""
        import jax.numpy as jnp

        wanted = batch.arrays[self.target].astype(jnp.float32)
        return wanted[:, None] if wanted.ndim == 1 else wanted

    def _given(self, outputs: Mapping[str, Tensor], shape: tuple[int, ...]) -> jax.Array:
        """The model's numbers (batch, *axes, channels) in float32."""
        import jax.numpy as jnp

        return outputs[self.chosen(outputs)].array.astype(jnp.float32).reshape(shape)

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        return {"loss": float(means["loss"]),
                **self.in_units(means["mae"], means["rmse"], dataset)}

    def in_units(
        self, absolute: np.ndarray, square: np.ndarray, dataset: Dataset,
    ) -> dict[str, float]:
        """Errors by channel (channels,) of normalised values, in the data's own units."""
        import numpy as np

        scale = dataset.scales.get(self.target)
        deviation = np.ones(1) if scale is None else scale.deviation
        return {"mae": float(np.mean(absolute * deviation)),
                "rmse": float(np.sqrt(np.mean(square * deviation**2)))}

    def numbers(self, values: np.ndarray, meaning: Meaning) -> list[dict[str, float | list[float]]]:
        """Normalised values (rows, *axes, channels) by the name of their channel, in its units."""
        import numpy as np

        from runtime.tasks.naming import channel_names, in_units, number

        kind = meaning.fields[self.target]
        shape = tuple(s for s in kind.shape if isinstance(s, int)) or (1,)
        values = in_units(np.asarray(values).reshape(len(values), *shape),
                          meaning.scales.get(self.target))
        names = channel_names(meaning, self.target, shape[-1])
        return [{name: number(channel) if channel.ndim == 0 else [number(v) for v in channel]
                 for name, channel in zip(names, np.moveaxis(row, -1, 0))} for row in values]
