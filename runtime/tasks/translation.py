"""Translation: a text for a text, found by searching the decoder for the most probable one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from compiler.types import TensorType
from runtime.tasks.next_token import NextToken

if TYPE_CHECKING:
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured
    from runtime.data.dataset import Dataset, Meaning, Part
    from runtime.data.tokens import Vocabulary
    from runtime.saved import Trained
    from runtime.tasks.drawing import Drawing

# Where a source of pairs keeps the vocabulary of translations.
TARGET = "target_vocabulary"


class Translation(NextToken):
    """A text for a text: cross entropy of each next token, and what a search finds.

    In training and for `loss` and `accuracy` the decoder is told the true tokens before each one
    (teacher forcing). `exact`, `bleu` and `chrf` are of the translations that are found as the
    model's `scan` says under `decode`.
    """

    word: ClassVar[str] = "translation"
    monitor: ClassVar[str] = "bleu"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    doing: ClassVar[str] = "telling one of"
    remedy: ClassVar[str] = "end the decoder's `scan` with"

    reference: str = Field(
        default="reference", description="the field with the translations as they are written")
    attention: str = Field(
        default="attention", description="the decoder's output that tells how much each step "
                                         "looked at each token of the text, for drawings")
    examples: int = Field(
        default=500, ge=1, description="how many texts of the validation part are translated after "
                                       "an epoch; of the test part all")

    @property
    def searched(self) -> int:
        return self.examples

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        return ("loss", "accuracy", "exact", "bleu", "chrf")

    def measure_search(self, outputs: Mapping[str, Tensor], batch: Batch) -> Measured:
        """The tokens that were found, the true ones, and the characters of the true text."""
        from runtime.batch import Rows

        found = {"found": outputs["search.symbols"].array[:, 0], "true": batch.arrays[self.target]}
        if self.reference in batch.arrays:
            found["written"] = batch.arrays[self.reference]
        return {name: Rows(values, batch.rows) for name, values in found.items()}

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        from runtime.tasks.overlap import bleu, chrf

        rows = {name: means[name] for name in ("found", "true", "written") if name in means}
        figures = super().finish({n: m for n, m in means.items() if n not in rows}, dataset)
        if "found" not in rows:
            return figures
        vocabulary = _vocabulary(dataset.meaning, self.target)
        found, true = (list(map(_sentence, rows[name])) for name in ("found", "true"))
        texts = [vocabulary.decode(ids) for ids in found]
        references = list(map(_text, rows["written"])) if "written" in rows else [
            vocabulary.decode(ids) for ids in true]
        # A token that the vocabulary does not have is never right.
        exact = [ids == wanted and 0 not in wanted for ids, wanted in zip(found, true)]
        return {**figures, "exact": sum(exact) / max(len(exact), 1),
                "bleu": bleu(texts, references), "chrf": chrf(texts, references)}

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """`translation`, its `score`, and what else the search found under `alternatives`.

        Scores are logarithms of probabilities, made comparable over lengths; 0 is the best.
        """
        import numpy as np

        from runtime.tasks.naming import number

        rows = np.asarray(batch.rows)
        vocabulary = _vocabulary(meaning, self.target)
        symbols, scores = (np.asarray(outputs[f"search.{name}"].array)[rows]
                           for name in ("symbols", "scores"))
        said = []
        for ids, values in zip(symbols, scores):
            best, *others = [
                {"translation": vocabulary.decode(_sentence(row)), "score": number(score)}
                for row, score in zip(ids, values) if np.isfinite(score)] or [
                    {"translation": "", "score": None}]
            said.append({**best, "alternatives": others})
        return said

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        """`translation`: the text as it is written."""
        import numpy as np

        rows = np.asarray(batch.rows)
        if self.reference in batch.arrays:
            return [{"translation": _text(row)}
                    for row in np.asarray(batch.arrays[self.reference])[rows]]
        vocabulary = _vocabulary(meaning, self.target)
        return [{"translation": vocabulary.decode(_sentence(row))}
                for row in np.asarray(batch.arrays[self.target])[rows]]

    def drawings(
        self, trained: Trained, part: Part, said: Sequence[Mapping[str, Any]],
    ) -> Iterator[Drawing | None]:
        """How much each token of the translation looked at each token of the text, as SVG."""
        from runtime.tasks.alignment import drawings

        yield from drawings(self, trained, part)


def _sentence(ids: Sequence[int] | np.ndarray) -> list[int]:
    """The tokens up to the end mark, or to what only fills the row up."""
    from runtime.data.tokens import END

    kept = []
    for i in map(int, ids):
        if i == END or i < 0:
            break
        kept.append(i)
    return kept


def _text(row: np.ndarray) -> str:
    """The text whose characters' numbers these are; 0 and less only fill the row up."""
    return "".join(map(chr, row[row > 0]))


def _vocabulary(meaning: Meaning, field: str) -> Vocabulary:
    """What the numbers of the translations stand for."""
    from runtime.data.tokens import MARKS, ListVocabulary, MarkedVocabulary, Words, vocabulary_from

    stored = meaning.fitted.get(TARGET)
    if stored is not None:
        return vocabulary_from(stored)
    # Of arrays from Python there are names at most.
    names = meaning.names(field, meaning.fields[field].vocabulary or 0)
    return MarkedVocabulary(ListVocabulary(Words(), names[1 + MARKS:]))
