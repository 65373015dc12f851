"""Operators that draw random numbers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.ops.axes import axes_of
from compiler.ops.base import Operator, Positive, Probability, ShapeError, expect_float
from compiler.types import TensorType


class TrainingNoise(Operator):
    """What disturbs floats in training and does nothing in evaluation."""

    random: ClassVar[Literal["never", "training", "always"]] = "training"
    modal: ClassVar[bool] = True

    def infer(self, *inputs: TensorType) -> TensorType:
        return expect_float(inputs[0], self.word)


class Dropping(TrainingNoise):
    """What sets some numbers to 0 and divides the others by 1 - rate."""

    main: ClassVar[str | None] = "rate"

    rate: Probability = Field(0.5, description="the probability of being dropped")


class Dropout(Dropping):
    """Each number is dropped apart (Srivastava et al. 2014)."""

    word: ClassVar[str] = "dropout"


class SpatialDropout(Dropping):
    """Whole channels are dropped, at all steps and places (Tompson et al. 2015)."""

    word: ClassVar[str] = "spatial_dropout"


class DropPath(Dropping):
    """Whole examples are dropped: stochastic depth, in a residual branch (Huang et al. 2016)."""

    word: ClassVar[str] = "drop_path"


class GaussianNoise(TrainingNoise):
    """Normal numbers are added."""

    word: ClassVar[str] = "gaussian_noise"
    main: ClassVar[str | None] = "stddev"

    stddev: Annotated[float, Field(ge=0)] = Field(description="their standard deviation")


class Random(Operator):
    """Random numbers, new ones at every call, in training and evaluation.

    Of what arrives only the batch counts, and the shape where none is given.
    """

    word: ClassVar[str] = "random"
    main: ClassVar[str | None] = "shape"
    random: ClassVar[Literal["never", "training", "always"]] = "always"

    shape: tuple[Positive, ...] | None = Field(
        None, description="the sizes without the batch; those of the input where not given")
    axes: tuple[str, ...] | None = Field(
        None, description="the axes; those of an input of that rank where not given")
    distribution: Literal["normal", "uniform"] = Field(
        "normal", description="the standard normal distribution, or uniform in [0, 1)")

    def infer(self, *inputs: TensorType) -> TensorType:
        if self.shape is None:
            if self.axes is not None:
                raise ShapeError("`random` has `axes` without a `shape`",
                                 "give a size for each axis in `shape`", field="axes",
                                 code="F0445")
            return inputs[0].as_float()
        return TensorType(axes_of(self.shape, self.axes, self.word), self.shape)


NoiseOperator = Dropout | SpatialDropout | DropPath | GaussianNoise | Random
OPERATORS = (Dropout, SpatialDropout, DropPath, GaussianNoise, Random)
