"""Folders of pictures and of masks, in which every pixel has the number of a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from compiler.diagnostics import SpecError, diagnostic
from compiler.types import TensorType
from runtime.data.images import (
    CHANNELS,
    PART_FOLDERS,
    SUFFIXES,
    PictureFiles,
    files_below,
    folders_in,
)
from runtime.data.labelled import Classes, listed

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset, Part
    from runtime.preprocessing import Preprocessing

Pairs = dict[str, tuple[list[str], list[str]]]


class MaskFolder(PictureFiles):
    """A folder of pictures, and one of masks that are called as the pictures are.

    Gives `image` (height, width, channels), between 0 and 1, and `mask` (height, width). A mask
    is a picture file with one channel or a palette; its values are the numbers of the classes.
    Folders `train`, `validation` (or `val`) and `test` in both make the parts.
    """

    word: ClassVar[str] = "masks"
    paths: ClassVar[tuple[str, ...]] = ("masks", "pictures")

    masks: str = Field(min_length=1, description="the folder of the masks")
    pictures: str = Field(min_length=1, description="the folder of the pictures")
    classes: Classes = Field(
        description="the number of classes, or their names in the order of their numbers")
    ignore: int | None = Field(
        default=None, description="the number that marks pixels without a class, such as 255; the "
                                  "task is told of it, too")
    fit: Literal["crop", "stretch"] = Field(
        default="crop", description="how other proportions are made to fit: cut off, or distorted")

    @property
    def names(self) -> list[str]:
        """What the classes are called."""
        known = self.classes
        return [str(number) for number in range(known)] if isinstance(known, int) else known

    def fields(self) -> dict[str, TensorType]:
        height, width = self.size
        return {"image": TensorType(("height", "width", "channels"),
                                    (height, width, self.channels)),
                "mask": TensorType(("height", "width"), (height, width), "int",
                                   vocabulary=len(self.names))}

    def targets(self) -> tuple[str, ...]:
        return ("mask",)

    def marks(self) -> dict[str, int]:
        return {} if self.ignore is None else {"mask": self.ignore}

    def load(self) -> Dataset:
        self.fetch()
        pictures, masks = Path(self.pictures), Path(self.masks)
        parts = {name: self._part(pictures, masks, *files)
                 for name, files in pairs(pictures, masks).items()}
        return self.assembled(parts, self.fields(), {"mask": self.names},
                              {"image": CHANNELS[self.channels]})

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Pictures by their paths, as fields."""
        from runtime.data.pictures import as_field

        return as_field(inputs, "image", self.fields()["image"], self.fit)

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """A folder with two folders in it that are called as those of the recipe are."""
        files_below(path, SUFFIXES)  # complains where it is no folder
        pictures, masks = (path / Path(folder).name for folder in (self.pictures, self.masks))
        if pictures == masks:
            raise SpecError([diagnostic(
                "F0634", f"the pictures and the masks of the recipe are both in a folder "
                         f"`{pictures.name}`, which are one in `{path}`",
                help="call them otherwise in the recipe and where the other data is")])
        found = pairs(pictures, masks)
        return self._part(pictures, masks, *([name for files in found.values()
                                              for name in files[side]] for side in (0, 1)))

    def _part(
        self, pictures: Path, masks: Path, files: Sequence[str], marked: Sequence[str],
    ) -> Part:
        import numpy as np

        from runtime.data.dataset import Part
        from runtime.data.mask_files import Masks, check_sizes
        from runtime.data.pictures import Pictures

        check_sizes([(pictures / a, masks / b) for a, b in zip(files, marked)])
        arrays: dict[str, Any] = {
            "image": Pictures(files, self.form, pictures),
            "mask": Masks(marked, self.form, masks, len(self.names), self.ignore)}
        total = arrays["image"].nbytes + arrays["mask"].nbytes
        if self.keeps(total):
            arrays = {name: array[:] for name, array in arrays.items()}
        return Part(arrays, names=np.array(files, object))


def pairs(pictures: Path, masks: Path) -> Pairs:
    """The pictures and their masks, relative to their folders, by part.

    Raises:
        SpecError: F0630 there is no such folder, F0631 it is empty, F0634 a picture has no mask,
            or a mask no picture, or two are called alike.
    """
    found = []
    for folder in (pictures, masks):
        names = files_below(folder, SUFFIXES)
        if not names:
            raise SpecError([diagnostic(
                "F0631", f"`{folder}` has no pictures",
                notes=[f"files that count as pictures: {', '.join(SUFFIXES)}"],
                help="give the folder that holds them")])
        stems: dict[str, str] = {}
        for name in names:
            other = stems.setdefault(name.rpartition(".")[0], name)
            if other != name:
                raise SpecError([diagnostic(
                    "F0634", f"`{folder}` has both `{other}` and `{name}`",
                    help="endings do not tell masks apart: rename or remove one of them")])
        found.append(stems)
    for here, there, what, other in ((found[0], found[1], "picture", "mask"),
                                     (found[1], found[0], "mask", "picture")):
        if alone := sorted(set(here) - set(there)):
            raise SpecError([diagnostic(
                "F0634", f"the {what} `{here[alone[0]]}` has no {other}",
                notes=[f"without one: {listed(alone)}"] if len(alone) > 1 else (),
                help=f"a mask is called as its picture is, in `{masks}` as in `{pictures}`")])
    known = {name: PART_FOLDERS.get(name.lower()) for name in folders_in(pictures)}
    result: Pairs = {}
    for stem in sorted(found[0]):
        part = known.get(stem.partition("/")[0]) if "train" in known.values() else "train"
        if part is None:
            raise SpecError([diagnostic(
                "F0634", f"`{pictures}` has parts, and `{found[0][stem]}` is in none of them",
                notes=[f"folders that are parts: {', '.join(PART_FOLDERS)}"],
                help="move it elsewhere")])
        files, marked = result.setdefault(part, ([], []))
        files.append(found[0][stem])
        marked.append(found[1][stem])
    return dict(sorted(result.items(), key=lambda item: item[0] != "train"))
