"""A part of a recipe's data, measured with the model's first weights."""

import jax
import numpy as np

from compiler.diagnostics import Report
from compiler.lower.build import build_model
from compiler.source import Source
from runtime.data.pipeline import examples
from runtime.meter import Meter
from runtime.run import load_data, prepare
from runtime.step import PureModel


def evaluated(text, batch_size, part="test"):
    """How much counted, the figures, the number of shapes of batches, and the part itself."""
    ready = prepare(Source("recipe.yaml", text), Report())
    data = load_data(ready)
    model, params, rest = PureModel.split(build_model(ready.graph, seed=0), ready.inputs)
    judge = ready.training.task.fitted(data)

    @jax.jit
    def measure(batch):
        outputs, _ = model.run(params, rest, batch, training=False, key=None)
        return judge.measure(outputs, batch, training=False)

    meter, counted, shapes = Meter(), 0.0, set()
    whole = getattr(data, part)
    for batch in examples(whole).batches(np.arange(whole.size), batch_size):
        measured = measure(batch)
        counted += float(measured["loss"].weight)
        shapes.add(tuple(array.shape for array in batch.arrays.values()))
        meter.add(measured)
    return counted, judge.finish(meter.means(), data), len(shapes), whole
