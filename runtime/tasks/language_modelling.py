"""Language modelling: the next token after every token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from compiler.types import TensorType
from runtime.tasks.next_token import NextToken

if TYPE_CHECKING:
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch
    from runtime.data.dataset import Dataset, Meaning

# How many continuations a prediction tells.
CONTINUATIONS = 5


class LanguageModelling(NextToken):
    """The next token after every token: cross entropy in nats per token, and perplexity."""

    word: ClassVar[str] = "language_modelling"
    monitor: ClassVar[str] = "loss"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    doing: ClassVar[str] = "predicting"
    remedy: ClassVar[str] = "keep the whole sequence (`return: sequence`) and end with"

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        return ("loss", "accuracy", "perplexity")

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
