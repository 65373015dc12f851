"""What every data source shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from compiler.diagnostics import nearest
from compiler.types import TensorType
from runtime.data.augment import Augmentation
from runtime.data.named import about, data_sets
from runtime.section import Section, problem

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset, Part
    from runtime.preprocessing import Preprocessing


@dataclass(frozen=True)
class Origin:
    """Where data comes from; each "" where nobody says.

    Attributes:
        summary: what it is, in a line.
        source: where it is described.
        licence: under what terms it is published.
    """

    summary: str = ""
    source: str = ""
    licence: str = ""


Fraction = Annotated[float, Field(ge=0, lt=1)]


class Source(Section):
    """A data source: `fields` says what it will give, `load` gives it.

    `fields` imports neither NumPy nor JAX, so that a recipe is checked against its model
    before any data is read. What only the data knows, such as the number of a table's
    columns where none are named, is a size with a name, or a vocabulary of None; the
    `fields` of the loaded data set are complete, and checked against the model then.
    """

    # The key that chooses the source.
    word: ClassVar[str] = "dataset"
    # The fields that hold paths, `a.b` for one in a map. They are absolute when it is made.
    paths: ClassVar[tuple[str, ...]] = ()
    # Whether `encode` takes paths of files, one for each input.
    reads_files: ClassVar[bool] = False
    # Whether `encode` takes rows of columns where inputs are texts.
    reads_rows: ClassVar[bool] = False
    # What the names of files of inputs end in; others in a folder are passed by. () for any.
    suffixes: ClassVar[tuple[str, ...]] = ()
    # Where data that comes with the package is from; NOTICE says more.
    embedded: ClassVar[Origin] = Origin()

    dataset: str | None = Field(
        default=None, description="a data set of specs/datasets, which is fetched")
    validation: Fraction = Field(
        default=0.1, description="the part of all examples that validates; 0 for none")
    test: Fraction = Field(
        default=0.2, description="the part of all examples that is looked at once, at the end")
    augment: list[Augmentation] = Field(
        default=[], description="random changes made to training images, in this order")

    @property
    def tag(self) -> str:
        """What stands for its class in the union of sources."""
        value = str(getattr(self, self.word))
        return value if self.word == "dataset" else f"{self.word}:"

    @property
    def title(self) -> str:
        """What messages call it: its name, or its file's."""
        value = self.dataset or str(getattr(self, self.word))
        return Path(value).name if not self.dataset and self.word in self.paths else value

    @property
    def origin(self) -> Origin:
        """Where the data comes from, as far as flaxspec knows it."""
        if self.dataset is None or self.word == "dataset":
            return self.embedded
        data = about(self.dataset)
        return Origin(data.summary, data.source, data.licence)

    def has(self, part: str) -> bool:
        """Whether a part (train, validation or test) is asked for."""
        return part == "train" or getattr(self, part) > 0

    def fields(self) -> dict[str, TensorType]:
        """The type of every field, without the axis of the examples."""
        raise NotImplementedError

    def targets(self) -> tuple[str, ...]:
        """The fields that are there to be predicted: no model input is bound to them."""
        raise NotImplementedError

    def marks(self) -> Mapping[str, int]:
        """For fields with a class for each place the number that marks places without one."""
        return {}

    def load(self) -> Dataset:
        """Read the data and cut it into its parts.

        Raises:
            SpecError: F0630 and following: a file is missing or holds something else.
        """
        raise NotImplementedError

    def fetch(self) -> None:
        """Have the files of a data set of specs/datasets where `load` looks for them.

        Where the recipe names a file of its own in their place, there is nothing to fetch.

        Raises:
            SpecError: F0637, F0638: one cannot be fetched, or is another one.
        """
        if self.dataset is None or self.word == "dataset":
            return
        data = about(self.dataset)
        if Path(getattr(self, self.word)).is_relative_to(data.folder):
            data.fetch()

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Raw inputs, as a user has them, turned into the fields that a model takes.

        Args:
            inputs: what each source says of itself, such as the rows of a table as maps from
                column to text or number; targets are passed by.
            fitted: `Dataset.fitted` of the data that the model was trained on.
            called: what messages call each input; `input 1` and so on where not given.

        Raises:
            SpecError: an input that cannot be read, with its name.
        """
        raise NotImplementedError

    def examples(self, path: Path, known: Preprocessing) -> Part:
        """Other data with its targets, read by what the training data taught.

        Args:
            path: a file or folder of the kind that the recipe names, all of which is one part;
                where the recipe names none, arrays that are called as the fields are.
            known: what the training data taught.

        Raises:
            SpecError: F0630 and following: it cannot be read, lacks its targets, or has a class
                that is not known.
        """
        from runtime.data.contents import by_field

        return by_field(path, known.meaning.fields)

    @field_validator("dataset")
    @classmethod
    def _is_there(cls, name: str | None) -> str | None:
        if cls.word != "dataset" and name is not None and name not in data_sets():
            raise problem(f"`{name}` is not a data set that `{cls.word}` reads",
                          nearest(name, data_sets()), help="leave `dataset` out",
                          notes=[f"there are: {', '.join(data_sets())}"])
        return name

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.validation + self.test >= 1:
            raise problem("`validation` and `test` together leave nothing to train on",
                          help="choose fractions whose sum is below 1")
        return self
