"""Networks as trees of the steps of their paths; which part of one is which of the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.graph import Call, Graph, Node, walk
from compiler.ops.base import Operator
from compiler.plan import Plan, Row
from compiler.printer import fields_of, init_text, pairs

# What it costs to match two parts of a list, and to leave one without a partner.
_ALONE, _OTHER_PATH, _OTHER_CONTENT, _OTHER_BOTH = 3.0, 1.0, 3.5, 5.0
MAX_TABLE = 4_000_000  # pairs of parts to look at; longer lists are matched by path


@dataclass(eq=False, slots=True)
class Part:
    """A step of the path: a layer, or the layers below it.

    Attributes:
        label: the step's words.
        path: the whole path.
        node: the layer or the call of a block; None for a step of the author's.
        row: its costs, where it is a layer.
        inside: what is below it.
        form: equal for parts that hold the same layers under the same names, of any size.
    """

    label: str
    path: str
    node: Node | None = None
    row: Row | None = None
    inside: list[Part] = field(default_factory=list)
    form: Any = None

    @property
    def rows(self) -> Iterator[Row]:
        """The layers, in the order they run."""
        if self.row is not None:
            yield self.row
        for part in self.inside:
            yield from part.rows

    @property
    def params(self) -> int:
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def owns(self) -> bool:
        """Whether there are weights or statistics in it."""
        return any(row.params or row.buffers or row.shared for row in self.rows)

    @property
    def what(self) -> str:
        """"conv 64, kernel: 3", "unit filters: 64", or the operators in it."""
        if self.row is not None:
            return described(self.row.operation)
        if self.node is not None and isinstance(self.node.operation, Call):
            call = self.node.operation
            return f"{call.block} {pairs(call.params)}".strip()
        return ", ".join(dict.fromkeys(row.operation.word for row in self.rows))


def described(op: Operator) -> str:
    """"conv 64, kernel: 3, bias: false"."""
    fields = fields_of(op)
    others = pairs({name: value for name, value in fields.items() if name != op.main})
    if op.main is None or op.main not in fields:
        return f"{op.word} {others}".strip()
    first = pairs({op.word: fields[op.main]}).replace(": ", " ", 1)
    return f"{first}, {others}" if others else first


def parts(graph: Graph, plan: Plan) -> list[Part]:
    """The layers of a network as a tree of the steps of their paths."""
    rows = {row.path: row for row in plan.rows}
    root = Part("", "")
    found: dict[str, Part] = {"": root}
    for path, node in walk(graph):
        if path in rows and rows[path].operation.word == "identity":
            continue
        above = root
        steps = path.split(".")
        for i, step in enumerate(steps, 1):
            key = ".".join(steps[:i])
            if key not in found:
                found[key] = Part(step, key)
                above.inside.append(found[key])
            above = found[key]
        above.node, above.row = node, rows.get(path)
    for part in root.inside:
        _form(part)
    return root.inside


def _form(part: Part) -> None:
    for inner in part.inside:
        _form(inner)
    own: Any = None
    if part.row is not None and part.node is not None:
        row, node = part.row, part.node
        own = (row.operation.word, repr(fields_of(row.operation)), row.during, row.frozen,
               tuple((role, init_text(init)) for role, init in sorted(node.init.items())))
    part.form = hash((own, tuple((p.label, p.form) for p in part.inside)))


def was_path(part: Part) -> str:
    return part.node.was if part.node is not None else ""


# --------------------------------------------------------------------------------- matching


def aligned(
    first: Sequence[Part], second: Sequence[Part],
) -> Iterable[tuple[Part | None, Part | None]]:
    """The parts of two lists in pairs, in order; None beside a part without a partner."""
    start = 0
    while start < min(len(first), len(second)) and _cost(first[start], second[start]) == 0:
        start += 1
    end = 0
    while end < min(len(first), len(second)) - start and (
            _cost(first[-1 - end], second[-1 - end]) == 0):
        end += 1
    a, b = first[start: len(first) - end], second[start: len(second) - end]
    middle = _by_path(a, b) if len(a) * len(b) > MAX_TABLE else _by_cost(a, b)
    return [*zip(first[:start], second[:start]), *middle,
            *zip(first[len(first) - end:], second[len(second) - end:])]


def _cost(a: Part, b: Part) -> float:
    """What it costs to take two parts for the same one; more than two alone where they cannot."""
    if was_path(b) and was_path(b) == a.path:
        return 0
    same_kind = (a.row is None) == (b.row is None)
    if not same_kind:
        return 3 * _ALONE
    if a.form == b.form:
        return 0 if a.label == b.label else _OTHER_PATH
    if a.label == b.label:
        return _OTHER_CONTENT
    return _OTHER_BOTH if _word(a) and _word(a) == _word(b) else 3 * _ALONE


def _word(part: Part) -> str:
    """The operator or block; "" of a group."""
    if part.row is not None:
        return part.row.operation.word
    call = part.node.operation if part.node is not None else None
    return call.block if isinstance(call, Call) else ""


def _by_cost(a: Sequence[Part], b: Sequence[Part]) -> list[tuple[Part | None, Part | None]]:
    """The cheapest pairs of two lists in order (Needleman and Wunsch 1970)."""
    table = [[_ALONE * j for j in range(len(b) + 1)]]
    for i, x in enumerate(a, 1):
        row, above = [_ALONE * i], table[-1]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + _ALONE, row[j - 1] + _ALONE, above[j - 1] + _cost(x, y)))
        table.append(row)
    found: list[tuple[Part | None, Part | None]] = []
    i, j = len(a), len(b)
    while i or j:
        here = table[i][j]
        if j and here == table[i][j - 1] + _ALONE:
            j -= 1
            found.append((None, b[j]))
        elif i and here == table[i - 1][j] + _ALONE:
            i -= 1
            found.append((a[i], None))
        else:
            i, j = i - 1, j - 1
            found.append((a[i], b[j]))
    return found[::-1]


def _by_path(a: Sequence[Part], b: Sequence[Part]) -> list[tuple[Part | None, Part | None]]:
    others = {part.label: part for part in b}
    mine = {part.label for part in a}
    return [*((part, others.get(part.label)) for part in a),
            *((None, part) for part in b if part.label not in mine)]
