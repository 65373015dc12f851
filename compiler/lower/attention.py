"""Attention in JAX. Padded steps of the memory get weight 0, whatever stands in them."""

from __future__ import annotations

from math import sqrt
from typing import assert_never

import jax
import jax.numpy as jnp
import numpy as np

from compiler.lower.activation import softmax
from compiler.lower.context import Context
from compiler.lower.layer import Layer
from compiler.lower.noise import drop
from compiler.lower.tensor import Tensor
from compiler.ops.attention import (
    Attention,
    AttentionOperator,
    MultiHeadAttention,
    PositionalEncoding,
)


def apply(
    op: AttentionOperator, layer: Layer, inputs: tuple[Tensor, ...], context: Context,
) -> Tensor | tuple[Tensor, ...]:
    """Attend with (batch, *axes); see `compiler.lower.layer.apply`."""
    match op:
        case Attention():
            mixed, weights = _attention(op, layer, *inputs)
            return (mixed, weights) if "weights" in context.taps else mixed
        case MultiHeadAttention():
            return _multi_head(op, layer, inputs[0], inputs[-1], context)
        case PositionalEncoding():
            return _positions(op, layer, inputs[0])
        case _:
            assert_never(op)


def _own(layer: Layer, name: str, like: jax.Array) -> jax.Array:
    """A parameter that the layer has, in the precision of `like`."""
    array = layer.get(name, like.dtype)
    assert array is not None, name
    return array


def _rows(x: Tensor) -> jax.Array:
    """(batch, places, channels), padded steps 0 so that NaN there meets no product."""
    return x.filled().reshape(x.array.shape[0], -1, x.array.shape[-1])


def _real(x: Tensor) -> jax.Array | None:
    """(batch, places), True at real steps; None where all are."""
    mask = x.mask()
    if mask is None:
        return None
    return jnp.broadcast_to(mask[..., 0], x.array.shape[:-1]).reshape(x.array.shape[0], -1)


def _as_query(query: Tensor, rows: jax.Array) -> Tensor:
    """(batch, places, channels) back under the axes of the query."""
    array = rows.reshape(*query.array.shape[:-1], rows.shape[-1])
    return Tensor(array, query.axes, query.lengths)


def _attention(
    op: Attention, layer: Layer, query: Tensor, memory: Tensor,
) -> tuple[Tensor, Tensor]:
    """What is seen, and how much each place counts."""
    q, m = _rows(query), _rows(memory)
    match op.score:
        case "dot":
            scores = _products(q, m)
        case "general":
            scores = _products(q @ _own(layer, "kernel", q), m)
        case "additive":
            hidden = jnp.tanh((q @ _own(layer, "query_kernel", q))[:, :, None]
                              + (m @ _own(layer, "memory_kernel", q))[:, None])
            scores = (hidden @ _own(layer, "score_kernel", q))[..., 0]
        case _:
            assert_never(op.score)
    if op.scaled:
        scores = scores / sqrt(q.shape[-1])
    real = _real(memory)
    weights = softmax(scores, -1, None if real is None else real[:, None])
    weights = weights.astype(m.dtype)
    return _as_query(query, weights @ m), _as_query(query, weights)


def _products(q: jax.Array, m: jax.Array) -> jax.Array:
    """q · m for every pair of places: (batch, queries, memory), in float32 at least."""
    return jnp.einsum("bqc,bmc->bqm", q, m,
                      preferred_element_type=jnp.promote_types(q.dtype, jnp.float32))


def _multi_head(
    op: MultiHeadAttention, layer: Layer, query: Tensor, memory: Tensor, context: Context,
) -> Tensor:
    rows, seen = _rows(query), _rows(memory)

    def project(x: jax.Array, name: str) -> jax.Array:
        product = x @ _own(layer, f"{name}_kernel", x)
        return product + _own(layer, f"{name}_bias", x) if op.bias else product

    def heads(x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:2], op.heads, -1)

    q, k, v = heads(project(rows, "query")), heads(project(seen, "key")), heads(
        project(seen, "value"))
    scores = jnp.einsum("bqhc,bmhc->bhqm", q / sqrt(q.shape[-1]), k,
                        preferred_element_type=jnp.promote_types(q.dtype, jnp.float32))
    weights = softmax(scores, -1, _visible(op, memory, q.shape[1], k.shape[1]))
    weights = drop(weights, op.dropout, weights.shape, context).astype(v.dtype)
    mixed = jnp.einsum("bhqm,bmhc->bqhc", weights, v)
    return _as_query(query, project(mixed.reshape(*mixed.shape[:2], -1), "output"))


def _visible(op: MultiHeadAttention, memory: Tensor, queries: int, seen: int) -> jax.Array | None:
    """What each query may look at: (batch or 1, 1, queries or 1, seen); None for everything."""
    real = _real(memory)
    mask = None if real is None else real[:, None, None]
    if not op.causal:
        return mask
    before = jnp.tri(queries, seen, dtype=bool)[None, None]
    return before if mask is None else mask & before


def _positions(op: PositionalEncoding, layer: Layer, x: Tensor) -> Tensor:
    steps, channels = x.array.shape[x.dim("time")], x.array.shape[-1]
    if op.kind == "sinusoidal":
        table = jnp.asarray(sinusoids(steps, channels), x.array.dtype)
    else:
        table = _own(layer, "embedding", x.array)
        if steps > len(table):
            raise ValueError(f"the sequences have {steps} steps, the positional encoding was "
                             f"made for {len(table)}: give it a larger `length`")
        table = table[:steps]
    shape = [1] * x.array.ndim
    shape[x.dim("time")], shape[-1] = steps, channels
    return x.with_array(x.array + table.reshape(shape))


def sinusoids(steps: int, channels: int) -> np.ndarray:
    """The encoding of Vaswani et al. 2017: (steps, channels)."""
    even = np.arange(0, channels, 2)
    angles = np.arange(steps)[:, None] / 10000 ** (even / channels)
    table = np.empty((steps, channels))
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles)[:, :channels // 2]
    return table
