"""What a classifier's answer hangs on: places of a picture, words of a text.

Both look at one layer: what comes out of it, and the gradient of a class's logit with respect
to that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import jax
import jax.numpy as jnp

from compiler.graph import Call, Graph, Node, Value, active, walk
from compiler.lower.context import replacing
from compiler.ops.base import Operator
from runtime.batch import Batch
from runtime.saved import Trained
from runtime.step import Arrays

PLACES = ("height", "width", "channels")
# Steps of the way along which gradients are averaged; with so many the weights of a text add up
# to the change of its logit within a per cent or so.
STEPS = 32
# Of a batch and the classes in question (batch,): what was asked of a layer.
Asked = Callable[[Batch, jax.Array], jax.Array]


def map_layer(graph: Graph, output: str) -> str | None:
    """The path of the last layer before an output that still has places; None for none.

    Args:
        graph: the model.
        output: the output.
    """
    return _last_map(graph, [graph.outputs[output]])


def _last_map(graph: Graph, wanted: Collection[Value]) -> str | None:
    """The path of the last layer with a map of more than one place that values are made from."""
    needed, found = set(map(id, wanted)), None
    for node in reversed(graph.nodes):
        if not active(node.during, False) or needed.isdisjoint(map(id, node.outputs.values())):
            continue
        needed.update(map(id, node.inputs))
        if found is None:
            found = _map_in(node)
    return found


def _map_in(node: Node) -> str | None:
    """The path of the last layer with places in a node, its own where it is one."""
    first = next(iter(node.outputs.values())).type
    if first.axes == PLACES and first.shape[:2] != (1, 1):
        return node.path
    if isinstance(node.operation, Call):  # such as a block that ends in a pooling
        inner = node.operation.graph
        path = _last_map(inner, list(inner.outputs.values()))
        return None if path is None else f"{node.path}.{path}"
    return None


def word_layer(graph: Graph) -> str | None:
    """The path of the layer that makes vectors of words; None where there is none."""
    return next((path for path, node in walk(graph) if isinstance(node.operation, Operator)
                 and node.operation.word == "embed"
                 and node.inputs[0].type.axes == ("time",)), None)


def class_maps(trained: Trained, path: str) -> Asked:
    """Gradient-weighted class-activation maps (Grad-CAM).

    Each channel of the layer's map counts by the mean of its gradients; what speaks against the
    class is cut off (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391). Where a global
    average pool and a dense layer follow, that is the class-activation map of Zhou et al. 2016
    (https://arxiv.org/abs/1512.04150), without what is negative in it and divided by the number
    of places.

    Args:
        trained: the model.
        path: the layer; see `map_layer`.

    Returns:
        A function that gives maps (batch, height, width).
    """
    def asked(params: Arrays, rest: Arrays, batch: Batch, classes: jax.Array) -> jax.Array:
        values, slopes = _at_layer(trained, path, params, rest, batch, classes)
        weights = slopes.mean(axis=(1, 2), keepdims=True)
        return jax.nn.relu((weights * values).sum(axis=-1))

    return _bound(trained, asked)


def word_weights(trained: Trained, path: str) -> Asked:
    """How much each word of a text speaks for a class: integrated gradients.

    Vector times gradient, the gradient averaged along the way from vectors of zeros to those of
    the text (Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365). The weights of a text
    add up to what its words change in the logit, counted from the mean over the classes: what
    all logits share tells none from another.

    Args:
        trained: the model.
        path: the layer that makes vectors of words; see `word_layer`.

    Returns:
        A function that gives weights (batch, time).
    """
    def asked(params: Arrays, rest: Arrays, batch: Batch, classes: jax.Array) -> jax.Array:
        def slopes(share: jax.Array) -> tuple[jax.Array, jax.Array]:
            return _at_layer(trained, path, params, rest, batch, classes, share, margin=True)

        values, found = jax.lax.map(slopes, (jnp.arange(STEPS) + 0.5) / STEPS)
        return (values[0] * found.mean(axis=0)).sum(axis=-1)

    return _bound(trained, asked)


def _bound(
    trained: Trained, asked: Callable[[Arrays, Arrays, Batch, jax.Array], jax.Array],
) -> Asked:
    """The compiled function of a batch and classes, with the model's arrays in it."""
    return partial(jax.jit(asked), trained.params, trained.rest)


def _at_layer(
    trained: Trained, path: str, params: Arrays, rest: Arrays, batch: Batch, classes: jax.Array,
    share: jax.Array | float = 1.0, *, margin: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """What comes out of a layer, and the gradients of logits with respect to it.

    Args:
        trained: the model.
        path: the layer.
        params: the model's parameters.
        rest: its other arrays.
        batch: the examples.
        classes: (batch,) the class of each whose logit is meant.
        share: the gradients are those at so much of the layer's values.
        margin: whether logits count from the mean over the classes.

    Returns:
        (batch, *axes) each.
    """
    def outputs(change: Callable[[jax.Array], jax.Array]) -> jax.Array:
        said, _ = trained.pure.run(params, rest, batch, training=False, key=jax.random.key(0),
                                   watch=replacing(path, change))
        return said[trained.task.chosen(said)].array

    kinds: list[jax.ShapeDtypeStruct] = []

    def noted(array: jax.Array) -> jax.Array:
        kinds.append(jax.ShapeDtypeStruct(array.shape, array.dtype))
        return array

    jax.eval_shape(lambda: outputs(noted))

    def logits(shift: jax.Array) -> tuple[jax.Array, jax.Array]:
        kept: list[jax.Array] = []

        def change(array: jax.Array) -> jax.Array:
            kept.append(array)
            return (array * share).astype(array.dtype) + shift

        found = outputs(change).astype(jnp.float32)
        found = found - found.mean(axis=-1, keepdims=True) if margin else found
        return jnp.take_along_axis(found, classes[:, None], axis=-1).sum(), kept[0]

    # Rows do not see each other outside training, so that one sum has the gradients of all.
    slopes, values = jax.grad(logits, has_aux=True)(jnp.zeros(kinds[0].shape, kinds[0].dtype))
    return values.astype(jnp.float32), slopes.astype(jnp.float32)
