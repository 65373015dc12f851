"""Trains recipes on one and on four devices; `test_mesh` runs this in a process that has four.

Reads a list of recipes as JSON on standard input and prints, for each, what both runs left.
"""

import json
import sys
from itertools import islice

import jax
import numpy as np

from compiler.diagnostics import Report
from compiler.lower.build import build_model
from compiler.source import Source
from runtime import loop
from runtime.mesh import Placement
from runtime.run import prepare

STEPS = 4


def run(text: str, count: int) -> dict:
    recipe = prepare(Source("recipe.yaml", text), Report())
    job = loop.Job("test", recipe.training, build_model(recipe.graph), recipe.inputs)
    setup, state = loop.set_up(
        job, recipe.training.data.load(), Placement.over(jax.devices()[:count]))
    devices = set()
    for batch in islice(loop._epoch(job, setup, 1, 0), STEPS):
        devices.add(len(batch.rows.sharding.device_set))
        state, _ = setup.step(state, batch, setup.key)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state))
    arrays = {n: a for n, a in (state.params | state.rest).items() if not n.startswith("rngs")}
    return {"cut": sorted(devices),
            "copies": len(next(iter(state.params.values())).sharding.device_set),
            "weights": {n: np.asarray(a).tolist() for n, a in arrays.items()},
            "test": loop.evaluate(job, setup, "test", state.params, state.rest)}


assert len(jax.devices()) == 4
print(json.dumps([[run(text, 1), run(text, 4)] for text in json.load(sys.stdin)]))
