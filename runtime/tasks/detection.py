"""Detection: the objects in a picture, each with its box and its class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.types import TensorType
from runtime.data.boxes import BOX_AXES, CROWD, DIFFICULT, NOTHING, OBJECT
from runtime.tasks.levels import Level, stride_of
from runtime.tasks.task import Task, has_field

if TYPE_CHECKING:
    import jax
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured
    from runtime.data.dataset import Dataset, Meaning, Part
    from runtime.saved import Trained
    from runtime.tasks.boxes import Found
    from runtime.tasks.drawing import Drawing

Fraction = Annotated[float, Field(ge=0, le=1)]
# What the names of a level's outputs begin with, and the channels of each; None for the classes.
PIECES: Mapping[str, int | None] = {"classes": None, "distances": 4, "centreness": 1}
IMAGE = ("height", "width", "channels")
# A box that augmentation left less of than this is no object any more, in pixels.
LEAST_SIDE = 2.0
# Pictures of more pixels on a side are drawn smaller.
LONGEST = 1600


class Detection(Task):
    """Objects in pictures, without anchors (FCOS, Tian et al. 2019): mean average precision.

    The loss is the focal loss of the classes, the generalised IoU loss of the boxes and the cross
    entropy of the centre-ness. `map`, `map50`, `map75`, those of `small`, `medium` and `large`
    objects and `recall` are defined as in COCO's evaluation. The model's outputs are called
    `classes_L`, `distances_L` and `centreness_L` for every level `L`.
    """

    word: ClassVar[str] = "detection"
    monitor: ClassVar[str] = "map"
    better: ClassVar[Literal["higher", "lower"]] = "higher"

    picture: str = Field(default="image", description="the field of the pictures")
    target: str = Field(default="label", description="the field of the boxes' classes")
    reach: Annotated[float, Field(gt=0)] = Field(
        default=8.0, description="how far the sides of an object lie from its middle that a level "
                                 "finds, in strides: up to so many, and from half of it on")
    radius: Annotated[float, Field(gt=0)] = Field(
        default=1.5, description="the places so near the centre of an object find it, in strides")
    alpha: Fraction = Field(
        default=0.25, description="what an object weighs in the focal loss; the ground weighs the "
                                  "rest")
    gamma: Annotated[float, Field(ge=0)] = Field(
        default=2.0, description="how much less the focal loss makes of what is easy")
    box_weight: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="what the loss of the boxes weighs")
    least: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.05, description="boxes of lower scores are never looked at")
    overlap: Fraction = Field(
        default=0.6, description="how much two objects of a class may overlap, as intersection "
                                 "over union; of more the surest stays")
    candidates: Annotated[int, Field(gt=0)] = Field(
        default=300, description="how many of the surest boxes of a picture are compared")
    most: Annotated[int, Field(gt=0)] = Field(
        default=100, description="how many objects are found in a picture at most")
    shown: Fraction = Field(
        default=0.4, description="from which score on `predict` tells of an object; the figures "
                                 "are made of all")

    # ------------------------------------------------------------------------------ checks

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        for name in (self.picture, self.target):
            if not has_field(self, name, fields, report, span):
                return
        picture, label = fields[self.picture], fields[self.target]
        if fields.get("boxes", label).axes != BOX_AXES or picture.axes != IMAGE:
            report.error("F0617", "detection needs pictures with boxes, but "
                                  f"`{self.target}` is {label.described()}", span,
                         help="take data with boxes: `coco`, `voc` or `dataset: digit_scenes`")
            return
        names = levels_of(outputs)
        if not names:
            report.error(
                "F0680", "detection needs outputs for each level of a pyramid, and the model has "
                         "none", span,
                notes=[f"its outputs: {', '.join(f'{n} {t}' for n, t in outputs.items())}",
                       "a level `p3` has the outputs `classes_p3`, `distances_p3` and "
                       "`centreness_p3`"],
                help="say which tensors they are in the model's `outputs`, as fcos does")
        for level in names:
            self._check_level(level, outputs, picture, label.vocabulary, report, span)

    def _check_level(
        self, level: str, outputs: Mapping[str, TensorType], picture: TensorType,
        classes: int | None, report: Report, span: Span | None,
    ) -> None:
        """Report what is wrong with the outputs of a level."""
        kinds = {piece: outputs.get(f"{piece}_{level}") for piece in PIECES}
        if lacking := [f"`{piece}_{level}`" for piece, kind in kinds.items() if kind is None]:
            report.error("F0680", f"the level `{level}` has no {' and no '.join(lacking)}", span,
                         notes=[f"the model's outputs: {', '.join(outputs)}"],
                         help="name the tensor in the model's `outputs`")
            return
        sizes = set()
        for piece, kind in kinds.items():
            assert kind is not None
            wanted = PIECES[piece] or classes
            if kind.axes != IMAGE or (wanted is not None and kind.channels != wanted):
                report.error(
                    "F0680", f"`{piece}_{level}` needs {wanted or 'the classes as'} channels for "
                             f"each place, but is {kind.described()}", span,
                    help=f"end it with `conv: {wanted}`" if wanted else "")
                return
            sizes.add(kind.shape[:2])
        if len(sizes) > 1:
            report.error("F0680", f"the outputs of the level `{level}` differ in size: "
                                  f"{' and '.join(str(s) for s in sorted(sizes))}", span)
        elif _stride(picture.shape[:2], sizes.pop()) is None:
            kind = outputs[f"classes_{level}"]
            report.error(
                "F0681", f"the places of the level `{level}` do not part the picture: it has "
                         f"{kind.shape[0]} × {kind.shape[1]}, the picture "
                         f"{picture.shape[0]} × {picture.shape[1]} pixels", span,
                notes=["a place of a level stands for a square of pixels, of the same size "
                       "everywhere"],
                help="give convolutions with a stride `padding: same`")

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        return ("loss", "class_loss", "box_loss", "centre_loss", "map", "map50", "map75",
                "map_small", "map_medium", "map_large", "recall")

    # ------------------------------------------------------------------------------ measuring

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        import jax.numpy as jnp

        from runtime.batch import Ratio, Rows
        from runtime.tasks.boxes import area, around, giou
        from runtime.tasks.levels import assigned, places_of
        from runtime.tasks.measures import binary_cross_entropy, plus

        levels = self._levels(outputs, batch)
        places = places_of(levels, self.reach)
        scores, distances, centres = self._joined(outputs, levels)
        boxes, status = batch.arrays["boxes"], batch.arrays["status"]
        there = batch.rows[:, None] & (area(boxes) > 0)
        objects = there & ((status == OBJECT) | (status == DIFFICULT)) & (
            (boxes[..., 2:] - boxes[..., :2]).min(axis=-1) >= LEAST_SIDE)
        wanted = assigned(places, boxes, batch.arrays[self.target], objects,
                          there & (status == CROWD), self.radius)

        found = wanted.label >= 0
        number = jnp.maximum(found.sum(), 1).astype(jnp.float32)
        counts = batch.rows[:, None] & (wanted.label > -2)
        losses = focal_loss(scores, wanted.label, self.alpha, self.gamma)
        class_loss = Ratio(jnp.where(counts, losses, 0).sum(), number)
        # Places in the middle of objects matter more; those of none not at all.
        near = giou(around(places.points, distances),
                    around(places.points, wanted.distances))
        weights = jnp.where(found, wanted.centreness, 0)
        box_loss = Ratio(jnp.where(found, (1 - near) * weights, 0).sum(), weights.sum())
        central = binary_cross_entropy(centres, wanted.centreness)
        centre_loss = Ratio(jnp.where(found, central, 0).sum(), number)
        loss = plus(Ratio(class_loss.total + centre_loss.total, number), box_loss, self.box_weight)
        measured = {"loss": loss, "class_loss": class_loss, "box_loss": box_loss,
                    "centre_loss": centre_loss}
        if training:
            return measured
        best = self._best(places.points, scores, distances, centres, batch)
        told = jnp.concatenate([best.boxes, best.scores[..., None], best.labels[..., None]], -1)
        own = jnp.concatenate([
            _original(boxes, batch), batch.arrays[self.target][..., None], status[..., None],
            batch.arrays["area"][..., None]], axis=-1)
        return {**measured, "found": Rows(told, batch.rows), "true": Rows(own, batch.rows)}

    def _levels(self, outputs: Mapping[str, Any], batch: Batch) -> list[Level]:
        """The levels of a model's outputs, from the finest to the coarsest."""
        picture_height, picture_width = batch.arrays[self.picture].shape[1:3]
        found = []
        for name in levels_of(outputs):
            height, width = outputs[f"classes_{name}"].array.shape[1:3]
            stride = stride_of((picture_height, picture_width), (height, width))
            assert stride is not None, "`check` looks at it"
            found.append(Level(name, height, width, stride))
        return sorted(found, key=lambda level: level.stride)

    def _joined(
        self, outputs: Mapping[str, Tensor], levels: Sequence[Level],
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """What all places say, level by level, in float32.

        Returns:
            The logits of the classes (batch, places, classes), the distances in pixels (batch,
            places, 4), and the logits of the centre-ness (batch, places).
        """
        import jax.numpy as jnp

        def flat(piece: str, level: Level) -> jax.Array:
            array = outputs[f"{piece}_{level.name}"].array.astype(jnp.float32)
            return array.reshape(len(array), level.height * level.width, array.shape[-1])

        return (jnp.concatenate([flat("classes", level) for level in levels], axis=1),
                jnp.concatenate([flat("distances", level) * level.stride for level in levels], 1),
                jnp.concatenate([flat("centreness", level) for level in levels], axis=1)[..., 0])

    def _best(
        self, points: jax.Array, scores: jax.Array, distances: jax.Array, centres: jax.Array,
        batch: Batch,
    ) -> Found:
        """The objects that are found, in pixels of the original pictures."""
        import jax
        import jax.numpy as jnp

        from runtime.tasks.boxes import around, best

        height, width = batch.arrays[self.picture].shape[1:3]
        limits = jnp.array([width, height, width, height], jnp.float32)
        boxes = jnp.clip(around(points, distances), 0, limits)
        sure = jnp.sqrt(jax.nn.sigmoid(scores) * jax.nn.sigmoid(centres)[..., None])
        found = best(boxes, sure, least=self.least, candidates=self.candidates,
                     overlap=self.overlap, most=self.most)
        return found._replace(boxes=_original(found.boxes, batch))

    # ------------------------------------------------------------------------------ telling

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        figures = super().finish({n: m for n, m in means.items() if n not in ("found", "true")},
                                 dataset)
        if "found" in means:
            from runtime.tasks.mean_precision import mean_precision

            classes = dataset.fields[self.target].vocabulary or 0
            figures |= mean_precision(pictures_of(means), classes).figures()
        return figures

    def details(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, Any]:
        from runtime.tasks.mean_precision import mean_precision

        if "found" not in means:
            return {}
        classes = dataset.fields[self.target].vocabulary or 0
        found = mean_precision(pictures_of(means), classes)
        names = dataset.meaning.names(self.target, classes)
        return {"classes": [{"name": name, "examples": int(count), **scores} for name, count, scores
                            in zip(names, found.objects, found.by_class())]}

    def found(self, outputs: Mapping[str, Tensor], batch: Batch) -> Found:
        """The objects that a model's outputs speak of, in pixels of the original pictures."""
        from runtime.tasks.levels import places_of

        levels = self._levels(outputs, batch)
        scores, distances, centres = self._joined(outputs, levels)
        return self._best(
            places_of(levels, self.reach).points, scores, distances, centres, batch)

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """`objects`, the surest first: `label`, `score`, and `box` in pixels of the original."""
        import jax
        import numpy as np

        from runtime.tasks.naming import number

        # Traced once for all batches: tasks of the same fields are the same.
        find = jax.jit(Detection.found, static_argnums=0)
        boxes, sure, labels = (np.asarray(a)[np.asarray(batch.rows)]
                               for a in find(self, outputs, batch))
        names = meaning.names(self.target, int(labels.max(initial=0)) + 1)
        return [{"objects": [
            {"label": names[label], "score": number(score), "box": _rounded(box)}
            for box, score, label in zip(*row) if label >= 0 and score >= self.shown]}
            for row in zip(boxes, sure, labels)]

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        """`objects`: `label` and `box`, and `crowd` or `difficult` where it is one."""
        import numpy as np

        rows = np.asarray(batch.rows)
        boxes, labels, status = (np.asarray(a)[rows] for a in (
            _original(batch.arrays["boxes"], batch), batch.arrays[self.target],
            batch.arrays["status"]))
        names = meaning.names(self.target, int(labels.max(initial=0)) + 1)
        words = {CROWD: {"crowd": True}, DIFFICULT: {"difficult": True}}
        return [{"objects": [
            {"label": names[label], "box": _rounded(box), **words.get(int(kind), {})}
            for box, label, kind in zip(*row) if kind != NOTHING]}
            for row in zip(boxes, labels, status)]

    def drawings(
        self, trained: Trained, part: Part, said: Sequence[Mapping[str, Any]],
    ) -> Iterator[Drawing | None]:
        """Each picture with the boxes that were found; a file as it is, arrays as they are."""
        import numpy as np

        from runtime.data.pictures import Broken, whole
        from runtime.report.png import as_pixels
        from runtime.tasks.boxes_drawn import drawn, frame_of
        from runtime.tasks.drawing import Drawing

        classes = trained.preprocessing.meaning.labels.get(self.target, ())
        for i, told in enumerate(said):
            frame = frame_of(part.arrays, i)
            pixels = None
            if part.names is not None:
                try:
                    pixels, scale = whole(Path(str(part.names[i])), LONGEST)
                    frame = np.array([scale, scale, 0, 0])
                except Broken:  # the name is not that of a file: an array in an archive
                    pixels = None
            if pixels is None:
                pixels = as_pixels(np.asarray(part.arrays[self.picture][np.array([i])])[0])
            yield Drawing(".svg", drawn(pixels, told["objects"], frame, classes).document())


def focal_loss(logits: jax.Array, labels: jax.Array, alpha: float, gamma: float) -> jax.Array:
    """The focal loss of each place, in nats (Lin et al. 2017, https://arxiv.org/abs/1708.02002).

    Every class is a question of its own; the loss is summed over them.

    Args:
        logits: (..., classes).
        labels: (...) the class; below 0 for none.
        alpha: what a yes weighs, of 1.
        gamma: the power of the probability of being wrong.
    """
    import jax
    import jax.numpy as jnp

    from runtime.tasks.measures import binary_cross_entropy

    yes = jax.nn.one_hot(labels, logits.shape[-1])
    wrong = jnp.where(yes > 0, jax.nn.sigmoid(-logits), jax.nn.sigmoid(logits))
    weight = jnp.where(yes > 0, alpha, 1 - alpha)
    return (weight * wrong**gamma * binary_cross_entropy(logits, yes)).sum(axis=-1)


def levels_of(outputs: Mapping[str, Any]) -> list[str]:
    """The names of the levels that outputs belong to, in their order."""
    found = {}
    for name in outputs:
        piece, _, level = name.partition("_")
        if piece in PIECES and level:
            found[level] = None
    return list(found)


def pictures_of(means: Mapping[str, np.ndarray]) -> list[Any]:
    """What `measure` kept of each picture, as `mean_precision` takes it."""
    from runtime.tasks.mean_precision import Picture

    pictures = []
    for found, true in zip(means["found"], means["true"]):
        found, true = found[found[:, 5] >= 0], true[true[:, 5] > NOTHING]
        pictures.append(Picture(
            true[:, :4], true[:, 4].astype(int), true[:, 5].astype(int), true[:, 6],
            found[:, :4], found[:, 5].astype(int), found[:, 4]))
    return pictures


def _original(boxes: jax.Array, batch: Batch) -> jax.Array:
    """Boxes (batch, boxes, 4) in pixels of the original pictures, inside them.

    Arrays from Python know of no other picture.
    """
    import jax.numpy as jnp

    if "frame" not in batch.arrays:
        return boxes
    frame = batch.arrays["frame"][:, None]
    moved = (boxes - frame[..., jnp.array([2, 3, 2, 3])]) / frame[..., jnp.array([0, 1, 0, 1])]
    return jnp.clip(moved, 0, frame[..., jnp.array([4, 5, 4, 5])])


def _rounded(box: np.ndarray) -> list[float]:
    """Left, top, right and bottom, to a tenth of a pixel."""
    return [round(float(side), 1) for side in box]


def _stride(picture: tuple[Any, ...], level: tuple[Any, ...]) -> int | None:
    """As `stride_of`; 1 where a size is known only when the data is there."""
    if not all(isinstance(size, int) for size in (*picture, *level)):
        return 1
    return stride_of((picture[0], picture[1]), (level[0], level[1]))
