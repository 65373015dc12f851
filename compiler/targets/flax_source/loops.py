"""Iterations that do the same become loops.

The path of a layer tells its iteration: `stage1.unit0.conv_1`. A loop of the emitted file goes
over a list with one module for each iteration, so that an iteration with several modules is
first made a block of its own (`outlined`); then iterations whose code is the same, whatever
their modules hold, are folded into one item (`Loops`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from itertools import groupby
from typing import TypeVar

from compiler.graph import Call, Graph, Node, Value
from compiler.ops.base import Operator
from compiler.targets.flax_source.code import Code
from compiler.targets.flax_source.items import Item, Ref

T = TypeVar("T")
_NUMBERED = re.compile(r"(\w*[A-Za-z])(\d+)")


def iterations(
    things: Sequence[T], path: Callable[[T], str], prefix: str, singles: Set[str] = frozenset(),
) -> list[tuple[str, list[list[T]]]]:
    """Things in runs: (name of a loop, its iterations), or ("", [them]) for others.

    Args:
        things: in order.
        path: the path of each.
        prefix: what encloses them, with a dot at its end, or "".
        singles: the names of loops that may have a single iteration.
    """

    def step(thing: T) -> tuple[str, int]:
        first, dot, _ = path(thing)[len(prefix):].partition(".")
        found = _NUMBERED.fullmatch(first)
        return (found[1], int(found[2])) if found else ("", -1)

    groups = [(key, list(found)) for key, found in groupby(things, step)]
    runs: list[tuple[str, list[list[T]]]] = []
    i = 0
    while i < len(groups):
        name, j = groups[i][0][0], i + 1
        if groups[i][0][1] == 0:
            while j < len(groups) and groups[j][0] == (name, j - i):
                j += 1
        is_loop = j - i > 1 or (name in singles and groups[i][0][1] == 0)
        runs.append((name if is_loop else "", [found for _, found in groups[i:j]]))
        i = j
    return runs


def _inner_loops(rounds: list[list[T]], path: Callable[[T], str], prefix: str) -> set[str]:
    """The loops within any of some iterations: those of one iteration count, too, then."""
    return {name for k, group in enumerate(rounds)
            for name, _ in iterations(group, path, f"{prefix}{k}.") if name}


# -- blocks of iterations ----------------------------------------------------------------------


def outlined(graph: Graph) -> Graph:
    """The graph with each iteration that has several modules as the call of a block."""
    used = {id(v) for v in graph.outputs.values()}
    return replace(graph, nodes=tuple(_outline(list(graph.nodes), "", used)))


def _outline(nodes: list[Node], prefix: str, needed: set[int],
             singles: Set[str] = frozenset()) -> list[Node]:
    done: list[Node] = []
    runs = iterations(nodes, lambda n: n.path, prefix, singles)
    for place, (name, rounds) in enumerate(runs):
        if not name:
            done += rounds[0]
            continue
        before, after = ([n for _, groups in part for group in groups for n in group]
                         for part in (runs[:place], runs[place + 1:]))
        needs = needed | {id(v) for n in (*before, *after) for v in n.inputs}
        made = []
        inner = _inner_loops(rounds, lambda n: n.path, f"{prefix}{name}")
        for k, group in enumerate(rounds):
            others = {id(v) for j, other in enumerate(rounds) if j != k for n in other
                      for v in n.inputs}
            made.append(_outline(group, f"{prefix}{name}{k}.", needs | others, inner))
        paths = [f"{prefix}{name}{k}" for k in range(len(made))]
        if max(_owners(group, f"{path}.") for group, path in zip(made, paths)) > 1:
            blocks = [_block(group, path, name, [g for g in made if g is not group], needs)
                      for group, path in zip(made, paths)]
            if all(blocks):
                done += [block for block in blocks if block is not None]
                continue
        done += [node for group in made for node in group]
    return done


def _owners(nodes: list[Node], prefix: str) -> int:
    """How many lists and modules stand in an iteration; loops within count as one."""
    count = 0
    for name, rounds in iterations(nodes, lambda n: n.path, prefix):
        count += bool(name) or sum(_owns(node) for node in rounds[0])
    return count


def _owns(node: Node) -> bool:
    op = node.operation
    return not isinstance(op, Operator) or bool(op.parameters(*(v.type for v in node.inputs)))


def _block(
    nodes: list[Node], path: str, name: str, others: list[list[Node]], needed: set[int],
) -> Node | None:
    """An iteration as a call; None where it is tied to what is around it."""
    own = {id(v) for n in nodes for v in n.outputs.values()}
    read = needed | {id(v) for group in others for n in group for v in n.inputs}
    given: dict[int, Value] = {}
    for node in nodes:
        given |= {id(v): v for v in node.inputs if id(v) not in own}
    results = [v for n in nodes for v in n.outputs.values() if id(v) in read]
    if len(results) != 1 or any(n.during != "always" for n in nodes):
        return None
    inner = []
    for node in nodes:
        if not node.weights.startswith(f"{path}.") or not node.path.startswith(f"{path}."):
            return None
        if any(not tied.startswith(f"{path}.") for tied, _ in node.ties.values()):
            return None
        ties = {f: (tied[len(path) + 1:], p) for f, (tied, p) in node.ties.items()}
        inner.append(replace(node, path=node.path[len(path) + 1:], ties=ties,
                             weights=node.weights[len(path) + 1:]))
    graph = Graph(name, tuple(given.values()), tuple(inner), {"output": results[0]})
    return Node(path, Call(name, graph), tuple(given.values()), {"output": results[0]}, path)


# -- loops -------------------------------------------------------------------------------------


class Loops:
    """Folds iterations; where a tensor of the last one is read, the loop's output stands then."""

    def __init__(self) -> None:
        self._moves: dict[Ref, Ref] = {}

    def now(self, ref: Ref) -> Ref:
        """What stands for a tensor after the folding so far."""
        while ref in self._moves:
            ref = self._moves[ref]
        return ref

    def fold(self, items: list[Item], needed: set[Ref], prefix: str = "",
             singles: Set[str] = frozenset()) -> list[Item]:
        """The items with loops in place of iterations.

        Args:
            items: in order.
            needed: tensors and lengths that others read.
            prefix: the path of what encloses them, with a dot at its end, or "".
            singles: the names of loops that may have a single iteration.
        """
        done: list[Item] = []
        runs = iterations(items, lambda i: i.path, prefix, singles)
        for place, (name, rounds) in enumerate(runs):
            if name:
                later = [i for _, groups in runs[place + 1:] for group in groups for i in group]
                reads = needed | {r for i in later for r in (*i.inputs, *i.lens) if r}
                done += self._run(rounds, reads, f"{prefix}{name}", name)
            else:
                for item in rounds[0]:
                    item.inputs = tuple(map(self.now, item.inputs))
                    done.append(item)
        return done

    def _run(
        self, rounds: list[list[Item]], needed: set[Ref], path: str, name: str,
    ) -> list[Item]:
        made = []
        inner = _inner_loops(rounds, lambda i: i.path, path)
        for k, group in enumerate(rounds):
            others = {ref for j, other in enumerate(rounds) if j != k for i in other
                      for ref in i.inputs}
            made.append(self.fold(group, needed | others, f"{path}{k}.", inner))
        loop = _loop(made, {self.now(ref) for ref in needed}, path, name)
        if loop is None:
            return [item for group in made for item in group]
        last = made[-1]
        assert loop.carried is not None
        at = _within(loop.carried[0], path, 0)
        for item in last:
            if _within(item.path, path, len(made) - 1) == at:
                self._moves[(item.path, loop.carried[1])] = (loop.path, "output")
        return [loop]


def _within(item: str, path: str, number: int) -> str | None:
    """The path of an item within an iteration; None where it is not in it."""
    whole = f"{path}{number}"
    if item == whole:
        return ""
    return item[len(whole) + 1:] if item.startswith(f"{whole}.") else None


def _loop(rounds: list[list[Item]], needed: set[Ref], path: str, name: str) -> Item | None:
    """Iterations as one item; None where they differ in more than what their modules hold."""
    owners = [[item for item in group if item.owns] for group in rounds]
    if any(len(found) != 1 for found in owners):
        return None
    if any(item.lengths or any("lengths" in pick for pick in item.picks)
           for group in rounds for item in group):
        return None
    carried = _carried(rounds, path) if len(rounds) > 1 else _single(rounds[0], path, needed)
    if carried is None:
        return None
    forms = [_form(group, path, k) for k, group in enumerate(rounds)]
    if len(forms) == 1:
        starts = {ref for i in rounds[0] for ref in i.inputs if _within(ref[0], path, 0) is None}
        start = starts.pop() if len(starts) == 1 else None
    else:
        start = _start(forms[0], forms[1])
    if start is None or any(form != forms[1] for form in forms[2:]):
        return None
    own = {i.path for group in rounds for i in group}
    last = [i for i in rounds[-1] if _within(i.path, path, len(rounds) - 1) == carried[0]]
    read = {ref for ref in needed if ref[0] in own}
    if len(last) != 1 or read - {(last[0].path, carried[1])}:
        return None
    first = rounds[0]
    inside = {i.path for i in first}
    outside = dict.fromkeys(r for i in first for r in i.inputs if r[0] not in inside)
    outside.pop(start, None)
    words = _within(owners[0][0].weights, path, 0)
    if words is None:
        return None
    starred = owners[0][0].weights[len(path) + 1:]
    types = last[0].types[carried[1]]
    kinds = {tuple(t for i in group for t in map(str, i.types.values())) for group in rounds}
    return Item(
        path, f"{path}*{starred}", Code("{loop}"), inputs=(start, *outside),
        picks={"output": ""}, types={"output": types}, lens=_lens(first),
        entries=tuple(found[0] for found in owners), inside=tuple(first),
        carried=next((i.path, carried[1]) for i in first
                     if _within(i.path, path, 0) == carried[0]),
        alike=len(kinds) == 1, loop=name)


def _carried(rounds: list[list[Item]], path: str) -> Ref | None:
    """What each iteration takes of the one before: one tensor, always the same."""
    found: set[Ref] = set()
    for k, group in enumerate(rounds):
        for item in group:
            for ref in item.inputs:
                for j in range(len(rounds)):
                    at = _within(ref[0], path, j)
                    if at is not None and j == k - 1:
                        found.add((at, ref[1]))
                    elif at is not None and j != k:
                        return None
    return found.pop() if len(found) == 1 else None


def _single(group: list[Item], path: str, needed: set[Ref]) -> Ref | None:
    """What comes out of an iteration that is the only one."""
    own = {i.path for i in group}
    found = {(_within(ref[0], path, 0) or "", ref[1]) for ref in needed if ref[0] in own}
    return found.pop() if len(found) == 1 else None


def _form(group: list[Item], path: str, number: int) -> list[tuple]:
    """What an iteration does: equal for those that do the same."""
    forms = []
    for item in group:
        inputs: list[object] = []
        for ref in item.inputs:
            here, before = _within(ref[0], path, number), _within(ref[0], path, number - 1)
            if here is not None:
                inputs.append(("here", here, ref[1]))
            elif number and before is not None:
                inputs.append("flow")
            else:
                inputs.append(("outside", *ref))
        inside = [f for _, *f in _form(list(item.inside), item.path, 0)]
        forms.append((inputs, _within(item.path, path, number), item.run.render(),
                      inside if item.entries else (), item.during, item.lens, item.frozen,
                      item.make.render() if item.make and item.shared else "", item.tied))
    return forms


def _start(first: list[tuple], second: list[tuple]) -> Ref | None:
    """The tensor that stands in the first iteration for what the others take from the last."""
    if [f[1:] for f in first] != [f[1:] for f in second]:
        return None
    starts = set()
    for (mine, *_), (theirs, *_) in zip(first, second):
        if len(mine) != len(theirs):
            return None
        for a, b in zip(mine, theirs):
            if b == "flow" and a[0] == "outside":
                starts.add((a[1], a[2]))
            elif a != b:
                return None
    return starts.pop() if len(starts) == 1 else None


def _lens(items: list[Item]) -> tuple[Ref | None, ...]:
    """The lengths from outside that items read."""
    own = {i.path for i in items}
    return tuple(dict.fromkeys(n for i in items for n in i.lens if n and n[0] not in own))
