"""Sequence tagging: one class for every step of a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from compiler.types import TensorType
from runtime.tasks.labelling import Labelling

if TYPE_CHECKING:
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured
    from runtime.data.dataset import Dataset, Meaning


class Tagging(Labelling):
    """One class for every step: cross entropy in nats per step, accuracy, F1 over the classes.

    Padded steps count nowhere. Where the classes are called `B-…`, `I-…` and `O`, they mark
    spans: `span_f1`, `span_precision` and `span_recall` count those found exactly.
    """

    word: ClassVar[str] = "tagging"
    monitor: ClassVar[str] = "accuracy"
    axes: ClassVar[tuple[str, ...]] = ("time",)
    place: ClassVar[str] = "step"

    target: str = Field(default="tags", description="the field that holds the classes")
    ignore: int | None = Field(
        default=None, description="the number that marks steps without a class, such as -100")

    @property
    def ignored(self) -> int | None:
        return self.ignore

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        return (*super().figures(outputs), "span_f1", "span_precision", "span_recall")

    def advice(self, classes: int | None) -> str:
        return f"keep the whole sequence (`return: sequence`) and end with `dense: {classes}`"

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        import jax.numpy as jnp

        from runtime.batch import Rows

        measured = super().measure(outputs, batch, training=training)
        if training:
            return measured
        labels, mask = self.labelled(batch)
        found = outputs[self.chosen(outputs)].array.argmax(axis=-1)
        # Steps that do not count are told by -1: the true tags before, the predicted behind.
        tags = jnp.where(mask[:, None], jnp.stack([labels, found], axis=1), -1)
        return {**measured, "tags": Rows(tags, batch.rows)}

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        from runtime.tasks.spans import marks_spans, span_scores

        figures = super().finish(
            {name: mean for name, mean in means.items() if name != "tags"}, dataset)
        names = dataset.labels.get(self.target, ())
        if "tags" in means and marks_spans(names):
            figures |= span_scores(means["tags"], names)
        return figures

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """`tags` and their `probabilities`, one for each real step."""
        from runtime.tasks.naming import lengths_of, number, rows_of, softmax

        output = outputs[self.chosen(outputs)]
        probabilities = softmax(rows_of(output, batch))
        names = meaning.names(self.target, probabilities.shape[-1])
        return [{"tags": [names[i] for i in row.argmax(axis=-1)],
                 "probabilities": [number(p) for p in row.max(axis=-1)]}
                for row in (full[:length] for full, length in zip(
                    probabilities, lengths_of(output, batch)))]

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        """`tags`, null for steps without a class."""
        import numpy as np

        labels, mask = (np.asarray(a)[np.asarray(batch.rows)] for a in self.labelled(batch))
        names = meaning.names(self.target, int(labels.max(initial=0)) + 1)
        lengths = batch.lengths.get(self.target)
        ends = (np.full(len(labels), labels.shape[1]) if lengths is None
                else np.asarray(lengths)[np.asarray(batch.rows)])
        return [{"tags": [names[i] if real else None for i, real in zip(row, known)][:end]}
                for row, known, end in zip(labels, mask, ends)]
