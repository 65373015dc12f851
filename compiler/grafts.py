"""Pieces of tree that patches put in: groups and choices under a condition, layers with a name."""

from __future__ import annotations

from collections.abc import Sequence as PySequence

from compiler.addresses import Pass, name_in
from compiler.expressions import is_formula
from compiler.layers import JOINS
from compiler.modifiers import MODIFIERS
from compiler.ops import WORDS, operator
from compiler.source import Span
from compiler.tree import Mapping, Node, Scalar, Sequence, scalar


def is_modifier(key: str, word: str) -> bool:
    """Whether a key stands beside the operator; a head's name stands inside."""
    return key in MODIFIERS and not (word == "output" and key == "name")


def main_field(word: str, tree: Mapping) -> str | None:
    """The field that `word: value` sets; None where that cannot be told."""
    blocks = tree.get("blocks")
    if isinstance(blocks, Mapping) and isinstance(block := blocks.get(word), Mapping):
        params = block.get("params")
        return next(iter(params), None) if isinstance(params, Mapping) else None
    return operator(word).main if word in WORDS and word not in JOINS else None


def field_of(layer: Node, word: str, key: str) -> Node | None:
    """The value of a layer's field or modifier, as it is written; None where it is not."""
    if not isinstance(layer, Mapping):
        return None
    if is_modifier(key, word):
        return layer.get(key)
    value = layer.get(word)
    return value.get(key) if isinstance(value, Mapping) else None


def condition(passes: PySequence[Pass]) -> str:
    """The formula that holds in the iterations that a path names."""
    return " and ".join(f"{step.index} == {step.number}" for step in passes)


def negated(test: str) -> str:
    """The formula that holds in all others."""
    return f"not ({test})" if " and " in test else test.replace("==", "!=")


def made(items: dict[str, Node], span: Span) -> Mapping:
    """A map as if it stood at `span`."""
    return Mapping(items, span, dict.fromkeys(items, span))


def group(layers: list[Node], test: str, span: Span) -> Mapping:
    """Layers that are there under a condition; their names are those of the scope around."""
    return made({"layers": Sequence(layers, span), "when": scalar(f"={test}", span)}, span)


def choice(test: str, new: list[Node], old: list[Node], span: Span) -> Mapping:
    """New layers under a condition, else the old ones: first, so that they keep their numbers."""
    cases = made({"false": Sequence(old, span), "true": Sequence(new, span)}, span)
    return made({"choose": made({"value": scalar(f"={test}", span), "cases": cases}, span)}, span)


def as_map(layer: Node) -> Mapping | None:
    """A layer as a map; None where it is none of the forms that a layer has."""
    if isinstance(layer, Mapping):
        return layer
    if isinstance(layer, Scalar) and isinstance(layer.value, str):
        return made({layer.value: scalar(None, layer.span)}, layer.span)
    return None


def beside(layer: Mapping, key: str, value: Node, span: Span) -> Mapping:
    """A layer with one more modifier, or another value of it."""
    return Mapping({**layer, key: value}, layer.span, {**layer.key_spans, key: span})


def switched(item: Node, test: str, span: Span) -> Node:
    """A layer with one more condition."""
    layer = as_map(item)
    if layer is None:
        return item
    when, text = layer.get("when"), f"={test}"
    if isinstance(when, Scalar) and when.value is False:
        return layer
    if isinstance(when, Scalar) and isinstance(when.value, str) and is_formula(when.value):
        text = f"{text} and ({when.value.strip()[1:].strip()})"
    return beside(layer, "when", scalar(text, span), span)


def with_name(layers: list[Node], name: str, span: Span) -> list[Node]:
    """What replaces a layer under that layer's name, where none of it has one."""
    if not name or not layers or any(name_in(layer) for layer in layers):
        return layers
    if len(layers) > 1:
        return [made({"layers": Sequence(layers, span), "name": scalar(name, span)}, span)]
    layer = as_map(layers[0])
    return layers if layer is None else [beside(layer, "name", scalar(name, span), span)]


def size(node: Node) -> int:
    """How many values a node holds, itself counted."""
    count, waiting = 0, [node]
    while waiting:
        node = waiting.pop()
        count += 1
        if isinstance(node, Mapping):
            waiting += node.values()
        elif isinstance(node, Sequence):
            waiting += node
    return count
