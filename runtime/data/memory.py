"""Arrays that were given from Python, by `flaxspec.train(spec, data=arrays)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PrivateAttr

from compiler.diagnostics import SpecError, diagnostic
from compiler.types import Dtype, TensorType
from runtime.data.source import Source
from runtime.section import Section

if TYPE_CHECKING:
    import numpy as np

    from runtime.data.dataset import Dataset, Part


class Described(Section):
    """What an array holds, without the axis of the examples."""

    axes: list[str] = Field(description="the names of its axes")
    shape: list[int | str] = Field(description="their sizes; a name where rows differ")
    dtype: Dtype = Field(default="float", description="float, int or bool")
    vocabulary: int | None = Field(
        default=None, gt=0, description="for whole numbers, how many values there are")

    @property
    def type(self) -> TensorType:
        return TensorType(tuple(self.axes), tuple(self.shape), self.dtype, self.vocabulary)

    @classmethod
    def of(cls, kind: TensorType) -> Described:
        """The description of a type."""
        return cls(axes=list(kind.axes), shape=list(kind.shape), dtype=kind.dtype,
                   vocabulary=kind.vocabulary)


class Memory(Source):
    """Arrays that were given from Python. A spec only tells what they were like.

    The parts that were not given are cut from the training examples at random, the classes of
    the first target of whole numbers in proportion.
    """

    dataset: Literal["memory"] = Field(description="the word that chooses this source")
    holds: dict[str, Described] = Field(min_length=1, description="the fields")
    predict: list[str] = Field(description="the fields that are there to be predicted")
    given: list[Literal["train", "validation", "test"]] = Field(
        default=["train"], description="the parts that were given; the others are cut from train")
    split_seed: int = Field(
        default=0, ge=0, description="chooses the cut into parts, whatever the training seed")

    _parts: Mapping[str, Part] | None = PrivateAttr(default=None)

    def fields(self) -> dict[str, TensorType]:
        return {name: described.type for name, described in self.holds.items()}

    def targets(self) -> tuple[str, ...]:
        return tuple(self.predict)

    def holding(self, parts: Mapping[str, Part]) -> Memory:
        """The same source with its arrays."""
        source = self.model_copy()
        source._parts = parts
        return source

    def load(self) -> Dataset:
        import numpy as np

        from runtime.data.dataset import Dataset
        from runtime.data.split import stratified

        if self._parts is None:
            raise SpecError([diagnostic(
                "F0631", "the data was given from Python as arrays, and is not kept",
                help="give it again: `flaxspec.train(spec, data=…)`, "
                     "`flaxspec evaluate RUN --data FILE`")])
        whole = self._parts["train"]
        labels = next((array for name in self.predict if (
            array := whole.arrays[name]).ndim == 1 and array.dtype.kind == "i"),
            np.zeros(whole.size, np.int32))
        cut = stratified(labels, 0.0 if "validation" in self._parts else self.validation,
                         0.0 if "test" in self._parts else self.test, self.split_seed)
        return Dataset(self.fields(), whole.take(cut.train),
                       self._parts.get("validation", whole.take(cut.validation)),
                       self._parts.get("test", whole.take(cut.test)))


def described(name: str, array: np.ndarray, wanted: TensorType | None) -> TensorType:
    """The type of an array of examples.

    Args:
        name: the field, for messages.
        array: (examples, *axes).
        wanted: the type of the model's input that gets it, where one does.

    Raises:
        SpecError: F0634 it has more axes than anything has.
    """
    from compiler.types import DEFAULT_AXES

    rank = array.ndim - 1
    whole = array.dtype.kind in "iu" and array.dtype.name not in ("uint8", "uint16")
    if wanted is not None and len(wanted.axes) == rank:
        axes = wanted.axes
    elif rank == 1 and whole:
        axes = ("time",)
    elif rank in DEFAULT_AXES:
        axes = DEFAULT_AXES[rank]
    else:
        raise SpecError([diagnostic(
            "F0634", f"`{name}` has {rank} axes besides that of the examples",
            help=f"there may be up to {max(DEFAULT_AXES)}")])
    is_int = whole or (wanted is not None and wanted.dtype == "int")
    vocabulary = int(array.max(initial=0)) + 1 if is_int else None
    if wanted is not None and wanted.vocabulary is not None and vocabulary is not None:
        vocabulary = max(vocabulary, wanted.vocabulary)
    return TensorType(axes, array.shape[1:], "int" if is_int else "float", vocabulary)


def as_array(name: str, value: Any, kind: TensorType | None = None) -> np.ndarray:
    """A user's array as a part holds it: floats as float32, whole numbers as int32.

    Raises:
        SpecError: F0634 it is no array of numbers.
    """
    import numpy as np

    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise SpecError([diagnostic(
            "F0634", f"`{name}` is not an array of numbers with an axis for the examples",
            help="pad rows of several lengths, and turn texts into numbers first")])
    if kind is not None and kind.dtype == "int":
        return array.astype(np.int32)
    if array.dtype == np.uint8:
        return array
    return array.astype(np.float32 if array.dtype.kind in "bf" else np.int32)
