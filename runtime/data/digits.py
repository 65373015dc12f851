"""The 1,797 handwritten digits of 8×8 pixels that come with the package.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak 1998, UCI Machine
Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0: see NOTICE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from compiler.types import TensorType
from runtime.data.embedded import path
from runtime.data.source import Origin, Source

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset


class Digits(Source):
    """1,797 handwritten digits, 8×8 grey pixels between 0 and 1, in ten classes.

    Gives `image` (8, 8, 1) and `label`. The parts are stratified; with `test: 0.2` and
    `split_seed: 0` the test part is always the same 360 images.
    """

    embedded: ClassVar[Origin] = Origin(
        "1,797 handwritten digits of 8×8 grey pixels", "https://doi.org/10.24432/C50P49",
        "CC BY 4.0")

    dataset: Literal["digits"] = Field(description="the word that chooses this source")
    split_seed: int = Field(
        default=0, ge=0, description="chooses the cut into parts, whatever the training seed")

    def fields(self) -> dict[str, TensorType]:
        return {"image": TensorType(("height", "width", "channels"), (8, 8, 1)),
                "label": TensorType((), (), "int", vocabulary=10)}

    def targets(self) -> tuple[str, ...]:
        return ("label",)

    def load(self) -> Dataset:
        import numpy as np

        from runtime.data.dataset import Dataset, Part
        from runtime.data.split import stratified

        with np.load(path("digits.npz")) as file:
            images = file["images"].astype(np.float32)[..., None] / 16
            labels = file["labels"].astype(np.int32)
        whole = Part({"image": images, "label": labels})
        cut = stratified(labels, self.validation, self.test, self.split_seed)
        return Dataset(self.fields(), whole.take(cut.train), whole.take(cut.validation),
                       whole.take(cut.test), labels={"label": tuple("0123456789")})
