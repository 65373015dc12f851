"""What every data source shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from compiler.types import TensorType
from runtime.data.augment import Augmentation
from runtime.section import Section, problem

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset

Fraction = Annotated[float, Field(ge=0, lt=1)]


class Source(Section):
    """A data source: `fields` says what it will give, `load` gives it.

    `fields` imports neither NumPy nor JAX, so that a recipe is checked against its model
    before any data is read.
    """

    dataset: str = Field(description="the word that chooses the source")
    validation: Fraction = Field(
        default=0.1, description="the part of all examples that validates; 0 for none")
    test: Fraction = Field(
        default=0.2, description="the part of all examples that is looked at once, at the end")
    augment: list[Augmentation] = Field(
        default=[], description="random changes made to training images, in this order")

    def fields(self) -> dict[str, TensorType]:
        """The type of every field, without the axis of the examples."""
        raise NotImplementedError

    def targets(self) -> tuple[str, ...]:
        """The fields that are there to be predicted: no model input is bound to them."""
        raise NotImplementedError

    def load(self) -> Dataset:
        """Read the data and cut it into its parts."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.validation + self.test >= 1:
            raise problem("`validation` and `test` together leave nothing to train on",
                          help="choose fractions whose sum is below 1")
        return self
