"""Data sets of the Hugging Face hub, or saved on disk by its library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from compiler.diagnostics import SpecError, diagnostic, nearest
from runtime.data.contents import Content, Declared, converted
from runtime.data.images import height_and_width
from runtime.data.labelled import listed
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part
    from runtime.preprocessing import Preprocessing

# What the splits of data sets are called.
SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation",
          "dev": "validation", "test": "test"}


class Column(Content):
    """One field: its column, and what stands in it."""

    column: str = Field(min_length=1, description="the column")
    size: Annotated[list[int] | None, BeforeValidator(
        height_and_width, json_schema_input_type=int | list[int] | None)] = Field(
        default=None, description="for pictures: height and width that they are brought to")
    colours: Literal[1, 3] = Field(
        default=3, description="for pictures: 3 for colours, 1 for grey")
    fit: Literal["crop", "pad", "stretch"] = Field(
        default="crop", description="for pictures: how other proportions are made to fit")

    @model_validator(mode="before")
    @classmethod
    def _shape_of_pictures(cls, value: Any) -> Any:
        """The shape of a picture follows from its size."""
        if not isinstance(value, dict) or value.get("size") is None:
            return value
        if "shape" in value:
            raise problem("a picture has a `size`, from which its `shape` follows",
                          help="take one of them away")
        size = height_and_width(value["size"])
        return value | {"shape": [*size, value.get("colours", 3)]}


class HuggingFace(Declared):
    """A data set of the Hugging Face hub.

    Gives the fields under `contents`. Its splits are the parts; what is missing is cut from
    `train`. Names of classes are those of the data set.
    """

    word: ClassVar[str] = "huggingface"
    paths: ClassVar[tuple[str, ...]] = ("folder",)

    huggingface: str = Field(min_length=1, description="its name on the hub")
    subset: str | None = Field(default=None, description="one of its configurations")
    revision: str | None = Field(
        default=None, description="a commit or tag, so that it is the same for ever")
    folder: str | None = Field(
        default=None, description="where `save_to_disk` put it, in place of the hub")
    contents: dict[str, Column] = Field(min_length=1, description="the fields, by name")

    @model_validator(mode="after")
    def _has_one_revision(self) -> Self:
        if self.folder is not None and (self.subset is not None or self.revision is not None):
            raise problem("a data set in a `folder` has no `subset` and no `revision`")
        return self

    @property
    def declared(self) -> Mapping[str, Content]:
        return self.contents

    def load(self) -> Dataset:
        splits = self._splits()
        found: dict[str, dict[str, np.ndarray]] = {}
        for split, table in splits.items():
            part = SPLITS.get(split)
            if part is None:
                continue
            if part in found:
                raise SpecError([diagnostic(
                    "F0634", f"{self.title} has two splits for the {part} part",
                    notes=[f"splits: {listed(list(splits))}"])])
            found[part] = {name: self._read(table, name, split) for name in self.contents}
        if "train" not in found:
            raise SpecError([diagnostic(
                "F0634", f"{self.title} has no split `train`",
                notes=[f"splits: {listed(list(splits))}"])])
        features = splits["train" if "train" in splits else next(iter(splits))].features
        words = {name: names for name, content in self.contents.items()
                 if (names := getattr(features[content.column], "names", None)) is not None}
        return self.complete(found, self.title, words)

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """What `save_to_disk` wrote: one split, or `test` of several."""
        from runtime.data.dataset import Part

        splits = self.model_copy(update={"folder": str(path)})._splits()
        names = list(splits)
        split = names[0] if len(names) == 1 else next(
            (name for name in names if SPLITS.get(name) == "test"), None)
        if split is None:
            raise SpecError([diagnostic(
                "F0634", f"`{path}` has no split `test`", notes=[f"splits: {listed(names)}"],
                help="give the folder of one split")])
        self._check_order(splits[split], known, f"the split {split} of `{path}`")
        return Part({name: self._read(splits[split], name, split) for name in self.fields()})

    def _check_order(self, table: Any, known: Preprocessing, where: str) -> None:
        """Raise F0634 where classes have other numbers than those the model learned."""
        for name, learned in known.meaning.labels.items():
            features = table.features
            column = self.contents[name].column
            words = getattr(features[column], "names", None) if column in features else None
            numbered = list(learned) == [str(number) for number in range(len(learned))]
            if words is not None and not numbered and list(words) != list(learned):
                raise SpecError([diagnostic(
                    "F0634", f"the classes of `{column}` in {where} are not those that the model "
                             "learned, or in another order",
                    notes=[f"there: {listed(list(words))}", f"learned: {listed(list(learned))}"],
                    help="cast the column to the classes that the model knows")])

    def _splits(self) -> Mapping[str, Any]:
        """The data set's splits, as its library gives them.

        Raises:
            SpecError: F0636 the library is missing, F0637 the data set cannot be had.
        """
        try:
            import datasets
        except ImportError:
            raise SpecError([diagnostic(
                "F0636", "data sets of Hugging Face need its library `datasets`, which is not "
                         "installed",
                help='pip install "flaxspec[huggingface]"')]) from None
        try:
            if self.folder is not None:
                found: Any = datasets.load_from_disk(self.folder)
            else:
                found = datasets.load_dataset(
                    self.huggingface, self.subset, revision=self.revision)
        except Exception as error:  # the library fails in its own ways, and those of many others
            said = str(error).strip().partition("\n")[0] or type(error).__name__
            raise SpecError([diagnostic(
                "F0637", f"the data set {self.title} cannot be had: {said}",
                help="check its name, `subset` and `revision`, and the connection"
                if self.folder is None else "give the folder that `save_to_disk` made")]) from None
        return found if isinstance(found, dict) else {"train": found}

    def _read(self, table: Any, name: str, split: str) -> np.ndarray:
        """A field of a split: (examples, *shape).

        Raises:
            SpecError: F0632 there is no such column, F0633 and F0634: it holds something else.
        """
        import numpy as np

        content, columns = self.contents[name], table.column_names
        where = f"`{content.column}` of the split {split} of {self.title}"
        if content.column not in columns:
            raise SpecError([diagnostic(
                "F0632", f"{self.title} has no column `{content.column}`",
                notes=[f"columns: {listed(columns)}"], help=nearest(content.column, columns))])
        words = getattr(table.features[content.column], "names", None)
        if words is not None and content.names is not None:
            self._check_classes(content, list(words), where)
        if content.size is not None:
            return self._pictures(table, content, where)
        try:
            array = np.array(table[content.column][:])
        except ValueError:
            raise SpecError([diagnostic(
                "F0634", f"the rows of {where} have different shapes")]) from None
        return converted(array, content, where, name)

    def _check_classes(self, content: Column, words: list[str], where: str) -> None:
        """Raise F0634 where the recipe declares other classes than the data set has."""
        declared = content.classes
        wrong = len(words) != declared if isinstance(declared, int) else words != declared
        if wrong:
            raise SpecError([diagnostic(
                "F0634", f"{where} has {len(words)} classes, and the recipe declares others",
                notes=[f"classes of the data set: {listed(words)}"],
                help=f"say `classes: {len(words)}`, or name them in this order")])

    def _pictures(self, table: Any, content: Column, where: str) -> np.ndarray:
        """A column of pictures: (examples, height, width, channels) uint8."""
        import numpy as np

        from runtime.data.pictures import Form, brought, library

        library()
        form = Form(content.shape[0], content.shape[1], content.colours, content.fit)
        result = np.empty((len(table), *form.shape), np.uint8)
        column = table[content.column]
        for row in range(len(table)):
            try:
                result[row] = brought(column[row], form)
            except Exception as error:  # whatever decoding does to a broken picture
                said = str(error).partition("\n")[0] or type(error).__name__
                raise SpecError([diagnostic(
                    "F0633", f"row {row:,} of {where} is no picture that can be read: {said}",
                    help="take `size` away where the column holds numbers")]) from None
        return result
