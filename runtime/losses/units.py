"""Metrics of errors in the data's own units, whatever the data was normalised by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from runtime.losses.loss import Argument, Given, Measured, Misfit, pair_misfit

if TYPE_CHECKING:
    import jax
    import numpy as np

    from runtime.batch import Ratio
    from runtime.data.dataset import Scale
    from runtime.losses.values import Values


class Error(Measured):
    """The base of what measures errors in the units of the field they are errors of."""

    arguments: ClassVar[tuple[str, ...]] = ("output", "target")

    output: Argument = Field(description="what comes close")
    target: Argument = Field(description="to what: a field of the data, or one number for all")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        return pair_misfit(self.word, given["output"], given["target"])

    def measure(self, values: Values, *, training: bool) -> Ratio:
        """By channel: (channels,)."""
        import jax.numpy as jnp

        from runtime.batch import Ratio

        # The axes of a field have no names: an error is the same the other way round.
        first, second = "output", "target"
        if "channels" in values.target.axes:
            first, second = second, first
        output, target, mask = values.pair(first, second)
        if "channels" not in values.by_field[first].axes:
            output, target, mask = output[..., None], target[..., None], mask[..., None]
        found = self.penalty(output - target)
        mask = jnp.broadcast_to(mask, (*found.shape[:-1], 1))
        total = jnp.where(mask, found, 0).sum(axis=tuple(range(found.ndim - 1)))
        return Ratio(total, mask.sum().astype(jnp.float32))

    def penalty(self, error: jax.Array) -> jax.Array:
        """What is averaged of each error, of any shape."""
        raise NotImplementedError

    def finished(self, mean: np.ndarray, scale: Scale | None) -> float:
        import numpy as np

        return self.figure(mean, np.ones(1) if scale is None else scale.deviation)

    def figure(self, mean: np.ndarray, deviation: np.ndarray) -> float:
        """The figure, from the means (channels,) of normalised values.

        Args:
            mean: of `penalty`.
            deviation: (channels,) what a normalised value of 1 is in the data's units.
        """
        raise NotImplementedError


class Mae(Error):
    """Mean absolute error, in the data's units."""

    word: ClassVar[str] = "mae"

    def penalty(self, error: jax.Array) -> jax.Array:
        import jax.numpy as jnp

        return jnp.abs(error)

    def figure(self, mean: np.ndarray, deviation: np.ndarray) -> float:
        return float((mean * deviation).mean())


class Mse(Error):
    """Mean squared error, in the data's units squared."""

    word: ClassVar[str] = "mse"

    def penalty(self, error: jax.Array) -> jax.Array:
        return error * error

    def figure(self, mean: np.ndarray, deviation: np.ndarray) -> float:
        return float((mean * deviation**2).mean())


class Rmse(Mse):
    """Root mean square error, in the data's units."""

    word: ClassVar[str] = "rmse"

    def figure(self, mean: np.ndarray, deviation: np.ndarray) -> float:
        return float((mean * deviation**2).mean() ** 0.5)
