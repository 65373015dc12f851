"""The layers of a plan as a tree that can be folded: blocks, loops, branches, repeats.

Neighbours that do the same thing, such as the later units of a stage, become one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.graph import Call, Scan
from compiler.plan import Plan, Row
from compiler.printer import fields_of, pairs, scan_fields

# Where no depth is given, as many levels are unfolded as stay within so many lines.
SCREEN = 40
# How many operators of a folded group are named.
WORDS = 4


@dataclass(eq=False)
class Branch:
    """A step of the path: a layer, a call, or a group of them.

    Attributes:
        label: the step's words.
        row: the layer, where it is one.
        block: what it calls: "unit", "each time", or "".
        params: the arguments of the call.
        inside: what is below it.
        times: how many equal neighbours it stands for.
    """

    label: str
    row: Row | None = None
    block: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    inside: list[Branch] = field(default_factory=list)
    times: int = 1

    def rows(self) -> Iterator[Row]:
        """Every layer of one of its `times`."""
        for branch in self.inside:
            for _ in range(branch.times):
                yield from branch.rows()
        if self.row is not None:
            yield self.row

    @property
    def parameters(self) -> int:
        """How many parameters all of its `times` have."""
        return self.times * sum(row.params for row in self.rows())

    @property
    def macs(self) -> int:
        """The multiply-accumulates of all of its `times`, for one example."""
        return self.times * sum(row.macs for row in self.rows())

    @property
    def last(self) -> Row:
        """The layer whose output flows on."""
        rows = list(self.rows())
        return next((r for r in reversed(rows) if r.runs), rows[-1])


def tree(plan: Plan) -> list[Branch]:
    """The layers of a plan by the steps of their paths, equal neighbours as one."""
    top: list[Branch] = []
    found: dict[str, Branch] = {}
    for row in plan.rows:
        steps, siblings = row.path.split("."), top
        for i, step in enumerate(steps, 1):
            path = ".".join(steps[:i])
            if path not in found:
                found[path] = Branch(step, **_call(plan, path))
                siblings.append(found[path])
            siblings = found[path].inside
        found[row.path].row = row
    return _merged([_joined(branch) for branch in top])


def _call(plan: Plan, path: str) -> dict[str, Any]:
    operation = plan.blocks.get(path)
    if operation is None:
        return {}
    if isinstance(operation, Call):
        return {"block": operation.block, "params": operation.params}
    if isinstance(operation, Scan):
        return {"block": "scan", "params": scan_fields(operation)}
    return {"block": f"each {operation.axis}"}


def _joined(branch: Branch) -> Branch:
    """A step that only leads to one other, together with it."""
    branch.inside = [_joined(b) for b in branch.inside]
    if branch.row is None and not branch.block and len(branch.inside) == 1:
        (only,) = branch.inside
        only.label = f"{branch.label}.{only.label}"
        return only
    return branch


def _merged(branches: Sequence[Branch]) -> list[Branch]:
    """Equal neighbours as one branch that stands for all of them."""
    result: list[Branch] = []
    first: list[str] = []  # the label of the first of each of `result`
    for branch in branches:
        branch.inside = _merged(branch.inside)
        if result and _signature(result[-1]) == _signature(branch):
            result[-1].times += 1
            result[-1].label = _range(first[-1], branch.label)
        else:
            result.append(branch)
            first.append(branch.label)
    return result


def _signature(branch: Branch) -> object:
    """What is equal for branches that do the same: everything but their numbers."""
    row = branch.row
    own = None if row is None else (
        row.operation, row.inputs, row.output, row.params, row.macs, row.during, row.frozen,
        row.shared)
    words = re.sub(r"\d+…\d+|\d+", "#", branch.label)
    return words, own, branch.block, pairs(branch.params), tuple(
        (b.times, b.label, _signature(b)) for b in branch.inside)


def _range(first: str, last: str) -> str:
    """"unit1…35.unit_1" for the labels between "unit1.unit_1" and "unit35.unit_1"."""
    a, b = re.split(r"(\d+)", first), re.split(r"(\d+)", last)
    differing = [i for i, (x, y) in enumerate(zip(a, b)) if x != y]
    if len(a) != len(b) or len(differing) != 1:
        return f"{first} … {last}"
    (i,) = differing
    return "".join([*a[:i], f"{a[i]}…{b[i]}", *a[i + 1:]])


def unfolded(branches: Sequence[Branch], depth: int) -> list[tuple[int, Branch]]:
    """The lines of a tree down to a depth: (how deep a branch stands, from 0, the branch)."""
    lines: list[tuple[int, Branch]] = []
    for branch in branches:
        lines.append((0, branch))
        if depth > 1:
            lines += [(deep + 1, b) for deep, b in unfolded(branch.inside, depth - 1)]
    return lines


def fitting_depth(branches: Sequence[Branch], most: int = SCREEN) -> int:
    """The greatest depth that needs at most so many lines, at least 1."""
    depth, lines = 1, len(unfolded(branches, 1))
    while True:
        more = len(unfolded(branches, depth + 1))
        if more == lines or more > most:
            return depth
        depth, lines = depth + 1, more


def described(branch: Branch, folded: bool) -> str:
    """What a line's branch is: its operator or block with fields, what is special about it."""
    row = branch.row
    if row is not None:
        text = _use(row.operation.word, row.operation.main, fields_of(row.operation))
        marks = ["frozen" if row.frozen and row.params else "",
                 f"shares {row.shared}" if row.shared else ""]
    else:
        text = _use(branch.block, next(iter(branch.params), None), branch.params)
        if folded and not branch.block:
            text = _words(branch)
        marks = []
    phases = {r.during for r in branch.rows()} - {"always"}
    if len(phases) == 1 and all(r.during != "always" for r in branch.rows()):
        marks.append(f"during {phases.pop()}")
    told = ", ".join(mark for mark in marks if mark)
    return f"{text}  [{told}]".strip() if told else text


def _use(word: str, main: str | None, fields: Mapping[str, Any]) -> str:
    """"conv 64, kernel: 3": a layer as an author might write it."""
    others = pairs({name: value for name, value in fields.items() if name != main})
    if main is None or main not in fields:
        return f"{word}  {others}".rstrip()
    first = pairs({word: fields[main]}).replace(": ", " ", 1)
    return f"{first}, {others}" if others else first


def _words(branch: Branch) -> str:
    """"conv, batch_norm, relu": the operators in a group, each once."""
    words = list(dict.fromkeys(row.operation.word for row in branch.rows()))
    return ", ".join(words[:WORDS]) + (", …" if len(words) > WORDS else "")
