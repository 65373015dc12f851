"""Image generation: pictures made of random numbers, with losses that the recipe writes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.types import TensorType
from runtime.policies import Mode
from runtime.section import Section
from runtime.tasks.task import Task, has_field, has_output

if TYPE_CHECKING:
    import numpy as np

    from compiler.lower.tensor import Tensor
    from runtime.batch import Batch, Measured
    from runtime.critic import Critic
    from runtime.data.dataset import Dataset, Meaning, Part, Scale
    from runtime.job import Job
    from runtime.report.listener import Listener
    from runtime.saved import Trained
    from runtime.tasks.drawing import Drawing

# What only a classifier can tell.
JUDGED = ("frechet", "agreement")


class Classifier(Section):
    """A trained classifier that looks at samples."""

    run: Annotated[str, Field(min_length=1)] = Field(
        description="its run: the folder, a path from the spec, its name in `runs/`, or a bundle")
    features: str | None = Field(
        default=None, description="the layer whose output is compared; what its last dense layer "
                                  "takes where not given")


class ImageGeneration(Task):
    """Pictures made of random numbers.

    It has no loss: an autoencoder's or an adversary's are written out. Where a classifier is
    named, `frechet` is the Fréchet distance between what it sees in the pictures of a part and
    in as many samples, and `agreement` the part of the samples that it takes for their class.
    """

    word: ClassVar[str] = "image_generation"
    monitor: ClassVar[str] = "loss"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    has_loss: ClassVar[bool] = False
    paths: ClassVar[tuple[str, ...]] = ("classifier.run",)

    sample: str = Field(
        default="sample", description="the model's output that is a picture made of random numbers")
    image: str = Field(default="image", description="the field that it is to look like")
    label: str = Field(
        default="label", description="the field that holds the class, where the model takes it")
    latent: str | None = Field(
        default=None, description="the path of the `random` layer that pictures are drawn from, "
                                  "where there are several")
    classifier: Classifier | None = Field(
        default=None, description="the run of a classifier that judges samples: "
                                  "`{run: runs/digits-resnet-1}`")
    every: Annotated[int, Field(gt=0)] = Field(
        default=5, description="epochs from one sheet of samples to the next")

    # What looks at samples, and how the model's pictures were normalised; known from the data on.
    _critic: Critic | None = PrivateAttr(default=None)
    _scale: Scale | None = PrivateAttr(default=None)

    @property
    def ways(self) -> Mapping[str, Mode]:
        return {"loss": "lower", "frechet": "lower", "agreement": "higher"}

    def check(
        self, outputs: Mapping[str, TensorType], fields: Mapping[str, TensorType],
        report: Report, span: Span | None,
    ) -> None:
        if not has_field(self, self.image, fields, report, span):
            return
        if not has_output(self, self.sample, outputs, report, span):
            return
        made, wanted = outputs[self.sample], fields[self.image]
        if wanted.axes != ("height", "width", "channels"):
            report.error("F0617", f"`{self.image}` is no picture: it is {wanted.described()}", span,
                         help="name the field that is one: `{image_generation: {image: FIELD}}`")
        elif made.dtype != "float" or made.axes != wanted.axes or any(
                isinstance(size, int) and size != own
                for size, own in zip(wanted.shape, made.shape)):
            report.error("F0617", f"`{self.sample}` is {made.described()}, and the pictures of "
                                  f"`{self.image}` are {wanted.described()}", span,
                         help="give the model the size of the pictures: `image: "
                              f"[{', '.join(map(str, wanted.shape))}]`")

    def figures(self, outputs: Mapping[str, TensorType]) -> tuple[str, ...]:
        return JUDGED if self.classifier is not None else ()

    def seen(self, dataset: Dataset) -> Self:
        """The same, with the classifier loaded.

        Raises:
            SpecError: F0810 and others: there is no such run; F0704 it does not see such pictures.
        """
        found = self.model_copy()
        found._scale = dataset.normalise.get(self.image)
        if self.classifier is not None:
            from runtime.critic import Critic

            found._critic = Critic.load(
                self.classifier.run, self.classifier.features, dataset.fields[self.image])
        return found

    def measure(
        self, outputs: Mapping[str, Tensor], batch: Batch, *, training: bool,
    ) -> Measured:
        """What the classifier sees in samples and in the pictures of the batch, as `Rows`."""
        from runtime.batch import Rows
        from runtime.tasks.measures import ratio

        if training or self._critic is None:
            return {}
        own, _ = self._critic(self._plain(batch.arrays[self.image]))
        made, said = self._critic(self._plain(outputs[self.sample].array))
        found: dict[str, Any] = {"real": Rows(own, batch.rows), "made": Rows(made, batch.rows)}
        if self.label in batch.arrays:
            right = said == batch.arrays[self.label]
            found["agreement"] = ratio(right.astype("float32"), batch.rows)
        return found

    def _plain(self, pictures: Any) -> Any:
        """Pictures as the model has them in their own units."""
        from runtime.sampling import in_own_units

        return pictures if self._scale is None else in_own_units(pictures, self._scale)

    def finish(self, means: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
        from runtime.frechet import frechet_distance

        if "real" not in means:
            return {}
        return {"frechet": frechet_distance(means["real"], means["made"]),
                **({"agreement": float(means["agreement"])} if "agreement" in means else {})}

    def predictions(
        self, outputs: Mapping[str, Tensor], batch: Batch, meaning: Meaning,
    ) -> list[dict[str, Any]]:
        """Each output by its name, as nested lists of numbers: of a picture its latents, …"""
        from runtime.tasks.written import Written

        return Written().predictions(outputs, batch, meaning)

    def truths(self, batch: Batch, meaning: Meaning) -> list[dict[str, Any]]:
        """Nothing: no sample is right or wrong."""
        return [{} for _ in range(int(batch.rows.sum()))]

    def drawings(
        self, trained: Trained, part: Part, said: Sequence[Mapping[str, Any]],
    ) -> Iterator[Drawing | None]:
        from runtime.tasks.drawing import nothing_to_draw

        raise nothing_to_draw(self, "`flaxspec sample` lets it draw pictures")

    def listeners(self, job: Job, dataset: Dataset, folder: Path) -> tuple[Listener, ...]:
        """What writes the sheets of samples."""
        from runtime.report.sheets import Sheets

        return (Sheets(self, job, dataset, folder),)
