"""The tasks. A new one is its own file and a line in the union."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Discriminator, Tag

from compiler.diagnostics import Report
from compiler.source import Source
from compiler.tree import Mapping, Node, Scalar
from runtime.data import with_path
from runtime.section import word_of
from runtime.share.reference import is_remote
from runtime.tasks.classification import Classification
from runtime.tasks.detection import Detection
from runtime.tasks.forecasting import Forecasting
from runtime.tasks.image_generation import ImageGeneration
from runtime.tasks.language_modelling import LanguageModelling
from runtime.tasks.multi_label import MultiLabel
from runtime.tasks.regression import Regression
from runtime.tasks.segmentation import Segmentation
from runtime.tasks.speech_recognition import SpeechRecognition
from runtime.tasks.tagging import Tagging
from runtime.tasks.task import Task
from runtime.tasks.translation import Translation

AnyTask = Annotated[
    Annotated[Classification, Tag("classification")]
    | Annotated[MultiLabel, Tag("multi_label")]
    | Annotated[Regression, Tag("regression")]
    | Annotated[Tagging, Tag("tagging")]
    | Annotated[Segmentation, Tag("segmentation")]
    | Annotated[Detection, Tag("detection")]
    | Annotated[ImageGeneration, Tag("image_generation")]
    | Annotated[LanguageModelling, Tag("language_modelling")]
    | Annotated[Forecasting, Tag("forecasting")]
    | Annotated[Translation, Tag("translation")]
    | Annotated[SpeechRecognition, Tag("speech_recognition")],
    Discriminator(word_of),
]


def anchored_task(node: Node, directory: Path | None, report: Report) -> Node:
    """A `task` section whose paths no longer depend on where it is read from; see `with_path`.

    A name without a slash is that of a run in `runs/`, and stays one.
    """
    for keys, _ in _runs_named(node):
        node = with_path(node, keys, directory, report)
    return node


def with_names(node: Node) -> Node:
    """A `task` section that names runs as `runs/` does, and nobody's folders."""
    for keys, value in _runs_named(node):
        name = Path(str(value.value)).name
        source = Source(f"task.{'.'.join(keys)}={name!r}", name)
        node = _put(node, keys, Scalar(name, source.span(0, len(name)), name, True))
    return node


def _runs_named(node: Node) -> list[tuple[list[str], Scalar]]:
    """Where a `task` section has paths, and these."""
    if not isinstance(node, Mapping) or len(node) != 1:
        return []
    (word, _), = node.items()
    found = []
    for path in next((kind.paths for kind in _members() if kind.word == word), ()):
        keys = [word, *path.split(".")]
        value = _at(node, keys)
        if isinstance(value, Scalar) and isinstance(value.value, str) and (
                "/" in value.value and not is_remote(value.value)):
            found.append((keys, value))
    return found


def _put(node: Node, keys: Sequence[str], value: Node) -> Node:
    """A node with another one behind `keys`."""
    if not keys or not isinstance(node, Mapping):
        return value
    items = {**node, keys[0]: _put(node[keys[0]], keys[1:], value)}
    return Mapping(items, node.span, node.key_spans)


def _members() -> list[type[Task]]:
    members = typing.get_args(typing.get_args(AnyTask)[0])
    return [typing.get_args(member)[0] for member in members]


def _at(node: Node | None, keys: Sequence[str]) -> Node | None:
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node
