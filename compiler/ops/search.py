"""How a body that chooses its own next input is searched for the best sequence."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from compiler.ops.base import NonNegative, Positive


class Search(BaseModel):
    """`decode`: the symbols a sequence begins and ends with, and how wide to look for it.

    A sequence of n symbols, its end among them, scores log P / ((5 + n) / 6)^alpha
    (Wu et al. 2016).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    beam: Positive = Field(1, description="sequences followed side by side; 1 takes the best "
                                          "symbol of each step")
    start: NonNegative | str = Field(description=(
        "the symbol that the first step sees: its number, or its name where the task knows it"))
    end: NonNegative | str = Field(description=(
        "the symbol that ends a sequence: its number, or its name where the task knows it"))
    length: Positive = Field(description="the most symbols of a sequence, its end among them")
    alpha: Annotated[float, Field(ge=0, le=10)] = Field(0.6, description=(
        "how much longer sequences are favoured; 0 compares probabilities as they are"))
