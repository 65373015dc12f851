"""Idiomatic hand-written Flax NNX: `nnx.jit`, `nnx.value_and_grad`, `nnx.Optimizer`."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from benchmarks.data import LEARNING_RATE, MOMENTUM, Weights, batch
from benchmarks.peers import flax_models
from benchmarks.rows import Row


class Peer:
    """A row's model, ready to take steps."""

    def __init__(self, row: Row, weights: Path):
        """Build the model and compile nothing yet."""
        work = batch(row)
        self.inputs = [jnp.asarray(work.x)]
        if work.lengths is not None:
            self.inputs.append(jnp.asarray(work.lengths))
        self.labels = jnp.asarray(work.y)
        self.model = flax_models.build(row)
        given = Weights(weights)
        given.two_biases = row.family == "recurrent"
        flax_models.set_weights(self.model, given)
        self.optimizer = nnx.Optimizer(
            self.model, optax.sgd(LEARNING_RATE, momentum=MOMENTUM), wrt=nnx.Param)

        @nnx.jit
        def train_step(model, optimizer, inputs, labels):
            def loss_of(model):
                return flax_models.loss(model(*inputs), labels)

            loss, gradients = nnx.value_and_grad(loss_of)(model)
            optimizer.update(model, gradients)
            return loss

        @nnx.jit
        def predict(model, inputs):
            return model(*inputs)

        self._train, self._predict = train_step, predict

    def train(self) -> float:
        """One step; the loss."""
        return float(self._train(self.model, self.optimizer, self.inputs, self.labels))

    def infer(self) -> None:
        """One prediction."""
        jax.block_until_ready(self._predict(self.model, self.inputs))

    def evaluate(self) -> None:
        """From training to prediction."""
        self.model.eval()


def peak(size: int = 2048) -> float:
    """Operations a second of a square matrix product."""
    import time

    a = jnp.ones((size, size))
    product = jax.jit(jnp.matmul)
    times = []
    for _ in range(8):
        begun = time.perf_counter()
        product(a, a).block_until_ready()
        times.append(time.perf_counter() - begun)
    return 2 * size**3 / min(times)
