"""A trained classifier that looks at pictures: what it sees in them, and what class it says."""

from __future__ import annotations

from collections.abc import Iterable

import jax
import jax.numpy as jnp

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.graph import Call, Graph, Node, Value, active, walk
from compiler.ops.dense import Dense
from compiler.types import TensorType
from runtime.batch import Batch
from runtime.saved import Trained, load
from runtime.tasks.classification import Classification


class Critic:
    """A classifier whose features of pictures are compared.

    Attributes:
        layer: the path of the layer whose output they are.
    """

    def __init__(self, trained: Trained, features: str | None, pictures: TensorType):
        """Take a trained classifier.

        Args:
            trained: the run.
            features: the path of a layer; what the last dense layer takes where None.
            pictures: the type of the pictures that it is to look at.

        Raises:
            SpecError: F0704 it is no classifier of such pictures, or has no such layer.
        """
        wanted = trained.wanted
        if not isinstance(trained.task, Classification) or len(wanted) != 1:
            raise _no_critic(f"its task is {trained.task.word}"
                             if not isinstance(trained.task, Classification)
                             else f"it takes {', '.join(wanted)}")
        (self._field, kind), *_ = wanted.items()
        if kind.axes != pictures.axes or any(
                one != two for one, two in zip(kind.shape, pictures.shape)
                if isinstance(one, int) and isinstance(two, int)):
            raise _no_critic(f"it takes {kind.described()}, and the pictures are "
                             f"{pictures.described()}")
        self._trained = trained
        graph = trained.model.graph
        paths = [path for path, node in walk(graph) if active(node.during, training=False)]
        self.layer = features or _before_the_head(graph)
        if self.layer not in paths:
            raise SpecError([diagnostic(
                "F0704", f"the classifier has no layer `{self.layer}`" if features else
                "the classifier has no dense layer at its end",
                help=nearest(features, paths) if features else
                "say which layer's output is compared: `classifier: {run: …, features: PATH}`")])

    @classmethod
    def load(cls, run: str, features: str | None, pictures: TensorType) -> Critic:
        """That of a run; see `__init__`.

        Raises:
            SpecError: F0810 there is no such run.
        """
        return cls(load(run), features, pictures)

    def __call__(self, pictures: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What it sees: features (batch, numbers), and the number of the class (batch,).

        Args:
            pictures: (batch, height, width, channels) in the data's own range.
        """
        seen: list[jax.Array] = []

        def watch(path: str, arrays: Iterable[jax.Array]) -> None:
            if path == self.layer:
                seen[:] = [next(iter(arrays))]

        trained = self._trained
        batch = Batch({self._field: pictures.astype(jnp.float32)}, {},
                      jnp.ones(len(pictures), bool))
        outputs, _ = trained.pure.run(trained.params, trained.rest, batch, training=False,
                                      key=jax.random.key(0), watch=watch)
        logits = outputs[trained.task.chosen(outputs)].array
        (found,) = seen
        return found.reshape(len(found), -1).astype(jnp.float32), logits.argmax(axis=-1)


def _before_the_head(graph: Graph) -> str:
    """The path of the layer that the last dense layer takes; "" where there is none."""
    head = _maker(graph, next(iter(graph.outputs.values())), "")
    while head is not None:
        path, node, prefix, inner = head
        if isinstance(node.operation, Dense):
            before = _maker(inner, node.inputs[0], prefix)
            return before[0] if before else ""
        head = _maker(inner, node.inputs[0], prefix) if node.inputs else None
    return ""


def _maker(graph: Graph, value: Value, prefix: str) -> tuple[str, Node, str, Graph] | None:
    """The layer that makes a value: its path, itself, what its path begins with, its graph."""
    for node in graph.nodes:
        for name, made in node.outputs.items():
            if made is not value:
                continue
            path = f"{prefix}{node.path}"
            if isinstance(node.operation, Call):
                inner = node.operation.graph
                return _maker(inner, inner.outputs[name], f"{path}.")
            return path, node, prefix, graph
    return None


def _no_critic(why: str) -> SpecError:
    return SpecError([diagnostic(
        "F0704", "the run cannot judge pictures", notes=[why],
        help="name the run of a classification of pictures of the same size")])
