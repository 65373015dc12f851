"""Pictures that a trained model draws: which random numbers it draws them from, and the drawing.

A latent is what one `random` layer of the model gives for one example. A `Sampler` puts latents
of its caller in their place, so that the same ones give the same pictures, and what lies between
two of them can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from compiler.diagnostics import SpecError, diagnostic, nearest
from compiler.graph import Call, Graph, Value, active
from compiler.lower.context import replacing
from compiler.lower.module import Model
from compiler.ops.noise import Random
from runtime.batch import Batch
from runtime.data.dataset import Meaning, Scale
from runtime.saved import Trained
from runtime.step import Arrays, PureModel
from runtime.tasks.image_generation import ImageGeneration
from runtime.tasks.task import Task

# Pictures that are drawn in one call.
CHUNK = 64


@dataclass(frozen=True)
class Latent:
    """The random layer that pictures are drawn from.

    Attributes:
        path: where it is in the model.
        shape: the sizes of what it gives for one example.
        distribution: `normal` or `uniform`.
    """

    path: str
    shape: tuple[int, ...]
    distribution: str

    def drawn(self, count: int, seed: int) -> np.ndarray:
        """So many latents: (count, *shape) float32, the same ones for the same seed."""
        random = np.random.default_rng(seed)
        draw = random.standard_normal if self.distribution == "normal" else random.random
        return draw((count, *self.shape), np.float32)

    def between(self, first: np.ndarray, last: np.ndarray, steps: int) -> np.ndarray:
        """Latents on the way from one to another, both included: (steps, *shape).

        Between normal ones it is an arc and not a line (White 2016,
        https://arxiv.org/abs/1609.04468): the middle of a line is nearer to 0 than almost any
        latent that was drawn.
        """
        shares = np.linspace(0, 1, steps)
        way = spherical if self.distribution == "normal" else _straight
        return np.stack([way(first, last, share) for share in shares]).astype(np.float32)


def spherical(first: np.ndarray, last: np.ndarray, share: float) -> np.ndarray:
    """The point on the arc from one vector to another, their lengths going over steadily.

    sin((1 - s) θ) / sin θ · first + sin(s θ) / sin θ · last, θ being the angle between them
    (Shoemake 1985).
    """
    first, last = np.asarray(first, float), np.asarray(last, float)
    lengths = np.linalg.norm(first) * np.linalg.norm(last)
    angle = np.arccos(np.clip((first * last).sum() / lengths, -1, 1)) if lengths else 0.0
    if np.sin(angle) < 1e-6:  # along one line, where there is no one arc
        return _straight(first, last, share)
    return (np.sin((1 - share) * angle) * first + np.sin(share * angle) * last) / np.sin(angle)


def _straight(first: np.ndarray, last: np.ndarray, share: float) -> np.ndarray:
    return (1 - share) * first + share * last


class Sampler:
    """Draws pictures with a model that has a task of image generation.

    Attributes:
        task: which of the outputs is the picture.
        latent: what it is drawn from.
        classes: how many classes can be asked for; 0 where the model takes none.
        names: what they are called.
    """

    def __init__(
        self, task: Task, model: Model, pure: PureModel, meaning: Meaning,
        normalise: Mapping[str, Scale],
    ):
        """Find out how a model draws pictures.

        Args:
            task: the recipe's task.
            model: the module, for its graph alone.
            pure: the model as a function of its arrays.
            meaning: what the numbers in the data mean.
            normalise: how inputs are normalised.

        Raises:
            SpecError: F0705 the task does not generate pictures, F0702 which random numbers they
                are drawn from is not clear.
        """
        if not isinstance(task, ImageGeneration):
            raise SpecError([diagnostic(
                "F0705", f"{task.word} draws no pictures",
                help="choose a run whose task is `image_generation`")])
        self.task = task
        self.latent = latent_of(model.graph, task)
        self._pure, self._fields, self._scale = pure, meaning.fields, normalise.get(task.image)
        self._inputs = tuple(dict.fromkeys(pure.inputs.values()))
        kind = meaning.fields.get(task.label)
        takes = kind is not None and task.label in self._inputs
        self.classes = (kind.vocabulary or 0) if takes and kind is not None else 0
        self.names = meaning.names(task.label, self.classes)
        self._drawn: Callable[..., jax.Array] = jax.jit(self._draw)

    @classmethod
    def of(cls, trained: Trained) -> Sampler:
        """The sampler of a finished run; see `__init__` for what it raises."""
        return cls(trained.task, trained.model, trained.pure, trained.preprocessing.meaning,
                   trained.preprocessing.normalise)

    def numbers(self, classes: Sequence[str]) -> list[int]:
        """The numbers of classes that are named, or numbered; of all where none is.

        Raises:
            SpecError: F0703 there is no such class, or the model takes none.
        """
        if classes and not self.classes:
            raise SpecError([diagnostic(
                "F0703", "the model cannot be asked for a class: it takes none",
                help="leave `--classes` out, or train a conditional model, such as "
                     "`conditional_dcgan`")])
        found = []
        for name in classes:
            if name in self.names:
                found.append(self.names.index(name))
            elif name.isdecimal() and int(name) < self.classes:
                found.append(int(name))
            else:
                raise SpecError([diagnostic(
                    "F0703", f"there is no class `{name}`", notes=[
                        f"the classes: {', '.join(self.names[:20])}"
                        + (" …" if self.classes > 20 else "")],
                    help=nearest(name, self.names))])
        return found or list(range(self.classes))

    def pictures(
        self, params: Arrays, rest: Arrays, latents: np.ndarray, classes: np.ndarray | None = None,
    ) -> np.ndarray:
        """The pictures of latents: (count, height, width, channels), in the data's own range.

        Args:
            params: the model's parameters.
            rest: its other arrays.
            latents: (count, *shape).
            classes: (count,) the class of each, where the model takes any.
        """
        count = len(latents)
        classes = np.zeros(count, np.int32) if classes is None else np.asarray(classes, np.int32)
        size = min(CHUNK, max(count, 1))
        found = []
        for start in range(0, count, size):
            piece, own = latents[start:start + size], classes[start:start + size]
            missing = size - len(piece)  # the last call is filled up, so that there is one program
            piece = np.pad(piece, [(0, missing), *((0, 0) for _ in self.latent.shape)])
            found.append(np.asarray(self._drawn(params, rest, piece, np.pad(own, (0, missing))))[
                :size - missing])
        return np.concatenate(found)

    def _draw(
        self, params: Arrays, rest: Arrays, latents: jax.Array, classes: jax.Array,
    ) -> jax.Array:
        arrays = {}
        for name in self._inputs:
            kind = self._fields[name]
            sizes = tuple(size if isinstance(size, int) else 1 for size in kind.shape)
            arrays[name] = jnp.zeros((len(latents), *sizes),
                                     jnp.float32 if kind.dtype == "float" else jnp.int32)
        if self.classes:
            arrays[self.task.label] = classes

        watch = replacing(self.latent.path, lambda drawn: latents.astype(drawn.dtype))
        batch = Batch(arrays, {}, jnp.ones(len(latents), bool))
        # What the pictures do not depend on, such as an encoder, is not computed at all.
        outputs, _ = self._pure.run(
            params, rest, batch, training=False, key=jax.random.key(0), watch=watch)
        made = outputs[self.task.sample].array.astype(jnp.float32)
        return made if self._scale is None else in_own_units(made, self._scale)


def in_own_units(pictures: jax.Array, scale: Scale) -> jax.Array:
    """Normalised pictures as they were before."""
    return pictures * scale.deviation.astype(np.float32) + scale.mean.astype(np.float32)


def latent_of(graph: Graph, task: ImageGeneration) -> Latent:
    """The random layer that a task's pictures are drawn from.

    Raises:
        SpecError: F0702 there is none, or there are several.
    """
    found = list(_drawn_from(graph, {graph.outputs[task.sample]}, "", set()))
    if task.latent:
        chosen = [latent for latent in found if latent.path == task.latent]
        help = nearest(task.latent, [latent.path for latent in found])
        what = f"`{task.sample}` is not drawn from `{task.latent}`"
    else:
        chosen, help = found, "say which: `task: {image_generation: {latent: PATH}}`"
        what = f"`{task.sample}` is drawn from {len(found)} random layers" if found else (
            f"`{task.sample}` is not drawn from random numbers")
        help = help if found else "let it be made of what a `random` layer draws"
    if len(chosen) != 1:
        paths = ", ".join(latent.path for latent in found) or "none"
        raise SpecError([diagnostic(
            "F0702", what, notes=[f"random layers before it: {paths}"], help=help)])
    return chosen[0]


def _drawn_from(
    graph: Graph, wanted: set[Value], prefix: str, arriving: set[Value],
) -> Iterator[Latent]:
    """The random layers that values of a graph depend on, outside training.

    Args:
        graph: the graph.
        wanted: the values.
        prefix: what stands before the paths of its layers.
        arriving: gets the inputs of the graph that the values depend on.
    """
    wanted = set(wanted)
    for node in reversed(graph.nodes):
        made = [name for name, value in node.outputs.items() if value in wanted]
        if not made or not active(node.during, training=False):
            continue
        path = f"{prefix}{node.path}"
        match node.operation:
            case Random(distribution=distribution):
                (value,) = node.outputs.values()
                sizes = tuple(size for size in value.type.shape if isinstance(size, int))
                yield Latent(path, sizes, distribution)
            case Call(graph=inner):
                needed: set[Value] = set()
                yield from _drawn_from(
                    inner, {inner.outputs[name] for name in made}, f"{path}.", needed)
                wanted |= {given for given, value in zip(node.inputs, inner.inputs)
                           if value in needed}
            case _:
                wanted |= set(node.inputs)
    arriving |= wanted & set(graph.inputs)


