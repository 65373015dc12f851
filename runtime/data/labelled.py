"""Examples in parts, with classes: what the sources of pictures, sounds and arrays share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from compiler.diagnostics import SpecError, diagnostic
from compiler.types import TensorType
from runtime.data.normalise import Normalise
from runtime.data.source import Source
from runtime.section import problem

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset, Part


def _named_or_counted(value: Any) -> Any:
    """Classes are a number above 1, or a list of different names."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        if twice := [name for name in value if value.count(name) > 1]:
            raise problem(f"`classes` has `{twice[0]}` twice")
        count = len(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        count = value
    else:
        raise problem("`classes` is the number of classes, or a list of their names",
                      help="put names that look like numbers in quotes: `classes: [\"0\", \"1\"]`")
    if count < 2:
        raise problem("`classes` needs two classes or more")
    return value


Classes = Annotated[list[str] | int, BeforeValidator(_named_or_counted)]


class Parted(Source):
    """A source that may have parts of its own; those that it lacks are cut from `train`."""

    split_seed: int = Field(
        default=0, ge=0, description="chooses the cut into parts, whatever the training seed")
    normalise: Normalise | None = Field(
        default=None, description="`from training split`, or `{mean: […], deviation: […]}`; "
                                  "values between 0 and 1 where not given")
    duplicates: Literal["error", "drop", "allow"] = Field(
        default="error", description="what to do about examples that are in two parts: stop, "
                                     "leave them out of training, or nothing")

    def assembled(
        self, given: Mapping[str, Part], fields: Mapping[str, TensorType],
        labels: Mapping[str, Sequence[str]], channels: Mapping[str, tuple[str, ...]],
    ) -> Dataset:
        """The data set: its parts made complete, checked against each other, normalised.

        Cuts are stratified by the first field with one class for each example.

        Args:
            given: the parts that the data has, `train` among them.
            fields: the types of the fields; an input first, by which examples are compared.
            labels: the names of the classes of fields that have some.
            channels: what the channels of inputs that can be normalised are called.

        Raises:
            SpecError: F0634 a part is given by the data and by the recipe, F0635 an example is
                in two parts.
        """
        import numpy as np

        from runtime.data.dataset import Dataset
        from runtime.data.leakage import without_leaks
        from runtime.data.split import stratified

        for name in ("validation", "test"):
            fraction = getattr(self, name)
            if name in given and name in self.model_fields_set and fraction:
                raise SpecError([diagnostic(
                    "F0634", f"the recipe cuts a {name} part from {self.title}, which has one of "
                             "its own",
                    help=f"leave `{name}` out, or say `{name}: 0` to do without")])
        whole = given["train"]
        kinds = next((array for name in labels if (array := whole.arrays[name]).ndim == 1),
                     np.zeros(whole.size, np.int32))
        cut = stratified(
            kinds, 0.0 if "validation" in given else self.validation,
            0.0 if "test" in given else self.test, self.split_seed)
        parts = {"train": whole.take(cut.train)}
        for name in ("validation", "test"):
            part = given[name] if name in given else whole.take(getattr(cut, name))
            parts[name] = part if self.has(name) else part.take(np.arange(0))
        parts = without_leaks(parts, next(iter(fields)), self.title, self.duplicates)

        complete = {name: replace(kind, vocabulary=len(labels[name])) if name in labels else kind
                    for name, kind in fields.items()}
        scales = {}
        if self.normalise is not None and parts["train"].size:
            train = parts["train"]
            scales = {name: self.normalise.scale(train.arrays[name], words,
                                                 train.lengths.get(name))
                      for name, words in channels.items()}
        names = {name: tuple(words) for name, words in labels.items()}
        return Dataset(complete, parts["train"], parts["validation"], parts["test"],
                       labels=names, normalise=scales)


class Labelled(Parted):
    """A source of examples with one class each."""

    classes: Classes | None = Field(
        default=None, description="the number of classes, or their names in the order of their "
                                  "numbers; as the data has them where not given")

    @property
    def class_count(self) -> int | None:
        """The declared number of classes."""
        return len(self.classes) if isinstance(self.classes, list) else self.classes

    def targets(self) -> tuple[str, ...]:
        return ("label",)

    def class_names(self, found: Sequence[str], where: str) -> list[str]:
        """The names of the classes in order, once the data has been looked at.

        Args:
            found: the names in the data, sorted.
            where: what holds them, for messages.

        Raises:
            SpecError: F0634 the recipe declares others.
        """
        declared = self.classes
        wrong = ""
        if isinstance(declared, int) and declared != len(found):
            wrong = f"the recipe declares {declared} classes, and {where} has {len(found)}"
        elif isinstance(declared, list) and (odd := sorted(set(declared) ^ set(found))):
            has = odd[0] in found
            wrong = f"the recipe does not declare the class `{odd[0]}` of {where}" if has else (
                f"the recipe declares a class `{odd[0]}` that {where} does not have")
        if wrong:
            raise SpecError([diagnostic(
                "F0634", wrong, notes=[f"classes of {where}: {listed(found)}"],
                help="correct `classes`, or leave it out to take what is there")])
        return list(declared) if isinstance(declared, list) else list(found)


def listed(names: Sequence[str], most: int = 12) -> str:
    """"cat, dog, and 8 more"."""
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
