"""Folders of WAV recordings: a folder for each class, names that tell it, or a table."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from compiler.diagnostics import SpecError, diagnostic, nearest
from runtime.data.images import check_classes, files_below, numbered, of_classes, scan
from runtime.data.recordings import Heard, Positive, Recordings
from runtime.section import problem

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset, Part
    from runtime.preprocessing import Preprocessing

SUFFIXES = (".wav", ".wave")
PARTS = {"train": "train", "training": "train", "validation": "validation", "val": "validation",
         "valid": "validation", "test": "test"}
# What stands for the class in a pattern of names.
LABEL = "{label}"


class Sounds(Recordings):
    """WAV recordings with one class each, or with a text.

    Gives `sound` (time, channels), between -1 and 1, or with `log_mel` (time, frequency,
    channels), and `label`, or with `transcripts` `text` (time). Without a manifest and `names`,
    the folder is laid out as one of pictures is; with `transcripts` the name of a folder is what
    is said in it.
    """

    word: ClassVar[str] = "sounds"
    reads_files: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES
    paths: ClassVar[tuple[str, ...]] = ("sounds", "manifest")

    sounds: str = Field(min_length=1, description="the folder")
    manifest: str | None = Field(
        default=None, description="a CSV, TSV, JSONL or Parquet table with columns `file`, "
                                  "relative to the folder, `label` or, with `transcripts`, "
                                  "`text`, and, if it likes, `part`")
    names: str | None = Field(
        default=None, description="how the files' names tell the class, in place of folders: "
                                  "`{label}_*.wav`; `*` is any text, `?` any character, `[0-4]` "
                                  "one of some")
    parts: dict[Literal["validation", "test"], str] = Field(
        default={}, description="patterns of the names of files that are not for training: "
                                "`{test: \"*_[0-4].wav\"}`; with `names`")
    rate: Positive = Field(description="samples a second, which all files must have")

    @model_validator(mode="after")
    def _has_one_layout(self) -> Self:
        if self.names is not None and self.names.count(LABEL) != 1:
            raise problem(f"`names` says where the class stands by `{LABEL}`, once",
                          help="as in `names: \"{label}_*.wav\"`")
        if self.names is not None and self.manifest is not None:
            raise problem("a manifest tells what is in the files, and `names` tells it too",
                          help="take one away")
        if self.parts and self.names is None:
            raise problem("`parts` goes with `names`",
                          help="a manifest has a column `part`, a folder has folders for its parts")
        return self

    @property
    def sampled(self) -> int:
        return self.rate

    def load(self) -> Dataset:
        from runtime.data.wav import read_all

        self.fetch()
        root = Path(self.sounds)
        found = self._found(root)
        if not found["train"]:
            raise SpecError([diagnostic(
                "F0631", f"`{self.manifest or root}` lists nothing to train on")])
        if self.transcripts is None:
            self.class_names(sorted(found["train"]), f"`{root}`")
            check_classes(found, root)
        given = {}
        for name, said in found.items():
            files = [file for word in said for file in said[word]]
            given[name] = Heard(read_all(root, files, self.rate),
                                [word for word in said for _ in said[word]], files)
        return self.heard(given, f"`{root}`")

    def _found(self, root: Path) -> dict[str, dict[str, list[str]]]:
        """The files by part, and by what is said in them."""
        if self.manifest is not None:
            return listed_in(Path(self.manifest), root, self._columns)
        if self.names is not None:
            return named_in(root, self.names, self.parts)
        return scan(root, SUFFIXES, "recordings")

    @property
    def _columns(self) -> tuple[str, ...]:
        return ("label",) if self.transcripts is None else ("text", "label")

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Recordings by their paths, as fields."""
        return self._read(Path(), [str(path) for path in inputs])

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """A folder of classes, or a manifest of files beside it."""
        names = known.meaning.labels[self.targets()[0]]
        if self.transcripts is None and path.is_dir():
            files, labels = of_classes(path, SUFFIXES, "recordings", names)
            return self._read(path, files, {"label": labels})
        root = path if path.is_dir() else path.parent
        found: dict[str, list[str]] = {}
        parts = (scan(path, SUFFIXES, "recordings") if path.is_dir() else
                 listed_in(path, root, self._columns))
        for part in parts.values():
            for word, some in part.items():
                found.setdefault(word, []).extend(some)
        if self.transcripts is None:
            files, labels = numbered(found, path, names)
            return self._read(root, files, {"label": labels})
        files = [file for word in found for file in found[word]]
        said = [word for word in found for _ in found[word]]
        return self._read(root, files, self._texts(said, names, files))

    def _read(
        self, root: Path, files: Sequence[str], targets: Mapping[str, Any] | None = None,
    ) -> Part:
        """Files as fields, as long as the recipe says, or else as the longest."""
        from runtime.data.wav import read_all

        return self.read(read_all(root, files, self.rate), files, targets)


def named_in(
    root: Path, names: str, parts: Mapping[Literal["validation", "test"], str],
) -> dict[str, dict[str, list[str]]]:
    """The files under a folder by part and by the class in their names.

    Args:
        root: the folder.
        names: the pattern of a name, with `{label}` in it.
        parts: patterns of the names of other parts than `train`.

    Raises:
        SpecError: F0630 there is no such folder, F0631 it has no recordings, F0672 one has
            another name.
    """
    files = sorted(files_below(root, SUFFIXES))
    # NUL, which no name has, keeps the place of the class.
    pattern = re.compile(
        fnmatch.translate(names.replace(LABEL, "\0")).replace("\0", "(?P<label>.+?)"))
    result: dict[str, dict[str, list[str]]] = {"train": {}, **{part: {} for part in parts}}
    for file in files:
        name = file.rpartition("/")[2]
        match = pattern.match(name)
        if match is None:
            raise SpecError([diagnostic(
                "F0672", f"`{root / file}` is not called as `{names}` says",
                help="rename it, or correct `names`")])
        part = next((p for p, those in parts.items() if fnmatch.fnmatchcase(name, those)), "train")
        result[part].setdefault(match["label"], []).append(file)
    if not files:
        raise SpecError([diagnostic("F0631", f"there are no WAV files in `{root}`",
                                    help="correct the path")])
    return {part: dict(sorted(classes.items())) for part, classes in result.items()}


def listed_in(
    manifest: Path, root: Path, columns: tuple[str, ...] = ("label",),
) -> dict[str, dict[str, list[str]]]:
    """The files of a manifest: by part, by class or text, relative to the folder.

    Args:
        manifest: the table.
        root: the folder.
        columns: what the column with the class or text may be called.

    Raises:
        SpecError: F0630 and following: the table is wrong, or a file that it names is not
            there.
    """
    from runtime.data.tabular import read_table

    table = read_table(manifest)
    column = next((name for name in columns if name in table.columns), columns[0])
    files, labels = table.texts("file"), table.texts(column)
    parts = table.texts("part") if "part" in table.columns else ["train"] * table.size
    result: dict[str, dict[str, list[str]]] = {"train": {}}
    seen: set[str] = set()
    for row, (file, label, part) in enumerate(zip(files, labels, parts)):
        for name, value in (("file", file), (column, label), ("part", part)):
            if value is None:
                raise table.wrong(row, name, f"a recording without a {name}")
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
