"""flaxspec as a recipe runs it: the runtime's own training step, and the folded model."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import flaxspec
from benchmarks.data import MOMENTUM, batch
from benchmarks.peers.macs import described
from benchmarks.rows import Row
from compiler.graph import subgraph
from compiler.lower.fold import inference_model
from compiler.ops.base import Operator
from runtime import optim
from runtime.batch import Batch
from runtime.data.dataset import Part
from runtime.data.pipeline import epoch_order, examples
from runtime.mesh import Placement
from runtime.step import PureModel, State, train_step, training_loss
from runtime.tasks.classification import Classification
from runtime.tasks.language_modelling import LanguageModelling


class Peer:
    """A row's model, ready to take steps."""

    kernels = "auto"

    def __init__(self, row: Row, weights: Path):
        """Build the model, and write its weights for the others if they are not there."""
        work = batch(row)
        self.model = flaxspec.build(row.spec, params=row.params, kernels=self.kernels)
        self.model.train()
        if not weights.exists():
            export(self.model, weights)
        name = self.model._graph.inputs[0].name
        task = LanguageModelling(target="label") if row.tokens else Classification()
        pure, params, rest = PureModel.split(self.model, {name: name})
        # The chain that the runtime makes of `sgd: {learning_rate: …, momentum: …}`.
        call = optim.Call("optimizers", "sgd",
                          {"learning_rate": row.learning_rate, "momentum": MOMENTUM})
        optimizer = optim.build([call], optim.Run(1000, 100))
        # The model keeps its arrays: the state, which is consumed, gets copies.
        params, rest = jax.tree.map(jnp.copy, (params, rest))
        self.state = State(params, rest, optimizer.init(params), jnp.zeros((), jnp.int32))
        lengths = {} if work.lengths is None else {name: jnp.asarray(work.lengths)}
        self.batch = Batch({name: jnp.asarray(work.x), "label": jnp.asarray(work.y)}, lengths,
                           jnp.ones(row.batch, bool))
        self.key = jax.random.key(0)
        loss = training_loss(pure, task, lambda batch, key: batch)
        self._train = train_step(loss, optimizer)
        self._inputs = [self.batch.arrays[name]]
        self._lengths = lengths.get(name)
        self._pure = pure

    def begin(self) -> Any:
        """Start a step."""
        self.state, measured = self._train(self.state, self.batch, self.key)
        return measured["loss"]

    def finish(self, begun: Any) -> float:
        """Wait for it; the loss."""
        total, weight = begun
        return float(total) / float(weight)

    def infer(self) -> None:
        """One prediction."""
        jax.block_until_ready(self._predict(self._arrays, self._inputs, self._lengths))

    def phase(self, name: str) -> None:
        """From training to prediction, with weights folded together."""
        if name == "train":
            return
        from flax import nnx

        self._pure.put(self.model, *jax.tree.map(jnp.copy, (self.state.params, self.state.rest)))
        structure, self._arrays = nnx.split(inference_model(self.model))

        def predict(arrays, inputs, lengths):
            return nnx.merge(structure, arrays)(*inputs, lengths=lengths)

        self._predict = jax.jit(predict)

    def describe(self) -> dict[str, Any]:
        """Multiplications of a step, and the memory that XLA plans for it."""
        return described(self._train, self.state, self.batch, self.key)

    def fed(self, count: int) -> float:
        """The share of some steps that is spent waiting for a batch from the runtime's pipeline.

        The data set has four batches' examples; the clock stands while a step that is under
        way ends, so that the gathering of the next batch is not hidden behind it.
        """
        rows = len(self.batch.rows)

        def four(array: Any) -> np.ndarray:
            return np.concatenate([np.asarray(array)] * 4)

        part = Part({name: four(array) for name, array in self.batch.arrays.items()},
                    {name: four(lengths) for name, lengths in self.batch.lengths.items()})
        source, placement = examples(part), Placement.over(jax.local_devices())

        def batches():
            for epoch in itertools.count(1):
                order = epoch_order(part.size, 0, epoch)
                yield from map(placement.cut, source.batches(order, rows))

        feed, waited = batches(), 0.0
        self.batch = jax.block_until_ready(next(feed))
        self.finish(self.begin())
        begun = time.perf_counter()
        for _ in range(count):
            asked = time.perf_counter()
            self.batch = jax.block_until_ready(next(feed))
            waited += time.perf_counter() - asked
            self.finish(self.begin())
        return waited / (time.perf_counter() - begun)


class Reference(Peer):
    """The same with XLA's plain operations."""

    kernels = "reference"


def export(model, path: Path) -> None:
    """Write the parameters (not the statistics) in the order of the layers."""
    arrays: dict[str, np.ndarray] = {}

    def visit(graph, module, prefix):
        done = set()
        for node in graph.nodes:
            if node.weights in done:
                continue
            done.add(node.weights)
            child = module
            for step in node.weights.split("."):
                child = getattr(child, step, None)
            inner = subgraph(node)
            if inner is not None:
                visit(inner, child, f"{prefix}{node.weights}.")
            elif child is not None and isinstance(node.operation, Operator):
                types = tuple(v.type for v in node.inputs)
                for name, parameter in node.operation.parameters(*types).items():
                    if not parameter.statistic:
                        key = f"{len(arrays):05d}|{prefix}{node.weights}.{name}"
                        arrays[key] = np.asarray(getattr(child, name)[...])

    visit(model._graph, model, "")
    np.savez(path, **arrays)
