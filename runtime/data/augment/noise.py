"""Random numbers added to what is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from compiler.types import TensorType
from runtime.data.augment.change import Change

if TYPE_CHECKING:
    import jax


class Noise(Change):
    """Add normally distributed noise to every number of an input: images, sounds, series.

    It is added before `normalise`, so that colours and sounds have a full scale of 1; padded
    steps get some too, which the model does not look at.
    """

    word: ClassVar[str] = "noise"
    main: ClassVar[str | None] = "deviation"
    changes: ClassVar[str] = "inputs of floats"

    deviation: float = Field(ge=0, description="the standard deviation")

    def takes(self, kind: TensorType) -> bool:
        return kind.dtype == "float"

    def apply(self, array: jax.Array, key: jax.Array) -> jax.Array:
        import jax

        return array + self.deviation * jax.random.normal(key, array.shape, array.dtype)
