"""A table with an example in each row: numbers and categories, to tell a class or numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from compiler.types import TensorType
from runtime.data.rows import PARTS, Kinds, Rows, count_of
from runtime.section import problem

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part, Scale
    from runtime.data.tabular import Table
    from runtime.preprocessing import Preprocessing


def _listed(value: Any) -> Any:
    """`a` and `[a]` are the same."""
    return [value] if isinstance(value, str) else value


Names = Annotated[list[str], Field(min_length=1),
                  BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class TableFile(Rows):
    """A CSV, TSV, JSON-lines or Parquet table.

    Gives `features` (channels), the columns of numbers and, one-hot, those of categories, and
    what there is to tell: `label`, the class that `target` names, where `classes` are declared;
    else `target` (channels), its numbers; or `labels` (channels), a 0 or 1 for each.
    """

    word: ClassVar[str] = "table"
    paths: ClassVar[tuple[str, ...]] = ("table", *Rows.file_paths)

    table: str = Field(
        min_length=1, description="the file: .csv, .tsv, .jsonl or .parquet, with named columns")
    target: Names | None = Field(
        default=None, description="the column to be told, or several columns of numbers")
    classes: Kinds | None = Field(
        default=None, description="the number of the target's classes, or their names in the "
                                  "order of their numbers; a target without them is a number")
    labels: Names | None = Field(
        default=None, description="in place of `target`: columns with a 0 or 1 each, for "
                                  "multi_label")
    columns: Names | None = Field(
        default=None, description="the columns to tell it from, in this order; all others where "
                                  "not given")
    categories: dict[str, Kinds] = Field(
        default={}, description="those of them that name kinds: for each their number, or their "
                                "names: `{sex: [female, male], town: 12}`")
    categories_as: Literal["one_hot", "fields"] = Field(
        default="one_hot", description="whether categories are channels of `features`, or fields "
                                       "of their own, for inputs of `kind: category`")
    missing: Literal["error", "drop", "mean", "median"] = Field(
        default="error", description="what to do about missing values: stop, pass the row over, "
                                     "or put in the training part's mean or median, or its most "
                                     "frequent category; a target is never made up")
    normalise: bool = Field(
        default=True, description="whether numbers are put on mean 0 and deviation 1, those of "
                                  "the training part")

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if (self.target is None) == (self.labels is None):
            raise problem("a table needs `target`, the column that is to be told",
                          help="or `labels`, the columns with a 0 or 1 each")
        if self.classes is not None and (self.labels or len(self.target or ()) > 1):
            raise problem("`classes` belongs to one target",
                          help="columns with a 0 or 1 each are `labels`")
        asked = [*(self.target or ()), *(self.labels or ())]
        for name in asked:
            if name in self.categories or name in (self.columns or ()):
                raise problem(f"`{name}` cannot be told from itself",
                              help="take it out of `columns` and `categories`")
        for name in self.categories:
            if self.columns is not None and name not in self.columns:
                raise problem(f"the category `{name}` is not among `columns`",
                              help=f"add `{name}` to `columns`")
        return self

    def fields(self) -> dict[str, TensorType]:
        return self._fields(self.columns, self.categories)

    def targets(self) -> tuple[str, ...]:
        return ("label",) if self.classes is not None else (
            ("labels",) if self.labels else ("target",))

    def load(self) -> Dataset:
        from runtime.data.dataset import Dataset, Part

        asked = list(self.target or self.labels or ())
        tables = self.parts(asked[0] if self.classes is not None else None)
        fitted = self._fitted(tables)
        read = {name: self._inputs(table, fitted) for name, table in tables.items()}
        scales, labels = {}, {}
        if "features" in read["train"]:
            scales["features"] = _scale(fitted)
        (goal,) = self.targets()
        if goal == "label":
            labels["label"] = tuple(fitted["label"])
        elif goal == "labels":
            labels["labels"] = tuple(asked)
        else:
            scales["target"] = _scale_of(fitted["target"])
        for name, table in tables.items():
            read[name][goal] = self._goal(table, fitted)
        labels |= {name: tuple(known["names"]) for name, known in fitted["categories"].items()
                   if self.categories_as == "fields"}
        parts = {name: Part(read[name], names=tables[name].places()) for name in PARTS}
        parts = self.without_leaks(parts, list(parts["train"].arrays))
        known = {name: spec["names"] for name, spec in fitted["categories"].items()}
        fields = self._fields([*fitted["columns"], *known], known, len(fitted.get("label", ())))
        return Dataset(fields, parts["train"], parts["validation"], parts["test"], scales,
                       fitted=fitted, labels=labels)

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Rows as maps from column to number or text, as the model takes them."""
        from runtime.data.dataset import Part
        from runtime.data.tabular import from_records

        names = [*fitted["columns"], *fitted["categories"]]
        return Part(self._inputs(from_records(inputs, names, called), fitted))

    def examples(self, path: Path, known: Preprocessing) -> Part:
        from runtime.data.dataset import Part
        from runtime.data.tabular import read_table

        names = [*known.fitted["columns"], *known.fitted["categories"]]
        table = self.usable(read_table(path, delimiter=self.delimiter), names)
        (goal,) = self.targets()
        return Part(self._inputs(table, known.fitted) | {goal: self._goal(table, known.fitted)},
                    names=table.places())

    def usable(self, table: Table, columns: Sequence[str] | None = None) -> Table:
        """A table without the rows that the recipe passes over.

        Args:
            table: the table.
            columns: what inputs are made of; all that the table has where not given.
        """
        if self.missing != "drop":
            return table
        import numpy as np

        from runtime.data.files import failure, shown

        kept = np.ones(table.size, bool)
        numeric = self.classes is None
        inputs = self._columns_of(table) if columns is None else columns
        for name in [*(self.target or ()), *(self.labels or ()), *inputs]:
            number = name not in self.categories and (numeric or name not in (self.target or ()))
            kept &= ~np.isnan(table.numbers(name)) if number else np.array(
                [text is not None for text in table.texts(name)])
        if not kept.any():
            raise failure("F0631", f"every row of `{shown(table.path)}` lacks a value",
                          help="take columns without values out of `columns`")
        return table.take(np.flatnonzero(kept))

    def _fields(
        self, columns: Sequence[str] | None, categories: Mapping[str, list[str] | int],
        classes: int = 0,
    ) -> dict[str, TensorType]:
        """The fields, as far as columns, categories and classes are known."""
        found: dict[str, TensorType] = {}
        hot = self.categories_as == "one_hot"
        channels: int | str = "columns" if columns is None else (
            sum(name not in categories for name in columns)
            + hot * sum(count_of(kinds) or 0 for kinds in categories.values()))
        if channels:
            found["features"] = TensorType(("channels",), (channels,))
        if not hot:
            found |= {name: TensorType((), (), "int", vocabulary=count_of(kinds))
                      for name, kinds in categories.items()}
        (goal,) = self.targets()
        found[goal] = TensorType((), (), "int", vocabulary=classes or count_of(self.classes)) if (
            goal == "label") else TensorType(
                ("channels",), (len(self.target or self.labels or ()),))
        return found

    def _columns_of(self, table: Table) -> list[str]:
        """The columns that inputs are made of."""
        if self.columns is not None:
            return list(self.columns)
        other = {*(self.target or ()), *(self.labels or ()), self.split_column}
        return [name for name in table.columns if name not in other]

    def _fitted(self, tables: Mapping[str, Table]) -> dict[str, Any]:
        """What the training part teaches."""
        from runtime.data.columns import fills, kind_names, most_frequent, no_scale, numbers
        from runtime.data.columns import scale_of as scaled

        train = tables["train"]
        every = self._columns_of(train)
        names = [name for name in every if name not in self.categories]
        fill = fills(train, names, self.missing)
        values = numbers(train, names, fill)
        scale = scaled(values, names) if self.normalise else no_scale(names)
        fills_in = self.missing in ("mean", "median")
        fitted: dict[str, Any] = {
            "columns": names, "fill": fill, "mean": scale.mean.tolist(),
            "deviation": scale.deviation.tolist(), "categories_as": self.categories_as,
            "categories": {
                name: {"names": kind_names(tables.values(), name, kinds, f"categories.{name}"),
                       "fill": most_frequent(train, name) if fills_in else None}
                for name, kinds in self.categories.items()}}
        if self.classes is not None:
            (target,) = self.target or ("",)
            fitted["label"] = kind_names(tables.values(), target, self.classes, "classes")
        elif self.target:
            told = numbers(train, self.target, {})
            goal = scaled(told, self.target) if self.normalise else no_scale(self.target)
            fitted["target"] = {"columns": list(self.target), "mean": goal.mean.tolist(),
                                "deviation": goal.deviation.tolist()}
        return fitted

    def _goal(self, table: Table, fitted: Mapping[str, Any]) -> np.ndarray:
        """What is to be told of a table's rows: the one field of `targets`."""
        import numpy as np

        from runtime.data.columns import kinds, numbers

        (goal,) = self.targets()
        if goal == "label":
            return kinds(table, (self.target or [""])[0], fitted["label"], None)
        if goal == "labels":
            return _yes_or_no(table, self.labels or ())
        values = numbers(table, self.target or (), {})
        return _scale_of(fitted["target"]).normalised(values).astype(np.float32)

    def _inputs(self, table: Table, fitted: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The inputs of a table's rows: `features` (rows, channels), and categories (rows,)."""
        import numpy as np

        from runtime.data.columns import kinds, numbers

        values = numbers(table, fitted["columns"], fitted["fill"])
        values = (values - np.array(fitted["mean"])) / np.array(fitted["deviation"])
        for row, column in np.argwhere(np.abs(values) > np.finfo(np.float32).max)[:1].tolist():
            name = fitted["columns"][column]
            raise table.wrong(row, name, f"`{name}` is too large for float32")
        columns = [values]
        fields: dict[str, np.ndarray] = {}
        for name, known in fitted["categories"].items():
            found = kinds(table, name, known["names"], known["fill"])
            if fitted["categories_as"] == "fields":
                fields[name] = found
            else:
                columns.append(np.eye(len(known["names"]))[found])
        features = np.concatenate(columns, axis=1).astype(np.float32)
        return {"features": features, **fields} if features.shape[1] else fields


def _scale(fitted: Mapping[str, Any]) -> Scale:
    """How `features` were normalised; the channels of categories were not."""
    import numpy as np

    from runtime.data.dataset import Scale

    hot = [f"{name}={kind}" for name, known in fitted["categories"].items()
           for kind in known["names"] if fitted["categories_as"] == "one_hot"]
    return Scale((*fitted["columns"], *hot),
                 np.array([*fitted["mean"], *[0.0] * len(hot)]),
                 np.array([*fitted["deviation"], *[1.0] * len(hot)]))


def _scale_of(known: Mapping[str, Any]) -> Scale:
    """A scale as `fitted` holds it."""
    import numpy as np

    from runtime.data.dataset import Scale

    return Scale(tuple(known["columns"]), np.array(known["mean"]), np.array(known["deviation"]))


def _yes_or_no(table: Table, names: Sequence[str]) -> np.ndarray:
    """Columns with a 0 or 1 each: (rows, columns) float32."""
    import numpy as np

    from runtime.data.columns import numbers

    values = numbers(table, names, {})
    for row, column in np.argwhere((values != 0) & (values != 1)).tolist():
        raise table.wrong(row, names[column],
                          f"the label `{names[column]}` is neither 0 nor 1")
    return values.astype(np.float32)
