"""Paths into the tree of a spec: where a patch or a `--set` leads.

The keys of maps lead through maps. In a list of layers the one path rule holds: a layer is its
name, or its operator and its number; a branch is its key; an iteration is its loop's index and
number, and the index without a number means all of them. `reading` numbers the layers of a
document, `constructs` makes the paths of a model; here the same is found in the tree, in which
patches are made. The lists of a recipe (`augment`, a chain of transformations) are addressed in
the same way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from compiler.expressions import is_formula
from compiler.layers import JOINS
from compiler.modifiers import MODIFIERS
from compiler.ops import operator
from compiler.tree import Mapping, Node, Scalar, Sequence, present
from compiler.wording import field_names


@dataclass(frozen=True, eq=False, slots=True)
class Pass:
    """A loop that a path goes through.

    Attributes:
        loop: its fields.
        index: its index, or "".
        number: the one iteration that the path names, None for all of them.
        segment: what the path calls it.
    """

    loop: Mapping
    index: str
    number: int | None
    segment: str


@dataclass(frozen=True, eq=False, slots=True)
class Spot:
    """What a path leads to.

    Attributes:
        holder: the map or list that holds it.
        key: its key or its number there.
        kind: "entry" of a map, "item" of a list, or "iteration": the body of a loop.
        segment: for an item, its part of the path.
        word: for an item, its operator, block or construct.
        passes: the loops around it, outermost first.
    """

    holder: Mapping | Sequence
    key: str | int
    kind: str
    segment: str = ""
    word: str = ""
    passes: tuple[Pass, ...] = ()

    @property
    def conditions(self) -> tuple[Pass, ...]:
        """The loops of which the path names one iteration."""
        return tuple(p for p in self.passes if p.number is not None)

    @property
    def node(self) -> Node:
        if isinstance(self.holder, Mapping):
            return self.holder[str(self.key)]
        return self.holder[int(self.key)]


class Unreachable(Exception):
    """A path that goes on where nothing can be patched.

    Attributes:
        why: what is there.
        help: the remedy, or "".
    """

    def __init__(self, why: str, help: str = ""):
        super().__init__(why)
        self.why, self.help = why, help


@dataclass(frozen=True, slots=True)
class _Step:
    """One name of a scope.

    Attributes:
        name: what a path calls it; for the iterations of a loop, what stands before the number.
        spot: what it is.
        inner: the names inside it, or None.
        loop: the fields of the loop whose body `inner` is, or None.
        index: that loop's index, "" where it has none.
        numbered: this is one iteration of the loop, by its number.
    """

    name: str
    spot: Spot
    inner: Callable[[], Iterator[_Step]] | None = None
    loop: Mapping | None = None
    index: str = ""
    numbered: bool = False

    def meets(self, segment: str) -> tuple[Pass, ...] | None:
        """Whether a path's segment means this: the loop that it goes through, None if not.

        Raises:
            Unreachable: it names an iteration that no condition can tell from the others.
        """
        if not self.numbered:
            around = () if self.loop is None else (Pass(self.loop, self.index, None, segment),)
            return around if segment == self.name else None
        found = re.fullmatch(rf"{re.escape(self.name)}(\d{{1,9}})", segment)
        if found is None or self.loop is None:
            return None
        if not self.index:
            raise Unreachable(
                f"`{segment}` is one iteration of a loop without an `index`",
                "patch all its iterations, or give the loop an `index` in its own file")
        return (Pass(self.loop, self.index, int(found[1]), segment),)


def find(root: Mapping, path: str) -> list[Spot]:
    """Everything that a path means; several where cases of a `choose` share a name.

    Lists of one layer that are written without a dash are made lists in the tree.

    Raises:
        Unreachable: the path goes on where nothing can be patched.
    """
    stopped: list[tuple[Spot, str]] = []
    found = _in_map(root, path.split("."), stopped)
    blocks = root.get("blocks")
    for spot, rest in [] if found else stopped:
        if isinstance(blocks, Mapping) and spot.word in blocks:
            raise Unreachable(f"`{spot.segment}` is a use of the block `{spot.word}`",
                              f"patch the block, for all its uses: `blocks.{spot.word}.{rest}`")
        if "." in spot.word:
            raise Unreachable(f"`{spot.segment}` is a use of `{spot.word}`, a block of another "
                              "file", "`replace` the layer, or extend that file")
    return found


def _in_map(node: Mapping, keys: list[str], stopped: list[tuple[Spot, str]]) -> list[Spot]:
    for length in range(len(keys), 0, -1):  # a key may hold dots: `lib.unit`
        key, rest = ".".join(keys[:length]), keys[length:]
        if key not in node:
            continue
        if not rest:
            return [Spot(node, key, "entry")]
        inner = node[key]
        if isinstance(inner, Mapping):
            return _in_map(inner, rest, stopped)
        if isinstance(inner, Sequence):
            return _in_scope(_steps(inner, Counter()), rest, (), stopped)
        return []
    if "layers" in node:  # of a block
        return _in_scope(_steps(listed(node, "layers"), Counter()), keys, (), stopped)
    return []


def _in_scope(
    steps: Iterator[_Step], keys: list[str], passes: tuple[Pass, ...],
    stopped: list[tuple[Spot, str]],
) -> list[Spot]:
    found: list[Spot] = []
    first, rest = keys[0], keys[1:]
    for step in steps:
        met = step.meets(first)
        if met is None:
            continue
        if not rest:
            # The loop itself lies outside its iterations.
            found.append(replace(step.spot, passes=(*passes, *(met if step.numbered else ()))))
        elif step.inner is not None:
            _refuse_shadow(step, passes)
            found += _in_scope(step.inner(), rest, (*passes, *met), stopped)
        elif step.spot.kind == "item":
            stopped.append((step.spot, ".".join(rest)))
    return found


def _refuse_shadow(step: _Step, passes: tuple[Pass, ...]) -> None:
    """No condition reaches through a loop that gives an index another meaning.

    Raises:
        Unreachable: this is such a loop.
    """
    if step.loop is None:
        return
    names = {step.index}
    for key in ("each", "let"):
        part = step.loop.get(key)
        names |= set(part) if isinstance(part, Mapping) else set()
    for outer in passes:
        if outer.number is not None and outer.index in names:
            raise Unreachable(
                f"inside `{step.name}`, `{outer.index}` is another value than the number of "
                f"`{outer.segment}`", "patch all iterations")


# ---------------------------------------------------------------------------- the names of a scope


def listed(holder: Mapping, key: str) -> Sequence:
    """The layers behind a key as a list, made one where they were written without a dash."""
    node = holder[key]
    if not isinstance(node, Sequence):
        node = Sequence([] if present(node) is None else [node], node.span)
        holder[key] = node
    return node


def word_of(item: Node) -> str:
    """The operator, block or construct of a layer; "" where there is not exactly one."""
    if isinstance(item, Mapping):
        keys = [key for key in item if key not in MODIFIERS]
        return keys[0] if len(keys) == 1 else ""
    if isinstance(item, Scalar) and isinstance(item.value, str) and not is_formula(item.value):
        return item.value
    return ""


def name_in(item: Node) -> str:
    """The name that the author gave a layer, or ""."""
    if not isinstance(item, Mapping):
        return ""
    owner: Node = item
    if isinstance(head := item.get("output"), Mapping):
        owner = head
    name = owner.get("name") if isinstance(owner, Mapping) else None
    return name.value if isinstance(name, Scalar) and isinstance(name.value, str) else ""


def _steps(layers: Sequence, numbers: Counter[str]) -> Iterator[_Step]:
    """The names of a list of layers, those of transparent groups and cases among them."""
    for at, item in enumerate(layers):
        word = word_of(item)
        if not word:
            continue
        value = item[word] if isinstance(item, Mapping) else None
        numbered = word.replace(".", "_")
        if word == "layers" and isinstance(value, Scalar) and isinstance(value.value, str):
            inserted = value.value.removeprefix("=").strip()
            numbered = inserted if inserted.isidentifier() else word
        numbers[numbered] += 1
        name = name_in(item)
        segment = name or f"{numbered}_{numbers[numbered]}"
        spot = Spot(layers, at, "item", segment, word)
        if isinstance(item, Mapping):
            yield from _inside(item, value, spot, bool(name), numbers)
        else:
            yield _Step(segment, spot)


def _inside(
    item: Mapping, value: Node | None, spot: Spot, is_named: bool, numbers: Counter[str],
) -> Iterator[_Step]:
    """A layer's own name, and what stands in it."""
    word, segment = spot.word, spot.segment
    fields = value if isinstance(value, Mapping) else Mapping({}, item.span)
    if word == "residual":
        yield _Step(segment, spot, lambda: _steps(listed(item, word), Counter()))
    elif word == "layers" and "each" not in fields and not _is_inserted(value):
        if is_named:
            yield _Step(segment, spot, lambda: _steps(listed(item, word), Counter()))
        else:  # transparent: its layers belong to the scope around
            yield _Step(segment, spot)
            yield from _steps(listed(item, word), numbers)
    elif word in ("layers", "output", "scan") and "layers" in fields:
        yield _Step(segment, spot, lambda: _steps(listed(fields, "layers"), Counter()))
    elif word in ("for", "repeat") and "layers" in fields:
        yield from _loop(fields, spot, is_named)
    elif word == "choose":
        cases = fields.get("cases")
        cases = cases if isinstance(cases, Mapping) else Mapping({}, item.span)
        yield _Step(segment, spot, lambda: _branches(cases, tuple(cases)))
        for key in cases:
            yield from _steps(listed(cases, key), numbers)
    elif word in JOINS and fields:
        keys = tuple(key for key, node in fields.items() if _is_branch(word, key, node))
        if is_named:
            yield _Step(segment, spot, lambda: _branches(fields, keys, inside=True))
        else:
            yield _Step(segment, spot)
            yield from _branches(fields, keys, inside=True)
    else:
        yield _Step(segment, spot)


def _is_inserted(value: Node | None) -> bool:
    """Whether `layers: =name` puts in the layers that a param holds."""
    return isinstance(value, Scalar) and isinstance(value.value, str) and is_formula(value.value)


def _is_branch(word: str, key: str, node: Node) -> bool:
    if key in field_names(operator(word)) and not isinstance(node, Mapping | Sequence):
        return False
    return present(node) is None or isinstance(node, Mapping | Sequence)


def _branches(holder: Mapping, keys: tuple[str, ...], *, inside: bool = False) -> Iterator[_Step]:
    """The branches of a join, or the cases of a `choose`, as lists of layers."""
    for key in keys:
        listed(holder, key)
        spot = Spot(holder, key, "entry")
        yield _Step(key, spot, (lambda key=key: _steps(listed(holder, key), Counter()))
                    if inside else None)


def _loop(fields: Mapping, spot: Spot, is_named: bool) -> Iterator[_Step]:
    """A loop: itself, all its iterations, and each of them."""
    index = fields.get("index")
    name = index.value if isinstance(index, Scalar) and isinstance(index.value, str) else ""
    body = Spot(fields, "layers", "iteration")

    def layers() -> Iterator[_Step]:
        return _steps(listed(fields, "layers"), Counter())

    def iterations() -> Iterator[_Step]:
        yield _Step(name or f"{spot.segment}_", body, layers, fields, name, numbered=True)
        if name:
            yield _Step(name, spot, layers, fields, name)

    if is_named:
        yield _Step(spot.segment, spot, iterations)
    else:
        yield _Step(spot.segment, spot, layers, fields, name)
        yield from iterations()


# --------------------------------------------------------------------------- all paths there are


def paths(root: Mapping, most: int) -> list[str]:
    """The paths of layers and branches, and of the keys of maps outside them, at most so many."""
    found: list[str] = []

    def scope(steps: Iterator[_Step], prefix: str) -> None:
        for step in steps:
            if len(found) >= most:
                return
            if step.numbered or step.index and step.index != step.name:
                continue  # the index stands for all of them
            found.append(prefix + step.name)
            if step.inner is not None:
                scope(step.inner(), f"{prefix}{step.name}.")

    def keys(node: Mapping, prefix: str, depth: int) -> None:
        for key, inner in node.items():
            if len(found) >= most:
                return
            found.append(prefix + key)
            is_block = prefix == "blocks." and isinstance(inner, Mapping) and "layers" in inner
            if isinstance(inner, Mapping) and is_block:
                scope(_steps(listed(inner, "layers"), Counter()), f"{prefix}{key}.")
            elif isinstance(inner, Mapping) and depth:
                keys(inner, f"{prefix}{key}.", depth - 1)
            elif isinstance(inner, Sequence):
                scope(_steps(inner, Counter()), f"{prefix}{key}.")

    keys(root, "", 3)
    return found
