"""What classification, tagging and segmentation share: one class out of several at each place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from compiler.diagnostics import Report, SpecError, diagnostic, nearest
from compiler.source import Span
from compiler.types import TensorType
from runtime.tasks.task import Task, has_field, has_output
from runtime.tasks.weights import ClassWeights

if TYPE_CHECKING:
    import jax
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured, Ratio
    from runtime.data.dataset import Dataset

Weight = Annotated[float, Field(ge=0)]
# With more classes than this a table of who was taken for whom is too large to read.
CONFUSED = 100


class Labelling(Task):
    """One class for each example, step or pixel: cross entropy in nats, and what is right."""

    better: ClassVar[Literal["higher", "lower"]] = "higher"
    # The axes of the places that are labelled, and what they are called.
    axes: ClassVar[tuple[str, ...]]
    place: ClassVar[str]

    target: str = Field(description="the field that holds the class")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1,
        description="the part of the target spread over all classes in training")
    class_weights: ClassWeights = Field(
        default=None, description="what a mistake costs in training, by class: a list in the "
                                  "order of the classes, a map from their names (1 for the "
                                  "others), or `balanced`, so that each class costs the same "
                                  "in all")
    auxiliary: dict[str, Weight] = Field(
        default={}, description="further outputs trained on the same target, with the weight "
                                "of their losses: `{aux1: 0.3}`")

    @property
    def ignored(self) -> int | None:
        """The number that marks places without a class."""
        return None

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        if not has_field(self, self.target, fields, report, span):
            return
        target = fields[self.target]
        if target.axes != self.axes or target.dtype != "int":
            report.error(
                "F0617", f"{self.word} needs a class for each {self.place}, "
                         f"but `{self.target}` is {target.described()}", span,
                notes=[f"a target of {self.word} holds whole numbers over the axes "
                       f"({', '.join(self.axes)})"])
            return
        for name in (self.chosen(outputs), *self.auxiliary):
            if has_output(self, name, outputs, report, span):
                self._check_output(name, outputs[name], target, report, span)
        classes = target.vocabulary
        if isinstance(self.class_weights, list) and classes not in (None, len(self.class_weights)):
            report.error("F0617", f"there are {classes} classes, but {len(self.class_weights)} "
                                  "class weights", span,
                         help="give a weight for each class, or say `class_weights: balanced`")

    def _check_output(
        self, name: str, kind: TensorType, target: TensorType, report: Report, span: Span | None,
    ) -> None:
        classes = target.vocabulary
        if kind.axes != (*self.axes, "channels") or (
                classes is not None and kind.channels != classes):
            report.error(
                "F0617", f"{self.word} into {classes} classes needs {classes} logits for each "
                         f"{self.place}, but `{name}` is {kind.described()}", span,
                help=self.advice(classes))
        elif not all(_alike(a, b) for a, b in zip(kind.shape, target.shape)):
            report.error(
                "F0617", f"`{name}` is {kind.described()}, and `{self.target}` is "
                         f"{target.described()}: not every {self.place} has its class", span,
                help=self.advice(classes))

    def advice(self, classes: int | None) -> str:
        """What a model has to end with."""
        raise NotImplementedError

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        return ("loss", "accuracy", self.summary_score)

    def target_axes(self, rank: int) -> tuple[str, ...] | None:
        return self.axes if rank == len(self.axes) else None

    def fitted(self, dataset: Dataset) -> Self:
        if not isinstance(self.class_weights, str | dict):
            return self
        import numpy as np

        labels = np.asarray(dataset.train.arrays[self.target])
        if isinstance(self.class_weights, str):
            where = np.ones(labels.shape, bool)
            if "time" in self.axes and self.target in dataset.train.lengths:
                where = np.arange(labels.shape[1]) < dataset.train.lengths[self.target][:, None]
            if self.ignored is not None:
                where &= labels != self.ignored
            seen = labels[where]
            classes = dataset.fields[self.target].vocabulary or int(seen.max(initial=0)) + 1
            counts = np.bincount(seen, minlength=classes)
            weights = seen.size / ((counts > 0).sum() * np.maximum(counts, 1)) * (counts > 0)
        else:
            names = dataset.labels.get(self.target, ())
            unknown = [name for name in self.class_weights if name not in names]
            if unknown:
                raise SpecError([diagnostic(
                    "F0619", f"`{name}` is not a class of `{self.target}`, but has a class weight",
                    notes=[f"the classes: {', '.join(names) or 'they have no names'}",
                           *([hint] if (hint := nearest(name, names)) else [])])
                    for name in unknown])
            weights = np.array([self.class_weights.get(name, 1.0) for name in names])
        return self.model_copy(update={"class_weights": [float(w) for w in weights]})

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        from runtime.tasks.measures import confusion, correct, hits, plus, ratio

        logits = outputs[self.chosen(outputs)].array
        labels, mask = self.labelled(batch)
        loss = self._loss(logits, batch, training)
        if not training:
            classes, predicted = logits.shape[-1], logits.argmax(axis=-1)
            counted = confusion if classes <= CONFUSED else hits
            return {"loss": loss, "accuracy": ratio(correct(logits, labels), mask),
                    counted.__name__: counted(predicted, labels, mask, classes)}
        for name, weight in self.auxiliary.items():
            loss = plus(loss, self._loss(outputs[name].array, batch, training), weight)
        return {"loss": loss, "accuracy": ratio(_mixed(correct(logits, labels), correct(
            logits, _partners(labels, batch)), batch), mask)}

    def labelled(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """The classes (batch, *axes), 0 where there is none, and True where there is one."""
        import jax.numpy as jnp

        from runtime.tasks.measures import places

        labels, mask = batch.arrays[self.target], places(batch, self.target)
        if self.ignored is not None:
            mask &= labels != self.ignored
        return jnp.where(mask, labels, 0), mask

    def _loss(self, logits: jax.Array, batch: Batch, training: bool) -> Ratio:
        """The cross entropy: in training with smoothing, weights and mixing, else the plain one."""
        import jax.numpy as jnp

        from runtime.tasks.measures import Penalties, cross_entropy, weighted

        labels, mask = self.labelled(batch)
        if not training:
            return weighted(cross_entropy(logits, labels), mask)
        given = self.class_weights
        assert given is None or isinstance(given, list), "the task was not fitted to its data"
        weights = None if given is None else jnp.asarray(given, jnp.float32)
        own = cross_entropy(logits, labels, self.label_smoothing, weights)
        other = cross_entropy(logits, _partners(labels, batch), self.label_smoothing, weights)
        return weighted(Penalties(*(_mixed(a, b, batch) for a, b in zip(own, other))), mask)

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        from runtime.tasks.scores import by_class, macro

        matches = matches_in(means)
        if matches is None:
            return super().finish(means, dataset)
        return super().finish(means, dataset) | {
            self.summary_score: macro(by_class(matches)[self.class_score], matches)}

    # The score of each class whose mean is told, and what that mean is called.
    class_score: ClassVar[str] = "f1"
    summary_score: ClassVar[str] = "f1"

    def details(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
        """`classes`: a map of scores for each; `confusion`: a row of counts for each true class."""
        from runtime.tasks.scores import by_class

        matches = matches_in(means)
        if matches is None:
            return {}
        names = dataset.meaning.names(self.target, matches.shape[1])
        scores = by_class(matches)
        found: dict[str, Any] = {"classes": [
            {"name": name, "examples": int(matches[2, i]), **{
                score: float(scores[score][i]) for score in self.class_scores}}
            for i, name in enumerate(names)]}
        if "confusion" in means:
            found["confusion"] = means["confusion"].astype(int).tolist()
        return found

    class_scores: ClassVar[tuple[str, ...]] = ("precision", "recall", "f1")


def matches_in(means: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """(3, classes) how often each class was right, predicted, and true; None if not counted."""
    from runtime.tasks.scores import matches_of

    return matches_of(means["confusion"]) if "confusion" in means else means.get("hits")


def _alike(one: Any, other: Any) -> bool:
    """Whether two sizes may be the same; what is known only with the data may."""
    return one == other or isinstance(one, str) or isinstance(other, str)


def _partners(labels: jax.Array, batch: Batch) -> jax.Array:
    """The labels of the rows that each row was mixed with."""
    return labels if batch.mixing is None else labels[batch.mixing.partner]


def _mixed(own: jax.Array, other: jax.Array, batch: Batch) -> jax.Array:
    """Values (batch, *axes) for a row's own label and for its partner's, in their shares."""
    if batch.mixing is None:
        return own
    share = batch.mixing.share.reshape(-1, *(1,) * (own.ndim - 1))
    return share * own + (1 - share) * other
