"""A model as serialised StableHLO: what any process with JAX loads, without flaxspec.

    exported = jax.export.deserialize(open("model.stablehlo", "rb").read())
    exported.call({"image": images})["output"]

The weights are inside. The batch is free, and so is every open length where the layers allow it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from compiler.diagnostics import Diagnostic, Label, SpecError, diagnostic
from compiler.graph import Graph, Node
from compiler.ops.base import Operator

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
LENGTHS = ".lengths"
# The fewest steps that a length may have: more of them decide what a window leaves of it.
FEWEST = (1, 4, 16, 64)
ASSUMED = 512  # steps with which a network is tried that cannot do with a symbol
_DTYPES = {"float": jnp.float32, "int": jnp.int32, "bool": jnp.bool_}

# Of arrays and lengths by input name: arrays and lengths by output name.
Outputs = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, tuple[Any, Any]]]


def stablehlo_bytes(
    graph: Graph, outputs: Outputs, *, lengths: Collection[str] = (),
    platforms: Sequence[str] = PLATFORMS,
) -> tuple[bytes, int]:
    """A model as `jax.export` serialises it, and the fewest steps that an open length may have.

    Args:
        graph: its layers in evaluation, for the types of its inputs.
        outputs: the model as a pure function.
        lengths: the inputs that bring the lengths of their rows with them, as `NAME.lengths`.
        platforms: where it is to run: "cpu", "cuda", "rocm", "tpu".

    Returns:
        The bytes of a function of one map, arrays (batch, *axes) by input name, that gives a map
        of arrays by output name; and how many steps its sequences need, 1 where any will do.

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

    wrong: Exception | None = None
    for least in FEWEST:
        try:
            exported = export.export(jax.jit(function), platforms=list(platforms))(
                _shapes(graph, lengths, least))
            return bytes(exported.serialize()), least
        except Exception as error:
            # What cannot be decided about a symbol ends in many classes of errors; whether the
            # symbol is to blame shows where there is none.
            if all(v.type.is_known for v in graph.inputs):
                raise
            wrong = error
    assert wrong is not None
    jax.eval_shape(function, _shapes(graph, lengths, steps=ASSUMED))
    raise SpecError([_refusal(wrong)])


def _shapes(
    graph: Graph, lengths: Collection[str], least: int = 1, steps: int = 0,
) -> dict[str, jax.ShapeDtypeStruct]:
    """The inputs with a symbol for the batch, and for each open length where `steps` is 0.

    Args:
        graph: has the inputs.
        lengths: those with lengths.
        least: the fewest steps that a length may stand for.
        steps: the number in place of every open length.
    """
    names = sorted({s for v in graph.inputs for s in v.type.shape if isinstance(s, str)})
    symbols = {name: f"t{i or ''}" for i, name in enumerate(names)}
    scope = export.SymbolicScope([f"{s} >= {least}" for s in symbols.values()])
    found = {}
    for value in graph.inputs:
        sizes = ", ".join(str(steps or symbols[s] if isinstance(s, str) else s)
                          for s in value.type.shape)
        shape = export.symbolic_shape(f"b, {sizes}" if sizes else "b,", scope=scope)
        found[value.name] = jax.ShapeDtypeStruct(shape, _DTYPES[value.type.dtype])
        if value.name in lengths:
            found[value.name + LENGTHS] = jax.ShapeDtypeStruct(shape[:1], jnp.int32)
    return found


def _refusal(error: Exception) -> Diagnostic:
    """What to say of a layer that needs a length, which stands in the error's traceback."""
    node: Node | None = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        found = frame.f_locals.get("node")
        node = found if isinstance(found, Node) else node
    remedy = ("fix the length with `--length N`, or export to ONNX, where every open length stays "
              "open")
    if node is None or not isinstance(node.operation, Operator):
        return diagnostic("F0922", "a layer of this network has to know how long a sequence is",
                          notes=[str(error).strip().partition("\n")[0]], help=remedy)
    frames = [Label(at, text) for text, at in reversed(node.origin.frames)]
    return diagnostic("F0922", f"`{node.operation.word}` has to know how long a sequence is",
                      node.origin.span, help=remedy, more=frames)
