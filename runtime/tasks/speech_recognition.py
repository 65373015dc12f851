"""Speech recognition: the text that is said in a sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.source import Span
from compiler.types import TensorType
from runtime.tasks.task import Task, has_field, has_output

if TYPE_CHECKING:
    import jax
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured
    from runtime.data.dataset import Dataset, Meaning, Part
    from runtime.saved import Trained
    from runtime.tasks.drawing import Drawing
    from runtime.tasks.edits import Errors

# Where more of the texts than this do not fit the frames, the model is no model of them.
MOST_TOO_LONG = 0.5
# How many mistaken words the details name.
MISTAKES = 50


class SpeechRecognition(Task):
    """The text in a sound, by CTC: nats per unit of text, word and character error rates.

    The model gives at each step a logit for nothing, the blank, which is class 0, and for each
    unit of the texts. Texts that need more steps than there are teach nothing; their share is
    told as `too_long`, where there are any.
    """

    word: ClassVar[str] = "speech_recognition"
    monitor: ClassVar[str] = "wer"
    better: ClassVar[Literal["higher", "lower"]] = "lower"

    target: str = Field(default="text", description="the field that holds the texts")
    beams: int | None = Field(
        default=None, gt=0, description="how many beginnings of a text the search goes on with at "
                                        "each step; where not given, the text of the most "
                                        "probable path is taken")

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        if self.target not in fields and "sound" in fields:
            report.error("F0615", f"speech_recognition needs a field `{self.target}`, and the "
                                  "sounds have no texts", span,
                         help="say `transcripts: words` or `transcripts: characters` in `data`")
            return
        if not has_field(self, self.target, fields, report, span):
            return
        name = self.chosen(outputs)
        if not has_output(self, name, outputs, report, span):
            return
        target, kind = fields[self.target], outputs[name]
        if target.axes != ("time",) or target.dtype != "int":
            report.error("F0617", f"speech_recognition needs texts, but `{self.target}` is "
                                  f"{target.described()}", span,
                         help="say `transcripts: words` or `transcripts: characters` in `data`")
            return
        units = target.vocabulary
        if kind.axes != ("time", "channels") or (units is not None and kind.channels != units):
            wanted = "a logit for each unit" if units is None else f"{units} logits"
            report.error(
                "F0617", f"speech_recognition needs {wanted} and time at every step of "
                         f"`{name}`, but it is {kind.described()}" if units is None else
                f"{units - 1} units and the blank need {units} logits at every step, but "
                f"`{name}` is {kind.described()}", span,
                help="keep the whole sequence (`return: sequence`) and end with "
                     f"`dense: {units or 'UNITS'}`")

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        return ("loss", "wer", "cer", "exact", "too_long")

    def target_axes(self, rank: int) -> tuple[str, ...] | None:
        return ("time",) if rank == 1 else None

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        import jax.numpy as jnp

        from runtime.batch import Rows
        from runtime.tasks.ctc import ctc_loss, needed_frames
        from runtime.tasks.measures import Ratio, ratio, steps

        output = outputs[self.chosen(outputs)]
        logits, frames = output.array, _frames(output)
        labels = batch.arrays[self.target]
        lengths = batch.lengths.get(self.target)
        lengths = jnp.full(len(labels), labels.shape[1]) if lengths is None else lengths
        fits = needed_frames(labels, lengths) <= frames
        counts = batch.rows & fits
        losses = ctc_loss(logits, frames, labels, lengths)
        # A text of nothing weighs as much as one unit.
        weights = jnp.where(counts, jnp.maximum(lengths, 1), 0)
        measured = {"loss": Ratio(jnp.where(counts, losses, 0).sum(),
                                  weights.sum().astype(jnp.float32)),
                    "too_long": ratio(1.0 - fits, batch.rows)}
        if training:
            return measured
        true = jnp.where(steps(batch.rows, lengths, labels.shape[1]), labels, -1)
        return {**measured, "said": Rows(self.decoded(output), batch.rows),
                "true": Rows(true, batch.rows)}

    def decoded(self, output: Tensor) -> jax.Array:
        """The units of the texts that an output says: (batch, frames), -1 behind them."""
        from runtime.tasks.ctc_search import beam_search, greedy

        if self.beams is None:
            return greedy(output.array, _frames(output))
        return beam_search(output.array, _frames(output), self.beams)[0]

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        figures = super().finish(
            {name: mean for name, mean in means.items() if name not in ("said", "true")}, dataset)
        share = figures.pop("too_long")
        if share > MOST_TOO_LONG:
            raise SpecError([diagnostic(
                "F0670", f"{share:.0%} of the texts have more units than the model has steps for "
                         "them",
                notes=["each unit takes a step, and equal units one more between them"],
                help="make the strides over time smaller, or the units larger: "
                     "`transcripts: words`")])
        if "said" in means:
            found = self._errors(means, dataset)
            figures |= {"wer": found.wer, "cer": found.cer, "exact": found.exact}
        return figures | ({"too_long": share} if share else {})

    def details(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
        """`words`: how many were right, taken for others, left out and put in; `mistakes`."""
        pairs = self._errors(means, dataset).pairs
        wrong = sorted(((count, a, b) for (a, b), count in pairs.items() if a != b),
                       key=lambda mistake: (-mistake[0], str(mistake[1:])))
        return {"words": {
            "right": sum(n for (a, b), n in pairs.items() if a == b),
            "substituted": sum(n for n, a, b in wrong if a is not None and b is not None),
            "deleted": sum(n for n, _, b in wrong if b is None),
            "inserted": sum(n for n, a, _ in wrong if a is None)},
            "mistakes": [{"true": a, "said": b, "count": n} for n, a, b in wrong[:MISTAKES]]}

    def _errors(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> Errors:
        from runtime.tasks.edits import errors

        names = dataset.labels.get(self.target, ())
        return errors(*([spelt(row, names) for row in means[key]] for key in ("true", "said")))

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """`text`, and its `probability`, all the ways to say it in this sound added up."""
        import jax.numpy as jnp
        import numpy as np

        from runtime.tasks.ctc import ctc_loss
        from runtime.tasks.naming import number

        output = outputs[self.chosen(outputs)]
        frames = _frames(output)
        said = self.decoded(output)
        losses = np.asarray(ctc_loss(output.array, frames, jnp.maximum(said, 0),
                                     (said >= 0).sum(axis=1)), np.float64)
        rows = np.asarray(batch.rows)
        names = meaning.names(self.target, output.array.shape[-1])
        return [{"text": spelt(row, names), "probability": number(np.exp(-loss))}
                for row, loss in zip(np.asarray(said)[rows], losses[rows])]

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        """`text`."""
        import numpy as np

        rows = np.asarray(batch.rows)
        units = np.asarray(batch.arrays[self.target])[rows]
        names = meaning.names(self.target, int(units.max(initial=0)) + 1)
        lengths = batch.lengths.get(self.target)
        ends = np.full(len(units), units.shape[1]) if lengths is None else (
            np.asarray(lengths)[rows])
        return [{"text": spelt(row[:end], names)} for row, end in zip(units, ends)]

    def drawings(
        self, trained: Trained, part: Part, said: Sequence[Mapping[str, Any]],
    ) -> Iterator[Drawing | None]:
        """The spectrogram of each sound, and below it when which unit is said."""
        from runtime.tasks.alignment_drawing import alignments

        return alignments(self, trained, part)


def _frames(output: Tensor) -> jax.Array:
    """How many steps of each row of an output are real: (batch,)."""
    import jax.numpy as jnp

    array = output.array
    return jnp.full(len(array), array.shape[1]) if output.lengths is None else output.lengths


def spelt(units: Sequence[int] | np.ndarray, names: Sequence[str]) -> str:
    """Units, up to the first -1, as a text."""
    from runtime.data.transcripts import joined

    end = next((i for i, unit in enumerate(units) if unit < 0), len(units))
    return joined([names[int(unit)] for unit in units[:end]])
