"""Recordings one after another, as if somebody had said them in a row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from runtime.section import Section, problem

if TYPE_CHECKING:
    import numpy as np

Count = Annotated[int, Field(gt=0, le=1000)]
Pause = Annotated[float, Field(ge=0, le=60)]


def _pair(value: Any) -> Any:
    """A number alone is both bounds."""
    return (value, value) if isinstance(value, int | float) else (
        tuple(value) if isinstance(value, list) else value)


class Concatenate(Section):
    """Strings of recordings of a part, drawn by a seed; no recording is in two parts.

    Every recording of a part is used about equally often.
    """

    words: Annotated[tuple[Count, Count], BeforeValidator(_pair)] = Field(
        description="how many recordings a string has, from and to: `[1, 7]`")
    count: Annotated[int, Field(gt=0, le=1_000_000)] = Field(
        description="how many strings the training part has; the others have as many for each "
                    "of their recordings")
    pause: Annotated[tuple[Pause, Pause], BeforeValidator(_pair)] = Field(
        default=(0.0, 0.0), description="the seconds of silence between recordings, from and to")
    seed: int = Field(default=0, ge=0, description="chooses the strings")

    @model_validator(mode="after")
    def _are_ranges(self) -> Self:
        for name in ("words", "pause"):
            low, high = getattr(self, name)
            if low > high:
                raise problem(f"`{name}` goes from {low} to {high}",
                              help=f"give the smaller number first: `{name}: [{high}, {low}]`")
        return self

    def plan(self, recordings: int, strings: int, rate: int, part: int) -> list[String]:
        """Which recordings make each string, and the silence before each.

        Args:
            recordings: how many there are.
            strings: how many to make.
            rate: samples a second.
            part: the number of the part, so that parts differ.
        """
        from runtime.data.uniform import Uniform

        draw = Uniform([self.seed, part])
        low, high = self.words
        waiting: list[int] = []
        result: list[String] = []
        for size in draw.whole(low, high, strings):
            while len(waiting) < size:
                waiting += draw.order(recordings).tolist()
            pauses = draw.between(*self.pause, int(size))
            result.append(String(
                tuple(waiting[:size]),
                (0, *(round(seconds * rate) for seconds in pauses[1:].tolist()))))
            del waiting[:size]
        return result


@dataclass(frozen=True)
class String:
    """Recordings in a row.

    Attributes:
        recordings: their numbers.
        pauses: the samples of silence before each.
    """

    recordings: tuple[int, ...]
    pauses: tuple[int, ...]


def lengths_of(sounds: Sequence[np.ndarray], plan: Sequence[String]) -> np.ndarray:
    """The samples of each string of some recordings: (strings,) int32."""
    import numpy as np

    return np.array([sum(string.pauses) + sum(len(sounds[i]) for i in string.recordings)
                     for string in plan], np.int32)


class Strings:
    """Strings of recordings, put together when they are asked for: (strings, samples, 1) int16."""

    def __init__(
        self, sounds: Sequence[np.ndarray], plan: Sequence[String], longest: int,
    ):
        """Take recordings (samples,) int16, the strings, and how many samples all are padded to."""
        import numpy as np

        self._sounds, self._plan = sounds, plan
        self.shape, self.dtype = (len(plan), longest, 1), np.dtype(np.int16)

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, indices: Any) -> np.ndarray:
        import numpy as np

        if isinstance(indices, int | np.integer):
            return self[np.array([indices])][0]
        chosen = np.arange(len(self))[indices]
        result = np.zeros((len(chosen), *self.shape[1:]), self.dtype)
        for row, number in zip(result, chosen):
            at = 0
            string = self._plan[number]
            for recording, pause in zip(string.recordings, string.pauses):
                sound = self._sounds[recording]
                at += pause
                row[at:at + len(sound), 0] = sound
                at += len(sound)
        return result

    def subset(self, indices: np.ndarray) -> Strings:
        """The strings at `indices`."""
        return Strings(self._sounds, [self._plan[i] for i in indices], self.shape[1])

    def digests(self) -> list[bytes]:
        """A digest of each string."""
        return [hashlib.blake2b(self[number].tobytes(), digest_size=16).digest()
                for number in range(len(self))]
