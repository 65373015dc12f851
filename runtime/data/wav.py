"""WAV files as samples."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.diagnostics import SpecError, diagnostic

if TYPE_CHECKING:
    import numpy as np

# How many broken files a message names.
SHOWN = 5


def read_all(root: Path, files: Sequence[str], rate: int) -> list[np.ndarray]:
    """Recordings, several channels as their mean: (samples,) int16 each.

    Raises:
        SpecError: F0630 some cannot be read, F0634 one has another rate.
    """
    sounds: list[np.ndarray] = []
    broken: list[str] = []
    for file in files:
        try:
            found, sound = read_wav(root / file)
        except (OSError, ValueError, EOFError) as error:
            said = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            broken.append(f"{file}: {said}")
            continue
        if found != rate:
            raise SpecError([diagnostic(
                "F0634", f"`{root / file}` has {found:,} samples a second, and the recipe declares "
                         f"{rate:,}",
                help=f"say `rate: {found}`, or convert the files to one rate")])
        if not len(sound):
            broken.append(f"{file}: it has no samples")
        sounds.append(sound)
    if broken:
        if len(files) == 1:
            raise SpecError([diagnostic(
                "F0630", f"`{root / files[0]}` cannot be read: {broken[0].partition(': ')[2]}",
                help="replace or remove it; WAV files with PCM or floats are read")])
        more = [f"and {len(broken) - SHOWN:,} more"] if len(broken) > SHOWN else []
        count = f"{len(broken):,} recordings" if len(broken) > 1 else "a recording"
        raise SpecError([diagnostic(
            "F0630", f"{count} in `{root}` cannot be read", notes=[*broken[:SHOWN], *more],
            help="replace or remove them; WAV files with PCM or floats are read")])
    return sounds


def read_wav(path: Path) -> tuple[int, np.ndarray]:
    """The rate and the samples of a WAV file: (samples,) int16.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no WAV file, or broken.
    """
    import numpy as np
    from scipy.io import wavfile

    if not path.stat().st_size:
        raise ValueError("the file is empty")
    with warnings.catch_warnings():
        # Unknown chunks (harmless) and files that end early are told alike, as a warning.
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=".*(EOF|premature|incomplete).*")
        try:
            rate, data = wavfile.read(path)
        except wavfile.WavFileWarning as warning:
            raise ValueError(str(warning)) from None
        except Exception as error:  # scipy fails in many ways on broken heads
            said = str(error) if isinstance(error, ValueError) else ""
            raise ValueError(said or "its head is damaged") from None
    match data.dtype.kind, data.dtype.itemsize:
        case "u", 1:
            values = (data.astype(np.float64) - 128) * 256
        case "i", size:
            values = data.astype(np.float64) / 2.0 ** (8 * (size - 2))
        case _:
            if not np.isfinite(data).all():
                raise ValueError("it holds values that are not finite")
            values = data.astype(np.float64) * 32768
    if values.ndim == 2:
        values = values.mean(axis=1)
    return rate, np.clip(np.round(values), -32768, 32767).astype(np.int16)
