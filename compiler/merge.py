"""A spec laid over another: maps merge, everything else replaces what was there.

1. A map over a map: key by key; new keys come behind the others.
2. Anything else replaces. A key with nothing after it takes the other's value away.
3. Where a map says which one of several things is meant (`optimizer: {sgd: …}`), one that says
   another takes its whole place.
4. A param keeps its type, and its bounds, when it is given a plain value.

The document's class lists the places of rule 3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from compiler.expressions import is_formula
from compiler.tree import Mapping as MapNode
from compiler.tree import Node, Scalar, Sequence, present

# The type names of params, and the Python type of a default that each stands for.
_KINDS: dict[type, str] = {bool: "bool", int: "int", float: "float", str: "string", list: "list"}
_TYPES = (*_KINDS.values(), "layers")

# Paths, `*` for any one key, to the keys that choose; none listed: any.
OneOf = Mapping[str, Collection[str]]


def merged(base: MapNode, over: MapNode, one_of: OneOf) -> MapNode:
    """`over` laid over `base`; neither is changed."""
    patterns = [(pattern.split("."), words) for pattern, words in one_of.items()]

    def laid(base: Node, over: Node, path: tuple[str, ...]) -> Node:
        if _is_param(path) and not isinstance(over, MapNode) and not is_type(over):
            return with_default(base, over)
        if not isinstance(base, MapNode) or not isinstance(over, MapNode):
            return over
        for pattern, words in patterns:
            if _matches(pattern, path) and _chooses(base, words) != _chooses(over, words):
                return over if _chooses(over, words) else maps(base, over, path)
        return maps(base, over, path)

    def maps(base: MapNode, over: MapNode, path: tuple[str, ...]) -> MapNode:
        items, places = dict(base), {**base.key_spans, **over.key_spans}
        for key, node in over.items():
            items[key] = laid(base[key], node, (*path, key)) if key in base else node
            if items[key] is not node and not isinstance(node, MapNode):
                places[key] = base.key_spans[key]  # a param is declared where it was
        return MapNode(items, over.span, places)

    return maps(base, over, ())


def _matches(pattern: list[str], path: tuple[str, ...]) -> bool:
    return len(pattern) == len(path) and all(p in ("*", key) for p, key in zip(pattern, path))


def _chooses(node: MapNode, words: Collection[str]) -> set[str]:
    """The keys of a map that say which thing it is."""
    return {key for key in node if not words or key in words}


def _is_param(path: tuple[str, ...]) -> bool:
    """Whether a path leads to a param, of the file or of a block."""
    return path[-2:-1] == ("params",) and (len(path) == 2 or path[:1] == ("blocks",))


def is_type(node: Node) -> bool:
    """Whether a param's short declaration is a type, which makes it required."""
    return isinstance(node, Scalar) and not node.quoted and node.value in _TYPES


def with_default(declared: Node, value: Node) -> Node:
    """A param's declaration with another default, of the type that it had."""
    if present(value) is None:
        return value
    if isinstance(declared, MapNode):
        return MapNode({**declared, "default": value}, declared.span,
                       {**declared.key_spans, "default": value.span})
    kind = _kind(declared)
    if not kind or kind == _kind(value):
        return value
    full: dict[str, Node] = {"type": Scalar(kind, declared.span, kind, False), "default": value}
    return MapNode(full, declared.span, {"type": declared.span, "default": value.span})


def _kind(node: Node) -> str:
    """The type that a short declaration gives a param, "" where a formula's value decides."""
    if isinstance(node, Sequence):
        return "list"
    if not isinstance(node, Scalar) or isinstance(node.value, str) and is_formula(node.value):
        return ""
    return str(node.value) if is_type(node) else _KINDS.get(type(node.value), "")
