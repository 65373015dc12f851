"""Sounds with a class or a text each: what the sources of recordings share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from compiler.types import TensorType
from runtime.data.concatenate import Concatenate
from runtime.data.labelled import Labelled
from runtime.data.transcripts import Transcribed
from runtime.section import Section, problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class LogMel(Section):
    """A spectrogram in place of the sound itself."""

    bands: Positive = Field(default=40, description="bands of frequencies, on the mel scale")
    window: Seconds = Field(default=0.025, description="the seconds that one step looks at")
    step: Seconds = Field(default=0.01, description="the seconds from one step to the next")


@dataclass(frozen=True)
class Heard:
    """Recordings of one part.

    Attributes:
        sounds: (samples,) int16 each.
        said: the class or the text of each.
        files: what each is called.
    """

    sounds: Sequence[np.ndarray]
    said: Sequence[str]
    files: Sequence[str]


class Recordings(Labelled):
    """Sounds with one class each, or with a text.

    Gives `sound` (time, channels), between -1 and 1, or with `log_mel` (time, frequency,
    channels), and `label`, or with `transcripts` `text` (time).
    """

    seconds: Seconds | None = Field(
        default=None, description="how long sounds are made: longer ones are cut off, shorter "
                                  "ones padded; as long as the longest where not given")
    log_mel: LogMel | None = Field(
        default=None, description="take spectrograms: `{bands: 40, window: 0.025, step: 0.01}`")
    transcripts: Transcribed | None = Field(
        default=None, description="give texts in place of classes, made of `words` or "
                                  "`characters`")
    concatenate: Concatenate | None = Field(
        default=None, description="put recordings in a row: `{words: [1, 7], count: 2000}`; the "
                                  "recordings are cut into parts before")
    buckets: Positive = Field(
        default=1, description="how many lengths batches may have, each compiled once; 1 for "
                               "always the longest")

    @model_validator(mode="after")
    def _can_be_joined(self) -> Self:
        if self.concatenate is None:
            return self
        if self.transcripts is None:
            raise problem("strings of recordings have a text, not one class",
                          help="add `transcripts: words`")
        if self.log_mel is not None:
            raise problem("`concatenate` joins sounds, and `log_mel` makes something else of them",
                          help="make `log_mel` the first layer of the model")
        return self

    @property
    def sampled(self) -> int:
        """Samples a second."""
        raise NotImplementedError

    @property
    def samples(self) -> int | None:
        """How many samples a sound has, where that is declared."""
        return max(round(self.seconds * self.sampled), 1) if self.seconds else None

    def targets(self) -> tuple[str, ...]:
        return ("label",) if self.transcripts is None else ("text",)

    def fields(self) -> dict[str, TensorType]:
        known = self.samples if self.concatenate is None else None
        return self._fields(self._steps(known) if known else "sound")

    def _fields(self, steps: int | str) -> dict[str, TensorType]:
        axes, shape = ("time", "channels"), (steps, 1)
        if self.log_mel is not None:
            axes, shape = ("time", "frequency", "channels"), (steps, self.log_mel.bands, 1)
        sound = TensorType(axes, shape)
        if self.transcripts is None:
            return {"sound": sound,
                    "label": TensorType((), (), "int", vocabulary=self.class_count)}
        return {"sound": sound, "text": TensorType(("time",), ("text",), "int",
                                                   vocabulary=self.transcripts.count)}

    def _steps(self, samples: int) -> int:
        """How many steps of the field a sound of so many samples makes."""
        if self.log_mel is None:
            return samples
        size = max(round(self.log_mel.window * self.sampled), 2)
        hop = max(round(self.log_mel.step * self.sampled), 1)
        return max(samples - size, 0) // hop + 1

    def heard(self, given: Mapping[str, Heard], where: str) -> Dataset:
        """The data set of recordings in the parts that they come in.

        Args:
            given: the recordings of each part, `train` among them.
            where: what holds them, for messages.

        Raises:
            SpecError: F0634 and following: the parts or classes are not as declared, F0671 a
                text has a unit that is not known.
        """
        longest = self.samples or max(len(s) for heard in given.values() for s in heard.sounds)
        classes = list(dict.fromkeys(sorted(given["train"].said)))
        if self.transcripts is None:
            classes = self.class_names(classes, where)
            parts = {name: self.part(heard.sounds, longest, heard.files, self._labels(
                heard, classes)) for name, heard in given.items()}
            dataset = self.assembled(parts, self._fields(self._steps(longest)),
                                     {"label": classes}, {"sound": ("sound",)})
        elif self.concatenate is None:
            names = self.transcripts.named(given["train"].said)
            parts = {name: self.part(heard.sounds, longest, heard.files, self._texts(
                heard.said, names, heard.files)) for name, heard in given.items()}
            dataset = self.assembled(parts, self._fields(self._steps(longest)),
                                     {"text": names}, {"sound": ("sound",)})
        else:
            dataset = self._in_rows(given, longest)
        return self._in_buckets(dataset)

    def _labels(self, heard: Heard, classes: Sequence[str]) -> dict[str, Any]:
        import numpy as np

        number = {name: index for index, name in enumerate(classes)}
        return {"label": np.array([number[word] for word in heard.said], np.int32)}

    def _texts(
        self, texts: Sequence[str], names: Sequence[str], files: Sequence[str],
    ) -> dict[str, Any]:
        assert self.transcripts is not None
        return {"text": self.transcripts.numbered(texts, names, files)}

    def _in_rows(self, given: Mapping[str, Heard], longest: int) -> Dataset:
        """Strings of recordings; the recordings were cut into parts before."""
        import numpy as np

        from runtime.data.concatenate import Strings, lengths_of
        from runtime.data.dataset import Part

        assert self.concatenate is not None and self.transcripts is not None
        words = sorted({said for heard in given.values() for said in heard.said})
        numbers = {word: number for number, word in enumerate(words)}
        apart = {}
        for name, heard in given.items():
            labels = np.array([numbers[said] for said in heard.said], np.int32)
            apart[name] = self.part(heard.sounds, longest, heard.files, {"label": labels})
        whole = self.assembled(apart, self._fields(longest), {"label": words},
                               {"sound": ("sound",)})
        found = {name: getattr(whole, name) for name in ("train", "validation", "test")}
        # One text of them all has what stands between words, too.
        names = self.transcripts.named(
            [" ".join(words[i] for i in found["train"].arrays["label"])])
        share = self.concatenate.count / max(found["train"].size, 1)
        made, told = {}, {}
        for number, (name, part) in enumerate(found.items()):
            strings = round(share * part.size)
            plan = self.concatenate.plan(part.size, strings, self.sampled, number)
            texts = [" ".join(words[part.arrays["label"][i]] for i in string.recordings)
                     for string in plan]
            sounds = [row[:length, 0] for row, length in zip(
                part.arrays["sound"], part.lengths["sound"])]
            made[name] = sounds, plan, lengths_of(sounds, plan)
            told[name] = texts, *self.transcripts.numbered(texts, names, texts)
        most = max(int(lengths.max(initial=1)) for _, _, lengths in made.values())
        parts = {}
        for name, (sounds, plan, lengths) in made.items():
            texts, units, counts = told[name]
            parts[name] = Part({"sound": Strings(sounds, plan, most), "text": units},
                               {"sound": lengths, "text": counts}, np.array(texts, object))
        fields = {name: replace(kind, vocabulary=len(names)) if name == "text" else kind
                  for name, kind in self._fields(most).items()}
        return replace(whole, fields=fields, labels={"text": names}, **parts)

    def _in_buckets(self, dataset: Dataset) -> Dataset:
        """The data set with the lengths that batches are cut to."""
        from runtime.data.buckets import chosen

        if self.buckets == 1 or "sound" not in dataset.train.lengths:
            return dataset
        longest = dataset.train.arrays["sound"].shape[1]
        buckets = chosen(dataset.train.lengths["sound"], self.buckets, longest)
        return replace(dataset, **{name: replace(getattr(dataset, name), buckets=buckets)
                                   for name in ("train", "validation", "test")})

    def part(
        self, sounds: Sequence[np.ndarray], longest: int, files: Sequence[str],
        targets: Mapping[str, Any] | None = None,
    ) -> Part:
        """Sounds (samples,) of int16, padded at the end or cut off there.

        Args:
            sounds: the sounds.
            longest: how many samples all get.
            files: what each is called.
            targets: further fields: arrays, or arrays and the lengths of their rows.
        """
        import numpy as np

        from runtime.data.dataset import Part
        from runtime.data.mel import log_mel

        rows: list[Any] = [sound[:longest] for sound in sounds]
        if (mel := self.log_mel) is not None:
            rows = [log_mel(row / 32768, self.sampled, mel.bands, mel.window, mel.step)
                    for row in rows]
        steps = self._steps(longest)
        bands = () if mel is None else (mel.bands,)
        array: Any = np.zeros((len(rows), steps, *bands, 1), np.float32 if mel else np.int16)
        for place, row in zip(array, rows):
            place[:len(row)] = row[..., None]
        arrays, lengths = {"sound": array}, {"sound": np.array([len(r) for r in rows], np.int32)}
        for name, found in (targets or {}).items():
            if isinstance(found, tuple):
                arrays[name], lengths[name] = found
            else:
                arrays[name] = found
        return Part(arrays, lengths, np.array(files, object))

    def read(
        self, sounds: Sequence[np.ndarray], files: Sequence[str],
        targets: Mapping[str, Any] | None = None,
    ) -> Part:
        """Sounds that are no part of the data, as long as the recipe says, or as the longest."""
        known = self.samples if self.concatenate is None else None
        return self.part(sounds, known or max((len(sound) for sound in sounds), default=1), files,
                         targets)
