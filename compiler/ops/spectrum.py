"""Operators on the frequencies of a sound."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.ops.base import Operator, Positive, ShapeError, Window, expect_channels
from compiler.types import Size, TensorType, window_size

# Seconds, or a whole number of samples.
Span = Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0)]


class LogMel(Operator):
    """The logarithm of the power in each band of the mel scale, step by step.

    Hann windows begin at every step and lie within the sound; one that is shorter than a window
    is filled up with silence. The power of a window's Fourier transform, over the window's
    samples, is summed by triangles that are equally wide on the mel scale (Davis & Mermelstein
    1980); then log(power + floor). Each channel is transformed apart.
    """

    word: ClassVar[str] = "log_mel"
    main: ClassVar[str | None] = "rate"

    rate: Positive = Field(description="samples a second")
    bands: Positive = Field(40, description="how many bands")
    window: Span = Field(0.025, description=(
        "what one step looks at: seconds, 0.025, or a whole number of samples, 400"))
    step: Span = Field(0.01, description="from one step to the next: seconds, or samples")
    points: Positive | None = Field(None, description=(
        "points of the Fourier transform; the next power of two from the window's samples on "
        "where not given"))
    low: Annotated[float, Field(ge=0)] = Field(0.0, description=(
        "where the lowest band begins, in hertz"))
    high: Annotated[float, Field(gt=0)] | None = Field(None, description=(
        "where the highest band ends, in hertz; half of `rate` where not given"))
    scale: Literal["htk", "slaney"] = Field("htk", description=(
        "htk: 2595 · log₁₀(1 + f / 700), triangles of height 1, as in HTK and torchaudio; slaney: "
        "linear up to 1000 Hz and logarithmic from there, triangles of area 1, as in librosa"))
    floor: Annotated[float, Field(gt=0)] = Field(1e-6, description=(
        "added to the power before its logarithm, so that silence has one"))
    normalise: Literal["none", "utterance", "band"] = Field("none", description=(
        "subtract the mean and divide by the deviation over the real steps of each example: of "
        "all bands together (utterance) or of each band (band: CMVN)"))

    @property
    def size(self) -> int:
        """The samples of a window."""
        return max(self._samples(self.window), 1)

    @property
    def hop(self) -> int:
        """The samples from one step to the next."""
        return max(self._samples(self.step), 1)

    def _samples(self, span: int | float) -> int:
        return span if isinstance(span, int) else round(span * self.rate)

    @property
    def transformed(self) -> int:
        """The points of the Fourier transform."""
        return self.points or 1 << max(self.size - 1, 1).bit_length()

    @property
    def frequencies(self) -> int:
        """How many frequencies the transform tells apart, 0 and half the rate among them."""
        return self.transformed // 2 + 1

    @property
    def highest(self) -> float:
        """Where the highest band ends, in hertz."""
        return self.rate / 2 if self.high is None else float(self.high)

    def corners(self) -> tuple[float, ...]:
        """The corners of the bands in hertz, equally far from each other on the scale.

        Returns:
            `bands` + 2 of them: a band begins at one, has its top at the next, ends at the third.
        """
        low, high = (_mels(f, self.scale) for f in (float(self.low), self.highest))
        width = (high - low) / (self.bands + 1)
        return tuple(_hertz(low + i * width, self.scale) for i in range(self.bands + 2))

    def lengthened(self, steps: int) -> int:
        """How many steps so many samples make: 1 at least."""
        return max(steps - self.size, 0) // self.hop + 1

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        channels = expect_channels(x, self.word)
        if x.axes != ("time", "channels"):
            raise ShapeError(
                f"`log_mel` takes the samples of a sound, (time, channels), but its input is "
                f"{x.described()}", "declare the input as `{axes: [time, channels], "
                "shape: [any, 1]}`", code="F0403")
        self._check()
        length = x.length
        assert length is not None
        places: Size = (window_size(length, self.size, self.hop) if isinstance(length, str)
                        else self.lengthened(length))
        return TensorType(("time", "frequency", "channels"), (places, self.bands, channels))

    def _check(self) -> None:
        """Raise F0480 and F0481 where the fields make no bands."""
        if self.size < 2:
            raise ShapeError(
                f"a window of {self.size} sample{'s' * (self.size != 1)} has no frequencies",
                "a whole number counts samples, one with a point seconds: `window: 0.025`",
                "window", "F0480")
        if self.transformed < self.size:
            raise ShapeError(
                f"a Fourier transform of {self.transformed} points does not hold a window of "
                f"{self.size} samples", f"set `points` to {self.size} or more", "points", "F0480")
        if self.highest > self.rate / 2 or self.low >= self.highest:
            raise ShapeError(
                f"bands from {self.low:g} to {self.highest:g} Hz, but a sound of {self.rate:,} "
                f"samples a second has frequencies from 0 to {self.rate / 2:g}",
                "keep `low` below `high`, and `high` at half of `rate` at most",
                "high" if self.high is not None else "low", "F0481")
        if empty := self.empty():
            low, high = self.corners()[empty[0]], self.corners()[empty[0] + 2]
            raise ShapeError(
                f"{len(empty)} of {self.bands} bands hold{'s' * (len(empty) == 1)} no frequency "
                f"of the transform, such as the one from {low:.0f} to {high:.0f} Hz: its "
                f"{self.transformed} points are {self.rate / self.transformed:.1f} Hz apart",
                "take fewer `bands`, or more `points`, which need no longer `window`"
                + (f"; `window: {self.window}` is so many samples, and 0.025 are seconds"
                   if isinstance(self.window, int) else ""),
                "bands", "F0482")

    def empty(self) -> list[int]:
        """The bands in which no frequency of the transform lies."""
        corners, apart = self.corners(), self.rate / self.transformed
        return [i for i in range(self.bands)
                if (math.floor(corners[i] / apart) + 1) * apart >= corners[i + 2]]

    def macs(self, *inputs: TensorType) -> int:
        output = self.infer(*inputs)
        return output.elements * self.frequencies

    def reach(self, *inputs: TensorType) -> dict[str, Window | None]:
        return {"time": Window(self.size, self.hop) if self.normalise == "none" else None}


# Slaney's scale (Auditory Toolbox, 1998): 200/3 Hz a mel up to 1000 Hz, then steps of a 27th of
# the logarithm of 6.4.
_LINEAR, _BREAK, _RATIO = 200 / 3, 1000.0, math.log(6.4) / 27


def _mels(frequency: float, scale: str) -> float:
    if scale == "htk":
        return 2595 * math.log10(1 + frequency / 700)
    if frequency < _BREAK:
        return frequency / _LINEAR
    return _BREAK / _LINEAR + math.log(frequency / _BREAK) / _RATIO


def _hertz(mels: float, scale: str) -> float:
    if scale == "htk":
        return 700 * (10 ** (mels / 2595) - 1)
    if mels < _BREAK / _LINEAR:
        return mels * _LINEAR
    return _BREAK * math.exp((mels - _BREAK / _LINEAR) * _RATIO)


SpectrumOperator = LogMel
OPERATORS = (LogMel,)
