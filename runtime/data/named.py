"""Data sets by name: small files under specs/datasets that say where to fetch what.

`data: {dataset: mnist, validation: 0.2}` is the `data` of specs/datasets/mnist.yaml, with the
fields of the recipe put over it. Paths in it begin where the files were fetched to.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from compiler import zoo
from compiler.diagnostics import Report
from compiler.parse import parse, plain, read_source
from runtime.section import Section, problem

FOLDER = "datasets"
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RemoteFile(Section):
    """A file to fetch."""

    address: Annotated[str, Field(pattern=r"^https?://[^\s?#]*/[^\s?#/]+$")] = Field(
        description="where it is")
    sha256: Digest | None = Field(
        default=None, description="the digest that it has to have")
    contents: dict[str, Digest] = Field(
        default={}, description="in place of `sha256`, for an archive that its server packs anew: "
                                "folders in it, each with the digest of what `sha256sum *` says "
                                "there")
    unpack: bool = Field(default=False, description="whether it is an archive: tar or zip")
    gather: dict[str, str] = Field(
        default={}, description="of an archive with a text file for each example, the folders of "
                                "classes to make tables of: `{train.jsonl: folder/train}`")
    classes: list[str] = Field(default=[], description="the classes to gather")

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if (self.sha256 is None) != bool(self.contents) or self.contents and not self.unpack:
            raise problem("a file to fetch has `sha256`, or, if it is unpacked, `contents`")
        return self


class NamedData(Section):
    """A file under specs/datasets."""

    dataset: str = Field(description="its name, which is its file's")
    summary: str = Field(description="one line on what it is")
    source: str = Field(description="where it is described")
    licence: str = Field(description="under what terms it is published")
    files: list[RemoteFile] = Field(min_length=1, description="what to fetch")
    data: dict[str, Any] = Field(description="how it is read; paths begin at the files")

    @property
    def folder(self) -> Path:
        """Where its files are kept."""
        from runtime.data.fetch import cache_folder

        return cache_folder() / FOLDER / self.dataset

    @property
    def is_here(self) -> bool:
        """Whether all of its files were fetched before."""
        return all((self.folder / file.address.rpartition("/")[2]).is_file()
                   for file in self.files)

    def root(self) -> Path:
        """Where paths in `data` begin: the unpacked archive, or the folder of the files."""
        archive = next((file for file in self.files if file.unpack), None)
        if archive is None:
            return self.folder
        return self.folder / f"{archive.address.rpartition('/')[2]}.unpacked"

    def fetch(self) -> None:
        """Have all files where they belong.

        Raises:
            SpecError: F0637, F0638: one cannot be fetched, or is another one.
        """
        from runtime.data.fetch import check_contents, fetched, gathered, unpacked

        for file in self.files:
            path = fetched(file.address, file.sha256, self.folder)
            if file.unpack:
                check_contents(path, unpacked(path), file.contents)
            if file.gather:
                gathered(path, file.gather, file.classes)


def data_sets() -> list[str]:
    """The data sets that there are."""
    return sorted(path.stem for path in (zoo.directory() / FOLDER).glob("*.yaml"))


@lru_cache
def about(name: str) -> NamedData:
    """A data set by its name."""
    path = zoo.directory() / FOLDER / f"{name}.yaml"
    report = Report()
    tree = parse(read_source(path, shown=f"specs/{FOLDER}/{name}.yaml"), report)
    report.check()
    return NamedData.model_validate(plain(tree))
