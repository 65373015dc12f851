"""Classification: one class out of several for each example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.types import TensorType
from runtime.tasks.task import Task, has_field, has_output

if TYPE_CHECKING:
    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Ratio


class Classification(Task):
    """One class for each example: cross entropy in nats, and accuracy."""

    word: ClassVar[str] = "classification"
    monitor: ClassVar[str] = "accuracy"
    better: ClassVar[Literal["higher", "lower"]] = "higher"

    target: str = Field(default="label", description="the field that holds the class")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1,
        description="the part of the target spread over all classes in training")
    auxiliary: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default={}, description="further outputs trained on the same target, with the weight "
                                "of their losses: `{aux1: 0.3}`")

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        if not has_field(self, self.target, fields, report, span):
            return
        classes = fields[self.target].vocabulary
        for name in (self.chosen(outputs), *self.auxiliary):
            if not has_output(self, name, outputs, report, span):
                continue
            kind = outputs[name]
            if kind.axes != ("channels",) or (classes is not None and kind.channels != classes):
                report.error(
                    "F0617", f"classification into {classes} classes needs {classes} logits, "
                             f"but `{name}` is {kind.described()}", span,
                    help=f"end the model with `dense: {classes}`, or set its number of classes")

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> dict[str, Ratio]:
        from runtime.batch import Ratio
        from runtime.tasks.measures import correct, cross_entropy, ratio

        labels = batch.arrays[self.target]
        smoothing = self.label_smoothing if training else 0.0
        logits = outputs[self.chosen(outputs)].array
        loss = ratio(cross_entropy(logits, labels, smoothing), batch.rows)
        if training:
            for name, weight in self.auxiliary.items():
                side = ratio(cross_entropy(outputs[name].array, labels, smoothing), batch.rows)
                loss = Ratio(loss.total + weight * side.total, loss.weight)
        return {"loss": loss, "accuracy": ratio(correct(logits, labels), batch.rows)}
