"""Random changes to training examples, made on the device inside the training step.

A new one is a class in a file of its family and its name in the union below. JAX is imported
where arrays are touched, since checking a recipe reads these classes without it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Tag

from runtime.data.augment.change import Change
from runtime.data.augment.colour import ColourJitter
from runtime.data.augment.erase import Cutout, SpecAugment
from runtime.data.augment.geometry import Crop, Flip, ResizedCrop, Rotate, Shift
from runtime.data.augment.noise import Noise
from runtime.data.augment.rand import RandAugment
from runtime.section import word_of

__all__ = ["Augmentation", "Change", "ColourJitter", "Crop", "Cutout", "Flip", "Noise",
           "RandAugment", "ResizedCrop", "Rotate", "Shift", "SpecAugment"]

Augmentation = Annotated[
    Annotated[Shift, Tag("shift")]
    | Annotated[Crop, Tag("crop")]
    | Annotated[ResizedCrop, Tag("resized_crop")]
    | Annotated[Flip, Tag("flip")]
    | Annotated[Rotate, Tag("rotate")]
    | Annotated[ColourJitter, Tag("colour_jitter")]
    | Annotated[Cutout, Tag("cutout")]
    | Annotated[RandAugment, Tag("rand_augment")]
    | Annotated[Noise, Tag("noise")]
    | Annotated[SpecAugment, Tag("spec_augment")],
    Discriminator(word_of),
]
