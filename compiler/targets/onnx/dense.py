"""Dense layers as `Gemm` or `MatMul`, embeddings as `Gather`."""

from __future__ import annotations

from typing import assert_never

import numpy as np

from compiler.ops.dense import Dense, DenseOperator, Embed, Learned, OneHot
from compiler.targets.onnx.builder import Builder, Tensor
from compiler.targets.onnx.layer import Layer


def emit(op: DenseOperator, layer: Layer, inputs: tuple[Tensor, ...], g: Builder) -> Tensor:
    """Add the nodes of a dense layer or a look-up."""
    (x,) = inputs
    match op:
        case Dense():
            return _dense(op, layer, x, g)
        case Embed():
            table = g.weight(layer.name("embedding"), layer.own("embedding"))
            # What stands at padded steps may be no index at all.
            name = g.node("Gather", table, g.filled(x).name, axis=0)
            return layer.made(name, x.lengths, (*x.order, "channels"))
        case OneHot():
            assert op.classes is not None, "one_hot was not settled"
            index = g.node("Unsqueeze", x.name, g.ints(x.rank))
            same = g.node("Equal", index, g.constant(np.arange(op.classes, dtype=np.int64)))
            return layer.made(g.cast(same, "float"), x.lengths, (*x.order, "channels"))
        case Learned():
            value = g.weight(layer.name("value"), layer.own("value"))
            return layer.made(g.node("Expand", value, g.shape([g.size(x, "batch"), *op.shape])))
        case _:
            assert_never(op)


def _dense(op: Dense, layer: Layer, x: Tensor, g: Builder) -> Tensor:
    order = (*(a for a in x.order if a != "channels"), "channels")
    x = g.arranged(x, order)
    bias = layer.get("bias")
    names = [] if bias is None else [g.weight(layer.name("bias"), bias)]
    if op.tie is not None:
        (path,) = layer.tied
        kernel, transposed = g.weight(path, np.asarray(layer.arrays[path], np.float32)), 1
    else:
        kernel, transposed = g.weight(layer.name("kernel"), layer.own("kernel")), 0
    if x.rank == 2:
        name = g.node("Gemm", x.name, kernel, *names, transB=transposed)
        return layer.made(name, x.lengths, order)
    if transposed:
        kernel = g.once(("transposed", kernel), lambda: g.node("Transpose", kernel, perm=(1, 0)))
    name = g.node("MatMul", x.name, kernel)
    return layer.made(g.node("Add", name, names[0]) if names else name, x.lengths, order)
