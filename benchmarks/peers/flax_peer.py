"""Idiomatic hand-written Flax NNX: `nnx.jit`, `nnx.value_and_grad`, `nnx.Optimizer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from benchmarks.data import MOMENTUM, Weights, batch
from benchmarks.peers import flax_models
from benchmarks.peers.macs import described
from benchmarks.rows import Row


def train_step(model, optimizer, inputs, labels):
    """A step of training; the loss."""
    def loss_of(model):
        return flax_models.loss(model(*inputs), labels)

    loss, gradients = nnx.value_and_grad(loss_of)(model)
    optimizer.update(model, gradients)
    return loss


def predict(model, inputs):
    """The outputs."""
    return model(*inputs)


class Peer:
    """A row's model, ready to take steps."""

    def __init__(self, row: Row, weights: Path):
        """Build the model and compile nothing yet."""
        work = batch(row)
        self.inputs = [jnp.asarray(work.x)]
        if work.lengths is not None:
            self.inputs.append(jnp.asarray(work.lengths))
        self.labels = jnp.asarray(work.y)
        self.model = flax_models.initialised(row, Weights(weights))
        self.optimizer = nnx.Optimizer(
            self.model, optax.sgd(row.learning_rate, momentum=MOMENTUM), wrt=nnx.Param)
        self._train, self._predict = nnx.jit(train_step), nnx.jit(predict)

    def begin(self) -> jax.Array:
        """Start a step."""
        return self._train(self.model, self.optimizer, self.inputs, self.labels)

    def finish(self, begun: jax.Array) -> float:
        """Wait for it; the loss."""
        return float(begun)

    def infer(self) -> None:
        """One prediction."""
        jax.block_until_ready(self._predict(self.model, self.inputs))

    def phase(self, name: str) -> None:
        """From training to prediction, and back."""
        self.model.train() if name == "train" else self.model.eval()

    def describe(self) -> dict[str, Any]:
        """Multiplications of a step, and the memory that XLA plans for it."""
        self.phase("train")
        structure, state = nnx.split((self.model, self.optimizer))

        def step(state, inputs, labels):
            model, optimizer = nnx.merge(structure, state)
            loss = train_step(model, optimizer, inputs, labels)
            return loss, nnx.state((model, optimizer))

        # nnx.jit keeps its program to itself: the same function and the same arrays, none donated.
        return described(jax.jit(step), state, self.inputs, self.labels)
