"""Multi-label classification: any number of labels for each example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.types import TensorType
from runtime.tasks.task import Task, has_field, has_output
from runtime.tasks.weights import PositiveWeights

if TYPE_CHECKING:
    import jax
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured
    from runtime.data.dataset import Dataset, Meaning


class MultiLabel(Task):
    """Any number of labels for each example: a yes or no for each, from a logit each.

    The loss is the binary cross entropy in nats, averaged over examples and labels.
    `accuracy` is the part of right answers, `exact` the part of examples with all answers
    right, `f1` the mean over labels, `f1_micro` that of all answers together; `map`, mean
    average precision, and `auroc` are means over the labels that have both answers.
    """

    word: ClassVar[str] = "multi_label"
    monitor: ClassVar[str] = "map"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    mixes: ClassVar[bool] = True

    target: str = Field(
        default="labels", description="the field that holds a 0 or 1 for each label")
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="the probability from which on the answer is yes")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1,
        description="how far the targets in training move from 0 and 1 towards one half")
    positive_weights: PositiveWeights = Field(
        default=None, description="what a missed yes costs in training: one number, a list by "
                                  "label, or `balanced`, so that yes and no cost the same in all")

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        if not has_field(self, self.target, fields, report, span):
            return
        target = fields[self.target]
        if target.axes != ("channels",):
            report.error("F0617", f"multi_label needs a 0 or 1 for each label, "
                                  f"but `{self.target}` is {target.described()}", span,
                         help="for one class out of several say `task: classification`")
            return
        name, labels = self.chosen(outputs), target.channels
        if not has_output(self, name, outputs, report, span):
            return
        if (outputs[name].axes, outputs[name].shape) != (target.axes, target.shape):
            report.error("F0617", f"{labels} labels need {labels} logits, but `{name}` is "
                                  f"{outputs[name].described()}", span,
                         help=f"end the model with `dense: {labels}`")
        given = self.positive_weights
        if isinstance(given, list) and len(given) != labels:
            report.error("F0617", f"there are {labels} labels, but {len(given)} positive weights",
                         span, help="give one for each label, or say `balanced`")

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        return ("loss", "accuracy", "exact", "f1", "f1_micro", "map", "auroc")

    def target_axes(self, rank: int) -> tuple[str, ...] | None:
        return ("channels",) if rank == 1 else None

    def fitted(self, dataset: Dataset) -> Self:
        if self.positive_weights != "balanced":
            return self
        import numpy as np

        targets = np.asarray(dataset.train.arrays[self.target], np.float64)
        yes = targets.sum(axis=0)
        weights = np.where(yes > 0, (len(targets) - yes) / np.maximum(yes, 1), 1.0)
        return self.model_copy(update={"positive_weights": [float(w) for w in weights]})

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        import jax.numpy as jnp

        from runtime.batch import Rows
        from runtime.tasks.measures import binary_cross_entropy, count, ratio

        logits = outputs[self.chosen(outputs)].array
        targets = batch.arrays[self.target].astype(jnp.float32)
        rows = batch.rows[:, None]
        # As probability against threshold, but without the rounding of a sigmoid.
        found = logits > jnp.log(self.threshold) - jnp.log1p(-self.threshold)
        right = found == (targets > 0.5)
        accuracy = ratio(right.astype(jnp.float32), rows)
        if training:
            penalties = binary_cross_entropy(logits, self._softened(targets, batch),
                                             self._positive())
            return {"loss": ratio(penalties, rows), "accuracy": accuracy}
        yes = targets > 0.5
        matches = [(rows & found & yes), (rows & found), (rows & yes)]
        return {"loss": ratio(binary_cross_entropy(logits, targets), rows), "accuracy": accuracy,
                "exact": ratio(right.all(axis=-1).astype(jnp.float32), batch.rows),
                "hits": count(jnp.stack([m.sum(axis=0) for m in matches])),
                "scores": Rows(logits, batch.rows), "positive": Rows(yes, batch.rows)}

    def _positive(self) -> jax.Array | float:
        import jax.numpy as jnp

        given = self.positive_weights
        assert not isinstance(given, str), "the task was not fitted to its data"
        return 1.0 if given is None else jnp.asarray(given, jnp.float32)

    def _softened(self, targets: jax.Array, batch: Batch) -> jax.Array:
        """The targets as training uses them: mixed, then smoothed."""
        if batch.mixing is not None:
            share = batch.mixing.share[:, None]
            targets = share * targets + (1 - share) * targets[batch.mixing.partner]
        return targets * (1 - self.label_smoothing) + self.label_smoothing / 2

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        import numpy as np

        from runtime.tasks.scores import auroc, average_precision, by_class

        figures = super().finish(means, dataset)
        if "hits" not in means:
            return figures
        scores, yes = means["scores"], means["positive"]
        figures["f1"] = float(by_class(means["hits"])["f1"].mean())
        figures["f1_micro"] = float(by_class(means["hits"].sum(axis=1, keepdims=True))["f1"][0])
        for name, measure in (("map", average_precision), ("auroc", auroc)):
            found = [measure(scores[:, i], yes[:, i]) for i in range(scores.shape[1])
                     if yes[:, i].any() and not yes[:, i].all()]
            figures[name] = float(np.mean(found)) if found else float("nan")
        return figures

    def details(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
        """`classes`: a map of scores for each label."""
        if "hits" not in means:
            return {}
        from runtime.tasks.scores import auroc, average_precision, by_class

        matches, scores, yes = means["hits"], means["scores"], means["positive"]
        parts = by_class(matches)
        return {"classes": [
            {"name": name, "examples": int(matches[2, i]),
             **{part: float(parts[part][i]) for part in ("precision", "recall", "f1")},
             "ap": average_precision(scores[:, i], yes[:, i]),
             "auroc": auroc(scores[:, i], yes[:, i])}
            for i, name in enumerate(dataset.meaning.names(self.target, matches.shape[1]))]}

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """`labels`, those whose answer is yes, and `probabilities` from the largest down."""
        from runtime.tasks.naming import best, rows_of, sigmoid

        probabilities = sigmoid(rows_of(outputs[self.chosen(outputs)], batch))
        names = meaning.names(self.target, probabilities.shape[-1])
        return [{"labels": [n for n, p in zip(names, row) if p > self.threshold],
                 "probabilities": best(row, names)} for row in probabilities]

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        import numpy as np

        targets = np.asarray(batch.arrays[self.target])[np.asarray(batch.rows)]
        names = meaning.names(self.target, targets.shape[-1])
        return [{"labels": [n for n, yes in zip(names, row) if yes]} for row in targets > 0.5]
