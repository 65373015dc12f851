"""What sources of picture files with boxes share, whatever form their boxes are written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.types import TensorType
from runtime.data.boxes import TARGETS, Boxed, box_arrays, box_fields, frame
from runtime.data.images import CHANNELS, PictureFiles
from runtime.data.labelled import Labelled, listed

if TYPE_CHECKING:

    from runtime.data.dataset import Dataset, Part
    from runtime.preprocessing import Preprocessing

# How far a box may reach beyond its picture, in pixels: annotations are often rounded. Further
# out it is not of this picture.
SLACK = 2.0


@dataclass(frozen=True)
class Thing:
    """An object as annotated.

    Attributes:
        name: its class.
        box: left, top, right, bottom, in pixels of the picture as it is stored.
        status: OBJECT, CROWD or DIFFICULT.
        area: in pixels².
        where: what messages call it.
    """

    name: str
    box: tuple[float, float, float, float]
    status: int
    area: float
    where: str


@dataclass(frozen=True)
class Annotation:
    """A picture as annotated.

    Attributes:
        file: its path, relative to the folder of the pictures.
        size: width and height, as the annotations have them.
        things: its objects.
    """

    file: str
    size: tuple[int, int]
    things: tuple[Thing, ...]


Parts = Mapping[str, Sequence[Annotation]]


class BoxFiles(PictureFiles, Labelled):
    """A source of picture files with boxes.

    Gives `image` (height, width, channels), between 0 and 1, and the boxes: see `boxes.py`.
    """

    fit: Literal["pad", "stretch"] = Field(
        default="pad", description="how a picture of other proportions is made to fit: black on "
                                   "two sides, or distorted")
    most: Annotated[int, Field(gt=0, le=10_000)] = Field(
        default=100, description="how many boxes of a picture there is room for")

    def annotations(self) -> tuple[Parts, list[str]]:
        """What is annotated, by part, and the names of the classes in order.

        Raises:
            SpecError: F0682 and following: what is written cannot be used.
        """
        raise NotImplementedError

    @property
    def folder(self) -> Path:
        """The folder of the pictures."""
        raise NotImplementedError

    def fields(self) -> dict[str, TensorType]:
        return box_fields((self.size[0], self.size[1], self.channels), self.most, self.class_count)

    def targets(self) -> tuple[str, ...]:
        return TARGETS

    def load(self) -> Dataset:
        self.fetch()
        found, names = self.annotations()
        classes = self.class_names(names, f"`{self.title}`")
        parts = {name: self.part(pictures, self.folder, classes)
                 for name, pictures in found.items()}
        if self.keeps(sum(part.arrays["image"].nbytes for part in parts.values())):
            from dataclasses import replace

            parts = {name: replace(part, arrays={**part.arrays, "image": part.arrays["image"][:]})
                     for name, part in parts.items()}
        return self.assembled(parts, self.fields(), {"label": classes},
                              {"image": CHANNELS[self.channels]})

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Pictures by their paths, with the way back to their own pixels."""
        return framed(inputs, self.fields()["image"], self.fit)

    def known(
        self, found: Sequence[Annotation], folder: Path, what: str, known: Preprocessing,
    ) -> Part:
        """Other annotated pictures as one part, for `examples`.

        Args:
            found: the pictures.
            folder: where they are.
            what: what messages call them.
            known: what the training data taught.

        Raises:
            SpecError: F0634 one has a class that the model does not know.
        """
        classes = known.meaning.labels["label"]
        for thing in (thing for picture in found for thing in picture.things):
            if thing.name not in classes:
                raise SpecError([diagnostic(
                    "F0634", f"{thing.where} in `{what}` is a `{thing.name}`, which the model does "
                             "not know",
                    notes=[f"it knows {listed(classes)}"],
                    help=nearest(thing.name, classes) or "rename it, or leave it out")])
        return self.part(found, folder, classes)

    def part(
        self, pictures: Sequence[Annotation], folder: Path, classes: Sequence[str],
    ) -> Part:
        """Annotated pictures as fields.

        Raises:
            SpecError: F0630 a picture is not there, F0634 it has another size, F0684 a box is
                none, F0685 there are more than there is room for.
        """
        import numpy as np

        from runtime.data.dataset import Part
        from runtime.data.pictures import Pictures

        check_pictures(pictures, folder)
        number = {name: i for i, name in enumerate(classes)}
        boxed = [self._boxed(picture, number) for picture in pictures]
        files = [picture.file for picture in pictures]
        size = self.size[1], self.size[0]
        frames = np.array([frame(p.size, size, self.fit) for p in pictures], np.float64)
        return Part({"image": Pictures(files, self.form, folder),
                     **box_arrays(boxed, frames.reshape(len(files), 6), self.most)},
                    names=np.array(files, object))

    def _boxed(self, picture: Annotation, number: Mapping[str, int]) -> Boxed:
        """The boxes of a picture, cut at its rim; those without an area are left out."""
        if len(picture.things) > self.most:
            raise SpecError([diagnostic(
                "F0685", f"`{picture.file}` has {len(picture.things):,} boxes, and there is room "
                         f"for {self.most}", help=f"say `most: {len(picture.things)}`")])
        width, height = picture.size
        kept: list[tuple[list[float], Thing]] = []
        for thing in picture.things:
            check_box(thing, picture)
            left, top, right, bottom = thing.box
            box = [max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)]
            if box[2] > box[0] and box[3] > box[1]:
                kept.append((box, thing))
        return Boxed([box for box, _ in kept], [number[thing.name] for _, thing in kept],
                     [thing.status for _, thing in kept], [thing.area for _, thing in kept])


def framed(paths: Sequence[Any], kind: TensorType, fit: Literal["pad", "stretch"]) -> Part:
    """Picture files as a field of images, with the way back to their own pixels.

    Args:
        paths: the files.
        kind: the type of the field: (height, width, channels).
        fit: how pictures of other proportions are made to fit.

    Raises:
        SpecError: F0630 some cannot be read, F0636 Pillow is missing.
    """
    import numpy as np

    from runtime.data.dataset import Part
    from runtime.data.mask_files import upright_size
    from runtime.data.pictures import as_field

    part = as_field(paths, "image", kind, fit)
    height, width = (size for size in kind.shape[:2] if isinstance(size, int))
    frames = [frame(upright_size(Path(path)) or (width, height), (width, height), fit)
              for path in paths]
    return Part({**part.arrays, "frame": np.array(frames, np.float32)}, names=part.names)


def check_box(thing: Thing, picture: Annotation) -> None:
    """Raise F0684 where a box is none: its sides are not in order, or it is not in the picture."""
    left, top, right, bottom = thing.box
    width, height = picture.size
    wrong = ""
    if right < left or bottom < top:
        wrong = "its right side lies left of its left one" if right < left else (
            "its bottom lies above its top")
    elif left < -SLACK or top < -SLACK or right > width + SLACK or bottom > height + SLACK:
        wrong = f"it reaches beyond the picture, which is {width} × {height}"
    if wrong:
        raise SpecError([diagnostic(
            "F0684", f"{thing.where} of `{picture.file}` is no box: {wrong}",
            notes=[f"left {left:g}, top {top:g}, right {right:g}, bottom {bottom:g}, in pixels"],
            help="correct it, or leave it out")])


def check_pictures(pictures: Sequence[Annotation], folder: Path) -> None:
    """Raise where annotated pictures are not there, or not of the size that the annotations say.

    Pictures that cannot be read at all are left to those who read them.

    Raises:
        SpecError: F0630, F0634.
    """
    from runtime.data.mask_files import upright_size

    for picture in pictures:
        path = folder / picture.file
        if not path.is_file():
            raise SpecError([diagnostic(
                "F0630", f"there is no picture `{path}`, which the annotations speak of",
                help="say in which folder the pictures are" if not folder.is_dir() else
                "add it, or take it out of the annotations")])
        size = upright_size(path)
        if size is not None and size != picture.size:
            raise SpecError([diagnostic(
                "F0634", f"`{path}` has {size[0]} × {size[1]} pixels, and its annotations are of a "
                         f"picture of {picture.size[0]} × {picture.size[1]}",
                help="take the picture that was annotated; one that was turned or made smaller "
                     "later has its objects elsewhere")])


def inside(name: str, where: str) -> str:
    """The name of a picture's file, which leads nowhere but below the folder of the pictures.

    Raises:
        SpecError: F0682 it leads elsewhere.
    """
    parts = name.replace("\\", "/").split("/")
    if not name or name != name.strip() or "\0" in name or ".." in parts or parts[0] == "" or (
            ":" in parts[0]):
        raise SpecError([diagnostic(
            "F0682", f"{where} names a picture outside the folder of the pictures: `{name!s:.80}`",
            help="name it relative to that folder")])
    return "/".join(parts)
