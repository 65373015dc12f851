"""Classification: one class out of several for each example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.types import TensorType
from runtime.tasks.labelling import Labelling

if TYPE_CHECKING:
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured
    from runtime.data.dataset import Dataset, Meaning, Part
    from runtime.saved import Trained
    from runtime.tasks.drawing import Drawing

# With so many classes being among the first five is a figure of interest.
MANY = 20


class Classification(Labelling):
    """One class for each example: cross entropy in nats, accuracy, and F1 over the classes.

    `f1` is the mean over the classes. With more than 20 classes `top5` is told too, with
    two `auroc`.
    """

    word: ClassVar[str] = "classification"
    monitor: ClassVar[str] = "accuracy"
    mixes: ClassVar[bool] = True
    axes: ClassVar[tuple[str, ...]] = ()
    place: ClassVar[str] = "example"

    target: str = Field(default="label", description="the field that holds the class")
    top: list[Annotated[int, Field(gt=1)]] | None = Field(
        default=None, description="report how often the right class is among so many of the "
                                  "most probable: `[5]`, the default with more than 20 classes")

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        kind = outputs.get(self.chosen(outputs))
        classes = kind.channels if kind is not None else None
        many, two = ((classes > MANY, classes == 2) if isinstance(classes, int) else (True, True))
        tops = self.top if self.top is not None else [5] if many else []
        return (*super().figures(outputs), *(f"top{n}" for n in tops),
                *(("auroc",) if two else ()))

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        super().check(outputs, fields, report, span)
        kind = outputs.get(self.chosen(outputs))
        for count in self.top or ():
            if kind is not None and isinstance(kind.channels, int) and count >= kind.channels:
                report.error("F0617", f"`top: [{count}]` of {kind.channels} classes is always "
                                      "right", span, help="make it smaller")

    def advice(self, classes: int | None) -> str:
        return f"end the model with `dense: {classes}`, or set its number of classes"

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        from runtime.batch import Rows
        from runtime.tasks.calibration import confidence_bins
        from runtime.tasks.measures import among_best, ratio

        measured = super().measure(outputs, batch, training=training)
        if training:
            return measured
        logits = outputs[self.chosen(outputs)].array
        labels, mask = self.labelled(batch)
        classes = logits.shape[-1]
        tops = self.top if self.top is not None else [5] if classes > MANY else []
        more = {f"top{n}": ratio(among_best(logits, labels, n), mask) for n in tops}
        more["calibration"] = confidence_bins(logits, labels, mask)
        if classes == 2:
            more |= {"score": Rows(logits[:, 1] - logits[:, 0], batch.rows),
                     "positive": Rows(labels == 1, batch.rows)}
        return {**measured, **more}

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        from runtime.tasks.scores import auroc

        figures = super().finish(means, dataset)
        if "score" in means:
            figures["auroc"] = auroc(means["score"], means["positive"])
        return figures

    def details(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
        """Also `calibration`: its expected error `ece`, and the `bins` that it is made of."""
        from runtime.tasks.calibration import calibration

        found = super().details(means, dataset)
        if "calibration" in means:
            found["calibration"] = calibration(means["calibration"])
        return found

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """`label`, its `probability`, and `probabilities` from the largest down."""
        from runtime.tasks.naming import best, number, rows_of, softmax

        probabilities = softmax(rows_of(outputs[self.chosen(outputs)], batch))
        names = meaning.names(self.target, probabilities.shape[-1])
        return [{"label": names[row.argmax()], "probability": number(row.max()),
                 "probabilities": best(row, names)} for row in probabilities]

    def drawings(
        self, trained: Trained, part: Part, said: Sequence[Mapping[str, Any]],
    ) -> Iterator[Drawing | None]:
        """Where in a picture the model looked, or which words of a text weighed."""
        from runtime.report.weighed import drawings

        return drawings(trained, part, said)

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        import numpy as np

        labels = np.asarray(batch.arrays[self.target])[np.asarray(batch.rows)]
        names = meaning.names(self.target, int(labels.max(initial=0)) + 1)
        return [{"label": names[label]} for label in labels]
