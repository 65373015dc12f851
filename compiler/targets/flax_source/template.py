"""Bodies to classes: what several uses of a block have in common, and what their arguments are.

Two bodies share a class where their items do the same but for values, which become arguments,
and where one lacks a stretch of items of the other, which a switch then guards: the shortcut
of a residual unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.targets.flax_source.code import Code, call, unique
from compiler.targets.flax_source.items import Body, Item, Ref

# Switches of one class: with more of them, two classes are easier to read.
MOST_SWITCHES = 2


@dataclass(eq=False)
class Region:
    """Neighbouring items that only some bodies have, or that exist in one phase only.

    Attributes:
        items: their paths.
        rows: which bodies have them; all of them for a phase.
        during: the phase, or "".
        escapes: for each of their tensors read outside, what stands for it without them.
        switch: the argument that says whether they are there.
    """

    items: tuple[str, ...]
    rows: frozenset[int]
    during: str = ""
    escapes: dict[Ref, Ref | None] = field(default_factory=dict)
    switch: str = ""


class Clash(Exception):
    """Two bodies do not fit one class."""


class Template:
    """A class: the items of all bodies that share it.

    Attributes:
        name: of the class.
        rows: the bodies.
        items: for each path, in order, the item of each body that has it.
        regions: the stretches of items that are not always there.
        arguments: the values of each argument, a list with one for each body.
        defaults: arguments that may be left out.
    """

    def __init__(self, name: str, rows: list[Body], classes: Mapping[int, Template]):
        """Bring bodies together.

        Raises:
            Clash: they do not fit.
        """
        self.name, self.rows, self.classes = name, rows, classes
        self.items = _merged(rows)
        self.codes: dict[str, dict[int, list[Code]]] = {}
        for path, found in self.items.items():
            self.codes[path] = {row: _codes(item, self) for row, item in found.items()}
            forms = [tuple(c.form for c in codes) for codes in self.codes[path].values()]
            looks = [_look(item) for item in found.values()]
            if any(f != forms[0] for f in forms) or any(look != looks[0] for look in looks):
                raise Clash(path)
        self.outputs = list(rows[0].outputs)
        if any(list(b.outputs) != self.outputs or b.phases != rows[0].phases for b in rows):
            raise Clash("outputs")
        self.regions = _regions(self.items, len(rows))
        self.refs = _Wiring(self)
        self.arguments: dict[str, list[Any]] = {}
        self.defaults: dict[str, Any] = {}

    def item(self, path: str) -> Item:
        """One of the items at a path; its values are not those of the others."""
        return next(iter(self.items[path].values()))

    def code_of(self, body: Body) -> Code:
        """The call of the class that makes a module for a body."""
        row = self.rows.index(body)
        positional = [(name, values[row]) for name, values in self.arguments.items()
                      if name not in self.defaults]
        rest: dict[str, Any] = {name: (self.arguments[name][row], default)
                for name, default in self.defaults.items()}
        return call(self.name, *positional, rngs=True, **rest)


def _merged(rows: list[Body]) -> dict[str, dict[int, Item]]:
    """The items of all bodies by path, in an order that is that of each of them."""
    order: list[str] = []
    for body in rows:
        paths = [item.path for item in body.items]
        at, known = 0, set(order)
        for i, path in enumerate(paths):
            if path in known:
                found = order.index(path)
                if found < at:
                    raise Clash(path)
                at = found + 1
            else:
                order.insert(at, path)
                at += 1
                assert i >= 0
    return {path: {row: item for row, body in enumerate(rows) for item in body.items
                   if item.path == path} for path in order}


def _look(item: Item) -> tuple[Any, ...]:
    """What must be equal in all bodies besides code."""
    return (item.weights, tuple(item.picks.items()), item.light, item.shared, item.during,
            item.frozen, item.tied, item.lens, item.loop, len(item.inputs),
            tuple(_look(i) for i in item.inside))


def _codes(item: Item, template: Template) -> list[Code]:
    """The pieces of code of an item: its module's, its result's, its lengths'."""
    made = make_code(item, template)
    return [c for c in (made, item.run, item.lengths, *(c for i in item.inside for c in
                                                       _codes(i, template)[1 if i.owns else 0:]))
            if c is not None]


def make_code(item: Item, template: Template) -> Code | None:
    """The expression that makes an item's module; None where it has none."""
    if item.entries:
        code = _list_code([made for entry in item.entries
                           if (made := make_code(entry, template)) is not None])
    elif item.callee is not None:
        code = template.classes[id(item.callee)].code_of(item.callee)
    else:
        code = item.make
    if code is not None and item.frozen:
        return Code(f"frozen({code.text})", code.values, code.options)
    return code


def _list_code(codes: list[Code]) -> Code:
    """`nnx.List([...])`, equal neighbours as one comprehension."""
    runs: list[tuple[Code, int]] = []
    for code in codes:
        if runs and runs[-1][0].form == code.form and runs[-1][0].values == code.values:
            runs[-1] = (code, runs[-1][1] + 1)
        else:
            runs.append((code, 1))
    texts, values = [], {}
    for number, (code, count) in enumerate(runs):
        text, prefix = code.render_options(), f"r{number}_"
        for hole, value in code.values.items():
            if hole.startswith("_"):
                continue
            text = text.replace(f"{{{hole}}}", f"{{{prefix}{hole}}}")
            values[prefix + hole] = value
        if count > 1:
            text = f"{text} for _ in range({{{prefix}count}})"
            values[f"{prefix}count"] = count
            text = text if len(runs) == 1 else f"*({text})"
        texts.append(text)
    return Code(f"nnx.List([{', '.join(texts)}])", values)


# -- switches ----------------------------------------------------------------------------------


def _regions(items: Mapping[str, Mapping[int, Item]], count: int) -> list[Region]:
    regions: list[Region] = []
    last: tuple[frozenset[int], str] | None = None
    for path, found in items.items():
        during = next(iter(found.values())).during
        key = (frozenset(found), "" if during == "always" else during)
        if key == (frozenset(range(count)), ""):
            last = None
        elif key == last:
            regions[-1] = Region((*regions[-1].items, path), *key)
        else:
            regions.append(Region((path,), *key))
            last = key
    optional = [r for r in regions if len(r.rows) < count]
    if len(optional) > MOST_SWITCHES or any(r.during for r in optional):
        raise Clash("too many switches")
    return regions


class _Wiring:
    """Where each item's inputs come from, the same for all bodies: a region's tensors escape."""

    def __init__(self, template: Template):
        self.template = template
        self.order = list(template.items)
        self.region_of = {path: r for r in template.regions for path in r.items}
        self.inputs: dict[str, list[Ref]] = {}
        for path, found in template.items.items():
            size = len(next(iter(found.values())).inputs)
            self.inputs[path] = [
                self._resolved({row: item.inputs[i] for row, item in found.items()}, path)
                for i in range(size)]
        self.outputs = {
            name: self._resolved({row: b.outputs[name] for row, b in enumerate(template.rows)}, "")
            for name in template.outputs}

    def _resolved(self, refs: dict[int, Ref], reader: str) -> Ref:
        """One reference for all bodies; a phase's tensor that escapes is noted."""
        found = self._same(refs)
        region = self.region_of.get(found[0])
        if region is not None and region is not self.region_of.get(reader):
            if region.during and found not in region.escapes:
                region.escapes[found] = self._passing(found, region)
            elif not region.during and found not in region.escapes:
                # Read by what is there only when the region is.
                reading = self.region_of.get(reader)
                if reading is None or not reading.rows <= region.rows:
                    raise Clash(reader)
        return found

    def _same(self, refs: dict[int, Ref]) -> Ref:
        if len(set(refs.values())) == 1:
            return next(iter(refs.values()))
        for region in reversed(self.template.regions):
            inside = {ref for row, ref in refs.items() if row in region.rows}
            outside = {row: ref for row, ref in refs.items() if row not in region.rows}
            if len(inside) != 1 or not outside or len(outside) == len(refs):
                continue
            (ref,) = inside
            if ref[0] not in region.items:
                continue
            instead = self._same(outside)
            if region.escapes.setdefault(ref, instead) != instead:
                raise Clash("two tensors stand for one")
            return ref
        raise Clash("another wiring")

    def _passing(self, ref: Ref, region: Region) -> Ref | None:
        """What flows past a region of the other phase in place of a tensor."""
        while ref[0] in region.items:
            item = self.template.item(ref[0])
            if item.passes is None or next(iter(item.picks)) != ref[1]:
                return None
            ref = self.inputs[ref[0]][0]
        return ref


def grouped(bodies: Sequence[Body], wish: str, taken: set[str],
            classes: Mapping[int, Template]) -> list[Template]:
    """As few classes as bodies of one block fit into."""
    kinds: list[Template] = []
    for body in bodies:
        for i, known in enumerate(kinds):
            try:
                kinds[i] = Template("", [*known.rows, body], classes)
                break
            except Clash:
                continue
        else:
            kinds.append(Template("", [body], classes))
    for kind in kinds:
        kind.name = unique(wish, taken.__contains__).replace("_", "")
        taken.add(kind.name)
    return kinds
