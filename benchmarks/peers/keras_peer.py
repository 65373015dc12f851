"""Keras 3 on JAX: `compile`, `train_on_batch`, `predict_on_batch`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data import MOMENTUM, Weights, batch
from benchmarks.peers import keras_models
from benchmarks.peers.keras_models import keras
from benchmarks.rows import Row


class Peer:
    """A row's model, ready to take steps."""

    def __init__(self, row: Row, weights: Path):
        """Build the model and compile nothing yet."""
        import jax.numpy as jnp

        work = batch(row)
        inputs = [jnp.asarray(work.x)]
        if work.lengths is not None:
            inputs.append(jnp.asarray(work.lengths))
        self.inputs = inputs if len(inputs) > 1 else inputs[0]
        self.labels = jnp.asarray(work.y)
        self.model, made = keras_models.build(row)
        given = Weights(weights)
        keras_models.set_weights(made, given)
        given.done()
        self.model.compile(
            keras.optimizers.SGD(row.learning_rate, momentum=MOMENTUM),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def begin(self):
        """Start a step, and finish it."""
        # Keras reports the mean since the last reset.
        self.model.reset_metrics()
        return self.model.train_on_batch(self.inputs, self.labels)

    def finish(self, begun) -> float:
        """The loss."""
        return float(begun)

    def infer(self) -> None:
        """One prediction."""
        self.model.predict_on_batch(self.inputs)

    def phase(self, name: str) -> None:
        """Nothing: Keras has a function for each phase."""
