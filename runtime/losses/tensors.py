"""Losses of one tensor: a distribution to keep close to the normal one, or an output as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from runtime.losses.loss import (
    Argument,
    Given,
    Loss,
    Measured,
    Misfit,
    Reduce,
    alike,
    pair_misfit,
)
from runtime.policies import Mode

if TYPE_CHECKING:
    import jax

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
        return divergence_misfit(self.word, given["mean"], given["log_variance"])

    def measure(self, values: Values, *, training: bool) -> Ratio:
        from runtime.losses.values import reduced

        mean, logs, mask = values.pair("mean", "log_variance")
        return reduced(divergence(mean, logs), mask, values.rows, self.reduce)


class Elbo(Measured):
    """Evidence lower bound of a variational auto-encoder, in nats of an example.

    The log-likelihood of the target under the logits less `kl_normal`, both summed over the
    values of an example: the bound of Kingma and Welling 2013, with one draw for each example.
    """

    word: ClassVar[str] = "elbo"
    arguments: ClassVar[tuple[str, ...]] = ("output", "target", "mean", "log_variance")
    better: ClassVar[Mode | None] = "higher"

    output: Argument = Field(description="logits of the reconstruction")
    target: Argument = Field(description="as many numbers from 0 to 1")
    mean: Argument = Field(description="the means of the latents")
    log_variance: Argument = Field(description="as many logarithms of variances")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        return (pair_misfit(self.word, given["output"], given["target"])
                or divergence_misfit(self.word, given["mean"], given["log_variance"]))

    def measure(self, values: Values, *, training: bool) -> Ratio:
        from runtime.batch import Ratio
        from runtime.losses.values import reduced
        from runtime.tasks.measures import binary_cross_entropy

        logits, wanted, mask = values.pair("output", "target")
        lost = reduced(binary_cross_entropy(logits, wanted, 1), mask, values.rows, "sum")
        mean, logs, mask = values.pair("mean", "log_variance")
        apart = reduced(divergence(mean, logs), mask, values.rows, "sum")
        return Ratio(-(lost.total + apart.total), lost.weight)


def divergence(mean: jax.Array, logs: jax.Array) -> jax.Array:
    """KL divergence of normal distributions from the standard one, by value, in nats."""
    import jax.numpy as jnp

    return 0.5 * (mean * mean + jnp.exp(logs) - 1 - logs)


def divergence_misfit(word: str, mean: Given, log_variance: Given) -> Misfit | None:
    """Why two tensors are no means and variances; None where they are."""
    if mean.number is not None or mean.kind.dtype != "float":
        return Misfit(f"`{word}` needs means, and {mean.told}")
    if log_variance.number is None and not alike(mean.kind, log_variance.kind):
        return Misfit(f"`{word}` needs a variance for each mean: {mean.told}, "
                      f"but {log_variance.told}")
    return None


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
