"""Pictures with boxes as Pascal VOC annotates them: an XML file for each picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from compiler.diagnostics import SpecError, diagnostic
from runtime.data.box_files import Annotation, BoxFiles, Parts, Thing
from runtime.data.boxes import DIFFICULT, OBJECT
from runtime.data.files import read_text
from runtime.data.images import SUFFIXES, files_below
from runtime.data.xml_files import Element, read_xml, wrong

if TYPE_CHECKING:
    from runtime.data.dataset import Part
    from runtime.preprocessing import Preprocessing

# The lists of pictures that make up parts.
LISTS = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}


class Voc(BoxFiles):
    """A folder as those of Pascal VOC: `JPEGImages`, and an XML file in `Annotations` for each.

    Gives `image` (height, width, channels), between 0 and 1, and the boxes. `train.txt`,
    `val.txt` and `test.txt` in `ImageSets/Main` make the parts where they are there. Pictures
    and XML files may also lie in one folder, as annotation programs leave them.
    """

    word: ClassVar[str] = "voc"
    paths: ClassVar[tuple[str, ...]] = ("voc",)

    voc: str = Field(min_length=1, description="the folder")

    @property
    def folder(self) -> Path:
        return pictures_in(Path(self.voc))

    def annotations(self) -> tuple[Parts, list[str]]:
        found = scan(Path(self.voc))
        names = {thing.name for pictures in found.values() for picture in pictures
                 for thing in picture.things}
        return found, sorted(names)

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """A folder of the same kind, all of which is one part."""
        found = [picture for pictures in scan(path).values() for picture in pictures]
        return self.known(found, pictures_in(path), str(path), known)


def pictures_in(root: Path) -> Path:
    """Where the pictures are."""
    return root / "JPEGImages" if (root / "JPEGImages").is_dir() else root


def scan(root: Path) -> dict[str, list[Annotation]]:
    """All annotated pictures, by part.

    Raises:
        SpecError: F0630 there is no such folder, F0631 it has no annotations, F0634 a list or an
            XML file is of a picture that is not there, F0682 and F0683 an XML file cannot be used.
    """
    annotations = root / "Annotations" if (root / "Annotations").is_dir() else root
    files = {name.removesuffix(".xml"): annotations / name
             for name in files_below(annotations, (".xml",))}
    if not files:
        raise SpecError([diagnostic(
            "F0631", f"`{annotations}` has no annotations",
            notes=["they are XML files, one for each picture, called as it is"],
            help="give the folder that has `Annotations` and `JPEGImages` in it")])
    pictures = {name.rpartition(".")[0]: name
                for name in files_below(pictures_in(root), SUFFIXES)}
    found: dict[str, list[Annotation]] = {}
    for part, stems in _parts(root, sorted(files)).items():
        for stem in stems:
            for there, what in ((files, "annotations"), (pictures, "picture")):
                if stem not in there:
                    raise SpecError([diagnostic(
                        "F0634", f"`{stem}` of the {part} part of `{root}` has no {what}",
                        help="add the file, or take the name out of the list")])
            found.setdefault(part, []).append(read(files[stem], pictures[stem]))
    return found


def _parts(root: Path, stems: list[str]) -> dict[str, list[str]]:
    """The names of the pictures of each part, without endings."""
    folder = root / "ImageSets" / "Main"
    if not (folder / LISTS["train"]).is_file():
        return {"train": stems}
    parts = {}
    for part, name in LISTS.items():
        if (folder / name).is_file():
            lines = read_text(folder / name).splitlines()
            parts[part] = [line.split()[0] for line in lines if line.strip()]
    return parts


def read(path: Path, picture: str) -> Annotation:
    """The objects of a picture.

    Args:
        path: the XML file.
        picture: the file of the picture, relative to its folder.

    Raises:
        SpecError: F0682 it is not what it should be, F0683 it is not safe.
    """
    root = read_xml(path)
    if root.tag != "annotation":
        raise wrong(path, root, f"begins with `{root.tag}`, not with `annotation`")
    size = root.child("size")
    if size is None:
        raise wrong(path, root, "has no `size`")
    width, height = (_number(path, size, side) for side in ("width", "height"))
    if width < 1 or height < 1 or width != int(width) or height != int(height):
        raise wrong(path, size, f"has a size of {width:g} × {height:g}")
    things = tuple(_thing(path, each, number)
                   for number, each in enumerate(root.children_called("object"), start=1))
    return Annotation(picture, (int(width), int(height)), things)


def _thing(path: Path, element: Element, number: int) -> Thing:
    """An `object`. VOC counts pixels from 1, and the last one belongs to the box."""
    name, box = element.child("name"), element.child("bndbox")
    if name is None or not name.text.strip() or box is None:
        raise wrong(path, element, "has an object without a `name` or a `bndbox`")
    left, top, right, bottom = (_number(path, box, side)
                                for side in ("xmin", "ymin", "xmax", "ymax"))
    mark = element.child("difficult")
    sides = (left - 1, top - 1, right, bottom)
    area = max(sides[2] - sides[0], 0.0) * max(sides[3] - sides[1], 0.0)
    difficult = mark is not None and mark.text.strip() not in ("", "0")
    return Thing(name.text.strip(), sides, DIFFICULT if difficult else OBJECT, area,
                 f"object {number}")


def _number(path: Path, element: Element, name: str) -> float:
    """The number in a child of an element."""
    child = element.child(name)
    if child is None:
        raise wrong(path, element, f"has no `{name}` in `{element.tag}`")
    try:
        value = float(child.text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise wrong(path, child, f"has no number in `{name}`: `{child.text.strip()[:40]}`")
    return value
