"""Graph to module: the parameters drawn, loaded from a file, or only described."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compiler.diagnostics import Report
from compiler.graph import Call, Graph
from compiler.lower.fold import inference_model
from compiler.lower.initialise import initial
from compiler.lower.module import Model
from compiler.lower.weights import load_weights
from compiler.ops.base import Init, Operator, Parameter
from compiler.passes import INFERENCE, PIPELINE, optimise
from compiler.pipeline import Request, graph_of, make_program
from compiler.spec import Document


def build_spec(
    spec: str | Path, *, variant: str = "", params: Mapping[str, Any] | None = None,
    operators: tuple[type[Operator], ...] = (), seed: int = 0, dtype: Any = None,
    param_dtype: Any = None, abstract: bool = False, kernels: str = "auto",
    weights: str | Path | None = None, inference: bool = False,
    document: type[Document] = Document,
) -> Model:
    """The module of a spec; `flaxspec.build` documents the arguments.

    Raises:
        SpecError: with every error of the spec, or of a file of weights it names.
    """
    report = Report()
    program = make_program(Request(str(spec), variant, values=params, operators=operators,
                                   document=document), report)
    options: dict[str, Any] = {"seed": seed, "dtype": dtype or jnp.float32,
                               "param_dtype": param_dtype or jnp.float32, "kernels": kernels}
    graph = graph_of(program, report)
    if abstract:
        return build_model(optimise(graph, INFERENCE if inference else PIPELINE), abstract=True,
                           **options)
    graph = optimise(graph)
    model = build_model(graph, **options)
    if weights is not None:
        load_weights(model, Path(weights), graph)
    else:
        load_named_weights(model, graph, program.weights_file)
    return inference_model(model) if inference else model


def load_named_weights(model: Model, graph: Graph, whole: Path | None) -> None:
    """Load the files of weights that a spec names, for the whole model and for used ones.

    Raises:
        SpecError: a file is missing, damaged, or does not fit.
    """
    if whole is not None:
        load_weights(model, whole, graph)
    _load_used(model, graph)


def _load_used(module: Any, graph: Graph) -> None:
    """Load the weights of the models that a graph uses, outer ones first."""
    for node in graph.nodes:
        if isinstance(node.operation, Operator):
            continue
        inner = reduce(getattr, node.weights.split("."), module)
        if isinstance(node.operation, Call) and node.operation.weights_file is not None:
            load_weights(inner, node.operation.weights_file, node.operation.graph)
        _load_used(inner, node.operation.graph)


def build_model(
    graph: Graph, *, seed: int = 0, dtype: Any = jnp.float32, param_dtype: Any = jnp.float32,
    abstract: bool = False, kernels: str = "auto", output_dtype: Any = None,
) -> Model:
    """The module of a graph, which is taken as it is: the caller runs the passes.

    Args:
        graph: a typed graph.
        seed: of the initial parameters; each depends on it and on its own path alone.
        dtype: what floats are computed in.
        param_dtype: what parameters and statistics are kept in.
        abstract: describe the arrays (`jax.ShapeDtypeStruct`) and draw none.
        kernels: "auto" for our kernels, "reference" for XLA's plain operations.
        output_dtype: what its float outputs are given in; what they are computed in if None.
    """

    def make(path: str, parameter: Parameter, init: Init) -> Any:
        if abstract:
            return jax.ShapeDtypeStruct(parameter.shape, jnp.dtype(param_dtype))
        array = initial(init, parameter.shape, seed, path)
        # Not `jnp.asarray`, which compiles a program for every shape.
        return jax.device_put(array.astype(np.dtype(param_dtype), copy=False))

    return Model(graph, make, dtype=dtype, seed=seed, kernels=kernels, output_dtype=output_dtype)

