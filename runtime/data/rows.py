"""Files with an example in each row: what their sources share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from runtime.data.files import failure, shown
from runtime.data.source import Source
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Part
    from runtime.data.tabular import Table

PARTS = ("train", "validation", "test")


def _kinds(value: Any) -> Any:
    """Kinds are a number above 1, or a list of different names."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        if twice := [name for name in value if value.count(name) > 1]:
            raise problem(f"`{twice[0]}` is in the list twice")
        count = len(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        count = value
    else:
        raise problem("kinds are given by their number, or as a list of their names",
                      help='put names that look like numbers in quotes: `["0", "1"]`')
    if count < 2:
        raise problem("there have to be two kinds or more")
    return value


# The classes of a target or the categories of a column: how many, or which, in order.
Kinds = Annotated[list[str] | int, BeforeValidator(_kinds)]


def count_of(kinds: list[str] | int | None) -> int | None:
    """How many kinds a recipe declares."""
    return len(kinds) if isinstance(kinds, list) else kinds


class Rows(Source):
    """A file with an example in each row, cut into parts.

    The parts are cut at random, in the proportions of the classes where there are any; or in
    the order of the file; or by a column that says `train`, `validation` or `test`; or they
    are files of their own.
    """

    validation_file: str | None = Field(
        default=None, description="a file that validates, in place of a part of the first one")
    test_file: str | None = Field(
        default=None, description="a file that tests, in place of a part of the first one")
    split: Literal["stratified", "random", "ordered"] | None = Field(
        default=None, description="how rows are parted: at random, with the classes in the same "
                                  "proportions; at random; or in their order, the last for the "
                                  "test; stratified where there are classes, else random")
    split_column: str | None = Field(
        default=None, description="a column that says train, validation or test")
    split_seed: int = Field(
        default=0, ge=0, description="chooses the cut into parts, whatever the training seed")
    duplicates: Literal["error", "drop", "allow"] = Field(
        default="error", description="what to do about rows that are in two parts: stop, leave "
                                     "them out of training, or nothing")
    delimiter: str = Field(
        default="", max_length=1, description="what separates the cells of a line; a tab in .tsv "
                                              "files, else a comma")

    file_paths: ClassVar[tuple[str, ...]] = ("validation_file", "test_file")

    def has(self, part: str) -> bool:
        return (super().has(part) or self.split_column is not None
                or bool(getattr(self, f"{part}_file", None)))

    @model_validator(mode="after")
    def _parts_once(self) -> Self:
        if self.split_column and (self.validation_file or self.test_file or self.split):
            raise problem("`split_column` says where every row belongs",
                          help="take away `split`, `validation_file` and `test_file`")
        return self

    def parts(self, target: str | None) -> dict[str, Table]:
        """The rows of every part.

        Args:
            target: the column of classes in whose proportions the rows are parted, if any.

        Raises:
            SpecError: a file cannot be read, or `split_column` says something else.
        """
        self.fetch()
        whole = self.usable(self.read(Path(getattr(self, self.word))))
        if self.split_column is not None:
            return self._by_column(whole, self.split_column)
        files = {"validation": self.validation_file, "test": self.test_file}
        own = {name: self.usable(self.read(Path(file))) for name, file in files.items() if file}
        shares = [0.0 if name in own else getattr(self, name) for name in files]
        return self.parted(whole, target, *shares) | own

    def parted(
        self, whole: Table, target: str | None, validation: float, test: float,
    ) -> dict[str, Table]:
        """The rows of a table in their parts.

        Args:
            whole: the table.
            target: as `parts` takes it.
            validation: the fraction that validates.
            test: the fraction of the test.
        """
        cut = self.cut(whole, target, validation, test)
        return {name: whole.take(rows) for name, rows in zip(PARTS, cut)}

    def read(self, path: Path) -> Table:
        """The rows of a file.

        Raises:
            SpecError: F0630 and following: it cannot be read, or a row is wrong.
        """
        from runtime.data.tabular import read_table

        return read_table(path, delimiter=self.delimiter)

    def usable(self, table: Table) -> Table:
        """A table without the rows that the recipe passes over."""
        return table

    def without_leaks(self, parts: dict[str, Part], fields: Sequence[str]) -> dict[str, Part]:
        """The parts, when no example of one is in another; see `leakage.without_leaks`."""
        from runtime.data.leakage import without_leaks

        return without_leaks(parts, fields, self.title, self.duplicates)

    def cut(
        self, table: Table, target: str | None, validation: float, test: float,
    ) -> Sequence[np.ndarray]:
        """The rows of the training, validation and test parts."""
        import numpy as np

        from runtime.data import split

        how = self.split or ("stratified" if target else "random")
        if how == "ordered":
            cut = split.ordered(table.size, validation, test)
        else:
            same = how == "random" or target is None
            labels = np.zeros(table.size, int) if same else np.array(
                [str(text) for text in table.texts(target or "")])
            cut = split.stratified(labels, validation, test, self.split_seed)
        return cut.train, cut.validation, cut.test

    def _by_column(self, table: Table, column: str) -> dict[str, Table]:
        import numpy as np

        words = [(text or "").lower() for text in table.texts(column)]
        for row, word in enumerate(words):
            if word not in PARTS:
                raise table.wrong(row, column, f"`{column}` says where a row belongs, and "
                                               f"`{word}` is no part",
                                  help="the parts are train, validation and test")
        found = {name: np.flatnonzero([word == name for word in words]) for name in PARTS}
        if not len(found["train"]):
            raise failure("F0631", f"`{shown(table.path)}` has no rows for training",
                          notes=[f"no `{column}` says train"])
        return {name: table.take(rows) for name, rows in found.items()}
