"""Pictures with boxes as COCO annotates them: one JSON file for all pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from compiler.diagnostics import SpecError, diagnostic
from runtime.data.box_files import Annotation, BoxFiles, Parts, Thing, inside
from runtime.data.boxes import CROWD, OBJECT
from runtime.data.files import read_bytes, shown
from runtime.data.images import PART_FOLDERS

if TYPE_CHECKING:
    from runtime.data.dataset import Part
    from runtime.preprocessing import Preprocessing

# Numbers of pixels beyond this are none.
LARGEST = 2**40
HELP = "https://cocodataset.org/#format-data describes the format"


class Coco(BoxFiles):
    """Pictures whose boxes stand in a JSON file, in COCO's format.

    Gives `image` (height, width, channels), between 0 and 1, and the boxes. Crowds
    (`iscrowd: 1`) are kept apart from objects. A folder of JSON files whose names speak of parts,
    such as `instances_train2017.json` and `instances_val2017.json`, has these parts.
    """

    word: ClassVar[str] = "coco"
    paths: ClassVar[tuple[str, ...]] = ("coco", "pictures")

    coco: str = Field(min_length=1, description="the JSON file, or a folder with one for each part")
    pictures: str = Field(
        min_length=1, description="the folder of the pictures; those of a part may lie in a "
                                  "folder of its name there, such as `train2017`")

    @property
    def folder(self) -> Path:
        return Path(self.pictures)

    def annotations(self) -> tuple[Parts, list[str]]:
        files = part_files(Path(self.coco))
        found: dict[str, list[Annotation]] = {}
        classes: dict[int, str] = {}
        for part, path in files.items():
            read = Annotations(path)
            known = read.classes()
            if classes and known != classes:
                raise SpecError([diagnostic(
                    "F0634", f"`{shown(path)}` has other categories than the other files",
                    help="all parts have the same categories, with the same numbers")])
            classes = known
            found[part] = read.pictures(known, Path(self.pictures))
        return found, [classes[number] for number in sorted(classes)]

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """A JSON file; its pictures lie where those of the recipe are, or else beside it."""
        read = Annotations(path)
        folder = self.folder if self.folder.is_dir() else path.parent
        return self.known(read.pictures(read.classes(), folder), folder, shown(path), known)


def part_files(path: Path) -> dict[str, Path]:
    """The JSON file of each part: one alone is `train`.

    Raises:
        SpecError: F0631 a folder has none, F0634 one is of no part, or two are of one.
    """
    if not path.is_dir():
        return {"train": path}
    found: dict[str, Path] = {}
    for file in sorted(path.glob("*.json")):
        part = PART_FOLDERS.get(part_word(file))
        if part is None or part in found:
            why = "is of no part" if part is None else f"is of the {part} part, as another one is"
            raise SpecError([diagnostic(
                "F0634", f"`{shown(file)}` {why}",
                notes=[f"words for parts: {', '.join(PART_FOLDERS)}"],
                help="call the files `train.json`, `validation.json` and `test.json`, or as COCO "
                     "does; move others elsewhere")])
        found[part] = file
    if "train" not in found:
        raise SpecError([diagnostic(
            "F0631", f"`{shown(path)}` has no annotations for training",
            help="call their file `train.json`")])
    return dict(sorted(found.items(), key=lambda item: item[0] != "train"))


def part_word(file: Path) -> str:
    """"train" of `instances_train2017.json`."""
    return re.sub(r"[\W\d]+$", "", file.stem.lower().removeprefix("instances_"))


class Annotations:
    """A JSON file of annotations, every piece of which is looked at before it is used."""

    def __init__(self, path: Path):
        """Read it.

        Raises:
            SpecError: F0630 it cannot be read, F0682 it is not what it should be.
        """
        self._path = path
        try:
            content = json.loads(read_bytes(path).decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise self._wrong(f"it is not JSON: {str(error) or 'it is too deep'}") from None
        self._content = self._map(content, "the file")

    def classes(self) -> dict[int, str]:
        """The names of the categories, by their numbers.

        Raises:
            SpecError: F0682.
        """
        found: dict[int, str] = {}
        for where, item in self._items("categories"):
            number, name = self._whole(item, "id", where), item.get("name")
            if not isinstance(name, str) or not name.strip():
                raise self._wrong(f"{where} has no name")
            if number in found or name in found.values():
                raise self._wrong(f"{where} has the number or the name of another one")
            found[number] = name
        if not found:
            raise self._wrong("it has no categories")
        return found

    def pictures(self, classes: dict[int, str], folder: Path) -> list[Annotation]:
        """All pictures with their objects, in the order of the file.

        Args:
            classes: from `classes`.
            folder: where the pictures are; those of a part may be in a folder of its own there.

        Raises:
            SpecError: F0682; F0631 there are none.
        """
        sizes: dict[int, tuple[str, tuple[int, int]]] = {}
        for where, item in self._items("images"):
            number, name = self._whole(item, "id", where), item.get("file_name")
            if number in sizes:
                raise self._wrong(f"{where} has the number {number}, as another one has")
            if not isinstance(name, str):
                raise self._wrong(f"{where} has no `file_name`")
            size = (self._whole(item, "width", where), self._whole(item, "height", where))
            if min(size) < 1:
                raise self._wrong(f"{where} has a size of {size[0]} × {size[1]}")
            sizes[number] = (inside(name, f"{where} of `{shown(self._path)}`"), size)
        if not sizes:
            raise SpecError([diagnostic(
                "F0631", f"`{shown(self._path)}` has no images", help=HELP)])
        things: dict[int, list[Thing]] = {number: [] for number in sizes}
        for where, item in self._items("annotations"):
            number = self._whole(item, "image_id", where)
            if number not in sizes:
                raise self._wrong(f"{where} is of the image {number}, which the file does not have")
            things[number].append(self._thing(item, where, classes))
        own = re.sub(r"^instances_", "", self._path.stem)
        below = f"{own}/" if (folder / own).is_dir() else ""
        return [Annotation(name if not below or (folder / name).is_file() else below + name, size,
                           tuple(things[number])) for number, (name, size) in sizes.items()]

    def _thing(self, item: dict[str, Any], where: str, classes: dict[int, str]) -> Thing:
        """An annotation."""
        label, box = self._whole(item, "category_id", where), item.get("bbox")
        if label not in classes:
            raise self._wrong(f"{where} is of the category {label}, which the file does not have")
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            raise self._wrong(f"`bbox` of {where} is not left, top, width and height")
        left, top, width, height = map(float, box)
        crowd, area = item.get("iscrowd", 0), item.get("area", width * height)
        if crowd not in (0, 1):
            raise self._wrong(f"`iscrowd` of {where} is neither 0 nor 1")
        if not _is_number(area) or area < 0:
            raise self._wrong(f"`area` of {where} is not a number from 0 on")
        return Thing(classes[label], (left, top, left + width, top + height),
                     CROWD if crowd else OBJECT, float(area), where)

    def _items(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """The maps of a list of the file, each with what messages call it."""
        items = self._content.get(name)
        if not isinstance(items, list):
            raise self._wrong(f"it has no list of `{name}`")
        return [(f"{name}[{i}]", self._map(item, f"{name}[{i}]")) for i, item in enumerate(items)]

    def _map(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(f"{where} is not a map")
        return value

    def _whole(self, item: dict[str, Any], key: str, where: str) -> int:
        value = item.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not -2**63 <= value < 2**63:
            raise self._wrong(f"{where} has no whole number `{key}`")
        return value

    def _wrong(self, what: str) -> SpecError:
        return SpecError([diagnostic(
            "F0682", f"`{shown(self._path)}` is not a file of COCO's annotations: {what}",
            help=HELP)])


def _is_number(value: Any) -> bool:
    """Whether a value of JSON is a number of this world; Python reads NaN and Infinity, too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and (
        -LARGEST < value < LARGEST)
