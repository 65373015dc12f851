"""A spec file with everything it refers to: what `resolve` makes and every later stage reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from compiler.layers import LayerSpec, Words
from compiler.ops.base import Operator
from compiler.params import Given, ParamSpec
from compiler.parse import Mapping, Node
from compiler.scope import Scope
from compiler.source import Span
from compiler.spec import Document, Input


@dataclass(frozen=True, eq=False, slots=True)
class BlockSpec:
    """A block as written, ready to be used.

    Attributes:
        name: what layers call it, with its file's prefix.
        params: its declared params.
        inputs: the names of the tensors it takes.
        layers: its layers.
        outputs: output name to (local name, its place); empty: the last layer's tensor.
        let: its named values, or None.
        program: the file it is written in, whose params it reads.
        span: where it is declared.
        weights_file: a file that its weights come from, or None.
    """

    name: str
    params: dict[str, ParamSpec]
    inputs: tuple[str, ...]
    layers: tuple[LayerSpec, ...]
    outputs: dict[str, tuple[str, Span]]
    let: Node | None
    program: Program
    span: Span
    weights_file: Path | None = None


@dataclass(eq=False, slots=True)
class Program:
    """A spec file, resolved.

    Attributes:
        name: the model's name.
        document: the checked document.
        tree: the tree it was made from, with `--set` applied.
        scope: the values of its params and its `let`.
        inputs: its declared inputs.
        blocks: every block that its layers may use, its own and used files'.
        layers: the model's layers; empty where the model is another program's.
        outputs: output name to (local name, its place).
        defaults: operator fields set throughout the file.
        used: the program that each prefix of `use` names.
        model: the program that `model: {use: …}` names, or None.
        weights: the file with weights to start from that it names, or None.
        variant: the variant chosen, or "".
        directory: where its relative paths begin; None for text without a file.
        operators: operators that the caller brought, by word.
        lost: blocks, and prefixes of used files, that could not be read.
        given: what somebody gave its params, in place of their defaults.
    """

    name: str
    document: Document
    tree: Mapping
    scope: Scope
    inputs: dict[str, tuple[Input, Span]] = field(default_factory=dict)
    blocks: dict[str, BlockSpec] = field(default_factory=dict)
    layers: tuple[LayerSpec, ...] = ()
    outputs: dict[str, tuple[str, Span]] = field(default_factory=dict)
    defaults: dict[str, Mapping] = field(default_factory=dict)
    used: dict[str, Program] = field(default_factory=dict)
    model: Program | None = None
    weights: Path | None = None
    variant: str = ""
    directory: Path | None = None
    operators: dict[str, type[Operator]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    given: dict[str, Given] = field(default_factory=dict)

    @property
    def words(self) -> Words:
        """What this program's layers may be called."""
        return Words(
            {n: tuple(b.params) for n, b in self.blocks.items()},
            self.operators,
            self.defaults,
            self.lost,
        )

    def operator(self, word: str) -> type[Operator] | None:
        """The class of an operator, or None where there is none of that word."""
        return Words({}, self.operators).operator(word)

    @property
    def weights_file(self) -> Path | None:
        """The file with weights to start from: the nearest that this program or its model names."""
        if self.weights is not None:
            return self.weights
        return self.model.weights_file if self.model else None

    @property
    def architecture(self) -> Program:
        """The program that holds the model's layers."""
        return self.model.architecture if self.model else self
