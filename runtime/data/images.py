"""A folder of pictures, with a folder for each class."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.types import TensorType
from runtime.data.labelled import Labelled, Parted, listed
from runtime.data.normalise import check_channels
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part
    from runtime.data.pictures import Form
    from runtime.preprocessing import Preprocessing

# Folders that hold a part rather than a class.
PART_FOLDERS = {"train": "train", "training": "train", "val": "validation",
                "valid": "validation", "validation": "validation", "test": "test"}
# What the names of pictures end in.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}
# Pictures that take no more than this, in bytes, are decoded once and kept.
MEMORY = 2**30


def height_and_width(value: Any) -> Any:
    """`32` and `[32, 32]` are the same."""
    sizes = value if isinstance(value, list) else [value, value]
    if len(sizes) != 2 or not all(type(size) is int and size > 0 for size in sizes):
        raise problem("`size` is a height and a width in pixels",
                      help="say `size: [32, 48]`, or `size: 32` for a square")
    return sizes


class PictureFiles(Parted):
    """A source of picture files: what they are brought to, and whether they stay in memory."""

    reads_files: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    size: Annotated[list[int], BeforeValidator(
        height_and_width, json_schema_input_type=int | list[int])] = Field(
        description="height and width that pictures are brought to, in pixels")
    channels: Literal[1, 3] = Field(default=3, description="3 for colours, 1 for grey")
    fit: Literal["crop", "pad", "stretch"] = Field(
        default="crop", description="how a picture of other proportions is made to fit: cut off, "
                                    "filled up with black, or distorted")
    cache: Literal["auto", "memory", "none"] = Field(
        default="auto", description="whether pictures are decoded once and kept in memory, or "
                                    "whenever they are needed; by their size where not given")

    @model_validator(mode="after")
    def _normalises_its_channels(self) -> Self:
        check_channels(self.normalise, self.channels)
        return self

    @property
    def form(self) -> Form:
        from runtime.data.pictures import Form

        return Form(self.size[0], self.size[1], self.channels, self.fit)

    def keeps(self, size: int) -> bool:
        """Whether pictures of so many bytes are decoded once and kept."""
        return self.cache == "memory" or self.cache == "auto" and size <= MEMORY


class Images(PictureFiles, Labelled):
    """A folder of pictures, each in the folder of its class.

    Gives `image` (height, width, channels), between 0 and 1, and `label`. Folders `train`,
    `validation` (or `val`) and `test` make the parts where they are there; what is not there
    is cut from `train`. Classes are numbered in the order of their names.
    """

    word: ClassVar[str] = "images"
    paths: ClassVar[tuple[str, ...]] = ("images",)

    images: str = Field(min_length=1, description="the folder")

    def fields(self) -> dict[str, TensorType]:
        shape = (self.size[0], self.size[1], self.channels)
        return {"image": TensorType(("height", "width", "channels"), shape),
                "label": TensorType((), (), "int", vocabulary=self.class_count)}

    def load(self) -> Dataset:
        import numpy as np

        from runtime.data.dataset import Part
        from runtime.data.pictures import Pictures

        self.fetch()
        root = Path(self.images)
        found = scan(root, SUFFIXES)
        classes = self.class_names(sorted(found["train"]), f"`{root}`")
        check_classes(found, root)
        number = {name: index for index, name in enumerate(classes)}
        parts = {}
        for name, folders in found.items():
            files = [file for word in folders for file in folders[word]]
            labels = [number[word] for word in folders for _ in folders[word]]
            parts[name] = Part({"image": Pictures(files, self.form, root),
                                "label": np.array(labels, np.int32)},
                               names=np.array(files, object))
        total = sum(part.arrays["image"].nbytes for part in parts.values())
        if self.keeps(total):
            parts = {name: Part({**part.arrays, "image": part.arrays["image"][:]},
                                names=part.names) for name, part in parts.items()}
        return self.assembled(parts, self.fields(), {"label": classes},
                              {"image": CHANNELS[self.channels]})

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Pictures by their paths, as fields."""
        import numpy as np

        from runtime.data.dataset import Part
        from runtime.data.pictures import Pictures

        files = [str(path) for path in inputs]
        pixels = Pictures(files, self.form, Path())[:]
        return Part({"image": pixels}, names=np.array(files, object))

    def examples(self, path: Path, known: Preprocessing) -> Part:
        import numpy as np

        from runtime.data.dataset import Part
        from runtime.data.pictures import Pictures

        files, labels = of_classes(path, SUFFIXES, "pictures", known.meaning.labels["label"])
        return Part({"image": Pictures(files, self.form, path), "label": labels},
                    names=np.array(files, object))


def scan(
    root: Path, suffixes: tuple[str, ...], things: str = "pictures",
) -> dict[str, dict[str, list[str]]]:
    """The files under a folder: by part, by class, relative to the folder, sorted.

    Args:
        root: the folder.
        suffixes: how the files' names end.
        things: what messages call them.

    Raises:
        SpecError: F0630 there is no such folder, F0631 it has no classes, or an empty one.
    """
    try:
        names = folders_in(root)
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise _not_a_folder(root, error) from None
    parts: dict[str, Path] = {}
    if any(PART_FOLDERS.get(name.lower()) == "train" for name in names):
        for name in names:
            part = PART_FOLDERS.get(name.lower())
            if part is None:
                raise SpecError([diagnostic(
                    "F0634", f"`{root}` has parts, and a folder `{name}` that is none",
                    notes=[f"folders that are parts: {', '.join(PART_FOLDERS)}"],
                    help="move it elsewhere, or give the folder that holds only classes")])
            if part in parts:
                raise SpecError([diagnostic(
                    "F0634", f"`{root}` has two folders for the {part} part",
                    notes=[f"`{parts[part].name}` and `{name}`"], help="leave only one there")])
            parts[part] = root / name
    else:
        parts["train"] = root
    return {part: _classes(folder, root, suffixes, things)
            for part, folder in sorted(parts.items(), key=lambda item: item[0] != "train")}


def _classes(
    folder: Path, root: Path, suffixes: tuple[str, ...], things: str,
) -> dict[str, list[str]]:
    """The files of each class in a folder, relative to `root`."""
    names = folders_in(folder)
    if not names:
        raise SpecError([diagnostic(
            "F0631", f"`{folder}` has no folders of classes",
            help=f"put the {things} of each class into a folder with its name: "
                 f"`{folder.name}/cat/1{suffixes[0]}`")])
    classes = {}
    for name in names:
        files = sorted(_files(str(folder / name), str(root), suffixes))
        if not files:
            raise SpecError([diagnostic(
                "F0631", f"the class `{name}` in `{folder}` has no {things}",
                notes=[f"files that count as {things}: {', '.join(suffixes)}"],
                help=f"put {things} there, or remove the folder")])
        classes[name] = files
    return classes


def files_below(root: Path, suffixes: tuple[str, ...]) -> list[str]:
    """The files in a folder and the folders below, relative to it, sorted.

    Raises:
        SpecError: F0630 there is no such folder.
    """
    try:
        return sorted(_files(str(root), str(root), suffixes))
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise _not_a_folder(root, error) from None


def _files(folder: str, root: str, suffixes: tuple[str, ...]) -> list[str]:
    """The files in a folder and the folders below, relative to `root`."""
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                found += _files(entry.path, root, suffixes)
            elif entry.name.lower().endswith(suffixes):
                found.append(Path(os.path.relpath(entry.path, root)).as_posix())
    return found


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in a folder, hidden ones left out."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def of_classes(
    root: Path, suffixes: tuple[str, ...], things: str, classes: Sequence[str],
) -> tuple[list[str], np.ndarray]:
    """The files of a folder of classes, and the class of each, for `Source.examples`.

    Args:
        root: the folder.
        suffixes: how the files' names end.
        things: what messages call them.
        classes: those that the model knows, in the order of their numbers.

    Raises:
        SpecError: as `scan`; F0634 a class is unknown, or the folder has parts.
    """
    found = scan(root, suffixes, things)
    if len(found) > 1:
        parts = ", ".join(f"`{root / name}`" for name in folders_in(root))
        raise SpecError([diagnostic("F0634", f"`{root}` has parts, and one can be evaluated",
                                    help=f"give one of {parts}")])
    return numbered(found["train"], root, classes)


def numbered(
    found: Mapping[str, list[str]], root: Path, classes: Sequence[str],
) -> tuple[list[str], np.ndarray]:
    """Files by class as one list, and the number of the class of each.

    Raises:
        SpecError: F0634 a class is unknown.
    """
    import numpy as np

    number = {name: index for index, name in enumerate(classes)}
    for name in found:
        if name not in number:
            raise SpecError([diagnostic(
                "F0634", f"`{root}` has a class `{name}`, which the model does not know",
                notes=[f"it knows {listed(classes)}", f"such as {found[name][0]}"],
                help=nearest(name, classes) or "rename it, or leave it out")])
    labels = [number[name] for name, files in found.items() for _ in files]
    return [file for files in found.values() for file in files], np.array(labels, np.int32)


def check_classes(found: Mapping[str, Mapping[str, list[str]]], root: Path) -> None:
    """Raise F0634 where a part has a class that the training part does not have."""
    for part, classes in found.items():
        for name in sorted(set(classes) - set(found["train"])):
            raise SpecError([diagnostic(
                "F0634", f"the {part} part of `{root}` has a class `{name}` that the training "
                         "part does not have",
                notes=[f"classes of the training part: {listed(sorted(found['train']))}",
                       *filter(None, [nearest(name, found["train"])])],
                help="rename or remove its folder")])


def _not_a_folder(root: Path, error: Exception) -> SpecError:
    """What is wrong with a folder that cannot be listed."""
    if isinstance(error, FileNotFoundError):
        beside = [p.name for p in root.parent.iterdir() if p.is_dir()] if (
            root.parent.is_dir()) else []
        near = nearest(root.name, beside)
        return SpecError([diagnostic(
            "F0630", f"there is no folder `{root}`", notes=[near] if near else (),
            help="correct the path; a relative one begins where the spec lies")])
    reason = "it is a file" if isinstance(error, NotADirectoryError) else (
        getattr(error, "strerror", None) or str(error))
    return SpecError([diagnostic("F0630", f"`{root}` cannot be read as a folder: {reason}",
                                 help="give a folder")])
