"""What language modelling and translation share: the token that comes next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.types import TensorType
from runtime.tasks.task import Task, has_field, has_output

if TYPE_CHECKING:
    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured


class NextToken(Task):
    """The token after every token: cross entropy in nats per token, and how many are right."""

    target: str = Field(default="next", description="the field that holds the next tokens")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1,
        description="the part of the target spread over all tokens in training")

    # What the task does with a vocabulary, and how a model comes to end with its logits.
    doing: ClassVar[str]
    remedy: ClassVar[str]

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        if not has_field(self, self.target, fields, report, span):
            return
        name = self.chosen(outputs)
        if not has_output(self, name, outputs, report, span):
            return
        kind, vocabulary = outputs[name], fields[self.target].vocabulary
        if kind.axes != ("time", "channels") or (
                vocabulary is not None and isinstance(kind.channels, int)
                and kind.channels < vocabulary):
            report.error(
                "F0617", f"{self.doing} {vocabulary} tokens needs {vocabulary} logits at every "
                         f"step, but `{name}` is {kind.described()}", span,
                help=f"{self.remedy} `dense: {vocabulary}`")

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        from runtime.tasks.measures import correct, cross_entropy, places, ratio, weighted

        tokens, mask = batch.arrays[self.target], places(batch, self.target)
        logits = outputs[self.chosen(outputs)].array
        smoothing = self.label_smoothing if training else 0.0
        return {"loss": weighted(cross_entropy(logits, tokens, smoothing), mask),
                "accuracy": ratio(correct(logits, tokens), mask)}
