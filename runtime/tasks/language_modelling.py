"""Language modelling: the next token after every token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.types import TensorType
from runtime.tasks.task import Task, has_field, has_output

if TYPE_CHECKING:
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured
    from runtime.data.dataset import Dataset, Meaning

# How many continuations a prediction tells.
CONTINUATIONS = 5


class LanguageModelling(Task):
    """The next token after every token: cross entropy in nats per token, and perplexity."""

    word: ClassVar[str] = "language_modelling"
    monitor: ClassVar[str] = "loss"
    better: ClassVar[Literal["higher", "lower"]] = "lower"

    target: str = Field(default="next", description="the field that holds the next tokens")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1,
        description="the part of the target spread over all tokens in training")

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

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        return ("loss", "accuracy", "perplexity")

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        from runtime.tasks.measures import correct, cross_entropy, places, ratio, weighted

        tokens, mask = batch.arrays[self.target], places(batch, self.target)
        logits = outputs[self.chosen(outputs)].array
        smoothing = self.label_smoothing if training else 0.0
        return {"loss": weighted(cross_entropy(logits, tokens, smoothing), mask),
                "accuracy": ratio(correct(logits, tokens), mask)}

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        figures = super().finish(means, dataset)
        # Far from trained, e to the loss is no number that anybody needs.
        return figures | {"perplexity": math.exp(min(figures["loss"], 700.0))}

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """`next`: the most probable tokens behind the text, with their probabilities."""
        import numpy as np

        from runtime.tasks.naming import best, lengths_of, rows_of, softmax

        output = outputs[self.chosen(outputs)]
        logits = rows_of(output, batch)
        last = np.maximum(lengths_of(output, batch) - 1, 0)
        names = meaning.names(self.target, logits.shape[-1])
        return [{"next": best(row, names, CONTINUATIONS)}
                for row in softmax(logits[np.arange(len(logits)), last])]

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        """`next`: the token that stands there, for certain."""
        import numpy as np

        rows = np.asarray(batch.rows)
        tokens = np.asarray(batch.arrays[self.target])[rows]
        lengths = batch.lengths.get(self.target)
        last = (np.full(len(tokens), tokens.shape[1]) if lengths is None
                else np.asarray(lengths)[rows]) - 1
        found = tokens[np.arange(len(tokens)), np.maximum(last, 0)]
        names = meaning.names(self.target, int(found.max(initial=0)) + 1)
        return [{"next": {names[token]: 1.0}} for token in found]
