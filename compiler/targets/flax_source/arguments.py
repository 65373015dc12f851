"""The arguments of a class: values that differ between its uses, in the author's words."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Mapping
from typing import Any

from compiler.params import LayersValue
from compiler.targets.flax_source.code import Text, unique
from compiler.targets.flax_source.items import Body
from compiler.targets.flax_source.template import Region, Template

# What an argument is called where nothing else names it, by the hole that it fills.
_WORDS = {"strides": "stride", "channels": "channels", "use_bias": "bias", "rate": "rate"}
# Arguments that are given without their names, whatever their values are.
_PLAIN = ("inputs", "filters", "units", "channels", "width")

Row = int


class Arguments:
    """Finds for every value of a class an expression of few arguments."""

    def __init__(self, template: Template):
        """Begin with what is known of all uses: the input's channels and the block's params."""
        self.template = template
        self.rows = range(len(template.rows))
        self.known: dict[str, list[Any]] = {}
        self.used: list[str] = []
        self.extra: dict[str, list[Any]] = {}
        self.expressions: dict[tuple[str, int, str], Any] = {}
        channels = [_channels(body) for body in template.rows]
        if None not in channels:
            self.known["inputs"] = channels
        for name in _common(template.rows):
            values = [body.params[name] for body in template.rows]
            safe = f"{name}_" if keyword.iskeyword(name) or name in ("rngs", "self") else name
            if all(isinstance(v, list | tuple) and len(v) == len(values[0]) for v in values):
                self.known |= {f"{safe}[{i}]": [v[i] for v in values]
                               for i in range(len(values[0]))}
                self.extra[safe] = [list(v) for v in values]
            elif all(isinstance(v, int | float | str | bool) for v in values):
                self.known[safe] = values

    def settle(self) -> None:
        """Fill the template's arguments and defaults; find the expression of every hole."""
        self._switches()
        for path, by_row in self.template.codes.items():
            some = next(iter(by_row.values()))
            for k, code in enumerate(some):
                for hole in code.values:
                    values = {row: codes[k].values[hole] for row, codes in by_row.items()}
                    self.expressions[path, k, hole] = (
                        all(values.values()) if hole.startswith("_")
                        else self.expression(values, hole))
        self._order()

    def expression(self, values: Mapping[Row, Any], hole: str) -> Any:
        """A value, or the expression of one that differs between rows."""
        first = next(iter(values.values()))
        if all(_equal(v, first) for v in values.values()):
            return first
        if all(isinstance(v, tuple) and len(v) == len(first) for v in values.values()):
            return tuple(self.expression({r: v[i] for r, v in values.items()}, hole)
                         for i in range(len(first)))
        word = _word(hole)
        for name in sorted(self.known, key=lambda n: n != word):
            if all(_equal(self.known[name][r], v) for r, v in values.items()):
                return self._use(name)
        if all(type(v) is int for v in values.values()) and word not in ("stride", "kernel"):
            found = self._product(values)
            if found:
                return found
        name = unique(word, lambda n: n in self.known or n in self.extra)
        self.known[name] = [values.get(row, first) for row in self.rows]
        return self._use(name)

    def _product(self, values: Mapping[Row, int]) -> Text | None:
        numbers = {name: known for name, known in self.known.items()
                   if all(type(known[r]) is int and known[r] > 0 for r in values)}
        for name, known in numbers.items():
            factors = {(v % known[r], v // known[r]) for r, v in values.items()}
            if len(factors) == 1 and (factor := factors.pop())[0] == 0 and factor[1] > 1:
                return Text(f"{factor[1]} * {self._use(name)}")
        for name, known in numbers.items():
            for by in (2, 4, 8, 16):
                if all(known[r] // by == v for r, v in values.items()):
                    return Text(f"{self._use(name)} // {by}")
        for a in numbers:
            for b in numbers:
                if a < b and all(numbers[a][r] * numbers[b][r] == v for r, v in values.items()):
                    return Text(f"{self._use(a)} * {self._use(b)}")
        return None

    def _use(self, name: str) -> Text:
        base = name.partition("[")[0]
        if base not in self.used:
            self.used.append(base)
        return Text(name)

    def _switches(self) -> None:
        for region in self.template.regions:
            if region.during:
                continue
            name = unique(f"with_{_called(region, self.template)}", self.known.__contains__)
            self.known[name] = [row in region.rows for row in self.rows]
            region.switch = str(self._use(name))

    def _order(self) -> None:
        """Arguments in the order of the signature, those with defaults last."""
        order = [n for n in dict.fromkeys([*(k.partition("[")[0] for k in self.known)])
                 if n in self.used]
        found = {n: self.known.get(n, self.extra.get(n, [])) for n in order}
        defaults = {n: default for n, values in found.items()
                    if (default := _default(n, values)) is not None}
        template = self.template
        template.arguments = {n: v for n, v in found.items() if n not in defaults}
        template.arguments |= {n: found[n] for n in defaults}
        template.defaults = defaults


def _default(name: str, values: list[Any]) -> Any:
    """What an argument is where it is not given; None where it is always."""
    if name.startswith("with_"):
        return False
    if name in _PLAIN or any(isinstance(v, list | Text) for v in values):
        return None
    value, count = Counter(map(_key, values)).most_common(1)[0]
    plain = next(v for v in values if _key(v) == value)
    return plain if 2 * count > len(values) else None


def _key(value: Any) -> tuple[str, str]:
    return type(value).__name__, repr(value)


def _equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b


def _channels(body: Body) -> int | None:
    channels = body.inputs[0][1].channels if body.inputs else None
    return channels if isinstance(channels, int) else None


def _common(rows: list[Body]) -> list[str]:
    """The params that all uses of a block have, without those that are layers."""
    return [name for name in rows[0].params
            if all(name in b.params and not isinstance(b.params[name], LayersValue)
                   for b in rows)]


def _word(hole: str) -> str:
    """What a hole's argument is called: "r0_strides" is "stride"."""
    plain = hole
    while plain[:1] == "r" and plain[1:2].isdigit() and "_" in plain:
        plain = plain.partition("_")[2]
    return _WORDS.get(plain, plain)


def _called(region: Region, template: Template) -> str:
    """What a stretch of items is called: their branch, else the layer that they end with."""
    branches = {path.rpartition(".")[0] for path in region.items}
    others = {path.rpartition(".")[0] for path in template.items if path not in region.items}
    if len(branches) == 1 and (branch := branches.pop()) and branch not in others:
        return branch.replace(".", "_")
    last = region.items[0].rpartition(".")[2]
    stem, _, number = last.rpartition("_")
    return stem if number.isdigit() else last
