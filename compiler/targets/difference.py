"""How two networks differ: layers added, removed, changed, renamed, moved; loops that run longer.

Layers are matched list by list, from the outside in: those of one path and one content first,
then by `was`, by content, by path. What only follows from a change elsewhere, such as the
input channels of the next layer, is no change of its own; the sizes show it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from compiler.graph import Scan
from compiler.ops.base import Operator
from compiler.printer import fields_of, init_text, pairs
from compiler.targets.identity import layer_content
from compiler.targets.matching import Part, aligned, described, was_path

Kind = Literal["added", "removed", "changed", "renamed", "repeats", "wired"]

_SERIES = re.compile(r"(.*[^\W\d_])(\d+)")  # an iteration of a loop: its index and a number


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is different.

    Attributes:
        kind: what happened.
        path: where, in the second network; of what was removed, in the first.
        before: the path in the first network, where it is another one.
        what: the layer, or what of it is different, as text.
        params, macs: how many more there are in the second.
        fields: for a changed layer each field with both values as texts.
    """

    kind: Kind
    path: str
    before: str = ""
    what: str = ""
    params: int = 0
    macs: int = 0
    fields: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def changes(first: Sequence[Part], second: Sequence[Part]) -> list[Change]:
    """What is different between two networks, in the order of the second."""
    found = _Found()
    found.compare(first, second)
    return found.finish()


@dataclass
class _Found:
    """What was found so far.

    Attributes:
        told: the changes, and parts that have no partner: (in the second network, the part).
        matched: for the path of each part of the first network its partner's in the second.
        pairs: the parts themselves.
    """

    told: list[Change | tuple[bool, Part]] = field(default_factory=list)
    matched: dict[str, str] = field(default_factory=dict)
    pairs: list[tuple[Part, Part]] = field(default_factory=list)

    def compare(self, first: Sequence[Part], second: Sequence[Part]) -> None:
        matches = list(aligned(first, second))
        repeated = self.repeats(matches)
        for a, b in matches:
            if a is not None and b is not None:
                self.pair(a, b)
            elif a is not None and id(a) not in repeated:
                self.told.append((False, a))
            elif b is not None and id(b) not in repeated:
                self.told.append((True, b))

    def pair(self, a: Part, b: Part) -> None:
        self.matched[a.path] = b.path
        self.pairs.append((a, b))
        if a.label != b.label and a.owns:
            self.told.append(Change("renamed", b.path, a.path))
        layers = a.row is not None and b.row is not None
        fields = different(a, b) if layers else different_scans(a, b)
        if fields:
            what = ", ".join(f"{name}: {x} → {y}" for name, (x, y) in fields.items())
            self.told.append(Change(
                "changed", b.path, a.path if a.path != b.path else "", what,
                b.params - a.params if layers else 0, b.macs - a.macs if layers else 0, fields))
        if a.inside or b.inside:
            self.compare(a.inside, b.inside)

    def repeats(self, matches: Sequence[tuple[Part | None, Part | None]]) -> set[int]:
        """Tell of loops that run longer or shorter; the iterations that are told by that."""
        series: dict[str, list[tuple[Part | None, Part | None]]] = {}
        for a, b in matches:
            part = b if b is not None else a
            if part is not None and (found := _SERIES.fullmatch(part.label)):
                series.setdefault(found[1], []).append((a, b))
        told: set[int] = set()
        for index, pairs_ in series.items():
            removed = [a for a, b in pairs_ if a is not None and b is None]
            added = [b for a, b in pairs_ if b is not None and a is None]
            kept = [b for a, b in pairs_ if a is not None and b is not None]
            if not kept or bool(removed) == bool(added):
                continue
            counts = len(kept) + len(removed), len(kept) + len(added)
            path = kept[0].path[: -len(kept[0].label)] + index
            self.told.append(Change(
                "repeats", path, "", f"{counts[0]} → {counts[1]} times",
                sum(p.params for p in added) - sum(p.params for p in removed),
                sum(p.macs for p in added) - sum(p.macs for p in removed),
                {"times": (str(counts[0]), str(counts[1]))}))
            told |= {id(p) for p in (*removed, *added)}
        return told

    def finish(self) -> list[Change]:
        """All changes: what was removed in one place and added in another was moved."""
        alone = [item[1] for item in self.told if isinstance(item, tuple) and not item[0]]
        others = [item[1] for item in self.told if isinstance(item, tuple) and item[0]]
        # What is inside of one may have been moved by itself.
        wanted = [{_content(part) for whole in wholes for part in _all(whole)
                   if len(list(part.rows)) > 1} for wholes in (others, alone)]
        lost = [part for whole in alone for part in _opened(whole, wanted[0])]
        new = [part for whole in others for part in _opened(whole, wanted[1])]
        # A single layer is nothing special: it was moved where there is no other like it.
        common = Counter(map(_content, lost)) | Counter(map(_content, new))
        moved: dict[int, Part] = {}
        for b in (part for part in new if part.owns):
            free = [part for part in lost if id(part) not in moved]
            a = next((part for part in free if part.path == was_path(b)), None)
            if a is None and (b.row is None or common[_content(b)] == 1):
                a = next((part for part in free if _content(part) == _content(b)), None)
            if a is not None:
                moved |= {id(a): b, id(b): a}
                self.matched[a.path] = b.path
                self.pairs.append((a, b))
        found: list[Change] = []
        for item in self.told:
            if isinstance(item, Change):
                found.append(item)
                continue
            is_new, whole = item
            for part in new if is_new else lost:
                if part is not whole and not part.path.startswith(f"{whole.path}."):
                    continue
                partner = moved.get(id(part))
                if partner is None:
                    sign = 1 if is_new else -1
                    found.append(Change("added" if is_new else "removed", part.path, "", part.what,
                                        sign * part.params, sign * part.macs))
                elif is_new:
                    found.append(Change("renamed", part.path, partner.path))
        return [*found, *self.wires()]

    def wires(self) -> Iterator[Change]:
        """Layers that read another tensor than before, both of which are there in both."""
        partners = {b: a for a, b in self.matched.items()}
        for a, b in self.pairs:
            if a.node is None or b.node is None or len(a.node.inputs) != len(b.node.inputs):
                continue
            for x, y in zip(_sources(a), _sources(b)):
                if x in self.matched and y in partners and self.matched[x] != y and (
                        self.matched[x] not in _sources(b)):
                    yield Change("wired", b.path, "", f"reads {self.matched[x]} → {y}",
                                 fields={"from": (self.matched[x], y)})


def _all(part: Part) -> Iterator[Part]:
    """A part and all that is inside it, as far as it owns weights."""
    if part.owns:
        yield part
        for inner in part.inside:
            yield from _all(inner)


def _content(part: Part) -> tuple[Any, int]:
    """Equal for parts that hold the same."""
    return part.form, part.params


def _opened(part: Part, wanted: set[tuple[Any, int]]) -> Iterator[Part]:
    """A part, or in its place what is inside where something there is wanted."""
    if not part.inside or _content(part) in wanted or not any(
            _content(p) in wanted for p in _all(part)):
        yield part
        return
    for inner in part.inside:
        yield from _opened(inner, wanted)


def _sources(part: Part) -> list[str]:
    """The paths of what a layer reads."""
    assert part.node is not None
    prefix = part.path[: -len(part.node.path)]
    return [f"{prefix}{value.name}" for value in part.node.inputs]


def different(a: Part, b: Part) -> dict[str, tuple[str, str]]:
    """The fields of two layers that differ, and all else that is said of a layer."""
    assert a.node and b.node and a.row and b.row
    one, other = a.row.operation, b.row.operation
    found: dict[str, tuple[str, str]] = {}
    if one.word != other.word:
        found["operator"] = (described(one), described(other))
    elif layer_content(a.node, one)[0] != layer_content(b.node, other)[0]:
        before, after = fields_of(one), fields_of(other)
        found |= {name: (_said(before, name, one), _said(after, name, other))
                  for name in dict.fromkeys((*before, *after))
                  if before.get(name, ...) != after.get(name, ...)}
    inits = [{role: init_text(init) for role, init in part.node.init.items()}
             for part in (a, b) if part.node]
    found |= {f"init {role}": (inits[0].get(role, "its own"), inits[1].get(role, "its own"))
              for role in dict.fromkeys((*inits[0], *inits[1]))
              if inits[0].get(role) != inits[1].get(role)}
    for name, x, y in (("during", a.row.during, b.row.during),
                       ("freeze", a.row.frozen, b.row.frozen),
                       ("weights", _key(a), _key(b)), ("tie", a.node.ties, b.node.ties)):
        if x != y:
            found[name] = (_text(x), _text(y))
    return found


def different_scans(a: Part, b: Part) -> dict[str, tuple[str, str]]:
    """What of two scans differs besides the layers of their bodies."""
    said = [_scan_fields(part.node.operation) if part.node is not None and isinstance(
        part.node.operation, Scan) else {} for part in (a, b)]
    if not all(said):
        return {}
    return {name: (said[0].get(name, "none"), said[1].get(name, "none"))
            for name in dict.fromkeys((*said[0], *said[1]))
            if said[0].get(name) != said[1].get(name)}


def _scan_fields(scan: Scan) -> dict[str, str]:
    search = {} if scan.decode is None else scan.decode.model_dump()
    return {"sample": _text(scan.sample),
            **{f"decode.{name}": _text(value) for name, value in search.items()}}


def _key(part: Part) -> str:
    """The key of shared weights."""
    assert part.node
    return part.node.weights if part.node.weights != part.node.path else ""


def _said(fields: Mapping[str, Any], name: str, op: Operator) -> str:
    """A field's value; its default where it is not given."""
    value = fields.get(name, ...)
    if value is ...:
        value = next((info.default for key, info in type(op).model_fields.items()
                      if name in (key, info.alias)), None)
    return _text(value)


def _text(value: Any) -> str:
    return pairs({"": value}).removeprefix(": ") or "none"
