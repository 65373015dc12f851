"""A folder of WAV recordings, with a folder for each class or a table that lists them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.types import TensorType
from runtime.data.images import check_classes, numbered, of_classes, scan
from runtime.data.labelled import Labelled
from runtime.section import Section

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part
    from runtime.preprocessing import Preprocessing

SUFFIXES = (".wav", ".wave")
PARTS = {"train": "train", "training": "train", "validation": "validation", "val": "validation",
         "valid": "validation", "test": "test"}
# How many broken files a message names.
SHOWN = 5

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class LogMel(Section):
    """A spectrogram in place of the sound itself."""

    bands: Positive = Field(default=40, description="bands of frequencies, on the mel scale")
    window: Seconds = Field(default=0.025, description="the seconds that one step looks at")
    step: Seconds = Field(default=0.01, description="the seconds from one step to the next")


class Sounds(Labelled):
    """WAV recordings with one class each.

    Gives `sound` (time, channels), between -1 and 1, or with `log_mel` (time, frequency,
    channels), and `label`. Without a manifest, the folder is laid out as one of pictures is.
    """

    word: ClassVar[str] = "sounds"
    reads_files: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES
    paths: ClassVar[tuple[str, ...]] = ("sounds", "manifest")

    sounds: str = Field(min_length=1, description="the folder")
    manifest: str | None = Field(
        default=None, description="a CSV, TSV, JSONL or Parquet table with columns `file`, "
                                  "relative to the folder, `label` and, if it likes, `part`")
    rate: Positive = Field(description="samples a second, which all files must have")
    seconds: Seconds | None = Field(
        default=None, description="how long sounds are made: longer ones are cut off, shorter "
                                  "ones padded; as long as the longest where not given")
    log_mel: LogMel | None = Field(
        default=None, description="take spectrograms: `{bands: 40, window: 0.025, step: 0.01}`")

    @property
    def samples(self) -> int | None:
        """How many samples a sound has, where that is declared."""
        return max(round(self.seconds * self.rate), 1) if self.seconds else None

    def fields(self) -> dict[str, TensorType]:
        return self._fields(self._steps(self.samples) if self.samples else "sound")

    def _fields(self, steps: int | str) -> dict[str, TensorType]:
        axes, shape = ("time", "channels"), (steps, 1)
        if self.log_mel is not None:
            axes, shape = ("time", "frequency", "channels"), (steps, self.log_mel.bands, 1)
        return {"sound": TensorType(axes, shape),
                "label": TensorType((), (), "int", vocabulary=self.class_count)}

    def _steps(self, samples: int) -> int:
        """How many steps of the field a sound of so many samples makes."""
        if self.log_mel is None:
            return samples
        size = max(round(self.log_mel.window * self.rate), 2)
        hop = max(round(self.log_mel.step * self.rate), 1)
        return max(samples - size, 0) // hop + 1

    def load(self) -> Dataset:
        self.fetch()
        root = Path(self.sounds)
        found = scan(root, SUFFIXES, "recordings") if self.manifest is None else (
            listed_in(Path(self.manifest), root))
        if not found["train"]:
            raise SpecError([diagnostic(
                "F0631", f"`{self.manifest}` lists nothing to train on")])
        classes = self.class_names(sorted(found["train"]), f"`{root}`")
        check_classes(found, root)
        number = {name: index for index, name in enumerate(classes)}
        given: dict[str, tuple[list[np.ndarray], list[int], list[str]]] = {}
        for name, folders in found.items():
            files = [file for word in folders for file in folders[word]]
            labels = [number[word] for word in folders for _ in folders[word]]
            given[name] = (read_all(root, files, self.rate), labels, files)
        longest = self.samples or max(len(s) for sounds, _, _ in given.values() for s in sounds)
        parts = {name: self._part(sounds, longest, labels, files)
                 for name, (sounds, labels, files) in given.items()}
        return self.assembled(parts, self._fields(self._steps(longest)), {"label": classes},
                              {"sound": ("sound",)})

    def _part(
        self, sounds: Sequence[np.ndarray], longest: int, labels: Sequence[int] | np.ndarray | None,
        files: Sequence[str],
    ) -> Part:
        """Sounds (samples,) of int16, padded at the end or cut off there."""
        import numpy as np

        from runtime.data.dataset import Part
        from runtime.data.mel import log_mel

        rows: list[Any] = [sound[:longest] for sound in sounds]
        if (mel := self.log_mel) is not None:
            rows = [log_mel(row / 32768, self.rate, mel.bands, mel.window, mel.step)
                    for row in rows]
        lengths = np.array([len(row) for row in rows], np.int32)
        steps = self._steps(longest)
        bands = () if mel is None else (mel.bands,)
        array: Any = np.zeros((len(rows), steps, *bands, 1), np.float32 if mel else np.int16)
        for place, row in zip(array, rows):
            place[:len(row)] = row[..., None]
        arrays = {"sound": array}
        if labels is not None:
            arrays["label"] = np.array(labels, np.int32)
        return Part(arrays, {"sound": lengths}, np.array(files, object))

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Recordings by their paths, as fields."""
        return self._read(Path(), [str(path) for path in inputs], None)

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """A folder of classes, or a manifest of files beside it."""
        classes = known.meaning.labels["label"]
        if path.is_dir():
            root, (files, labels) = path, of_classes(path, SUFFIXES, "recordings", classes)
        else:
            root, found = path.parent, {}
            for part in listed_in(path, root).values():
                for word, some in part.items():
                    found.setdefault(word, []).extend(some)
            files, labels = numbered(found, path, classes)
        return self._read(root, files, labels)

    def _read(self, root: Path, files: Sequence[str], labels: Any) -> Part:
        """Files as fields, as long as the recipe says, or else as the longest."""
        sounds = read_all(root, files, self.rate)
        longest = self.samples or max((len(sound) for sound in sounds), default=1)
        return self._part(sounds, longest, labels, files)


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


def listed_in(manifest: Path, root: Path) -> dict[str, dict[str, list[str]]]:
    """The files of a manifest: by part, by class, relative to the folder.

    Raises:
        SpecError: F0630 and following: the table is wrong, or a file that it names is not
            there.
    """
    from runtime.data.tabular import read_table

    table = read_table(manifest)
    files, labels = table.texts("file"), table.texts("label")
    parts = table.texts("part") if "part" in table.columns else ["train"] * table.size
    result: dict[str, dict[str, list[str]]] = {"train": {}}
    seen: set[str] = set()
    for row, (file, label, part) in enumerate(zip(files, labels, parts)):
        for column, value in (("file", file), ("label", label), ("part", part)):
            if value is None:
                raise table.wrong(row, column, f"a recording without a {column}")
        if part not in PARTS:
            raise table.wrong(row, "part", f"`{part}` is no part", help=nearest(str(part), PARTS),
                              notes=[f"parts: {', '.join(PARTS)}"])
        if not os.path.isfile(root / str(file)):
            raise table.wrong(row, "file", f"there is no file `{root / str(file)}`",
                              help=f"paths in a manifest begin at `{root}`")
        if file in seen:
            raise table.wrong(row, "file", f"`{file}` is listed twice")
        seen.add(str(file))
        result.setdefault(PARTS[str(part)], {}).setdefault(str(label), []).append(str(file))
    return {part: {label: sorted(classes[label]) for label in sorted(classes)}
            for part, classes in result.items()}
