"""The arguments of losses as arrays, and the masked means that losses are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from compiler.diagnostics import SpecError, diagnostic
from runtime.batch import Ratio
from runtime.losses.loss import Reduce


class Value(NamedTuple):
    """An argument.

    Attributes:
        array: (batch, *axes), or () for a constant.
        axes: what each axis after the first is.
        lengths: (batch,) how many steps of each row are real; None for all.
    """

    array: jax.Array
    axes: tuple[str, ...] = ()
    lengths: jax.Array | None = None

    @property
    def floats(self) -> jax.Array:
        """The array in float32, in which every loss is computed."""
        return self.array.astype(jnp.float32)

    def mask(self, rows: jax.Array) -> jax.Array:
        """Which places count, (batch, *axes) with axes of size 1 but for time.

        Args:
            rows: (batch,) False for rows that only fill up a batch.
        """
        kept = rows.reshape(-1, *(1,) * len(self.axes))
        if self.lengths is None or "time" not in self.axes:
            return kept
        dim = self.axes.index("time") + 1
        steps = jnp.arange(self.array.shape[dim])
        steps = steps.reshape(*(-1 if i == dim else 1 for i in range(self.array.ndim)))
        return kept & (steps < self.lengths.reshape(kept.shape))


class Values(NamedTuple):
    """The arguments of a loss by field, and (batch,) which rows count."""

    by_field: Mapping[str, Value]
    rows: jax.Array

    def __getattr__(self, name: str) -> Value:
        try:
            return self.by_field[name]
        except KeyError:
            raise AttributeError(name) from None

    def mask(self, *names: str) -> jax.Array:
        """Which places count in all of some arguments, to be broadcast; axes as in the first."""
        first, *others = (self.by_field[name] for name in names)
        mask = first.mask(self.rows)
        for other in others:
            if other.lengths is not None and "time" in first.axes:
                mask &= first._replace(lengths=other.lengths).mask(self.rows)
        return mask

    def pair(self, first: str, second: str) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Two arguments in float32 and of one shape (batch, *axes), and which places count.

        Raises:
            SpecError: F0642 sizes that the spec leaves open are not the same in both.
        """
        output, target = self.by_field[first], self.by_field[second]
        wanted = target.floats
        if wanted.ndim and wanted.shape != output.array.shape:
            if _without_single(wanted.shape) != _without_single(output.array.shape):
                raise SpecError([diagnostic(
                    "F0642", "a loss compares number by number, and its output is "
                    f"{_told(output)}, but its target {_told(target)}",
                    help="give the output the length of what it is compared with")])
            wanted = wanted.reshape(output.array.shape)  # without an axis for the only channel
        return (output.floats, jnp.broadcast_to(wanted, output.array.shape),
                self.mask(first, second))


def _without_single(shape: tuple[int, ...]) -> list[int]:
    """(batch, *axes) without axes of size 1."""
    return [*shape[:1], *(size for size in shape[1:] if size != 1)]


def _told(value: Value) -> str:
    return f"({', '.join(f'{a} {n}' for a, n in zip(value.axes, value.array.shape[1:]))})"


def reduced(values: jax.Array, mask: jax.Array, rows: jax.Array, reduce: Reduce) -> Ratio:
    """The mean over all places that count, or over the rows of each row's sum.

    Args:
        values: (batch, *axes); what does not count may even be NaN.
        mask: True for what counts, broadcast against `values`.
        rows: (batch,) True for rows that count.
        reduce: "mean" or "sum".
    """
    mask = jnp.broadcast_to(mask, values.shape)
    weight = mask.sum() if reduce == "mean" else rows.sum()
    return Ratio(jnp.where(mask, values, 0).sum(), weight.astype(jnp.float32))
