"""Patches applied to a tree.

1. All paths are those of the spec before any patch: their order does not matter.
2. What replaces a layer takes over its name.
3. Numbers of operators are counted in the result.
4. A patch of one iteration becomes a condition on the loop's index: `when` for layers that are
   put in or taken away, `choose` for those that become others. The layer that stays in the
   other iterations keeps its number.
5. Patches that would undo one another are an error, as is one that leads nowhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass

from compiler.addresses import Spot, Unreachable, find, name_in, paths
from compiler.compose import MAX_DEPTH, MAX_NODES
from compiler.diagnostics import Label, Report, SpecError
from compiler.grafts import (
    as_map,
    choice,
    condition,
    group,
    is_modifier,
    main_field,
    negated,
    size,
    switched,
    with_name,
)
from compiler.iterations import missed
from compiler.layers import JOINS, STRUCTURE
from compiler.patches import Patch, layers_of
from compiler.tree import Mapping, Node, Scalar, Sequence, copy, present, scalar

_MOST_PATHS = 3000  # that are looked at for near ones
_NEAREST = 4


@dataclass(frozen=True, eq=False, slots=True)
class _Edit:
    """A patch, and one of the places that it hits."""

    patch: Patch
    spot: Spot

    @property
    def iterations(self) -> frozenset[tuple[int, int | None]]:
        return frozenset((id(p.loop), p.number) for p in self.spot.conditions)

    def meets(self, other: _Edit) -> bool:
        """Whether both may hold in one iteration."""
        mine = dict(self.iterations)
        return not any(loop in mine and mine[loop] != number for loop, number in other.iterations)


def patched(
    tree: Mapping, patches: list[Patch], report: Report,
    values: AbstractMapping[str, Node] | None = None,
) -> Mapping:
    """The tree with all patches in it, a new one. What cannot be applied is reported.

    Args:
        tree: the spec.
        patches: what is to be changed.
        report: where errors go.
        values: what the params are given, where that is known already.

    Raises:
        SpecError: the result would be larger than any spec may be.
    """
    result = copy(tree)
    assert isinstance(result, Mapping)
    patcher = _Patcher(result, report, values)
    for patch in patches:
        patcher.add(patch)
    rebuilt = patcher.rebuilt(result, [])
    assert isinstance(rebuilt, Mapping)
    check_size(rebuilt, report)
    return rebuilt


def check_size(tree: Mapping, report: Report) -> None:
    """Raise SpecError where a tree that was put together is larger than one file may hold.

    Raises:
        SpecError: F0115 or F0116.
    """
    count, depth, level = 0, 0, [tree]
    while level:
        count, depth = count + len(level), depth + 1
        level = [part for node in level if isinstance(node, Mapping | Sequence)
                 for part in (node.values() if isinstance(node, Mapping) else node)]
        if count > MAX_NODES:
            report.error("F0116", f"with what it extends, the spec has more than {MAX_NODES:,} "
                         "values", tree.key_spans.get("extends", tree.span))
            report.check()
        if depth > MAX_DEPTH:
            report.error("F0115", f"with what it extends, the spec is nested more than {MAX_DEPTH} "
                         "levels deep", tree.key_spans.get("extends", tree.span))
            report.check()


class _Patcher:
    """Finds the places of patches in a tree, then rebuilds the tree with them."""

    def __init__(
        self, tree: Mapping, report: Report, values: AbstractMapping[str, Node] | None,
    ):
        self.tree, self.report, self.values = tree, report, values
        self.edits: dict[tuple[int, str | int], list[_Edit]] = {}
        self.left = MAX_NODES  # values that may still be copied

    def add(self, patch: Patch) -> None:
        """Find what a patch hits; reports where it hits nothing, or cannot be."""
        try:
            spots = find(self.tree, patch.path)
        except Unreachable as error:
            self.report.error("F0232", f"`{patch.path}` cannot be patched: {error.why}", patch.span,
                              help=error.help)
            return
        if not spots:
            self.report.error("F0231", f"`{patch.path}` leads nowhere", patch.span,
                              notes=nearest_paths(self.tree, patch.path, self.report),
                              help=_elsewhere(self.tree, patch.path))
            return
        for spot in spots:
            if (beyond := missed(self.tree, spot.passes, self.values)) is not None:
                loop, count = beyond
                self.report.error(
                    "F0231", f"`{patch.path}` leads nowhere: there is no `{loop.segment}`",
                    patch.span, f"the last iteration is `{loop.index}{count - 1}`" if count else "")
                return
            if problem := self._problem(patch, spot):
                self.report.error("F0232", f"`{patch.path}` cannot be patched so: {problem[0]}",
                                  patch.span, help=problem[1])
                return
            edit = _Edit(patch, spot)
            others = self.edits.setdefault((id(spot.holder), spot.key), [])
            for other in others:
                if patch.changes and other.patch.changes and edit.meets(other):
                    self._clash(edit, other, "both change it")
                    return
            others.append(edit)

    def _problem(self, patch: Patch, spot: Spot) -> tuple[str, str] | None:
        """Why a patch does not go with what it hits, and the remedy."""
        node = spot.node
        if spot.kind == "item":
            return None if patch.set is None else self._set_problem(patch.set, spot)
        if patch.set is not None:
            if spot.kind == "iteration" or isinstance(node, Sequence):
                return "`set` is for one layer, and this is a list of layers", (
                    "set fields of the layers in it")
            return "`set` is for layers", "maps merge: write the values in their own section"
        if (patch.before or patch.after) and self._list(spot) is None:
            return "it is neither a layer nor a list of layers", "`replace` it"
        return None

    def _set_problem(self, fields: Mapping, spot: Spot) -> tuple[str, str] | None:
        inner = [key for key in fields if not is_modifier(key, spot.word)]
        node = spot.node
        value = node[spot.word] if isinstance(node, Mapping) else None
        if inner and isinstance(value, Scalar | Sequence) and present(value) is not None:
            if main_field(spot.word, self.tree) is None:
                return (f"`{spot.word}: …` is written without the names of its fields, so that "
                        f"`{inner[0]}` cannot be set", "`replace` the layer")
        present_ = set(value) if isinstance(value, Mapping) else set()
        present_ |= set(node) if isinstance(node, Mapping) else set()
        for key, part in fields.items():
            if present(part) is None and key not in present_:
                return f"`{key}` is not set there, so that it cannot be taken away", ""
        return None

    def _list(self, spot: Spot) -> Sequence | None:
        """The list of layers that an entry holds: its own, or that of a block."""
        node = spot.node
        if isinstance(node, Mapping) and self.tree.get("blocks") is spot.holder:
            node = node.get("layers", node)
        return node if isinstance(node, Sequence) else None

    def _clash(self, edit: _Edit, other: _Edit, why: str) -> None:
        self.report.error(
            "F0233", f"two patches meet at `{edit.patch.path}`: {why}", edit.patch.span,
            more=(Label(other.patch.span, "the other one"),),
            help="make one patch of the two")

    # --- the tree anew

    def rebuilt(self, node: Node, lost: list[_Edit]) -> Node:
        """A node with the edits of everything in it; `lost` are those that take it away."""
        if isinstance(node, Mapping):
            for key in list(node):
                edits = self._edits(node, key, lost)
                gone = [*lost, *(e for e in edits if e.patch.takes_away)]
                value = self.rebuilt(node[key], gone)
                for edit in edits:
                    value = None if value is None else self._entry(value, edit)
                if value is None:
                    del node[key]
                    node.key_spans.pop(key, None)
                else:
                    node[key] = value
            return node
        if isinstance(node, Sequence):
            items: list[Node] = []
            for at, item in enumerate(list(node)):
                edits = self._edits(node, at, lost)
                gone = [*lost, *(e for e in edits if e.patch.takes_away)]
                layer = self.rebuilt(item, gone)
                whole = [layer]
                for edit in edits:
                    whole = self._item(layer, whole, edit)
                items += whole
            node[:] = items
        return node

    def _edits(self, holder: Node, key: str | int, lost: list[_Edit]) -> list[_Edit]:
        edits = self.edits.get((id(holder), key), [])
        for edit in edits:
            for outer in lost:
                if outer.iterations <= edit.iterations:
                    self._clash(edit, outer, f"`{outer.patch.path}` takes its place away")
        # What changes the layer goes first: `before` and `after` stand around the result.
        return sorted(edits, key=lambda edit: not edit.patch.changes)

    def _entry(self, value: Node, edit: _Edit) -> Node | None:
        patch, spot = edit.patch, edit.spot
        if spot.kind == "iteration":
            assert isinstance(value, Sequence)
            return Sequence(self._iteration(list(value), edit), value.span)
        if patch.remove:
            return None
        value = value if patch.replace is None else patch.replace
        if patch.before or patch.after:
            holder = value if isinstance(value, Mapping) else None
            inner = value if holder is None else holder.get("layers")
            items = [*patch.before, *layers_of(inner), *patch.after]
            whole = Sequence(items, value.span)
            if holder is None:
                return whole
            holder["layers"] = whole
        return value

    def _iteration(self, body: list[Node], edit: _Edit) -> list[Node]:
        """The layers of a loop with one iteration patched."""
        patch, test = edit.patch, condition(edit.spot.conditions)
        if patch.remove:
            body = [group(body, negated(test), patch.span)]
        elif patch.replace is not None:
            body = [choice(test, list(layers_of(patch.replace)), body, patch.span)]
        before = [group(list(patch.before), test, patch.span)] if patch.before else []
        after = [group(list(patch.after), test, patch.span)] if patch.after else []
        return [*before, *body, *after]

    def _item(self, layer: Node, items: list[Node], edit: _Edit) -> list[Node]:
        """What becomes of a layer, of which other edits have made `items` already."""
        patch, spot = edit.patch, edit.spot
        new = items
        if patch.remove:
            new = []
        elif patch.replace is not None:
            new = with_name(list(layers_of(patch.replace)), name_in(spot.node), patch.span)
        elif patch.set is not None:
            own = self._copied(layer, patch) if spot.conditions else layer
            new = [self._with_fields(own, patch.set, spot)]
        if not spot.conditions:
            return [*patch.before, *new, *patch.after]
        test = condition(spot.conditions)
        if patch.remove:
            items = [switched(item, negated(test), patch.span) for item in items]
        elif patch.changes:
            items = [choice(test, new, items, patch.span)]
        before = [group(list(patch.before), test, patch.span)] if patch.before else []
        after = [group(list(patch.after), test, patch.span)] if patch.after else []
        return [*before, *items, *after]

    def _copied(self, node: Node, patch: Patch) -> Node:
        """A copy of a layer for one iteration.

        Raises:
            SpecError: so much was copied that no spec is that large.
        """
        self.left -= size(node)
        if self.left < 0:
            self.report.error("F0116", f"with its patches the spec has more than {MAX_NODES:,} "
                              "values", patch.span)
            raise SpecError(self.report.diagnostics)
        return copy(node)

    def _with_fields(self, item: Node, fields: Mapping, spot: Spot) -> Node:
        """A layer with other values of its fields and modifiers."""
        word = spot.word
        whole = as_map(item)
        assert whole is not None
        layer, spans = dict(whole), dict(whole.key_spans)
        inner: dict[str, Node] = {}
        if isinstance(value := present(layer[word]), Mapping):
            inner, places = dict(value), dict(value.key_spans)
        else:
            if value is not None and (main := main_field(word, self.tree)):
                inner[main] = value
            places = {key: node.span for key, node in inner.items()}
        wants_inner = False
        for key, node in fields.items():
            target, place = (layer, spans) if is_modifier(key, word) else (inner, places)
            wants_inner |= target is inner
            if present(node) is None:
                target.pop(key, None)
                place.pop(key, None)
            else:
                target[key], place[key] = node, fields.key_spans[key]
        if wants_inner:
            old = layer[word].span
            layer[word] = Mapping(inner, old, places) if inner else scalar(None, old)
        is_plain = word not in JOINS and word not in STRUCTURE
        if spot.conditions and is_plain and "name" not in layer:
            layer["name"] = scalar(spot.segment, spot.node.span)  # its path stays what it was
            spans["name"] = spot.node.span
        return Mapping(layer, item.span, spans)


# ------------------------------------------------------------------- paths that lead nowhere


def nearest_paths(tree: Mapping, path: str, report: Report) -> list[str]:
    """A note on the paths that were perhaps meant."""
    report.asked += 1
    if report.asked > 20 or len(path) > 200:
        return []
    found = paths(tree, _MOST_PATHS)
    last = path.rpartition(".")[2]
    alike = [p for p in found if p.rpartition(".")[2] == last]
    close = difflib.get_close_matches(path, alike, _NEAREST, 0)
    close += [p for p in difflib.get_close_matches(path, found, _NEAREST, 0.6) if p not in close]
    notes = [f"nearest: {', '.join(f'`{p}`' for p in close[:_NEAREST])}"] if close else []
    inside = path
    while "." in inside:
        inside = inside.rpartition(".")[0]
        members = [p[len(inside) + 1 :] for p in found if p.startswith(f"{inside}.")]
        members = [m for m in members if "." not in m]
        if members:
            shown = ", ".join(members[:20]) + (", …" if len(members) > 20 else "")
            return [*notes, f"in `{inside}` there are: {shown}"]
    return notes


def _elsewhere(tree: Mapping, path: str) -> str:
    """What to do where the layers of the model are those of another spec."""
    model = tree.get("model")
    if path.split(".")[0] == "model" and isinstance(model, Mapping) and "use" in model:
        used = model["use"]
        name = used.text if isinstance(used, Scalar) else "it"
        return (f"the layers are those of `{name}`: extend that in a file of its own, and use the "
                "file here")
    return ""
