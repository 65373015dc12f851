"""Fields that a recipe declares, for sources that cannot tell themselves what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.types import AXES, DEFAULT_AXES, TensorType
from runtime.data.labelled import Classes, Parted
from runtime.data.normalise import check_channels
from runtime.section import Section, problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part

NOTHING: Mapping[str, Sequence[str]] = MappingProxyType({})
PARTS = ("train", "validation", "test")


class Content(Section):
    """What stands in a field."""

    shape: list[Annotated[int, Field(gt=0)]] = Field(
        default=[], description="the shape of one example; nothing for a single number")
    axes: list[str] | None = Field(
        default=None, description="what its axes are called; by their number where not given")
    classes: Classes | None = Field(
        default=None, description="for whole numbers that stand for classes: how many, or their "
                                  "names")
    vocabulary: int | None = Field(
        default=None, gt=0, description="for tokens: how many there are")
    ignore: int | None = Field(
        default=None, description="for classes of pixels or steps: the number that marks places "
                                  "without one, such as 255; the task is told of it, too")
    channels: Literal["first", "last"] = Field(
        default="last", description="where the channels stand in the file")

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if self.classes is not None and self.vocabulary is not None:
            raise problem("a field has `classes` or a `vocabulary`, not both")
        if self.ignore is not None and (self.classes is None or not self.shape):
            raise problem("`ignore` belongs to a field with a class for each pixel or step",
                          help="take it away, or say how many `classes` there are")
        if self.axes is not None:
            for name in self.axes:
                if name not in AXES:
                    raise problem(f"there is no axis `{name}`", nearest(name, AXES),
                                  notes=[f"axes: {', '.join(AXES)}"])
            if len(self.axes) != len(self.shape):
                raise problem(f"{len(self.axes)} axes for {len(self.shape)} sizes")
        elif len(self.shape) not in DEFAULT_AXES:
            raise problem(f"`shape` has {len(self.shape)} axes, and none of them has a name",
                          help="name them with `axes`")
        elif self.classes is not None and len(self.shape) > 1:
            # A class for each pixel or step has no channels to be called by.
            raise problem("a field of classes with several axes needs `axes`",
                          help="say `axes: [height, width]`, or `axes: [time]`")
        return self

    @property
    def names(self) -> list[str] | None:
        """The names of its classes, where it has some."""
        if isinstance(self.classes, int):
            return [str(number) for number in range(self.classes)]
        return self.classes

    @property
    def kind(self) -> TensorType:
        shape = tuple(self.shape)
        count = self.vocabulary or (len(self.names) if self.names else None)
        if count is None:
            return TensorType(tuple(self.axes or DEFAULT_AXES[len(shape)]), shape)
        axes = tuple(self.axes) if self.axes is not None else ("time",)[: len(shape)]
        return TensorType(axes, shape, "int", vocabulary=count)


class Declared(Parted):
    """A source that gives the fields under `contents`."""

    predict: list[str] | None = Field(
        default=None, description="the fields that are predicted; `label` or `target` where not "
                                  "given")

    @property
    def declared(self) -> Mapping[str, Content]:
        """The fields, by name."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _declares_targets(self) -> Self:
        names = list(self.declared)
        for name in self.predict or ():
            if name not in names:
                raise problem(f"the target `{name}` is not one of the fields",
                              nearest(name, names), notes=[f"fields: {', '.join(names)}"])
        if not self.targets():
            raise problem("none of the fields is a target",
                          help=f"say which are predicted: `predict: [{names[-1]}]`")
        if len(self.targets()) == len(names):
            raise problem("all of the fields are targets, and nothing is left to predict from")
        for name in self.pictures():
            check_channels(self.normalise, self.declared[name].shape[-1])
        return self

    def fields(self) -> dict[str, TensorType]:
        kinds = {name: field.kind for name, field in self.declared.items()}
        # Inputs first: by the first one examples are compared.
        return dict(sorted(kinds.items(), key=lambda item: item[0] in self.targets()))

    def targets(self) -> tuple[str, ...]:
        if self.predict is not None:
            return tuple(self.predict)
        return tuple(name for name in self.declared if name in ("label", "target"))

    def marks(self) -> dict[str, int]:
        return {name: field.ignore for name, field in self.declared.items()
                if field.ignore is not None}

    def pictures(self) -> list[str]:
        """The inputs that can be normalised: floats with channels."""
        return [name for name, kind in self.fields().items()
                if name not in self.targets() and kind.dtype == "float"
                and kind.axes[-1:] == ("channels",)]

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Picture files by their paths, where the only input is a picture."""
        from runtime.data.pictures import as_field

        names = [name for name in self.fields() if name not in self.targets()]
        if len(names) > 1:
            raise NotImplementedError
        return as_field(inputs, names[0], self.declared[names[0]].kind)

    def complete(
        self, found: Mapping[str, Mapping[str, Any]], where: str,
        known: Mapping[str, Sequence[str]] = NOTHING,
    ) -> Dataset:
        """The data set from the arrays of each part.

        Args:
            found: by part, by field.
            where: what holds them, for messages.
            known: names of classes that the data has, where the recipe only counts them.

        Raises:
            SpecError: F0634 fields of a part are missing, or of different sizes, and what
                `assembled` raises.
        """
        from runtime.data.dataset import Part

        parts = {}
        for part in (name for name in PARTS if name in found):
            missing = [name for name in self.declared if name not in found[part]]
            if missing:
                raise SpecError([diagnostic(
                    "F0634", f"{where} has a {part} part of `{next(iter(found[part]))}`, but not "
                             f"of `{missing[0]}`")])
            check_sizes(found[part], where, f" in the {part} part")
            parts[part] = Part({name: found[part][name] for name in self.fields()})
        labels = {name: known.get(name, names) if isinstance(field.classes, int) else names
                  for name, field in self.declared.items() if (names := field.names) is not None}
        channels = {name: tuple(str(n) for n in range(self.declared[name].shape[-1]))
                    for name in self.pictures()}
        return self.assembled(parts, self.fields(), labels, channels)


def converted(array: np.ndarray, field: Content, where: str, called: str) -> np.ndarray:
    """An array as its field declares it: (examples, *shape).

    Args:
        array: as it stands in the file.
        field: what it should be.
        where: the array's name in messages.
        called: the field's name.

    Raises:
        SpecError: F0631 it has no examples, F0633 a row holds what cannot be, F0634 it has
            another shape.
    """
    import numpy as np

    kind = field.kind
    if field.channels == "first" and array.ndim == len(field.shape) + 1 > 1:
        array = np.moveaxis(array, 1, -1)
    shape = tuple(field.shape)
    if array.ndim and not len(array):
        raise SpecError([diagnostic("F0631", f"{where} has no examples")])
    # A last axis of 1 may be left out, or too much: (n, 28, 28) and (n, 1).
    if array.ndim and array.shape[1:] in (shape[:-1] if shape[-1:] == (1,) else shape,
                                          (*shape, 1)):
        array = array.reshape(len(array), *shape)
    if not array.ndim or array.shape[1:] != shape:
        had = "×".join(map(str, array.shape[1:])) or "single numbers"
        raise SpecError([diagnostic(
            "F0634", f"the examples in {where} are {had}, and the recipe declares "
                     f"{'×'.join(map(str, shape)) or 'single numbers'} for `{called}`",
            help="correct `shape`, or say `channels: first` where the file has them in front")])
    if array.dtype.kind not in "buif":
        raise SpecError([diagnostic(
            "F0634", f"{where} holds {array.dtype} values, not numbers")])
    rows = array.reshape(len(array), -1)
    if kind.dtype == "int":
        wrong = (rows < 0) | (rows >= (kind.vocabulary or 0)) | (rows != np.floor(rows))
        if field.ignore is not None:
            wrong &= rows != field.ignore
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise SpecError([diagnostic(
                "F0633", f"row {row:,} of {where} holds {rows[row, column]}, which is no whole "
                         f"number from 0 to {(kind.vocabulary or 0) - 1}",
                notes=_how_many(wrong.any(axis=1)),
                help=f"correct the rows, or the number of classes of `{called}`")])
        return np.ascontiguousarray(array, np.int32)
    if array.dtype.kind == "f" and not (finite := _fits(rows).all(axis=1)).all():
        row = int(np.argmin(finite))
        raise SpecError([diagnostic(
            "F0633", f"row {row:,} of {where} holds a value that is not a number or not finite, "
                     "or too large for float32",
            notes=_how_many(~finite),
            help="fill such values, or leave the rows out")])
    is_image = array.dtype == np.uint8 and kind.axes[-1:] == ("channels",) and len(shape) > 1
    return np.ascontiguousarray(array, np.uint8 if is_image else np.float32)


def _fits(values: np.ndarray) -> np.ndarray:
    """Whether floats are finite as float32."""
    import numpy as np

    if values.dtype.itemsize <= 4:
        return np.isfinite(values)
    return np.abs(values) <= np.finfo(np.float32).max


def _how_many(wrong: Any) -> list[str]:
    """A note where more rows are wrong than the one that is named."""
    count = int(wrong.sum())
    return [f"{count:,} rows are wrong"] if count > 1 else []


def as_declared(array: np.ndarray, field: Content) -> bool:
    """Whether an array of floats can be used as it is: (examples, *shape), bytes of images too."""
    kind = field.kind
    is_image = kind.axes[-1:] == ("channels",) and len(field.shape) > 1
    return (array.shape[1:] == tuple(field.shape) and kind.dtype == "float" and len(array) > 0
            and (field.channels == "last" or len(field.shape) < 2)
            and array.dtype.name in ("float32", *(["uint8"] if is_image else [])))


def by_field(path: Path, fields: Mapping[str, TensorType]) -> Part:
    """The arrays of an archive or a folder that are called as fields are, as examples.

    Raises:
        SpecError: F0630 it cannot be read or lacks one, and what `converted` raises.
    """
    from runtime.data.array_files import open_archive
    from runtime.data.dataset import Part

    archive = open_archive(path)
    arrays = {}
    for name, kind in fields.items():
        content = Content(
            shape=[size for size in kind.shape if isinstance(size, int)], axes=list(kind.axes),
            vocabulary=kind.vocabulary if kind.dtype == "int" else None)
        arrays[name] = converted(archive.read(name), content, f"`{name}` of {archive.shown}", name)
    check_sizes(arrays, archive.shown)
    return Part(arrays)


def check_sizes(arrays: Mapping[str, Any], where: str, part: str = "") -> None:
    """Raise F0634 where the fields of a part have different numbers of examples."""
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise SpecError([diagnostic(
            "F0634", f"the fields of {where} have different numbers of examples{part}",
            notes=[f"`{name}` has {size:,}" for name, size in sizes.items()])])
