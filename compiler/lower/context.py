"""What a layer is told of the run it is part of."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax

# Is told the path of a layer and what comes out of it; may give other arrays in their place.
Watch = Callable[[str, Iterable[jax.Array]], Sequence[jax.Array] | None]


def replacing(path: str, change: Callable[[jax.Array], jax.Array]) -> Watch:
    """A watch that puts something else in the place of what comes first out of one layer.

    Args:
        path: the layer.
        change: gives the other array of what came out.
    """
    def watch(found: str, arrays: Iterable[jax.Array]) -> Sequence[jax.Array] | None:
        if found != path:
            return None
        first, *others = arrays
        return [change(first), *others]

    return watch


@dataclass(frozen=True)
class Context:
    """The phase, randomness and settings of one pass through a model.

    Attributes:
        training: dropout drops, batch norms use and update the batch's statistics.
        key: randomness for this layer, or None where nothing random may happen.
        row_mask: (batch,) True for real rows; None where all are. Rows that only pad the
            last batch do not count in batch statistics.
        frozen: the layer's parameters and statistics must stay as they are.
        tied: for each tied field, the borrowed array.
        taps: the further outputs that something reads.
        dtype: of the floats that a layer makes from integers (embed, one_hot); the width it
            keeps its parameters in, or float32, where None.
        kernels: "auto" for our kernels, "reference" for XLA's plain operations.
        sampling: a scalar that multiplies how often scans with `sample` see their own choices;
            None for 1.
        watch: is told the path of every layer and the arrays that come out of it, to find
            faults; as many arrays that it gives back take their place. Nothing is computed anew
            for the backward pass then. Whoever runs layers in a trace of its own (a scan) must
            run them without it.
    """

    training: bool = False
    key: jax.Array | None = None
    row_mask: jax.Array | None = None
    frozen: bool = False
    tied: tuple[jax.Array, ...] = ()
    taps: tuple[str, ...] = ()
    dtype: Any = None
    kernels: str = "auto"
    sampling: jax.Array | None = None
    watch: Watch | None = None

    def at(self, path: str) -> Context:
        """The context of the layer at `path`: its own randomness, whatever its neighbours draw."""
        if self.key is None:
            return self
        return replace(self, key=jax.random.fold_in(self.key, zlib.crc32(path.encode())))

    def inside(self, path: str) -> Context:
        """The context of the layers of the block at `path`: their paths begin with it."""
        watch = self.watch
        if watch is None:
            return self
        return replace(self, watch=lambda inner, arrays: watch(f"{path}.{inner}", arrays))

    def rng(self) -> jax.Array:
        """This layer's key.

        Raises:
            ValueError: the model was run without one.
        """
        if self.key is None:
            raise ValueError(
                "this model draws random numbers here: pass rngs=nnx.Rngs(dropout=seed), "
                "or call model.eval() first")
        return self.key
