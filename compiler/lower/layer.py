"""A layer as an nnx module: the parameters its operator declares, and its lowering."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from compiler.lower.context import Context
from compiler.lower.tensor import Tensor
from compiler.ops import WORDS
from compiler.ops.base import Operator, Parameter


class Frozen(nnx.Variable):
    """A parameter that is not trained (`freeze: true`)."""


class Layer(nnx.Module):
    """An operator with its parameters as attributes: `layer.kernel`, `layer.bias`, …

    Called with arrays as any Flax layer, or by a graph's module with tensors and a context.
    """

    def __init__(
        self, op: Operator, axes: tuple[tuple[str, ...], ...], parameters: Mapping[str, Parameter],
        arrays: Mapping[str, jax.Array], freeze: bool = False,
    ):
        """Make a layer.

        Args:
            op: what it does.
            axes: the axes of each input, for calls with bare arrays.
            parameters: what the operator declares it owns.
            arrays: the initial value of each parameter, already in the dtype it is kept in.
            freeze: keep parameters and statistics as they are.
        """
        self.op = op
        self.axes = axes
        for name, parameter in parameters.items():
            kind = nnx.BatchStat if parameter.statistic else Frozen if freeze else nnx.Param
            setattr(self, name, kind(arrays[name]))

    def get(self, name: str, dtype: Any = None) -> jax.Array | None:
        """The array of a parameter, cast to `dtype` if given; None where there is none."""
        variable = getattr(self, name, None)
        if variable is None:
            return None
        array = variable[...]
        return array if dtype is None else array.astype(dtype)

    def __call__(self, *inputs: Any, context: Context | None = None) -> Any:
        """Apply the operator.

        Args:
            inputs: tensors, or bare arrays (batch, *axes), which give bare arrays back.
            context: the run; evaluation where not given.
        """
        context = context or Context()
        bare = not any(isinstance(x, Tensor) for x in inputs)
        tensors = tuple(x if isinstance(x, Tensor) else Tensor(jnp.asarray(x), a)
                        for x, a in zip(inputs, self.axes, strict=False))
        result = apply(self.op, self, tensors, context)
        if not bare:
            return result
        return result.array if isinstance(result, Tensor) else tuple(t.array for t in result)


def apply(
    op: Operator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> Tensor | tuple[Tensor, ...]:
    """Run an operator: its family's `apply`, or its own where a user brought it.

    Returns:
        One tensor, or one for each of the operator's outputs in their order.
    """
    family = WORDS.get(op.word)
    if family is None:
        return op.apply(layer, inputs, context)  # type: ignore[attr-defined]
    return importlib.import_module(f"compiler.lower.{family}").apply(op, layer, inputs, context)
