"""One of several processes that train a recipe together; `test_mesh` starts them.

Reads the recipe on standard input, and prints what it read and what came of it as JSON.
Arguments: the coordinator's address, how many processes there are, and which one this is.
"""

import json
import sys
import zlib

import jax
import numpy as np

address, count, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if count > 1:
    jax.distributed.initialize(address, count, number)

from compiler.diagnostics import Report  # noqa: E402 - JAX has to know of the others first
from compiler.lower.build import build_model  # noqa: E402
from compiler.source import Source  # noqa: E402
from runtime import loop  # noqa: E402
from runtime.mesh import Placement  # noqa: E402
from runtime.run import prepare  # noqa: E402

recipe = prepare(Source("recipe.yaml", sys.stdin.read()), Report())
data = recipe.training.data.load()
job = loop.Job("test", recipe.training, build_model(recipe.graph), recipe.inputs)
setup, state = loop.set_up(job, data, Placement.over(jax.devices()))
read = []
for batch in loop._epoch(job, setup, 1, 0):
    own = [np.asarray(s.data) for s in sorted(
        batch.arrays["image"].addressable_shards, key=lambda s: s.index[0].start or 0)]
    rows = np.concatenate([np.asarray(s.data) for s in sorted(
        batch.rows.addressable_shards, key=lambda s: s.index[0].start or 0)])
    read += [zlib.crc32(image.tobytes()) for image in np.concatenate(own)[rows]]
    state, _ = setup.step(state, batch, setup.key)
print(json.dumps({
    "devices": len(jax.devices()), "read": read,
    "weights": {n: np.asarray(a).tolist() for n, a in state.params.items()},
    "test": loop.evaluate(job, setup, "test", state.params, state.rest)}))
