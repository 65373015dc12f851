"""Losses and metrics of numbers that are to come close to others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from runtime.losses.loss import Argument, Given, Loss, Misfit, Reduce, pair_misfit

if TYPE_CHECKING:
    import jax

    from runtime.batch import Ratio
    from runtime.losses.values import Values


class Distance(Loss):
    """The base of what compares two tensors number by number."""

    arguments: ClassVar[tuple[str, ...]] = ("output", "target")

    output: Argument = Field(description="what comes close")
    target: Argument = Field(description="to what: as many numbers, or one for all")
    reduce: Reduce = Field(
        default="mean", description="over the values of an example: their `mean`, or their `sum`")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        return pair_misfit(self.word, given["output"], given["target"])

    def measure(self, values: Values, *, training: bool) -> Ratio:
        from runtime.losses.values import reduced

        output, target, mask = values.pair("output", "target")
        return reduced(self.penalty(output - target), mask, values.rows, self.reduce)

    def penalty(self, error: jax.Array) -> jax.Array:
        """What each error costs, of any shape."""
        raise NotImplementedError


class SquaredError(Distance):
    """Squared error: (output - target)²."""

    word: ClassVar[str] = "squared_error"

    def penalty(self, error: jax.Array) -> jax.Array:
        return error * error


class AbsoluteError(Distance):
    """Absolute error: |output - target|."""

    word: ClassVar[str] = "absolute_error"

    def penalty(self, error: jax.Array) -> jax.Array:
        import jax.numpy as jnp

        return jnp.abs(error)


class Huber(Distance):
    """Huber's loss: half the squared error up to `delta`, and straight on from there."""

    word: ClassVar[str] = "huber"

    delta: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="where squares go over to distances")

    def penalty(self, error: jax.Array) -> jax.Array:
        import optax

        return optax.losses.huber_loss(error, delta=self.delta)
