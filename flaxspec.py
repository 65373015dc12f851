"""flaxspec: neural networks as YAML, compiled to Flax.

    import flaxspec
    model = flaxspec.build("resnet50")      # an ordinary nnx.Module
    logits = model(images)                  # (batch, height, width, channels) -> (batch, classes)

Names resolve on first use, so that importing this module costs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compiler.lower.module import Model
    from compiler.ops.base import Operator

__version__ = "0.1.0"


def build(
    spec: str | Path, *, variant: str = "", params: dict[str, Any] | None = None,
    operators: tuple[type[Operator], ...] | list[type[Operator]] = (), seed: int = 0,
    dtype: Any = None, param_dtype: Any = None, abstract: bool = False, kernels: str = "auto",
) -> Model:
    """Compile a spec into an `nnx.Module`.

    Args:
        spec: a path, or a name from the zoo such as "resnet50".
        variant: one of the spec's variants.
        params: values for its params, as in `{"classes": 10}`.
        operators: operators of your own, usable in the spec by their `word`.
        seed: of the initial parameters.
        dtype: what floats are computed in; float32 where not given.
        param_dtype: what parameters are kept in; float32 where not given.
        abstract: describe the arrays instead of drawing them, as `nnx.eval_shape` does.
        kernels: "auto", or "reference" for XLA's plain operations.

    Raises:
        SpecError: with every error of the spec.
    """
    import jax.numpy as jnp

    from compiler.diagnostics import Report
    from compiler.lower.build import build_model
    from compiler.pipeline import Request, make_graph

    request = Request(str(spec), variant, values=params, operators=tuple(operators))
    graph = make_graph(request, Report())
    return build_model(graph, seed=seed, dtype=dtype or jnp.float32,
                       param_dtype=param_dtype or jnp.float32, abstract=abstract, kernels=kernels)
