"""Losses and metrics of classes, and of yes or no."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from compiler.types import TensorType
from runtime.losses.loss import (
    Argument,
    Given,
    Loss,
    Measured,
    Misfit,
    Reduce,
    alike,
    is_single,
    pair_misfit,
)
from runtime.policies import Mode

if TYPE_CHECKING:
    import jax

    from runtime.batch import Ratio
    from runtime.losses.values import Values

Positive = Annotated[float, Field(ge=0)]


def classes_misfit(word: str, output: Given, target: Given) -> Misfit | None:
    """Why logits and classes do not go together; None where they do."""
    kind, wanted = output.kind, target.kind
    if output.number is not None or "channels" not in kind.axes or kind.dtype != "float":
        return Misfit(f"`{word}` needs a logit for each class, and {output.told}",
                      "end the model, or that head of it, with a `dense` for the classes")
    count = kind.channels
    if target.number is not None:
        fits = target.number == int(target.number) and 0 <= target.number and (
            not isinstance(count, int) or target.number < count)
        return None if fits else Misfit(
            f"{target.called} is not one of the {count} classes of {output.called}",
            "classes are whole numbers from 0 on")
    if wanted.dtype == "float":
        return None if alike(kind, wanted) else Misfit(
            f"`{word}` needs classes, or a distribution over them: {output.told}, "
            f"but {target.told}", "the target is whole numbers, or as the logits are")
    if not alike(kind.without("channels"), wanted):
        return Misfit(f"`{word}` needs a class for each place of the logits: {output.told}, "
                      f"but {target.told}")
    if wanted.vocabulary is not None and isinstance(count, int) and count < wanted.vocabulary:
        return Misfit(f"{target.called} has {wanted.vocabulary} classes, and {output.called} "
                      f"only {count} logits", f"end that head with `dense: {wanted.vocabulary}`")
    return None


class CrossEntropy(Loss):
    """Cross entropy of logits with classes, or with a distribution over them, in nats.

    In evaluation it is the plain one, without smoothing and class weights.
    """

    word: ClassVar[str] = "cross_entropy"
    arguments: ClassVar[tuple[str, ...]] = ("output", "target")

    output: Argument = Field(description="logits, the classes being the last axis")
    target: Argument = Field(
        description="a class for each place, or a distribution over the classes, or one class "
                    "for all")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1,
        description="the part of the target spread over all classes in training")
    class_weights: list[Positive] | None = Field(
        default=None, min_length=1, description="what a mistake costs in training, by class")
    ignore: int | None = Field(
        default=None, description="the number that marks places without a class")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        found = classes_misfit(self.word, given["output"], given["target"])
        if found:
            return found
        count = given["output"].kind.channels
        if self.class_weights is not None and len(self.class_weights) != count:
            return Misfit(f"there are {count} classes, but {len(self.class_weights)} class weights",
                          "give a weight for each class")
        if self.class_weights is not None and given["target"].kind.dtype == "float" and (
                given["target"].number is None):
            return Misfit("class weights are for targets that are classes",
                          "take `class_weights` away")
        return None

    def measure(self, values: Values, *, training: bool) -> Ratio:
        import jax
        import jax.numpy as jnp

        from runtime.losses.values import reduced
        from runtime.tasks.measures import cross_entropy, weighted

        logits, smoothing = values.output.floats, self.label_smoothing if training else 0.0
        target = values.target.array
        if target.ndim == logits.ndim:
            wanted = target.astype(jnp.float32) * (1 - smoothing) + smoothing / logits.shape[-1]
            found = -(wanted * jax.nn.log_softmax(logits, axis=-1)).sum(axis=-1)
            return reduced(found, values.mask("output", "target")[..., 0], values.rows, "mean")
        labels, mask = self._labelled(values)
        weights = jnp.asarray(self.class_weights, jnp.float32) if (
            training and self.class_weights is not None) else None
        return weighted(cross_entropy(logits, labels, smoothing, weights), mask)

    def _labelled(self, values: Values) -> tuple[jax.Array, jax.Array]:
        """The classes (batch, *axes), 0 where there is none, and True where there is one."""
        return labelled(values, self.ignore)


def labelled(values: Values, ignore: int | None) -> tuple[jax.Array, jax.Array]:
    """The classes (batch, *axes), 0 where there is none, and True where one counts."""
    import jax.numpy as jnp

    shape = values.output.array.shape[:-1]
    labels = jnp.broadcast_to(values.target.array.astype(jnp.int32), shape)
    mask = jnp.broadcast_to(values.mask("output", "target")[..., 0], shape)
    if ignore is not None:
        mask &= labels != ignore
    return jnp.where(mask, labels, 0), mask


class BinaryCrossEntropy(Loss):
    """Binary cross entropy of logits with yes (1) or no (0), in nats; a target may lie between.

    In evaluation it is the plain one, without smoothing and positive weight.
    """

    word: ClassVar[str] = "binary_cross_entropy"
    arguments: ClassVar[tuple[str, ...]] = ("output", "target")

    output: Argument = Field(description="logits")
    target: Argument = Field(description="as many numbers from 0 to 1, or one for all")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1,
        description="how far the targets in training move from 0 and 1 towards one half")
    positive_weight: Positive = Field(
        default=1.0, description="what a missed yes costs in training")
    reduce: Reduce = Field(
        default="mean", description="over the values of an example: their `mean`, or their `sum`")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        target = given["target"]
        if target.number is not None and not 0 <= target.number <= 1:
            return Misfit(f"{target.called} is not between 0 (no) and 1 (yes)")
        if target.kind.vocabulary is not None and target.kind.vocabulary > 2:
            return Misfit(f"{target.called} has {target.kind.vocabulary} classes, "
                          f"and `{self.word}` is for yes or no",
                          "say `cross_entropy`, with a logit for each class")
        return pair_misfit(self.word, given["output"], target)

    def measure(self, values: Values, *, training: bool) -> Ratio:
        from runtime.losses.values import reduced
        from runtime.tasks.measures import binary_cross_entropy

        logits, wanted, mask = values.pair("output", "target")
        smoothing, positive = (self.label_smoothing, self.positive_weight) if training else (0, 1)
        wanted = wanted * (1 - smoothing) + smoothing / 2
        return reduced(binary_cross_entropy(logits, wanted, positive), mask, values.rows,
                       self.reduce)


class Hinge(Loss):
    """Hinge loss: max(0, 1 - target · output), the target being 1 or -1.

    A target field that holds 0 and 1 counts as -1 and 1. As the loss of a discriminator in
    Miyato et al. 2018 (https://arxiv.org/abs/1802.05957) it is `hinge: [real, 1]` and
    `hinge: [fake, -1]`.
    """

    word: ClassVar[str] = "hinge"
    arguments: ClassVar[tuple[str, ...]] = ("output", "target")

    output: Argument = Field(description="scores")
    target: Argument = Field(description="1 or -1 for each, or for all; or a field of 0 and 1")
    reduce: Reduce = Field(
        default="mean", description="over the values of an example: their `mean`, or their `sum`")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        target = given["target"]
        if target.number is not None and target.number not in (-1, 1):
            return Misfit(f"the target of a hinge is 1 or -1, not {target.called}")
        if target.kind.vocabulary is not None and target.kind.vocabulary > 2:
            return Misfit(f"{target.called} has {target.kind.vocabulary} classes, "
                          f"and `{self.word}` is for two", "say `cross_entropy`")
        return pair_misfit(self.word, given["output"], target)

    def measure(self, values: Values, *, training: bool) -> Ratio:
        import jax.numpy as jnp

        from runtime.losses.values import reduced

        scores, wanted, mask = values.pair("output", "target")
        if values.target.array.ndim:
            wanted = jnp.where(wanted > 0, 1.0, -1.0)
        return reduced(jnp.maximum(0, 1 - wanted * scores), mask, values.rows, self.reduce)


class Accuracy(Measured):
    """The part of places whose largest logit is that of their class.

    Where the output is one logit, the answer is yes above 0.
    """

    word: ClassVar[str] = "accuracy"
    arguments: ClassVar[tuple[str, ...]] = ("output", "target")
    better: ClassVar[Mode | None] = "higher"

    output: Argument = Field(description="logits, the classes being the last axis; or one logit")
    target: Argument = Field(description="a class for each place, or one class for all")
    top: Annotated[int, Field(gt=0)] = Field(
        default=1, description="among how many of the largest logits the class has to be")
    ignore: int | None = Field(
        default=None, description="the number that marks places without a class")

    def misfit(self, given: Mapping[str, Given]) -> Misfit | None:
        output, target = given["output"], given["target"]
        if _is_binary(output.kind):
            return pair_misfit(self.word, output, target)
        if target.number is None and target.kind.dtype == "float":
            return Misfit(f"`accuracy` needs classes, and {target.told}")
        if misfit := classes_misfit(self.word, output, target):
            return misfit
        count = output.kind.channels
        return Misfit(f"`top: {self.top}` of {count} classes is always right",
                      "make `top` smaller") if (
            isinstance(count, int) and self.top >= count) else None

    def measure(self, values: Values, *, training: bool) -> Ratio:
        import jax.numpy as jnp

        from runtime.tasks.measures import among_best, ratio

        if values.output.array.shape[-1:] == (1,) or not values.output.axes:
            logits, wanted, mask = values.pair("output", "target")
            return ratio(((logits > 0) == (wanted > 0.5)).astype(jnp.float32), mask)
        labels, mask = labelled(values, self.ignore)
        return ratio(among_best(values.output.floats, labels, self.top), mask)


def _is_binary(kind: TensorType) -> bool:
    """Whether an output has one logit at each place."""
    return is_single(kind) or kind.channels == 1
