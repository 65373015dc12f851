"""Names of layers in other libraries: rules that rewrite our paths, kept as data in names/*.yaml.

names/torchvision.yaml says how a rule is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from compiler.diagnostics import Report, SpecError, diagnostic
from compiler.parse import parse, read_source
from compiler.tree import plain
from compiler.weights.moves import Module
from compiler.weights.slots import Slots
from compiler.weights.torch_layers import torch_module

FOLDER = Path(__file__).with_name("names")
LIBRARIES = ("torchvision", "timm")
_WORD = re.compile(r"\{(\w+)([+-]\d+)?\}")


@dataclass(frozen=True)
class Rule:
    """A path of ours and the module that it is there.

    Attributes:
        ours: the path, with words in braces.
        theirs: the module, with the same words and {place}.
        form: "conv" for a dense layer that is a convolution there.
        tables: what the words stand for and become; numbers where they have no table.
    """

    ours: str
    theirs: str
    form: str = ""
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def module(self, layer: Slots) -> str | None:
        """The name of a layer there; None where the rule does not speak of it."""
        match = _expression(self.ours, tuple((w, tuple(t)) for w, t in self.tables.items())
                            ).fullmatch(layer.path)
        return None if match is None else _WORD.sub(
            lambda word: self._becomes(word[1], int(word[2] or 0), match, layer), self.theirs)

    def _becomes(self, word: str, more: int, match: re.Match[str], layer: Slots) -> str:
        if word == "place":
            return str(layer.place + more)
        if word in self.tables:
            return self.tables[word][match[word]]
        return str(int(match[word]) + more)


@dataclass(frozen=True)
class NameMap:
    """The names of one family of models in one library.

    Attributes:
        name: "torchvision's resnet".
        rules: the first one that speaks of a layer counts.
        spare: modules that a model may do without, heads that only training needs.
    """

    name: str
    rules: tuple[Rule, ...]
    spare: tuple[str, ...] = ()

    def modules(self, layers: Sequence[Slots]) -> dict[str, Module] | None:
        """Each layer by its name there; None where the map does not speak of all of them."""
        found: dict[str, Module] = {}
        for layer in layers:
            named = next(((name, rule) for rule in self.rules
                          if (name := rule.module(layer)) is not None), None)
            if named is None or named[0] in found:
                return None
            found[named[0]] = torch_module(layer, named[1].form)
        return found

    def unused(self, layers: Sequence[Slots]) -> int:
        """How many rules speak of no layer: most of another kind of model's do."""
        return sum(all(rule.module(layer) is None for layer in layers) for rule in self.rules)

    def is_spare(self, tensor: str) -> bool:
        """Whether a tensor belongs to a part that a model may do without."""
        return any(tensor.startswith(f"{module}.") for module in self.spare)


@cache
def maps(library: str) -> tuple[NameMap, ...]:
    """The maps of a library."""
    return read_maps(FOLDER / f"{library}.yaml", f"{library}'s")


def read_maps(path: Path, whose: str) -> tuple[NameMap, ...]:
    """The maps in a file, which may be a user's own.

    Raises:
        SpecError: it is no YAML, or F0885 no file of names.
    """
    report = Report()
    tree = parse(read_source(path), report)
    report.check()
    try:
        return tuple(_map(name, value, whose) for name, value in plain(tree).items())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SpecError([diagnostic(
            "F0885", f"`{path}` is not a file of names",
            notes=[f"{type(error).__name__}: {error}"],
            help="for each family of models it has `layers`, a map from paths of ours to their "
                 "modules: `{resnet: {layers: {conv_1: conv1, dense_1: fc}}}`")]) from None


def _map(name: str, value: Any, whose: str) -> NameMap:
    if isinstance(value, str):
        same = next(m for m in maps(value) if m.name == f"{value}'s {name}")
        return NameMap(f"{whose} {name}", same.rules, same.spare)
    tables = {word: {str(ours): str(theirs) for ours, theirs in table.items()}
              for word, table in value.get("tables", {}).items()}
    rules = []
    for ours, theirs in value["layers"].items():
        module, form = (theirs["module"], theirs.get("as", "")) if isinstance(theirs, dict) else (
            theirs, "")
        listed = [match[1] for match in _WORD.finditer(ours)]
        words = set(listed)
        if len(words) < len(listed) or not all(word.isidentifier() for word in words):
            raise ValueError(f"the words in `{ours}` are not names, each there once")
        if unknown := {match[1] for match in _WORD.finditer(module)} - words - {"place"}:
            raise ValueError(f"`{module}` has `{unknown.pop()}`, `{ours}` has not")
        rules.append(Rule(ours, module, form, {w: t for w, t in tables.items() if w in words}))
    return NameMap(f"{whose} {name}", tuple(rules), tuple(value.get("spare", ())))


@cache
def _expression(ours: str, tables: tuple[tuple[str, tuple[str, ...]], ...]) -> re.Pattern[str]:
    """What the paths of a rule look like."""
    words = {word: "|".join(map(re.escape, kinds)) for word, kinds in tables}
    # Text and words by turns: re.split gives the word and what is added to it between them.
    pieces = _WORD.split(ours)
    text = [re.escape(piece) for piece in pieces[::3]]
    groups = [f"(?P<{word}>{words.get(word, '[0-9]{1,9}')})" for word in pieces[1::3]]
    return re.compile("".join(t + g for t, g in zip(text, [*groups, ""])))
