"""A layer that becomes ONNX nodes: its arrays, the types that it makes, its family."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from compiler.ops import WORDS
from compiler.ops.base import Operator
from compiler.targets.onnx.builder import Builder, Refused, Tensor, plain_order
from compiler.types import TensorType


@dataclass(frozen=True)
class Layer:
    """What an operator is told of the layer it stands in.

    Attributes:
        path: where the layer's arrays are in the model.
        arrays: all arrays of the model by path.
        outputs: the types that it makes, in their order.
        tied: for each tied field the path of the borrowed array.
    """

    path: str
    arrays: Mapping[str, np.ndarray]
    outputs: tuple[TensorType, ...]
    tied: tuple[str, ...] = ()

    def name(self, parameter: str) -> str:
        """The path of a parameter."""
        return f"{self.path}.{parameter}"

    def get(self, parameter: str) -> np.ndarray | None:
        """A parameter in float32; None where the layer does not have it."""
        array = self.arrays.get(self.name(parameter))
        return None if array is None else np.asarray(array, np.float32)

    def own(self, parameter: str) -> np.ndarray:
        """A parameter that the layer has."""
        array = self.get(parameter)
        assert array is not None, self.name(parameter)
        return array

    def made(self, name: str, lengths: str | None = None, order: tuple[str, ...] = ()) -> Tensor:
        """The layer's first output, channels last where no order is given."""
        return made(name, self.outputs[0], lengths, order)


def made(
    name: str, type: TensorType, lengths: str | None = None, order: tuple[str, ...] = (),
) -> Tensor:
    """A tensor of a type; only what has a time axis keeps lengths."""
    return Tensor(name, type, order or plain_order(type), lengths if "time" in type.axes else None)


def emit(op: Operator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> tuple[Tensor, ...]:
    """Add an operator's nodes: its family's `emit`.

    Returns:
        One tensor for each of the operator's outputs, in their order.

    Raises:
        Refused: ONNX cannot express it.
    """
    family = WORDS.get(op.word)
    if family is None:
        raise Refused(f"`{op.word}` is an operator of your own, which only Python computes",
                      "write the layer with the language's own operators, or export to StableHLO")
    module = importlib.import_module(f"compiler.targets.onnx.{family}")
    result = module.emit(op, layer, inputs, g)
    return result if isinstance(result, tuple) else (result,)
