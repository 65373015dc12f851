"""Vectors of words that others have trained, put where a model makes its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compiler.diagnostics import SpecError, diagnostic
from compiler.graph import Graph, Value, subgraph
from compiler.ops.base import Operator
from runtime.data.dataset import Meaning
from runtime.data.files import failure, shown

if TYPE_CHECKING:
    from compiler.lower.module import Model

# No word and its vector take more; a file with a longer line is something else.
LONGEST_LINE = 1 << 16


@dataclass(frozen=True)
class Taken:
    """Vectors that a model has taken over.

    Attributes:
        path: their file.
        found: how many words of the vocabulary are in it.
        words: how many there are.
    """

    path: Path
    found: int
    words: int

    def told(self) -> str:
        """"vectors of 18,204 of 19,999 words (91.0 %) from glove.txt"."""
        return (f"vectors of {self.found:,} of {self.words:,} words "
                f"({100 * self.found / self.words:.1f} %) from {shown(self.path)}")


def take_vectors(
    model: Model, graph: Graph, inputs: Mapping[str, str], meaning: Meaning, path: Path,
) -> Taken:
    """Begin a model's vectors with those of a file; words that it lacks keep what was drawn.

    Args:
        model: the model, whose arrays were drawn.
        graph: what it runs.
        inputs: for each input of the model the field of the data that it gets.
        meaning: the data's words.
        path: the file: a word and its numbers in each line, as GloVe's and word2vec's texts are.

    Raises:
        SpecError: F0630 the file cannot be read, F0691 it does not fit the model, F0692 a line
            is wrong, F0693 it has none of the words.
    """
    place = next(_tables(graph, {id(v): v.name for v in graph.inputs}), None)
    words = meaning.labels.get(inputs[place[1]]) if place else None
    if place is None or words is None:
        raise SpecError([diagnostic(
            "F0691", "`vectors` in `train` are for words, and the model embeds none",
            help="read texts with `tokens: words`, and begin the model with `embed`")])
    layer = model
    for step in place[0].split("."):
        layer = getattr(layer, step)
    # The array of a layer that is frozen is no parameter, but it is there.
    variable = layer.embedding  # pyright: ignore[reportAttributeAccessIssue]
    table = np.array(variable[...])
    found = read_vectors(path, set(words), table.shape[1])
    if not found:
        raise SpecError([diagnostic(
            "F0693", f"`{shown(path)}` has none of the {len(words):,} words of the data",
            help="if its words are in small letters, read the texts so: "
                 "`tokens: {words: {lowercase: true}}`")])
    for row, word in enumerate(words[:len(table)]):
        if word in found:
            table[row] = found[word]
    variable[...] = np.asarray(table, variable[...].dtype)
    return Taken(path, len(found), len(words) - 1)


def read_vectors(path: Path, wanted: Collection[str], width: int) -> dict[str, np.ndarray]:
    """The vectors of some words: (width,) each. Nothing else of the file is kept.

    Args:
        path: the file; word2vec's texts begin with a line of two numbers, which tells nothing.
        wanted: the words.
        width: how many numbers a vector has to have.

    Raises:
        SpecError: F0630, F0691, F0692: see `take_vectors`.
    """
    found: dict[str, np.ndarray] = {}
    for number, line in enumerate(_lines(path), start=1):
        # A word may hold spaces; its numbers do not.
        word, *numbers = line.rsplit(" ", width)
        if number == 1:
            if line.count(" ") == 1 and line.replace(" ", "").isdigit():
                continue
            _check_width(path, line, width)
        if len(numbers) != width:
            raise _wrong(path, number, f"a word and {width} numbers are expected")
        if word not in wanted or word in found:
            continue
        try:
            vector = np.array(numbers, np.float32)
        except ValueError:
            raise _wrong(path, number, f"what follows `{word}` is not {width} numbers") from None
        if not np.isfinite(vector).all():
            raise _wrong(path, number, f"the vector of `{word}` has a number that is none")
        found[word] = vector
    return found


def _check_width(path: Path, line: str, width: int) -> None:
    """Complain about a file whose first line has another number of numbers."""
    count = 0
    for cell in reversed(line.split(" ")[1:]):
        try:
            float(cell)
        except ValueError:
            break
        count += 1
    if count != width:
        raise SpecError([diagnostic(
            "F0691", f"the vectors of `{shown(path)}` have {count} numbers, and the model's "
                     f"have {width}", help=f"make the model's vectors {count} wide" if count else
            "give a text file with a word and its numbers in each line")])


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file, one at a time."""
    try:
        with open(path, "rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise _wrong(path, number, "the line is longer than any vector")
                if text := line.decode("utf-8", "replace").rstrip(" \r\n"):
                    yield text
    except OSError as error:
        raise failure("F0630", f"`{shown(path)}` cannot be read: {error.strerror or error}",
                      help="`vectors` in `train` names a text file") from None


def _wrong(path: Path, number: int, what: str) -> SpecError:
    return SpecError([diagnostic(
        "F0692", f"line {number:,} of `{shown(path)}` holds no vector: {what}",
        help="each line is a word and its numbers, with a space between them")])


def _tables(graph: Graph, names: Mapping[int, str], prefix: str = "") -> Iterator[tuple[str, str]]:
    """For each layer that embeds an input of the model, where its table is, and the input.

    Args:
        graph: what is looked through.
        names: for the values that are inputs of the model, by identity, what these are called.
        prefix: the path of the graph's module, with a dot at its end, or "".
    """
    for node in graph.nodes:
        given: Value = node.inputs[0]
        inner = subgraph(node)
        if inner is not None:
            known = {id(own): names[id(value)] for own, value in zip(inner.inputs, node.inputs)
                     if id(value) in names}
            yield from _tables(inner, known, f"{prefix}{node.weights}.")
        elif isinstance(node.operation, Operator) and node.operation.word == "embed" and (
                id(given) in names and given.type.axes == ("time",)):
            yield f"{prefix}{node.weights}", names[id(given)]
