"""A hand-written Flax program up to the end of its first step: ResNet-50, 224×224, batch 16.

It prints a line at the end of each stage; `benchmarks.startup` reads the clock.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.data import MOMENTUM
from benchmarks.peers import flax_models
from benchmarks.peers.flax_peer import train_step
from benchmarks.rows import ROWS


def main() -> None:
    """Build, compile, and make a step."""
    row = ROWS["resnet50-224-b16"]
    print("STAGE imports", flush=True)
    model = flax_models.build(row)
    optimizer = nnx.Optimizer(model, optax.sgd(row.learning_rate, momentum=MOMENTUM), wrt=nnx.Param)
    print("STAGE build", flush=True)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((row.batch, *row.input)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, row.classes, row.batch))
    print("STAGE data", flush=True)
    loss = nnx.jit(train_step)(model, optimizer, [images], labels)
    print(f"STAGE compile and first step, loss {float(loss):.3f}", flush=True)


if __name__ == "__main__":
    main()
