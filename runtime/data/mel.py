"""Spectrograms: how much of each band of frequencies a sound has, step by step."""

from __future__ import annotations

import numpy as np

# Added to every power before its logarithm, so that silence has one. Sounds have a full
# scale of 1.
FLOOR = 1e-6


def log_mel(
    sound: np.ndarray, rate: int, bands: int, window: float, step: float,
) -> np.ndarray:
    """The logarithm of the power in each band of the mel scale.

    Windows (Hann's) begin at every step and lie within the sound; a sound shorter than one
    window is filled up with silence.

    Args:
        sound: (samples,) floats.
        rate: samples a second.
        bands: how many bands, from 0 to half the rate.
        window: seconds.
        step: seconds.

    Returns:
        (steps, bands) float32.
    """
    size, hop = max(round(window * rate), 2), max(round(step * rate), 1)
    sound = np.pad(sound, (0, max(size - len(sound), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop]
    points = 1 << (size - 1).bit_length()
    power = np.abs(np.fft.rfft(frames * np.hanning(size + 1)[:-1], points, axis=-1)) ** 2
    return np.log(power @ filters(rate, bands, points).T / size + FLOOR).astype(np.float32)


def filters(rate: int, bands: int, points: int) -> np.ndarray:
    """Triangles over frequencies, equally wide on the mel scale, each with its top at 1.

    The scale is O'Shaughnessy's: 2595 · log₁₀(1 + f / 700).

    Returns:
        (bands, points // 2 + 1).
    """
    top = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    frequencies = np.arange(points // 2 + 1) * rate / points
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (frequencies - low) / (centre - low)
    falling = (high - frequencies) / (high - centre)
    return np.maximum(np.minimum(rising, falling), 0)

