"""Words that a small synthesiser says: speech for tests and first steps, nobody's voice.

A word is spelt by its sounds, vowels, hums and hisses. A voice is a pitch, a length of the throat
and a speed; a vowel is the pulses of that pitch through resonances, the formants (Fant 1960;
frequencies after Peterson & Barney 1952), which glide from one sound to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from runtime.data.recordings import Heard, Recordings
from runtime.data.source import Origin

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part
    from runtime.data.uniform import Uniform

WORDS = ("ama", "ise", "ofu", "efi", "usa", "mio", "sam", "fem", "osi", "mufe")
# The first three formants of each sound in hertz, and how loud its voice and its hiss are.
SOUNDS: dict[str, tuple[float, float, float, float, float]] = {
    "a": (730, 1090, 2440, 1.0, 0.0),
    "e": (530, 1840, 2480, 1.0, 0.0),
    "i": (270, 2290, 3010, 0.9, 0.0),
    "o": (570, 840, 2410, 1.0, 0.0),
    "u": (300, 870, 2240, 0.9, 0.0),
    "m": (250, 1200, 2100, 0.5, 0.0),
    "s": (300, 2900, 3600, 0.0, 0.35),
    "f": (300, 1300, 2000, 0.0, 0.25),
}
RATE = 8000
# How wide the formants are, in hertz; the share of a sound in which it glides to the next.
WIDTHS = (80.0, 110.0, 160.0)
GLIDE = 0.3
# For how many samples a throat keeps its shape.
STILL = 20


class SyntheticSpeech(Recordings):
    """Ten words of up to four sounds, said by a synthesiser in many voices, some of them noisily.

    Gives `sound` (time, channels) at 8,000 samples a second, and `label`, or with `transcripts`
    `text`. All is made from a seed, the same for ever.
    """

    embedded: ClassVar[Origin] = Origin("ten words of a small formant synthesiser of our own")
    suffixes: ClassVar[tuple[str, ...]] = (".wav", ".wave")
    reads_files: ClassVar[bool] = True

    dataset: Literal["synthetic_speech"] = Field(description="the word that chooses this source")
    recordings: Annotated[int, Field(gt=4, le=10_000)] = Field(
        default=60, description="how often each word is said, each time by another voice")
    noise: Annotated[float, Field(ge=0)] = Field(
        default=0.02, description="the deviation of the loudest background noise; the voice has "
                                  "a full scale of 1")
    seed: int = Field(default=0, ge=0, description="chooses the voices")

    @property
    def sampled(self) -> int:
        return RATE

    @property
    def class_count(self) -> int | None:
        return len(WORDS) if self.classes is None else super().class_count

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Recordings by their paths, as fields."""
        from runtime.data.wav import read_all

        files = [str(path) for path in inputs]
        return self.read(read_all(Path(), files, RATE), files)

    def load(self) -> Dataset:
        from runtime.data.uniform import Uniform

        draw = Uniform([self.seed, 7])
        said = [word for word in WORDS for _ in range(self.recordings)]
        sounds = [spoken(word, draw, self.noise) for word in said]
        names = [f"{word} {number % self.recordings}" for number, word in enumerate(said)]
        return self.heard({"train": Heard(sounds, said, names)}, "synthetic_speech")


def spoken(word: str, draw: Uniform, noise: float = 0.02) -> np.ndarray:
    """A word in a voice of its own: (samples,) int16 at 8,000 samples a second.

    Args:
        word: letters out of `SOUNDS`.
        draw: decides the voice.
        noise: the deviation of the loudest background noise.
    """
    import numpy as np

    pitch, throat, speed, fall, volume, quiet = draw.unit(6)
    pitch, throat = 95 * 2.4 ** pitch, 0.9 + 0.25 * throat
    # Every sound takes its time, the vowels more than others.
    spans = np.array([0.11 if letter in "aeiou" else 0.08 for letter in word])
    spans *= (0.75 + 0.5 * speed) * (0.85 + 0.3 * draw.unit(len(word)))
    ends = np.round(np.cumsum(spans) * RATE).astype(int)
    count = int(ends[-1])
    plan = _glided(np.array([SOUNDS[letter] for letter in word]), ends)
    time = np.arange(count) / count
    phase = 2 * np.pi * np.cumsum(pitch * (1.08 - 0.25 * fall * time)) / RATE
    voice = np.zeros(count)
    for overtone in range(1, int(0.48 * RATE / pitch) + 1):
        # The throat is slow: one shape of it stands for the next few samples.
        shape = _resonance(overtone * pitch, plan[::STILL, :3] * throat).repeat(STILL)[:count]
        voice += shape * np.sin(overtone * phase)
    hiss = _hissing(draw.normal(count), plan[:, :3] * throat)
    sound = plan[:, 3] * voice / (np.abs(voice).max() + 1e-9) + plan[:, 4] * hiss
    edge = np.minimum(np.arange(count), np.arange(count)[::-1]) / (0.01 * RATE)
    sound *= np.minimum(edge, 1) * (0.3 + 0.5 * volume)
    sound += noise * quiet * draw.normal(count)
    return np.clip(np.round(sound * 32767), -32768, 32767).astype(np.int16)


def _glided(targets: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """What the sounds aim at, (sounds, features), sample by sample: (samples, features)."""
    import numpy as np

    starts = np.r_[0, ends[:-1]]
    places, values = [], []
    for start, end, target in zip(starts, ends, targets):
        reach = GLIDE / 2 * (end - start)
        places += [start + reach, end - reach]
        values += [target, target]
    at, known = np.arange(int(ends[-1])), np.array(values)
    return np.stack([np.interp(at, places, column) for column in known.T], axis=1)


def _resonance(frequency: float, formants: np.ndarray) -> np.ndarray:
    """How much a throat lets through of a frequency: (samples,), of formants (samples, 3)."""
    import numpy as np

    widths = np.array(WIDTHS)
    peaks = 1 / (1 + ((frequency - formants) / widths) ** 2)
    return (peaks * [1.0, 0.6, 0.3]).sum(axis=1) / (1 + frequency / 1500)


def _hissing(noise: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """Noise about the second formant: the mean of a wave of that frequency, shaken."""
    import numpy as np

    phase = 2 * np.pi * np.cumsum(formants[:, 1]) / RATE
    slow = np.convolve(noise, np.hanning(9) / np.hanning(9).sum(), mode="same")
    return slow * np.sin(phase) * 3
