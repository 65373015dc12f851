"""A model as serialised StableHLO: what any process with JAX loads, without flaxspec.

    exported = jax.export.deserialize(open("model.stablehlo", "rb").read())
    exported.call({"image": images})["output"]

The weights are inside. The batch is free, and so is every open length where the layers allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from compiler.diagnostics import SpecError, diagnostic
from compiler.graph import Graph

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
LENGTHS = ".lengths"
_DTYPES = {"float": jnp.float32, "int": jnp.int32, "bool": jnp.bool_}

# Of arrays and lengths by input name: arrays and lengths by output name.
Outputs = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, tuple[Any, Any]]]


def stablehlo_bytes(
    graph: Graph, outputs: Outputs, *, lengths: Collection[str] = (),
    platforms: Sequence[str] = PLATFORMS,
) -> bytes:
    """A model as `jax.export` serialises it.

    Args:
        graph: its layers in evaluation, for the types of its inputs.
        outputs: the model as a pure function.
        lengths: the inputs that bring the lengths of their rows with them, as `NAME.lengths`.
        platforms: where it is to run: "cpu", "cuda", "rocm", "tpu".

    Returns:
        The bytes of a function of one map, arrays (batch, *axes) by input name, that gives a map
        of arrays by output name.

    Raises:
        SpecError: F0922 a layer needs to know a length that is open.
    """
    def function(given: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        rows = {n.removesuffix(LENGTHS): a for n, a in given.items() if n.endswith(LENGTHS)}
        arrays = {n: a for n, a in given.items() if not n.endswith(LENGTHS)}
        found: dict[str, jax.Array] = {}
        for name, (array, ends) in outputs(arrays, rows).items():
            found[name] = array
            if ends is not None:
                found[name + LENGTHS] = ends
        return found

    try:
        exported = export.export(jax.jit(function), platforms=list(platforms))(
            _shapes(graph, lengths))
    except Exception as error:
        # JAX tells what it cannot decide about a symbolic size in several classes of errors.
        if not _is_open(graph) or not _symbolic(error):
            raise
        raise SpecError([diagnostic(
            "F0922", "a layer of this network has to know how long a sequence is",
            notes=[str(error).strip().partition("\n")[0]],
            help="say how many steps with `--length N`, or export to ONNX, where every open length "
                 "stays open")]) from None
    return bytes(exported.serialize())


def _shapes(graph: Graph, lengths: Collection[str]) -> dict[str, jax.ShapeDtypeStruct]:
    """The inputs with a symbol for the batch and for each open length."""
    names = sorted({s for v in graph.inputs for s in v.type.shape if isinstance(s, str)})
    symbols = {name: f"t{i or ''}" for i, name in enumerate(names)}
    scope = export.SymbolicScope()
    found = {}
    for value in graph.inputs:
        sizes = ", ".join(str(symbols.get(s, s)) if isinstance(s, str) else str(s)
                          for s in value.type.shape)
        shape = export.symbolic_shape(f"b, {sizes}" if sizes else "b,", scope=scope)
        found[value.name] = jax.ShapeDtypeStruct(shape, _DTYPES[value.type.dtype])
        if value.name in lengths:
            found[value.name + LENGTHS] = jax.ShapeDtypeStruct(shape[:1], jnp.int32)
    return found


def _is_open(graph: Graph) -> bool:
    return any(not v.type.is_known for v in graph.inputs)


def _symbolic(error: Exception) -> bool:
    """Whether an error is about a size that is a symbol."""
    told = f"{type(error).__name__}: {error}"
    return any(word in told for word in ("symbolic", "InconclusiveDimension", "_DimExpr",
                                         "dimension variable"))
