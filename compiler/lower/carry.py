"""States that recurrent layers keep from batch to batch (`carry: across`).

A model carries nothing until `begin` gives its layers room for the states of a batch; what
follows is truncated back-propagation: each batch begins with the states that the one before
ended with, row by row, and no gradient crosses the border.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
from flax import nnx

from compiler.lower.layer import Layer
from compiler.ops.recurrent import Layers

# The attribute of a layer that holds its state.
NAME = "carried"


class Carried(nnx.Variable):
    """The state (batch, channels) that a layer ended the last batch with."""


def carries(model: nnx.Module) -> bool:
    """Whether any layer of a model is told to carry its state across batches."""
    return any(True for _ in _layers(model))


def begin(model: nnx.Module, rows: int) -> None:
    """Give each layer with `carry: across` a state of zeros, for batches of so many rows.

    From here on every call of the model reads and writes them; they are the variables of type
    `Carried`, so that `nnx.split(model, nnx.Param, Carried, ...)` takes them apart. A batch
    with another number of rows begins with zeros and leaves them as they are.
    """
    for layer in _layers(model):
        assert isinstance(layer.op, Layers)
        zeros = jnp.zeros((rows, sum(layer.op.all_state_sizes)), jnp.float32)
        setattr(layer, NAME, Carried(zeros))


def reset(model: nnx.Module) -> None:
    """Set every carried state to zeros: a new text begins."""
    for layer in _layers(model):
        variable = getattr(layer, NAME, None)
        if variable is not None:
            variable[...] = jnp.zeros_like(variable[...])


def end(model: nnx.Module) -> None:
    """Take the states away again: every call begins with zeros."""
    for layer in _layers(model):
        if hasattr(layer, NAME):
            delattr(layer, NAME)


def _layers(model: nnx.Module) -> Iterator[Layer]:
    """The layers that carry their state across batches."""
    for _, module in list(nnx.iter_graph(model)):
        if isinstance(module, Layer) and isinstance(module.op, Layers):
            if module.op.carry == "across":
                yield module
