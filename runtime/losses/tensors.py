"""Losses of one tensor: a distribution to keep close to the normal one, or an output as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from runtime.losses.loss import Argument, Given, Loss, Misfit, Reduce, alike
from runtime.policies import Mode

if TYPE_CHECKING:
    from runtime.batch import Ratio
    from runtime.losses.values import Values


class KlNormal(Loss):
    """Divergence of a normal distribution from the standard one, in nats.

    ½ (mean² + variance - 1 - log variance), the second term of the loss of a variational
    auto-encoder (Kingma and Welling 2013, https://arxiv.org/abs/1312.6114, appendix B).
    """

    word: ClassVar[str] = "kl_normal"
    arguments: ClassVar[tuple[str, ...]] = ("mean", "log_variance")

    mean: Argument = Field(description="the means")
    log_variance: Argument = Field(description="as many logarithms of variances")
    reduce: Reduce = Field(
        default="sum", description="over the values of an example: their `sum`, which is the "
                                   "divergence, or their `mean`")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        mean, log_variance = given["mean"], given["log_variance"]
        if mean.number is not None or mean.kind.dtype != "float":
            return Misfit(f"`{self.word}` needs means, and {mean.told}")
        if log_variance.number is None and not alike(mean.kind, log_variance.kind):
            return Misfit(f"`{self.word}` needs a variance for each mean: {mean.told}, "
                          f"but {log_variance.told}")
        return None

    def measure(self, values: Values, *, training: bool) -> Ratio:
        import jax.numpy as jnp

        from runtime.losses.values import reduced

        mean, logs, mask = values.pair("mean", "log_variance")
        found = 0.5 * (mean * mean + jnp.exp(logs) - 1 - logs)
        return reduced(found, mask, values.rows, self.reduce)


class Mean(Loss):
    """An output as it is: its mean over everything, for what the model computes itself.

    With a negative weight it is made large.
    """

    word: ClassVar[str] = "mean"
    arguments: ClassVar[tuple[str, ...]] = ("output",)
    better: ClassVar[Mode | None] = None

    output: Argument = Field(description="what is made small")
    reduce: Reduce = Field(
        default="mean", description="over the values of an example: their `mean`, or their `sum`")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        output = given["output"]
        return Misfit(f"`{self.word}` of a number is no loss: nothing can make it smaller",
                      "name an output of the model") if output.number is not None else None

    def measure(self, values: Values, *, training: bool) -> Ratio:
        from runtime.losses.values import reduced

        return reduced(values.output.floats, values.mask("output"), values.rows, self.reduce)
