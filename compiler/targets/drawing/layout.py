"""Where the boxes of a scope stand: rows by the longest way, lanes beside each other.

Only the order of things is decided here, no sizes, so that a page can fold boxes and keep it.

- A chain stays in its lane. Where the flow forks in two, the longer branch stays and the other
  one takes the nearest lane that is free down to where they meet; three and more branches stand
  in the author's order, and what they fork from and meet in stands in their middle.
- A wire that passes rows has its lane to itself there, so that no line runs through a box.
- Below each row lines turn in tracks; lines that carry different tensors never share one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Span = tuple[int, int]  # the first and the last lane


@dataclass(frozen=True)
class Line:
    """How a wire runs: down from its source, along a lane, down to its target.

    Attributes:
        source, target: the boxes' numbers.
        lane: where it passes the rows between; where there are none, its source's or target's.
        first, last: the track below the source's row, and that above the target's row.
        skips: it passes a box of the lane beside it.
    """

    source: int
    target: int
    lane: Span
    first: int
    last: int
    skips: bool


@dataclass(frozen=True)
class Layout:
    """The places of a scope's boxes and wires.

    Attributes:
        rows: each box's row.
        spans: each box's lanes; it stands in their middle.
        lines: the wires.
        lanes: how many there are.
        tracks: how many lines turn below each row.
    """

    rows: list[int]
    spans: list[Span]
    lines: list[Line]
    lanes: int
    tracks: list[int]


def lay_out(count: int, edges: Sequence[tuple[int, int]], *, sink: Iterable[int] = ()) -> Layout:
    """Place boxes so that every edge leads down.

    Args:
        count: how many boxes there are, numbered so that every edge leads to a later one.
        edges: (source, target), each pair once.
        sink: boxes to place right above their first reader instead of at the top.
    """
    rows = [0] * count
    for source, target in sorted(edges, key=lambda e: e[1]):
        rows[target] = max(rows[target], rows[source] + 1)
    for box in sink:
        readers = [rows[target] for source, target in edges if source == box]
        rows[box] = max(0, min(readers, default=1) - 1)
    lanes, of_box, of_edge = _assigned(count, edges, rows)
    spans = _spans(of_box, of_edge, edges, rows)
    return _tracked(rows, spans, of_edge, edges, lanes)


class _Lanes:
    """Which rows of which lane are taken."""

    def __init__(self) -> None:
        self._taken: list[set[int]] = []

    def take(self, first: int, last: int, wanted: int) -> int:
        """Take the rows first … last of the lane nearest to the right of `wanted`."""
        lane, rows = wanted, set(range(first, last + 1))
        while lane < len(self._taken) and self._taken[lane] & rows:
            lane += 1
        while lane >= len(self._taken):
            self._taken.append(set())
        self._taken[lane] |= rows
        return lane


def _assigned(count: int, edges: Sequence[tuple[int, int]], rows: Sequence[int],
              ) -> tuple[int, list[int], list[int]]:
    """How many lanes there are, the lane of each box, and the lane that each edge runs in."""
    lanes = _Lanes()
    of_box, of_edge = [0] * count, [0] * len(edges)
    heirs = _heirs(count, edges)
    arriving: list[list[int]] = [[] for _ in range(count)]
    for i, (_, target) in enumerate(edges):
        arriving[target].append(i)
    for number in range(count):
        mine = arriving[number]
        # What meets again returns to the leftmost lane.
        wanted = min((of_box[edges[i][0]] + (heirs[edges[i][0]] != number and len(mine) == 1)
                      for i in mine), default=0)
        of_box[number] = lanes.take(rows[number], rows[number], wanted)
        for i in mine:
            source = edges[i][0]
            first, last = rows[source] + 1, rows[number] - 1
            of_edge[i] = -1 if first > last else lanes.take(first, last, of_box[source])
    return max([*of_box, *of_edge], default=0) + 1, of_box, of_edge


def _heirs(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """For each box, the one that goes on in its lane.

    That is the first of the longest way to an end, or of three and more the first at all.
    """
    targets: list[list[int]] = [[] for _ in range(count)]
    for source, target in sorted(edges):
        targets[source].append(target)
    below, heirs = [0] * count, [-1] * count
    for box in reversed(range(count)):
        ways = targets[box]
        if ways:
            below[box] = 1 + max(below[target] for target in ways)
            heirs[box] = ways[0] if len(ways) > 2 else max(ways, key=lambda t: (below[t], -t))
    return heirs


def _spans(of_box: Sequence[int], of_edge: Sequence[int], edges: Sequence[tuple[int, int]],
           rows: Sequence[int]) -> list[Span]:
    """The lanes in whose middle each box stands."""
    spans = [(lane, lane) for lane in of_box]
    taken: dict[tuple[int, int], int] = {(row, lane): i for i, (row, lane) in enumerate(
        zip(rows, of_box))}
    for i, (source, target) in enumerate(edges):
        taken.update({(row, of_edge[i]): -1 for row in range(rows[source] + 1, rows[target])})
    above: list[list[int]] = [[] for _ in of_box]
    below: list[list[int]] = [[] for _ in of_box]
    for i, (source, target) in enumerate(edges):
        above[target].append(of_edge[i] if of_edge[i] >= 0 else of_box[source])
        below[source].append(of_edge[i] if of_edge[i] >= 0 else of_box[target])

    def widen(box: int, lanes: Sequence[int]) -> None:
        first, last = min(lanes), max(lanes)
        if all(taken.get((rows[box], lane), box) == box for lane in range(first, last + 1)):
            spans[box] = (first, last)
            taken.update({(rows[box], lane): box for lane in range(first, last + 1)})

    for box in range(len(of_box)):
        for lanes in (above[box], below[box]):
            if len(set(lanes)) > 2:
                widen(box, [of_box[box], *lanes])
    # What only goes on from a box in the middle stays there, and what only leads to one.
    forward = [(s, t) for s, t in edges if len(below[s]) == 1 and len(above[t]) == 1]
    for source, target in forward:
        if spans[source][0] < spans[source][1] and len(below[target]) <= 1:
            widen(target, [of_box[target], *spans[source]])
    for source, target in reversed(forward):
        if spans[target][0] < spans[target][1] and spans[source][0] == spans[source][1]:
            widen(source, [of_box[source], *spans[target]])
    return spans


def _tracked(rows: list[int], spans: list[Span], of_edge: Sequence[int],
             edges: Sequence[tuple[int, int]], lanes: int) -> Layout:
    """Give the lines that turn below each row tracks of their own."""
    fans = [0] * len(rows)
    for source, _ in edges:
        fans[source] += 1
    alongs: list[Span] = []
    # (row, whether it leaves or arrives, box) -> the lanes that its horizontal stretches over.
    nets: dict[tuple[int, int, int], Span] = {}
    keys: list[tuple[tuple[int, int, int], tuple[int, int, int]]] = []
    for i, (source, target) in enumerate(edges):
        if of_edge[i] >= 0:
            along = (of_edge[i], of_edge[i])
        else:
            along = spans[target] if fans[source] > 1 else spans[source]
        alongs.append(along)
        pair = ((rows[source], 0, source), (rows[target] - 1, 1, target))
        keys.append(pair)
        for key, own in zip(pair, (spans[source], spans[target])):
            if own != along:
                old = nets.get(key, own)
                nets[key] = (min(old[0], along[0], own[0]), max(old[1], along[1], own[1]))
    tracks = [0] * (max(rows, default=0) + 1)
    of_net: dict[tuple[int, int, int], int] = {}
    ends: dict[int, list[int]] = {}  # of each row, the last lane that each track reaches
    for side in (0, 1):
        begun = list(tracks)
        for key in sorted((k for k in nets if k[1] == side), key=lambda k: (k[0], nets[k])):
            row = key[0]
            first, last = nets[key]
            used = ends.setdefault(row, [])
            track = next((t for t in range(begun[row], len(used)) if used[t] < first), len(used))
            used[track:track + 1] = [last]
            of_net[key] = track
            tracks[row] = len(used)
    taken = set(zip(rows, (span[0] for span in spans)))
    lines = [Line(source, target, along, of_net.get(one, 0), of_net.get(two, 0),
                  rows[target] - rows[source] > 1 and any(
                      (row, lane) in taken for row in range(rows[source] + 1, rows[target])
                      for lane in range(along[0])))
             for (source, target), along, (one, two) in zip(edges, alongs, keys)]
    return Layout(rows, spans, lines, lanes, tracks)
