"""Values from outside a file: `--set a.b=c`, the last patch, and params given from Python."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from typing import Any

from compiler.addresses import Unreachable, find
from compiler.diagnostics import Report
from compiler.grafts import field_of
from compiler.parse import Mapping, Node, Scalar, parse_value, scalar
from compiler.parse import Sequence as SequenceNode
from compiler.patches import Patch
from compiler.patching import nearest_paths
from compiler.patching import patched as with_patches
from compiler.source import Source, Span
from compiler.tree import copy
from compiler.wording import near, some


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `--set a.b=c`."""

    path: tuple[str, ...]
    value: Node


def parse_assignment(text: str, report: Report) -> Assignment | None:
    """Read `a.b=c`; None, and a report, where it is not that."""
    path, equals, value = text.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        report.error(
            "F0219",
            f"`--set {text}` is not of the form `--set a.b=c`",
            help="as in `--set train.epochs=5`",
        )
        return None
    return Assignment(keys, parse_value(value, f"--set {text}", report))


def patched(
    tree: Mapping, item: Assignment, params: list[str], sections: Collection[str], report: Report,
    values: AbstractMapping[str, Node],
) -> Mapping:
    """The tree with the value at the assignment's path replaced or added.

    Args:
        tree: the spec.
        item: the path and the value.
        params: the spec's params.
        sections: the names of the sections that a spec may have.
        report: where errors go.
        values: what its params are given, in place of their defaults.
    """
    if item.path[0] in ("extends", "patch"):
        report.error("F0219", f"`{item.path[0]}` cannot be set: the spec is put together before",
                     item.value.span, help="write it in a file of its own")
        return tree
    if len(item.path) == 1 and item.path[0] not in sections:
        words = [*params, *sections]
        report.error(
            "F0219",
            f"there is no param `{item.path[0]}` to set",
            item.value.span,
            near(item.path[0], words, report),
            notes=(f"params: {some(params)}",),
            help=f"a param of the model that is used: `--set model.with.{item.path[0]}=…`"
            if isinstance(tree.get("model"), Mapping)
            else "give the whole path for anything else: `--set train.epochs=5`",
        )
        return tree

    if (whole := _layer_patched(tree, item, report, values)) is not None:
        return whole
    return _replaced(tree, item, report)


def _layer_patched(
    tree: Mapping, item: Assignment, report: Report, values: AbstractMapping[str, Node],
) -> Mapping | None:
    """The tree with a layer, or fields of one, set by its path; None where it is no layer's.

    The path is that of a patch, which this then is: `model.stem.filters`. The numbers of elements
    of lists are for `_replaced`.
    """
    if any(key.isdigit() for key in item.path):
        return None
    stopped: Unreachable | None = None
    for length in range(len(item.path), 1, -1):
        path, rest = ".".join(item.path[:length]), list(item.path[length:])
        root = copy(tree)
        assert isinstance(root, Mapping)
        try:
            spots = find(root, path)
        except Unreachable as error:
            stopped = stopped or error
            continue
        if not spots or spots[0].kind == "entry":
            continue
        if stopped is not None and len(rest) > 1:  # not a param of the block, but a layer in it
            break
        layer = (spots[0].node, spots[0].word)
        if not rest:
            is_removal = isinstance(item.value, Scalar) and item.value.value == "remove"
            patch = Patch(path, item.value.span, replace=None if is_removal else item.value,
                          remove=is_removal)
        else:
            rest = rest[1:] if rest[0] == layer[1] and len(rest) > 1 else rest
            field, *inner = rest
            if inner and field != "init" and field_of(*layer, field) is None:
                break
            value = _within(field_of(*layer, field), inner, item)
            patch = Patch(path, item.value.span, set=Mapping(
                {field: value}, item.value.span, {field: item.value.span}))
        return with_patches(tree, [patch], report, values)
    if stopped is not None:
        report.error("F0219", f"`{'.'.join(item.path)}` cannot be set: {stopped.why}",
                     item.value.span, help=stopped.help)
        return tree
    return None


def _within(node: Node | None, path: list[str], item: Assignment) -> Node:
    """A field's value with the assignment's value at a path of keys inside it."""
    if not path:
        return item.value
    old = node if isinstance(node, Mapping) else Mapping({}, item.value.span)
    inner = _within(old.get(path[0]), path[1:], item)
    return Mapping({**old, path[0]: inner}, old.span, {**old.key_spans, path[0]: item.value.span})


def _replaced(tree: Mapping, item: Assignment, report: Report) -> Mapping:
    """The tree with the value at the assignment's path, through maps and numbers of elements."""

    def replaced(node: Node | None, path: tuple[str, ...]) -> Node:
        if not path:
            return item.value
        key, rest = path[0], path[1:]
        if isinstance(node, Mapping):  # a key may hold dots: `lib.unit`
            for length in range(len(path), 1, -1):
                if ".".join(path[:length]) in node:
                    key, rest = ".".join(path[:length]), path[length:]
                    break
        if isinstance(node, SequenceNode):
            if not key.isdigit():
                report.error("F0219", f"`{'.'.join(item.path)}` leads nowhere", item.value.span,
                             notes=nearest_paths(tree, ".".join(item.path), report))
                return node
            if int(key) >= len(node):
                report.error(
                    "F0219",
                    f"`{key}` is not the number of an element of a list of {len(node)}",
                    item.value.span,
                    help="elements count from 0",
                )
                return node
            items = list(node)
            items[int(key)] = replaced(items[int(key)], rest)
            return SequenceNode(items, node.span)
        if isinstance(node, Scalar) and node.value is not None:
            report.error(
                "F0219", f"`{key}` cannot be set: `{node.text}` is not a map", item.value.span
            )
            return node
        old = node if isinstance(node, Mapping) else Mapping({}, item.value.span, {})
        entries = {**old, key: replaced(old.get(key), rest)}
        return Mapping(
            entries, old.span, {**old.key_spans, key: old.key_spans.get(key, item.value.span)}
        )

    result = replaced(tree, item.path)
    assert isinstance(result, Mapping)
    return result


def node_of(value: Any, source: Source) -> Node:
    """A Python value as a piece of tree."""
    span = Span(source, 1, 1, 1, len(source.text) + 1)
    if isinstance(value, dict):
        return Mapping(
            {str(k): node_of(v, source) for k, v in value.items()},
            span,
            {str(k): span for k in value},
        )
    if isinstance(value, list | tuple):
        return SequenceNode([node_of(v, source) for v in value], span)
    return scalar(value, span)
