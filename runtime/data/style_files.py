"""Pictures to paint, and a picture in whose style: from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from compiler.diagnostics import SpecError, diagnostic
from compiler.types import TensorType
from runtime.data.images import CHANNELS, SUFFIXES, PictureFiles, files_below
from runtime.data.source import Fraction

if TYPE_CHECKING:
    from runtime.data.dataset import Dataset, Part


class StyleFiles(PictureFiles):
    """A picture or a folder of pictures, `content`, and one picture beside all of them, `style`.

    Both fields are (height, width, channels), between 0 and 1.
    """

    word: ClassVar[str] = "content"
    paths: ClassVar[tuple[str, ...]] = ("content", "style")

    content: str = Field(min_length=1, description="a picture, or a folder of pictures")
    style: str = Field(min_length=1, description="the picture in whose style they are painted")
    validation: Fraction = Field(
        default=0.0, description="the part of all examples that validates; 0 for none")
    test: Fraction = Field(
        default=0.0, description="the part of all examples that is looked at once, at the end")
    repeat: int = Field(
        default=1, ge=1, le=10_000, description="how often an epoch shows each picture")

    def fields(self) -> dict[str, TensorType]:
        kind = TensorType(("height", "width", "channels"), (*self.size, self.channels))
        return {"content": kind, "style": kind}

    def targets(self) -> tuple[str, ...]:
        return ()

    def load(self) -> Dataset:
        from dataclasses import replace

        import numpy as np

        from runtime.data.dataset import Part
        from runtime.data.pictures import Pictures

        root = Path(self.content)
        files = files_below(root, SUFFIXES) if root.is_dir() else [root.name]
        if not files:
            raise SpecError([diagnostic(
                "F0631", f"`{root}` has no pictures",
                notes=[f"files that count as pictures: {', '.join(SUFFIXES)}"],
                help="give a picture, or a folder that holds some")])
        content = Pictures(files, self.form, root if root.is_dir() else root.parent)[:]
        style = Pictures([Path(self.style).name], self.form, Path(self.style).parent)[:]
        whole = Part({"content": content, "style": np.repeat(style, len(files), axis=0)},
                     names=np.array(files, object))
        words = CHANNELS[self.channels]
        dataset = self.assembled({"train": whole}, self.fields(), {},
                                 {"content": words, "style": words})
        every = np.repeat(np.arange(dataset.train.size), self.repeat)
        return replace(dataset, train=dataset.train.take(every))

    def encode(
        self, inputs: Sequence[Any], fitted: Mapping[str, Any], called: Sequence[str] = (),
    ) -> Part:
        """Pictures to paint, by their paths."""
        from runtime.data.pictures import as_field

        return as_field(inputs, "content", self.fields()["content"], self.fit)
