"""Random operators: what is for training does nothing; what is random always is refused."""

from __future__ import annotations

from compiler.ops.noise import NoiseOperator, Random
from compiler.targets.onnx.builder import Builder, Refused, Tensor
from compiler.targets.onnx.layer import Layer


def emit(op: NoiseOperator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    """The input as it is."""
    if isinstance(op, Random):
        raise Refused("`random` draws new numbers at every call, which no two runtimes draw alike",
                      "make the noise an input of the model: `inputs: {noise: {shape: […]}}`")
    return inputs[0]
