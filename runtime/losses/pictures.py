"""Losses of pictures and of the features that a network sees in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from compiler.types import SPACE_AXES, TensorType
from runtime.losses.loss import Argument, Given, Loss, Misfit

if TYPE_CHECKING:
    import jax

    from runtime.batch import Ratio
    from runtime.losses.values import Values


def _has_places(kind: TensorType) -> bool:
    """Whether a tensor is a map of channels over space, in two dimensions."""
    return kind.axes == ("height", "width", "channels") and kind.dtype == "float"


class Gram(Loss):
    """Squared distance between the Gram matrices of two feature maps: how unlike their styles are.

    The matrix of a map F (places, channels) is Fᵀ F divided by places · channels; the loss of an
    example is the sum of the squares of the difference (Johnson et al. 2016,
    https://arxiv.org/abs/1603.08155, equations 3 and 4; Gatys et al. 2015). The two need the same
    channels, not the same size.
    """

    word: ClassVar[str] = "gram"
    arguments: ClassVar[tuple[str, ...]] = ("output", "target")

    output: Argument = Field(description="features (height, width, channels)")
    target: Argument = Field(description="features with as many channels")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        output, target = given["output"], given["target"]
        for one in (output, target):
            if one.number is not None or not _has_places(one.kind):
                return Misfit(f"`{self.word}` needs features (height, width, channels), "
                              f"and {one.told}")
        if output.kind.channels != target.kind.channels:
            return Misfit(f"Gram matrices of the same size need as many channels: {output.told}, "
                          f"but {target.told}", "compare the same layer of both pictures")
        return None

    def measure(self, values: Values, *, training: bool) -> Ratio:
        import jax.numpy as jnp

        from runtime.tasks.measures import ratio

        apart = gram(values.output.floats) - gram(values.target.floats)
        return ratio(jnp.square(apart).sum(axis=(1, 2)), values.rows)


def gram(features: jax.Array) -> jax.Array:
    """Which channels go together: (batch, channels, channels).

    Args:
        features: (batch, height, width, channels).
    """
    import jax.numpy as jnp

    batch, *places, channels = features.shape
    flat = features.reshape(batch, -1, channels)
    return jnp.einsum("bpc,bpd->bcd", flat, flat) / (flat.shape[1] * channels)


class TotalVariation(Loss):
    """How much neighbouring pixels differ, on the mean: what keeps a picture smooth.

    The mean over all pairs of neighbours, those below each other and those beside each other
    apart, of their difference, squared or not; the sum of the two means.
    """

    word: ClassVar[str] = "total_variation"
    arguments: ClassVar[tuple[str, ...]] = ("output",)

    output: Argument = Field(description="pictures (height, width, channels)")
    power: Literal[1, 2] = Field(
        default=2, description="1 for absolute differences, 2 for their squares")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        output = given["output"]
        if output.number is not None or not _has_places(output.kind):
            return Misfit(f"`{self.word}` is of pictures (height, width, channels), "
                          f"and {output.told}")
        if 1 in (output.kind.size(axis) for axis in SPACE_AXES):
            return Misfit(f"a picture one pixel high or wide has no neighbours: {output.told}")
        return None

    def measure(self, values: Values, *, training: bool) -> Ratio:
        import jax.numpy as jnp

        from runtime.tasks.measures import ratio

        picture = values.output.floats
        found = jnp.zeros(len(picture))
        for axis in (1, 2):
            step = jnp.abs(jnp.diff(picture, axis=axis)) ** self.power
            found += step.mean(axis=(1, 2, 3))
        return ratio(found, values.rows)
