"""Parts and their tensors as a flow: chains, branches of joins, and names for what is neither.

1. A join whose inputs begin at one tensor, and share nothing on the way, has its branches inside.
2. Everything else stands in the order it runs; what is read again has a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from compiler.imports.items import Item, Layout
from compiler.imports.parts import Model, Part, Ref, identifier
from compiler.ops import FAMILIES

JOINS = FAMILIES["combine"]
Key = tuple[int | str, str]  # a tensor: its owner and its port
ROOT: Key = ("", "")


def structured(model: Model) -> Layout:
    """The layers of a model, none folded yet."""
    return _Structure(model).layout()


class _Structure:
    def __init__(self, model: Model):
        self.model = model
        self.readers: Counter[Key] = Counter()
        self.consumers: dict[Key, list[int]] = {}
        for part in model.parts:
            for ref in (*part.reads, *part.memory.values()):
                self.readers[_key(ref)] += 1
                self.consumers.setdefault(_key(ref), []).append(part.number)
        for ref in model.outputs.values():
            self.readers[_key(ref)] += 1
        self.names: dict[int, str] = {}  # of the parts that others refer to
        self.taken: set[str] = set(model.inputs)
        self.items: dict[int, Item] = {}  # the latest of each part
        self.dominators = _dominators(model)

    def layout(self) -> Layout:
        main = next(iter(self.model.outputs.values()))
        first = (next(iter(self.model.inputs)), "")
        done: set[int] = set()
        items = self._between(first, _key(main), done, outermost=True)
        # What leads to further outputs, and to the main one in ways of its own.
        rest = [part.number for part in self.model.parts if part.number not in done]
        if rest:
            return self._flat_layout()
        outputs = {}
        if len(self.model.outputs) > 1 or main.port:
            outputs = {name: self._name_of(_key(ref)) for name, ref in self.model.outputs.items()}
        self._name()
        return Layout(items, outputs)

    def _flat_layout(self) -> Layout:
        """Every part in the order it runs; what the flow does not bring has a name."""
        first = (next(iter(self.model.inputs)), "")
        items = self._listed([p.number for p in self.model.parts], first)
        outputs = self.model.outputs
        last = self.model.parts[-1].number if self.model.parts else -1
        names: dict[str, str] = {}
        if len(outputs) > 1 or [_key(ref) for ref in outputs.values()] != [(last, "")]:
            names = {name: self._name_of(_key(ref)) for name, ref in outputs.items()}
        self._name()
        return Layout(items, names)

    # ------------------------------------------------------------------------- regions

    def _between(self, start: Key, end: Key, done: set[int], *, outermost: bool = False,
                 ) -> list[Item]:
        """The items that lead from one tensor to another."""
        way = [end]
        while way[-1] != start:
            above = self.dominators.get(way[-1], ROOT)
            if above == ROOT:
                break
            way.append(above)
        way.reverse()
        if way[0] != start:
            # Several inputs meet: what comes before they have met has names.
            way.insert(0, start)
        items: list[Item] = []
        for one, two in zip(way, way[1:]):
            items += self._step(one, two, done)
        return _joined_steps(items)

    def _step(self, start: Key, end: Key, done: set[int]) -> list[Item]:
        """The items from a tensor to the next one that every way leads through."""
        number = end[0]
        assert isinstance(number, int)
        part = self.model.parts[number]
        if [_key(r) for r in part.reads] == [start] and not part.memory:
            done.add(number)
            return [self._item(part)]
        inside: set[int] = set()
        branches = self._branches(part, start, inside)
        if branches is not None:
            done |= inside | {number}
            self.items[number] = Item(part.word, dict(part.fields), branches, part=part)
            return [self.items[number]]
        region = self._region(start, number)
        done |= region
        return self._listed(sorted(region), start)

    def _branches(self, part: Part, start: Key, inside: set[int]) -> dict[str, list[Item]] | None:
        """Rule 1; None where it does not hold."""
        if part.word not in JOINS or part.memory or len(part.reads) < 2:
            return None
        regions = [self._region(start, ref.owner) if _key(ref) != start else set()
                   for ref in part.reads]
        together = set().union(*regions)
        if len(together) != sum(map(len, regions)) or any(r.port for r in part.reads):
            return None
        # Every tensor made inside is read inside, or by the join alone.
        for region, ref in zip(regions, part.reads):
            for number in region:
                own = [key for key in self.readers if key[0] == number]
                outside = sum(self.readers[key] - sum(
                    c in region for c in self.consumers.get(key, ())) for key in own)
                if outside != (number == ref.owner) or any(
                        key[1] for key in own if number == ref.owner):
                    return None
                reads = [_key(r) for r in (*self.model.parts[number].reads,
                                           *self.model.parts[number].memory.values())]
                if not all(key == start or key[0] in region for key in reads):
                    return None
        ways = []
        for region, ref in zip(regions, part.reads):
            done: set[int] = set()
            ways.append(self._between(start, _key(ref), done) if region else [])
            if done != region:
                return None
        found = dict(zip(_branch_keys(part, ways), ways))
        inside |= together
        return found

    def _region(self, start: Key, end: int | str) -> set[int]:
        """The parts on the ways from a tensor to a part, with that part."""
        found: set[int] = set()
        waiting = [end]
        while waiting:
            number = waiting.pop()
            if not isinstance(number, int) or number in found or (number, "") == start:
                continue
            if start[0] == number:
                continue
            found.add(number)
            part = self.model.parts[number]
            waiting += [r.owner for r in (*part.reads, *part.memory.values())]
        return found

    # --------------------------------------------------------------------------- items

    def _item(self, part: Part) -> Item:
        body = None
        if part.word == "each":
            body = [Item(inner.word, dict(inner.fields), part=inner, name=inner.name)
                    for inner in part.inside]
        self.items[part.number] = Item(part.word, dict(part.fields), part=part, name=part.name,
                                       body=body)
        return self.items[part.number]

    def _listed(self, numbers: Sequence[int], start: Key) -> list[Item]:
        """Rule 2."""
        items: list[Item] = []
        flow = start
        for number in numbers:
            part = self.model.parts[number]
            item = self._item(part)
            reads = [_key(r) for r in part.reads]
            if len(reads) > 1 or reads[0] != flow:
                item.source = [self._name_of(key) for key in reads]
                item.pinned = True
            for name, ref in part.memory.items():
                item.fields[name] = self._name_of(_key(ref))
                item.pinned = True
            items.append(item)
            flow = (number, "")
        return items

    def _name_of(self, key: Key) -> str:
        """What a tensor is called, from here on."""
        owner, port = key
        if isinstance(owner, str):
            return owner
        if owner not in self.names:
            part = self.model.parts[owner]
            wish = part.name or identifier(f"{part.word}_out") or "made"
            name, number = wish, 1
            while name in self.taken:
                number += 1
                name = f"{wish}_{number}" if part.name else f"{wish}{number}"
            self.names[owner] = name
            self.taken.add(name)
        return f"{self.names[owner]}.{port}" if port else self.names[owner]

    def _name(self) -> None:
        """Give the items the names that others call them by."""
        for number, name in self.names.items():
            self.items[number].name, self.items[number].pinned = name, True


def _joined_steps(items: Sequence[Item]) -> list[Item]:
    """Neighbours that run on every step of an axis, as one."""
    found: list[Item] = []
    for item in items:
        before = found[-1] if found else None
        if before is not None and before.word == item.word == "each" and (
                before.fields == item.fields and not before.pinned and not item.pinned):
            found[-1] = Item("each", item.fields, body=[*(before.body or ()), *(item.body or ())])
        else:
            found.append(item)
    return found


def _branch_keys(part: Part, ways: Sequence[Sequence[Item]]) -> list[str]:
    """What the branches are called; equal structures have equal names, so that they fold."""
    pair = {"add": ("body", "shortcut"), "multiply": ("gate", "all")}.get(part.word)
    if pair is None or len(ways) != 2:
        return [f"way{i + 1}" for i in range(len(ways))]
    longer = sum(i.size for i in ways[0]) >= sum(i.size for i in ways[1])
    return list(pair if longer else reversed(pair))


def _key(ref: Ref) -> Key:
    return ref.owner, ref.port


def _dominators(model: Model) -> Mapping[Key, Key]:
    """For each tensor the last one that every way from the inputs to it leads through.

    Cooper, Harvey and Kennedy (2001), over a graph whose order is known.
    """
    above: dict[Key, Key] = {(name, ""): ROOT for name in model.inputs}
    depth: dict[Key, int] = {ROOT: 0, **{key: 1 for key in above}}

    def common(a: Key, b: Key) -> Key:
        while a != b:
            if depth[a] < depth[b]:
                a, b = b, a
            a = above[a]
        return a

    ports: dict[int, set[str]] = {}
    refs: list[Any] = [r for p in model.parts for r in (*p.reads, *p.memory.values())]
    for ref in (*refs, *model.outputs.values()):
        if isinstance(ref.owner, int):
            ports.setdefault(ref.owner, set()).add(ref.port)
    for part in model.parts:
        keys = [_key(r) for r in (*part.reads, *part.memory.values())]
        if not keys:
            continue
        least = keys[0]
        for key in keys[1:]:
            least = common(least, key)
        for port in ports.get(part.number, set()) | {""}:
            above[part.number, port] = least
            depth[part.number, port] = depth[least] + 1
    return above
