"""Language modelling: the next token after every token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.types import TensorType
from runtime.tasks.task import Task, has_field, has_output

if TYPE_CHECKING:
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Ratio
    from runtime.data.dataset import Dataset


class LanguageModelling(Task):
    """The next token after every token: cross entropy in nats per token, and perplexity."""

    word: ClassVar[str] = "language_modelling"
    monitor: ClassVar[str] = "loss"
    better: ClassVar[Literal["higher", "lower"]] = "lower"

    target: str = Field(default="next", description="the field that holds the next tokens")

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
                "F0617", f"predicting {vocabulary} tokens needs {vocabulary} logits at every step, "
                         f"but `{name}` is {kind.described()}", span,
                help="keep the whole sequence (`return: sequence`) "
                     f"and end with `dense: {vocabulary}`")

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> dict[str, Ratio]:
        from runtime.tasks.measures import correct, cross_entropy, ratio, steps

        tokens = batch.arrays[self.target]
        logits = outputs[self.chosen(outputs)].array
        mask = steps(batch.rows, batch.lengths.get(self.target), tokens.shape[1])
        return {"loss": ratio(cross_entropy(logits, tokens), mask),
                "accuracy": ratio(correct(logits, tokens), mask)}

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        figures = super().finish(means, dataset)
        # Far from trained, e to the loss is no number that anybody needs.
        return figures | {"perplexity": math.exp(min(figures["loss"], 700.0))}
