"""Normalising inputs by mean and deviation, channel by channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from runtime.section import Section, problem

if TYPE_CHECKING:
    from runtime.data.dataset import Scale

FROM_TRAINING = "from training split"
# How many examples tell the mean and deviation of data that is too large for the memory.
SAMPLE = 2048


class Normalise(Section):
    """What inputs are normalised by: `from training split`, or a mean and a deviation.

    Both are in fractions of the full scale, as colours between 0 and 1 are. A single number
    stands for every channel.
    """

    mean: list[float] | None = Field(default=None, min_length=1, description="by channel")
    deviation: list[float] | None = Field(default=None, min_length=1, description="by channel")

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, value: Any) -> Any:
        """The words to an empty map, and single numbers to lists."""
        if value == FROM_TRAINING:
            return {}
        if isinstance(value, dict):
            if set(value) == {"mean", "deviation"}:
                return {k: [v] if isinstance(v, int | float) else v for k, v in value.items()}
            if set(value) - {"mean", "deviation"}:
                return value
        if not isinstance(value, cls):
            raise problem("`normalise` needs a mean and a deviation, or where they come from",
                          help=f"say `normalise: {FROM_TRAINING}`, or "
                               "`normalise: {mean: [0.5], deviation: [0.25]}`")
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler,
    ) -> JsonSchemaValue:
        """The words, or the fields, a number for one that holds for all channels."""
        fields = handler.resolve_ref_schema(handler(schema))
        for field in fields["properties"].values():
            field["anyOf"].append({"type": "number"})
        return {"anyOf": [{"const": FROM_TRAINING}, fields]}

    @model_validator(mode="after")
    def _can_be_divided_by(self) -> Self:
        if self.deviation and min(self.deviation) <= 0:
            raise problem("a deviation is a number above 0")
        return self

    def scale(self, array: Any, names: tuple[str, ...], lengths: Any = None) -> Scale:
        """The scale for an input.

        Args:
            array: the training part's values, (examples, *axes, channels).
            names: what the channels are called.
            lengths: (examples,) how many steps of each are real; None for all.
        """
        import numpy as np

        from runtime.data.dataset import Scale

        if self.mean is not None and self.deviation is not None:
            shape = (len(names),)
            return Scale(names, np.broadcast_to(np.array(self.mean, np.float64), shape),
                         np.broadcast_to(np.array(self.deviation, np.float64), shape))
        mean, deviation = moments(array, lengths)
        return Scale(names, mean, np.where(deviation > 0, deviation, 1.0))


def check_channels(normalise: Normalise | None, channels: int) -> None:
    """Raise a problem where there is not a number for each channel, or one for all."""
    for numbers in (normalise.mean, normalise.deviation) if normalise else ():
        if numbers is not None and len(numbers) not in (1, channels):
            raise problem(f"`normalise` has {len(numbers)} numbers for {channels} channels",
                          help="give one for each channel, or one for all")


def moments(array: Any, lengths: Any = None) -> tuple[Any, Any]:
    """The mean and deviation of each channel: (channels,) each, float64.

    Integers count as fractions of their full scale. Examples that are not in memory are
    represented by `SAMPLE` of them, evenly spaced.

    Args:
        array: (examples, *axes, channels).
        lengths: (examples,) how many steps of each count; None for all.
    """
    import numpy as np

    from runtime.data.dataset import FULL_SCALE

    if not isinstance(array, np.ndarray):
        count = min(len(array), SAMPLE)
        array = array[np.linspace(0, len(array) - 1, count).astype(int)]
    channels, size = array.shape[-1], 0
    total = square = np.zeros(channels)
    # In pieces, so that the float64 copy stays small.
    for start in range(0, len(array), 256):
        piece = array[start:start + 256]
        if lengths is not None:
            piece = piece[np.arange(array.shape[1]) < lengths[start:start + 256, None]]
        piece = piece.reshape(-1, channels).astype(np.float64)
        piece /= FULL_SCALE.get(array.dtype.name, 1)
        total, square = total + piece.sum(axis=0), square + (piece * piece).sum(axis=0)
        size += len(piece)
    mean = total / size
    return mean, np.sqrt(np.maximum(square / size - mean * mean, 0))
