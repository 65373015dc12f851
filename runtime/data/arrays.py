"""Arrays in files: NumPy's npy and npz, IDX as MNIST has it, and records of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from compiler.diagnostics import SpecError, diagnostic, nearest
from runtime.data.contents import (
    PARTS,
    Content,
    Declared,
    as_declared,
    check_sizes,
    converted,
)
from runtime.data.labelled import listed
from runtime.section import problem

if TYPE_CHECKING:

    from runtime.data.array_files import Archive
    from runtime.data.dataset import Dataset, Part
    from runtime.preprocessing import Preprocessing

# How the array of a part may be called.
PATTERNS = {
    "train": ("{}_train", "train_{}", "{}_training", "train/{}"),
    "validation": ("{}_validation", "{}_val", "{}_valid", "validation_{}", "val_{}", "valid_{}",
                   "validation/{}", "val/{}"),
    "test": ("{}_test", "test_{}", "test/{}"),
}


def _by_part(value: Any) -> Any:
    """A name, or a map from parts to a name or names."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict) and "train" in value and set(value) <= set(PARTS):
        names = {part: [name] if isinstance(name, str) else name for part, name in value.items()}
        if all(isinstance(n, list) and n and all(isinstance(i, str) for i in n)
               for n in names.values()):
            return names
    raise problem("`array` is the name of an array, or a map from parts to names",
                  help="say `array: x`, or `array: {train: a.npy, test: b.npy}`")


class ArrayField(Content):
    """One field: where its array is, and what stands in it."""

    array: Annotated[Any, BeforeValidator(_by_part)] = Field(
        description="the name of the array, or of a file; `x` also finds `x_train` and `x_test`")
    record: int | None = Field(
        default=None, gt=0, description="for files of bytes without a head: the bytes of one "
                                        "example, all fields together")
    at: int = Field(default=0, ge=0, description="where in its record the field begins")


class Arrays(Declared):
    """Arrays in an npz file, or in a folder of npy, IDX and other files.

    Gives the fields that it declares. Bytes of images are fractions of 255. Parts are arrays
    of their own, by their names (`x_train`, `x_test`), or are cut.
    """

    word: ClassVar[str] = "arrays"
    paths: ClassVar[tuple[str, ...]] = ("arrays",)

    arrays: str = Field(min_length=1, description="an npz file, or a folder")
    contents: dict[str, ArrayField] = Field(min_length=1, description="the fields, by name")

    @property
    def declared(self) -> Mapping[str, Content]:
        return self.contents

    def load(self) -> Dataset:
        from runtime.data.array_files import open_archive

        self.fetch()
        archive = open_archive(Path(self.arrays))
        found: dict[str, dict[str, Any]] = {}
        for name, field in self.contents.items():
            for part, names in self._arrays_of(field, archive).items():
                found.setdefault(part, {})[name] = joined(field, names, archive, name)
        return self.complete(found, archive.shown)

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """An archive or folder with the arrays of one part: the test part where it has several."""
        from runtime.data.array_files import open_archive
        from runtime.data.dataset import Part

        archive = open_archive(path)
        arrays = {}
        for name in self.fields():
            field = self.contents[name]
            arrays[name] = joined(field, self._whole(field, archive), archive, name)
        check_sizes(arrays, archive.shown)
        return Part(arrays)

    def called(self) -> Mapping[str, tuple[str, ...]]:
        """By field what its array may be called in a file of inputs."""
        return {name: (name, *([field.array] if isinstance(field.array, str) else []))
                for name, field in self.contents.items()}

    def _whole(self, field: ArrayField, archive: Archive) -> list[str]:
        """The names of a field's arrays where all of an archive is one part."""
        if isinstance(field.array, str) and field.array in archive.names:
            return [field.array]
        parts = self._arrays_of(field, archive)
        there = [parts[part] for part in ("test", "validation", "train")
                 if part in parts and set(parts[part]) <= set(archive.names)]
        return (there or list(parts.values()))[0]

    def _arrays_of(self, field: ArrayField, archive: Archive) -> dict[str, list[str]]:
        """The names of a field's arrays by part.

        Raises:
            SpecError: F0630 there are none.
        """
        if isinstance(field.array, dict):
            return field.array
        own = {}
        for part, patterns in PATTERNS.items():
            names = [pattern.format(field.array) for pattern in patterns]
            if found := next((name for name in names if name in archive.names), None):
                own[part] = [found]
        if "train" in own:
            return own
        if field.array in archive.names:
            return {"train": [field.array]}
        raise SpecError([diagnostic(
            "F0630", f"{archive.shown} has no array `{field.array}`",
            notes=[f"arrays: {listed(archive.names)}",
                   *filter(None, [nearest(field.array, archive.names)])],
            help="correct `array`")])


def joined(field: ArrayField, names: list[str], archive: Archive, called: str) -> Any:
    """A field's array of one part, as the model takes it.

    Args:
        field: what it should be.
        names: its pieces, one after another.
        archive: where they are.
        called: the field's name.

    Returns:
        (examples, *shape), in memory; or `Mapped`, where it is too large for that and needs no
        conversion.
    """
    import numpy as np

    from runtime.data.array_files import Mapped

    shape = field.shape
    if field.channels == "first" and shape:
        shape = [shape[-1], *shape[:-1]]
    found = [archive.read(name, field.record, field.at, shape) for name in names]
    if len(found) == 1 and isinstance(found[0], np.memmap) and as_declared(found[0], field):
        return Mapped(found[0])
    pieces = [converted(array, field, f"`{name}` of {archive.shown}", called)
              for name, array in zip(names, found)]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
