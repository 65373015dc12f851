"""The data sources. A new one is its own file and a line in the union.

A source is chosen by the key that says where the data is (`table: weather.csv`), or, where
the data comes with the package, by its name behind `dataset`. A name under specs/datasets
stands for the source that is written there.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag

from compiler.diagnostics import Report
from compiler.source import Span
from compiler.tree import Mapping, Node, Scalar
from runtime.data.arrays import Arrays
from runtime.data.coco import Coco
from runtime.data.dates import Dates
from runtime.data.digit_scenes import DigitScenes
from runtime.data.digits import Digits
from runtime.data.documents import Documents
from runtime.data.help_texts import HelpTexts
from runtime.data.huggingface import HuggingFace
from runtime.data.images import Images
from runtime.data.landscapes import Landscapes
from runtime.data.masks import MaskFolder
from runtime.data.memory import Memory
from runtime.data.named import about, data_sets
from runtime.data.number_words import NumberWords
from runtime.data.pairs import Pairs
from runtime.data.reviews import Reviews
from runtime.data.seattle_weather import SeattleWeather
from runtime.data.series_file import SeriesFile
from runtime.data.sounds import Sounds
from runtime.data.source import Source
from runtime.data.style_files import StyleFiles
from runtime.data.sunspots import Sunspots
from runtime.data.synthetic_speech import SyntheticSpeech
from runtime.data.table import TableFile
from runtime.data.text import Text
from runtime.data.textures import Textures
from runtime.data.voc import Voc
from runtime.share.reference import is_remote

# The keys that choose a source besides `dataset`, each with the tag of its class. A tag is
# never a key, so that places in Pydantic's complaints are not taken for places in the file.
WORDS = {
    "images": "images:",
    "masks": "masks:",
    "coco": "coco:",
    "voc": "voc:",
    "arrays": "arrays:",
    "sounds": "sounds:",
    "huggingface": "huggingface:",
    "table": "table:",
    "series": "series:",
    "documents": "documents:",
    "text": "text:",
    "pairs": "pairs:",
    "content": "content:",
}


def tag_of(value: Any) -> str | None:
    """The tag of the source that a map chooses, or None where it chooses none."""
    if isinstance(value, Source):
        return value.tag
    if not isinstance(value, dict):
        return None
    tag = next((tag for word, tag in WORDS.items() if word in value), None)
    return str(value["dataset"]) if tag is None and "dataset" in value else tag


def spelt_out(value: Any) -> Any:
    """A map that names a data set of specs/datasets, as the source that is written there."""
    name = value.get("dataset") if isinstance(value, dict) else None
    if not isinstance(name, str) or name not in data_sets():
        return value
    data = dict(about(name).data)
    kind = member(tag_of(data))
    for key in kind.paths if kind else ():
        if key in data:
            data[key] = str(about(name).root() / data[key])
    return data | value


DataSource = Annotated[
    Annotated[Digits, Tag("digits")]
    | Annotated[Dates, Tag("dates")]
    | Annotated[DigitScenes, Tag("digit_scenes")]
    | Annotated[HelpTexts, Tag("help_texts")]
    | Annotated[Memory, Tag("memory")]
    | Annotated[NumberWords, Tag("number_words")]
    | Annotated[Reviews, Tag("reviews")]
    | Annotated[SeattleWeather, Tag("seattle_weather")]
    | Annotated[Sunspots, Tag("sunspots")]
    | Annotated[SyntheticSpeech, Tag("synthetic_speech")]
    | Annotated[Textures, Tag("textures")]
    | Annotated[Landscapes, Tag("landscapes")]
    | Annotated[Images, Tag("images:")]
    | Annotated[MaskFolder, Tag("masks:")]
    | Annotated[Coco, Tag("coco:")]
    | Annotated[Voc, Tag("voc:")]
    | Annotated[Arrays, Tag("arrays:")]
    | Annotated[TableFile, Tag("table:")]
    | Annotated[SeriesFile, Tag("series:")]
    | Annotated[Sounds, Tag("sounds:")]
    | Annotated[HuggingFace, Tag("huggingface:")]
    | Annotated[Documents, Tag("documents:")]
    | Annotated[Text, Tag("text:")]
    | Annotated[Pairs, Tag("pairs:")]
    | Annotated[StyleFiles, Tag("content:")],
    Discriminator(tag_of),
    BeforeValidator(spelt_out),
]


def member(tag: str | None) -> type[Source] | None:
    """The class of a source, by its tag."""
    for item in typing.get_args(typing.get_args(DataSource)[0]):
        kind, *marks = typing.get_args(item)
        if any(isinstance(mark, Tag) and mark.tag == tag for mark in marks):
            return kind
    return None


def anchored(node: Node, directory: Path | None, report: Report | None = None) -> Node:
    """A `data` section whose paths no longer depend on where they are read from.

    Relative paths begin where the spec lies, and those of `--set` where the user is. Text
    without a file, as from Python, is taken to be where the user is, too. No relative path of a
    file leaves the folder that the spec was opened from.

    Args:
        node: the section.
        directory: where the spec lies.
        report: where errors go; they were told before, if None.
    """
    if not isinstance(node, Mapping):
        return node
    kind = member(tag_of(node | {k: v.value for k, v in node.items() if isinstance(v, Scalar)}))
    if kind is None:
        return node
    for path in kind.paths:
        node = with_path(node, path.split("."), directory, report or Report())
    return node


def anchored_start(node: Node, directory: Path | None, report: Report) -> Node:
    """A `train` section whose `from` and `vectors` no longer depend on where it is read from.

    As with the weights that a spec names, a relative path does not leave the folder that the
    spec was opened from.

    Args:
        node: the section.
        directory: where the spec lies.
        report: where errors go.
    """
    node = with_path(node, ["vectors"], directory, report)
    start = node.get("from") if isinstance(node, Mapping) else None
    if isinstance(start, Scalar) and isinstance(start.value, str) and is_remote(start.value):
        return node
    return with_path(node, ["from"], directory, report)


def with_path(
    node: Node, keys: Sequence[str], directory: Path | None, report: Report,
) -> Node:
    """A node in which the path behind `keys`, if there is one, is absolute."""
    if keys and isinstance(node, Mapping) and keys[0] in node:
        items = {**node, keys[0]: with_path(node[keys[0]], keys[1:], directory, report)}
        return Mapping(items, node.span, node.key_spans)
    if keys or not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value:
        return node
    home = node.span.source.home  # a base lies elsewhere than the spec that extends it
    start = home.folder if home else directory
    start = Path() if start is None or _is_typed(node.span) else start
    written = Path(node.value).expanduser()
    path = (start / written).absolute()
    if home is not None and not (written.is_absolute() and not home.sealed) and (
            not home.admits(path)):
        report.error(
            "F0234", f"`{node.value}` is outside the folder that the spec was opened from",
            node.span, help="a spec names files below it by relative paths"
            + ("" if home.sealed else ", others by absolute ones"))
    return Scalar(str(path), node.span, node.text, node.quoted)


def _is_typed(span: Span) -> bool:
    """Whether a value was given on the command line."""
    return span.source.name.startswith("--set ")
