"""flaxspec: neural networks as YAML, compiled to Flax.

    import flaxspec
    model = flaxspec.build("resnet50")      # an ordinary nnx.Module
    logits = model(images)                  # (batch, height, width, channels) -> (batch, classes)

Importing this module is cheap: JAX is imported when something is built.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any


def _refuse_shadowed_packages() -> None:
    """The package names are generic: say whose they are, where another one is in the way.

    Raises:
        ImportError: `compiler` or `runtime` would be imported from somewhere else.
    """
    home = Path(__file__).resolve().parent
    for name in ("compiler", "runtime"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if found is None or found.parent.parent != home:
            raise ImportError(
                f"flaxspec needs its own package `{name}` from {home / name}, but Python finds "
                f"{found or 'none'} first: rename that one, or take its folder off sys.path")


_refuse_shadowed_packages()

from compiler.diagnostics import Diagnostic, SpecError  # noqa: E402
from compiler.ops.base import Init, Operator, Parameter, ShapeError  # noqa: E402
from compiler.types import TensorType  # noqa: E402

if TYPE_CHECKING:
    from compiler.lower.module import Model

__version__ = "0.1.0"
__all__ = ["Diagnostic", "Init", "Operator", "Parameter", "ShapeError", "SpecError", "TensorType",
           "build", "for_inference"]


def build(
    spec: str | Path, *, variant: str = "", params: Mapping[str, Any] | None = None,
    operators: Sequence[type[Operator]] = (), seed: int = 0, dtype: Any = None,
    param_dtype: Any = None, abstract: bool = False, kernels: str = "auto",
    weights: str | Path | None = None, inference: bool = False,
) -> Model:
    """Compile a spec into an `nnx.Module`.

    Example:
        >>> model = flaxspec.build("resnet_cifar", variant="resnet20", params={"classes": 5})
        >>> model.eval()
        >>> model(jnp.zeros((1, 32, 32, 3))).shape
        (1, 5)

    Args:
        spec: a path, or a name from the zoo such as "resnet50"; of a recipe, its model.
        variant: one of the spec's variants.
        params: values for its params, as in `{"classes": 10}`.
        operators: operators of your own, usable in the spec by their `word`; each is an
            `Operator` with a method `apply(layer, inputs, context)` that gives a tensor.
        seed: of the initial parameters; each depends on it and on its own path alone.
        dtype: what floats are computed in; float32 where not given.
        param_dtype: what parameters are kept in; float32 where not given.
        abstract: describe the arrays instead of drawing them, as `nnx.eval_shape` does.
        kernels: "auto", or "reference" for XLA's plain operations.
        weights: a safetensors file with every array of the model, such as the
            `weights.safetensors` of a run, in place of those that the spec itself names.
        inference: give the model that `for_inference` makes.

    Raises:
        SpecError: with every error of the spec, or of a file of weights.
    """
    from compiler.lower.build import build_spec
    from runtime.recipe import Recipe

    return build_spec(spec, variant=variant, params=params, operators=tuple(operators), seed=seed,
                      dtype=dtype, param_dtype=param_dtype, abstract=abstract, kernels=kernels,
                      weights=weights, inference=inference, document=Recipe)


def for_inference(model: Model) -> Model:
    """A model for evaluation only: it computes what `model.eval()` does, with less work.

    Batch norms are folded into the layers before them, and what only training needs is gone.
    Its arrays are made of those that `model` has now; the paths of folded layers are gone. Of
    a spec whose heads exist in training only it gives the one output that is left, not a dict.
    Do not train it.

    Args:
        model: a model that `build` made.
    """
    from compiler.lower.fold import inference_model

    return inference_model(model)
