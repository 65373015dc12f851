"""The losses and metrics that a recipe can write out. A new one is a class and a line below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import Discriminator, Tag

from runtime.losses.classes import Accuracy, BinaryCrossEntropy, CrossEntropy, Hinge
from runtime.losses.distances import AbsoluteError, Huber, SquaredError
from runtime.losses.loss import MODIFIERS, Loss, Measured
from runtime.losses.pictures import Gram, TotalVariation
from runtime.losses.tensors import Elbo, KlNormal, Mean
from runtime.losses.units import Mae, Mse, Rmse


def chosen_word(value: Any) -> str | None:
    """The word that chooses a loss or metric, or None where there is not exactly one."""
    if isinstance(value, Measured):
        return value.word
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return None
    known = [key for key in value if key in METRICS]
    others = [key for key in value if isinstance(key, str) and key not in MODIFIERS]
    found = known or others
    return found[0] if len(found) == 1 else None


AnyLoss = Annotated[
    Annotated[CrossEntropy, Tag("cross_entropy")]
    | Annotated[BinaryCrossEntropy, Tag("binary_cross_entropy")]
    | Annotated[Hinge, Tag("hinge")]
    | Annotated[SquaredError, Tag("squared_error")]
    | Annotated[AbsoluteError, Tag("absolute_error")]
    | Annotated[Huber, Tag("huber")]
    | Annotated[KlNormal, Tag("kl_normal")]
    | Annotated[Gram, Tag("gram")]
    | Annotated[TotalVariation, Tag("total_variation")]
    | Annotated[Mean, Tag("mean")],
    Discriminator(chosen_word),
]
AnyMetric = Annotated[
    Annotated[Accuracy, Tag("accuracy")]
    | Annotated[Mse, Tag("mse")]
    | Annotated[Mae, Tag("mae")]
    | Annotated[Rmse, Tag("rmse")]
    | Annotated[Elbo, Tag("elbo")]
    | Annotated[CrossEntropy, Tag("cross_entropy")]
    | Annotated[BinaryCrossEntropy, Tag("binary_cross_entropy")]
    | Annotated[Hinge, Tag("hinge")]
    | Annotated[SquaredError, Tag("squared_error")]
    | Annotated[AbsoluteError, Tag("absolute_error")]
    | Annotated[Huber, Tag("huber")]
    | Annotated[KlNormal, Tag("kl_normal")]
    | Annotated[Gram, Tag("gram")]
    | Annotated[TotalVariation, Tag("total_variation")]
    | Annotated[Mean, Tag("mean")],
    Discriminator(chosen_word),
]


def _words(union: Any) -> tuple[str, ...]:
    """The words of a union's members, in its order."""
    return tuple(get_args(member)[0].word for member in get_args(get_args(union)[0]))


LOSSES, METRICS = _words(AnyLoss), _words(AnyMetric)

__all__ = ["LOSSES", "METRICS", "AnyLoss", "AnyMetric", "Loss", "Measured", "chosen_word"]
