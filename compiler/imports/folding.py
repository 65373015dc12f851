"""What repeats in a list of layers: loops for equal runs, blocks for what differs in numbers.

1. Equal neighbours, or equal groups of neighbours, are a `repeat`.
2. A run of layers that stands in several places, equal but for sizes, strides and the like, is a
   block; where those differ they are its params. One that is always the same multiple of another
   is a formula.

The greatest gain goes first, until there is none; blocks are searched for blocks, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compiler.imports.items import Block, Item, Layout, TypeName
from compiler.ops import WORDS

LONGEST = 16  # items of a run
PARAMS = 6  # of a block
LEAST = 4  # lines that a fold must save
ROUNDS = 40
MOST = 4_000  # items; a longer list is not folded
_NUMBERS = ("filters", "units", "kernel", "stride", "window", "padding", "dilation", "groups",
            "size", "rate", "scale", "times")
# What stands for a field that is not given, so that it may be given elsewhere.
_DEFAULTS = {"conv": {"stride": 1, "dilation": 1, "groups": 1, "padding": "same"},
             "conv_transpose": {"stride": 1}}


def folded(layout: Layout) -> Layout:
    """The layout with loops and blocks."""
    fold = _Fold(layout)
    if sum(item.size for item in layout.layers) <= MOST:
        fold.run()
    return layout


@dataclass
class _Candidate:
    """A run of items that stands in several places: (list, where it begins)."""

    places: list[tuple[list[Item], int]]
    length: int
    gain: int


class _Fold:
    def __init__(self, layout: Layout):
        self.layout = layout

    def run(self) -> None:
        for _ in range(ROUNDS):
            # Uses of blocks at once, so that no block is two uses of another one.
            self._repeat(calls=True)
            best = self._best()
            if best is not None:
                self._make(best)
            elif not self._repeat(calls=False):
                break
        self._inline()

    def _inline(self) -> None:
        """A block that is used in one place, as the body of a loop, is no block."""
        for name in list(self.layout.blocks):
            block = self.layout.blocks[name]
            uses = [(sequence, i) for sequence in self._sequences()
                    for i, item in enumerate(sequence) if item.is_call and item.word == name]
            if len(uses) == 1 and not block.params:
                ((sequence, i),) = uses
                sequence[i:i + 1] = block.layers
                del self.layout.blocks[name]

    def _repeat(self, *, calls: bool) -> bool:
        """Rule 1 everywhere; whether there was something to do."""
        return any([_repeat(sequence, calls) for sequence in list(self._sequences())])

    def _sequences(self) -> Iterator[list[Item]]:
        """Every list of layers, the outer ones first."""
        waiting = [self.layout.layers, *(b.layers for b in self.layout.blocks.values())]
        while waiting:
            sequence = waiting.pop(0)
            yield sequence
            for item in sequence:
                waiting += (item.branches or {}).values()
                if item.body is not None and item.word != "each":
                    waiting.append(item.body)

    def _best(self) -> _Candidate | None:
        """The run whose folding saves most lines."""
        found: dict[tuple[Any, ...], list[tuple[list[Item], int]]] = {}
        for sequence in self._sequences():
            keys = [skeleton(item) for item in sequence]
            # A layer and the norm or activation behind it stay together.
            cuts = [i for i in range(len(sequence) + 1)
                    if i in (0, len(sequence)) or not _is_light(sequence[i])]
            pinned = [item.pinned for item in sequence]
            for start, end in ((a, b) for a in cuts for b in cuts if a < b <= a + LONGEST):
                if not any(pinned[start:end]) and not any(
                        WORDS.get(item.word) == "pooling" for item in sequence[start + 1:end - 1]):
                    length = end - start
                    found.setdefault(tuple(keys[start:start + length]), []).append(
                        (sequence, start))
        best: _Candidate | None = None
        for run, places in found.items():
            if len(places) < 2 or _is_periodic(run):
                continue
            apart = _apart(places, len(run))
            sequence, start = apart[0]
            items = sequence[start:start + len(run)]
            size = sum(item.size for item in items)
            if len(apart) < 2 or size < 2 or any(
                    len(items) == len(b.layers) and sequence is b.layers and len(apart) < 3
                    for b in self.layout.blocks.values()):
                continue
            gain = (len(apart) - 1) * (size - 1) - 3
            if gain >= LEAST and (best is None or (gain, size) > (best.gain, sum(
                    i.size for i in best.places[0][0][best.places[0][1]:][:best.length]))):
                params = len(_columns([s[i:i + len(run)] for s, i in apart]).params)
                if params <= PARAMS and gain - params >= LEAST:
                    best = _Candidate(apart, len(run), gain)
        return best

    def _make(self, candidate: _Candidate) -> None:
        """Make a block, and use it in each place."""
        runs = [s[i:i + candidate.length] for s, i in candidate.places]
        columns = _columns(runs)
        name = _block_name(runs[0], self.layout)
        self.layout.blocks[name] = Block(columns.declared, columns.template)
        # From behind, so that the places in front keep their numbers.
        for number in sorted(range(len(runs)), key=lambda n: -candidate.places[n][1]):
            sequence, start = candidate.places[number]
            arguments = {k: v[number] for k, v in columns.params.items()}
            sequence[start:start + candidate.length] = [Item(
                name, arguments, stands_for=runs[number], is_call=True)]


def _is_light(item: Item) -> bool:
    return WORDS.get(item.word) in ("activation", "normalisation", "noise")


def _is_periodic(run: Sequence[Any]) -> bool:
    """Whether a run holds a shorter one twice: that is what should be folded first."""
    return len(run) > 1 and len(set(run)) == 1 or any(
        run[i:i + n] == run[i + n:i + 2 * n]
        for n in range(2, len(run) // 2 + 1) for i in range(len(run) - 2 * n + 1))


def _apart(places: Sequence[tuple[list[Item], int]], length: int) -> list[tuple[list[Item], int]]:
    """Places that do not overlap."""
    found: list[tuple[list[Item], int]] = []
    ends: dict[int, int] = {}
    for sequence, start in places:
        if start >= ends.get(id(sequence), 0):
            found.append((sequence, start))
            ends[id(sequence)] = start + length
    return found


# -------------------------------------------------------------------------------- likeness


def skeleton(item: Item) -> tuple[Any, ...]:
    """Equal for items that are equal but for numbers."""
    return _likeness(item, exact=False)


def _likeness(item: Item, *, exact: bool) -> tuple[Any, ...]:
    """Equal for items that are written equally; names that only the file gave do not count."""
    fields = tuple(
        (k, type(v).__name__ if not exact and _is_number(item, k, v) else _plain(v))
        for k, v in sorted(_complete(item).items()))
    branches = tuple((k, tuple(_likeness(i, exact=exact) for i in b))
                     for k, b in (item.branches or {}).items())
    body = tuple(_likeness(i, exact=exact) for i in item.body or ())
    special = id(item) if item.pinned else (item.part.shared if item.part else "")
    return item.word, fields, branches, body, special


def _complete(item: Item) -> dict[str, Any]:
    return {**_DEFAULTS.get(item.word, {}), **item.fields}


def _is_number(item: Item, key: str, value: Any) -> bool:
    """Whether a field may become a param."""
    return (item.is_call or key in _NUMBERS) and not isinstance(value, bool) and (
        isinstance(value, int | float | str) or isinstance(value, list) and all(
            isinstance(v, int) for v in value))


def _plain(value: Any) -> Any:
    return tuple(map(_plain, value)) if isinstance(value, list) else (
        tuple(sorted((k, _plain(v)) for k, v in value.items())) if isinstance(value, dict)
        else (type(value).__name__, value))


# ---------------------------------------------------------------------------------- loops


def _repeat(sequence: list[Item], calls: bool) -> bool:
    """Rule 1 in place, for uses of blocks alone or for all layers; whether anything changed."""
    start, changed = 0, False
    keys = [_likeness(item, exact=True) for item in sequence]
    while start < len(sequence):
        best = (0, 0, 0)  # saved lines, length, times
        for length in range(1, min(LONGEST, (len(sequence) - start) // 2) + 1):
            last = sequence[start + length - 1]
            if last.pinned or calls and not last.is_call:
                break
            times = 1
            while keys[start + times * length:start + (times + 1) * length] == keys[
                    start:start + length]:
                times += 1
            size = sum(item.size for item in sequence[start:start + length])
            saved = (times - 1) * size - 2
            if times > 1 and saved > best[0]:
                best = (saved, length, times)
        saved, length, times = best
        if saved > 0 or calls and times > 2:
            run = sequence[start:start + length * times]
            item = Item("repeat", {"times": times}, body=[_bare(i) for i in run[:length]],
                        stands_for=run)
            sequence[start:start + length * times] = [item]
            keys[start:start + length * times] = [_likeness(item, exact=True)]
            changed = True
        start += 1
    return changed


def _bare(item: Item) -> Item:
    """A copy without names, for what stands for several."""
    return replace(
        item, name="", fields=dict(item.fields), stands_for=item.stands_for,
        branches=None if item.branches is None else {
            k: [_bare(i) for i in b] for k, b in item.branches.items()},
        body=None if item.body is None else [_bare(i) for i in item.body])


# ---------------------------------------------------------------------------------- blocks


@dataclass
class _Columns:
    """What differs between runs.

    Attributes:
        template: the run with formulas where it differs.
        params: for each param its value in every run.
        declared: the params with their defaults or types.
    """

    template: list[Item]
    params: dict[str, list[Any]]
    declared: dict[str, Any]


def _columns(runs: Sequence[Sequence[Item]]) -> _Columns:
    """The common form of runs of one skeleton."""
    template = [_bare(item) for item in runs[0]]
    params: dict[str, list[Any]] = {}
    slots = [list(_slots(run)) for run in runs]
    for number, (item, key, _) in enumerate(_slots(template)):
        values = [run[number][2] for run in slots]
        if all(_plain(v) == _plain(values[0]) for v in values):
            continue
        formula = _formula(values, params)
        if formula is None:
            name = _param_name(key, params)
            params[name] = values
            formula = f"={name}"
        item.fields[key] = formula
    declared = {}
    for number, (name, values) in enumerate(params.items()):
        kinds = {int: "int", float: "float", list: "list", str: "string"}
        common = max(values, key=values.count)
        # The first one is the main field, which every use gives.
        often = number and 2 * values.count(common) >= len(values)
        declared[name] = common if often else TypeName(kinds[type(values[0])])
    return _Columns(template, params, declared)


def _slots(run: Sequence[Item]) -> Iterator[tuple[Item, str, Any]]:
    """Every field that may become a param: (item, field, value), in a fixed order."""
    for item in run:
        for key, value in sorted(_complete(item).items(), key=lambda pair: _rank(pair[0])):
            if _is_number(item, key, value):
                yield item, key, value
        for branch in (item.branches or {}).values():
            yield from _slots(branch)
        yield from _slots(item.body or ())


def _rank(key: str) -> tuple[int, str]:
    """Sizes before kernels before strides, so that the main param is a size."""
    return (_NUMBERS.index(key) if key in _NUMBERS else len(_NUMBERS)), key


def _formula(values: Sequence[Any], params: dict[str, list[Any]]) -> str | None:
    """The values as a param, or as a multiple or an equal part of one."""
    for name, known in params.items():
        if [_plain(v) for v in known] == [_plain(v) for v in values]:
            return f"={name}"
    for name, known in params.items():
        if not all(type(v) is int and v > 1 for v in (*known, *values)):
            continue
        if all(v % k == 0 and v // k == values[0] // known[0] for v, k in zip(values, known)):
            return f"={values[0] // known[0]} * {name}"
        if all(k % v == 0 and k // v == known[0] // values[0] for v, k in zip(values, known)):
            return f"={name} // {known[0] // values[0]}"
    return None


def _param_name(key: str, params: dict[str, list[Any]]) -> str:
    name, number = key, 1
    while name in params:
        number += 1
        name = f"{key}_{number}"
    return name


def _block_name(run: Sequence[Item], layout: Layout) -> str:
    """A word for what a run does."""
    words = [item.word for item in run]
    joins = {item.word for item in run if item.branches}
    if any(item.word == "repeat" or item.is_call and len(run) > 1 for item in run) and not joins:
        wish = "stage"
    elif "add" in joins:
        wish = "unit"
    elif "concat" in joins:
        wish = "mixed"
    elif joins:
        wish = "gated"
    else:
        short = {"batch_norm": "norm", "layer_norm": "norm", "max_pool": "pool",
                 "average_pool": "pool"}
        kept = list(dict.fromkeys(short.get(w, w) for w in words))
        wish = "_".join(kept) if 1 < len(kept) <= 3 else "part"
    name, number = wish, 1
    while name in layout.blocks or name in WORDS or name in ("repeat", "part_1"):
        number += 1
        name = f"{wish}_{number}"
    return name
