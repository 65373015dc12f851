"""What is exported: a run or a spec, its model in float32, and what is known around it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.graph import Graph, Value, walk
from compiler.lower import carry
from compiler.lower.build import build_model, load_named_weights
from compiler.lower.fold import inference_model
from compiler.lower.module import Model
from compiler.lower.weights import load_weights, variables
from compiler.ops.convolution import Conv, ConvTranspose
from compiler.ops.pooling import MaxPool
from compiler.ops.recurrent import ConvLstm, ConvLstmCell
from compiler.passes import EVALUATION, optimise
from compiler.pipeline import Request, graph_of, make_program
from compiler.targets.identity import network_hash
from compiler.version import VERSION
from runtime import folder as files
from runtime.data.dataset import Scale
from runtime.finding import find
from runtime.recipe import Recipe
from runtime.saved import Trained, read_run
from runtime.share.reference import names_bundle

# An input's lengths come under its name and this.
LENGTHS = ".lengths"


@dataclass(frozen=True)
class Subject:
    """A model on its way out.

    Attributes:
        name: the spec's name.
        model: the compiled module, in evaluation and in float32.
        graph: its layers in evaluation.
        hash: which network it is, whatever it is called.
        weights: where its weights come from, in words.
        lengths: the inputs that bring the lengths of their rows with them.
        normalise: for inputs that the file normalises first, how.
        scales: for inputs that are normalised anywhere, how.
        labels: what classes are called, by field.
        trained: the run, with its data; None for a spec.
        remarks: what a user should know, one line each.
    """

    name: str
    model: Model
    graph: Graph
    hash: str
    weights: str
    lengths: frozenset[str]
    normalise: Mapping[str, Scale] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    trained: Trained | None = None
    remarks: tuple[str, ...] = ()

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The model's parameters and running statistics by path."""
        return {path: np.asarray(v[...]) for path, v in variables(self.model).items()}

    @property
    def metadata(self) -> dict[str, str]:
        """What every file says of itself."""
        found = {"flaxspec": VERSION, "name": self.name, "network": self.hash,
                 "weights": self.weights}
        if self.labels:
            found["labels"] = json.dumps(
                {name: list(labels) for name, labels in self.labels.items()}, ensure_ascii=False)
        if self.scales:
            found["normalise"] = json.dumps({
                name: {"mean": [float(m) for m in np.ravel(scale.mean)],
                       "deviation": [float(d) for d in np.ravel(scale.deviation)],
                       "inside": name in self.normalise}
                for name, scale in self.scales.items()})
        return found

    def outputs(
        self, arrays: Mapping[str, Any], lengths: Mapping[str, Any],
    ) -> dict[str, tuple[Any, Any]]:
        """Arrays and lengths of the outputs; a function for `jax.jit` and `jax.export`."""
        read = {name: self.normalise[name].normalised(array) if name in self.normalise else array
                for name, array in arrays.items()}
        results = self.model.run(read, lengths, training=False)
        return {name: (t.array, t.lengths) for name, t in results.items()}


def is_run(reference: str) -> bool:
    """Whether a reference is a run's folder, its name in `runs/`, or a bundle."""
    if names_bundle(reference):
        return True
    if os.path.exists(reference):
        return os.path.isdir(reference)
    return os.path.isdir(Path("runs") / reference)


@dataclass(frozen=True)
class Wish:
    """How a model is to be read.

    Attributes:
        fold: multiply norms into the layers before them.
        normalise: let the model begin with the run's normalisation of its inputs.
        lengths: whether inputs bring lengths; None for those whose length is open.
        steps: the number to put for every open length; symbolic where None.
        symbolic: the module is traced with sizes that are symbols.
    """

    fold: bool = False
    normalise: bool = True
    lengths: bool | None = None
    steps: int | None = None
    symbolic: bool = False


def read_subject(
    reference: str, wish: Wish, report: Report, *, variant: str = "",
    assignments: Sequence[str] = (), weights: Path | None = None,
) -> Subject:
    """A run or a spec, ready to be written.

    Args:
        reference: a run's folder or name, or a spec.
        wish: how to read it.
        report: where warnings go.
        variant: one of a spec's variants.
        assignments: the texts of `--set`, for a spec.
        weights: a file of weights in place of the reference's own.

    Raises:
        SpecError: it is not in order.
    """
    known = folder = prepared = None
    if is_run(reference):
        if variant or assignments:
            raise SpecError([diagnostic(
                "F0219", "a run is what it was trained as: it takes no `--variant` and no `--set`",
                help=f"export its spec, `{reference}/{files.SPEC}`, with `--weights`")])
        folder = find(reference)
        prepared, known = read_run(folder)
        program = prepared.program
    else:
        program = make_program(
            Request(reference, variant, tuple(assignments), document=Recipe), report)
    graph = graph_of(program, report, length=wish.steps)
    plain = wish.symbolic and _chooses_by_size(graph)
    model = build_model(optimise(graph), kernels="reference" if plain else "auto")
    if weights is not None:
        load_weights(model, weights, graph)
        origin = str(weights)
    elif folder is not None:
        load_weights(model, folder / files.WEIGHTS, graph)
        origin = f"of the run {reference}"
    else:
        before = {n: np.asarray(v[...]) for n, v in variables(model).items()}
        load_named_weights(model, graph, program.weights_file)
        same = all((np.asarray(v[...]) == before[n]).all() for n, v in variables(model).items())
        origin = "as initialised: the spec names none" if same else "of the files that it names"
    trained = None
    if prepared is not None and known is not None:
        trained = Trained(model, prepared.training, prepared.inputs, known, folder)
    model.eval()
    scales = {}
    if known is not None and prepared is not None:
        scales = {name: known.normalise[f] for name, f in prepared.inputs.items()
                  if f in known.normalise}
    identity = network_hash(graph)
    remarks = _remarks(model, prepared)
    model = inference_model(model) if wish.fold else model
    return Subject(
        program.name, model, optimise(model._graph, EVALUATION), identity, origin,
        frozenset(v.name for v in graph.inputs if _has_lengths(v, wish.lengths)),
        scales if wish.normalise else {}, scales,
        dict(known.meaning.labels) if known is not None else {}, trained, remarks)


def _chooses_by_size(graph: Graph) -> bool:
    """Whether a layer's kernel depends on its sizes, which has to know them all."""
    windowed = Conv | ConvTranspose | ConvLstm | ConvLstmCell | MaxPool
    return any(isinstance(node.operation, windowed) for _, node in walk(graph))


def _has_lengths(value: Value, wish: bool | None) -> bool:
    if "time" not in value.type.axes:
        return False
    return isinstance(value.type.length, str) if wish is None else wish


def _remarks(model: Model, prepared: Any) -> tuple[str, ...]:
    found = []
    if prepared is not None and prepared.training.train.precision.compute != "float32":
        found.append(f"the run computes in {prepared.training.train.precision.compute}, the "
                     "file in float32")
    if carry.carries(model):
        found.append("layers with `carry: across` begin every call with zeros")
    return tuple(found)
