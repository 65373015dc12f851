"""Where the boxes of a drawing stand: rows by the longest way, lanes beside each other.

A chain stays in its lane. Where the flow forks, the longest branch stays and each other one
takes the nearest lane that is free down to where they meet again; an edge that passes rows
has its lane to itself there, so that no line runs through a box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[int, int]
THIN = 18  # the width of a lane in which only lines run


@dataclass(frozen=True)
class Box:
    """The size of a box."""

    width: int
    height: int


@dataclass(frozen=True)
class Edge:
    """A line from one box to a later one, by their numbers."""

    source: int
    target: int


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Attributes:
        width, height: of the whole.
        places: the upper left corner of each box.
        routes: the corners of each edge's line.
    """

    width: int
    height: int
    places: list[Point]
    routes: list[list[Point]]


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


def lay_out(boxes: Sequence[Box], edges: Sequence[Edge], gap: int) -> Layout:
    """Place boxes so that every edge leads down.

    Args:
        boxes: in an order in which every edge leads to a later one.
        edges: between them.
        gap: the space between neighbours.
    """
    rows = [0] * len(boxes)
    for edge in sorted(edges, key=lambda e: e.target):
        rows[edge.target] = max(rows[edge.target], rows[edge.source] + 1)
    lanes, of_box, of_edge = _assigned(boxes, edges, rows)

    tall = [0] * (max(rows) + 1)
    for box, row in zip(boxes, rows):
        tall[row] = max(tall[row], box.height)
    # More than one line may turn between two rows.
    tops = [sum(tall[:row]) + row * 2 * gap for row in range(len(tall))]
    wide = [THIN] * lanes
    for box, lane in zip(boxes, of_box):
        wide[lane] = max(wide[lane], box.width)
    lefts = [sum(wide[:lane]) + lane * gap for lane in range(lanes)]

    def centre(lane: int) -> int:
        return lefts[lane] + wide[lane] // 2

    places = [(centre(lane) - box.width // 2, tops[row])
              for box, lane, row in zip(boxes, of_box, rows)]

    def route(edge: Edge, lane: int) -> list[Point]:
        """Down from the source, along the lane, down to the target."""
        source, target = edge.source, edge.target
        first, along, last = centre(of_box[source]), centre(lane), centre(of_box[target])
        turn = tops[rows[source]] + tall[rows[source]] + gap // 2
        back = tops[rows[target]] - gap
        corners = [(first, places[source][1] + boxes[source].height), (first, turn),
                   (along, turn), (along, back), (last, back), (last, places[target][1])]
        return [corner for i, corner in enumerate(corners) if i == 0 or corner != corners[i - 1]]

    routes = [route(edge, lane) for edge, lane in zip(edges, of_edge)]
    return Layout(sum(wide) + gap * (lanes - 1), tops[-1] + tall[-1], places, routes)


def _assigned(
    boxes: Sequence[Box], edges: Sequence[Edge], rows: Sequence[int],
) -> tuple[int, list[int], list[int]]:
    """How many lanes there are, the lane of each box, and the lane that each edge runs in."""
    lanes = _Lanes()
    of_box, of_edge = [0] * len(boxes), [0] * len(edges)
    heirs = _heirs(len(boxes), edges)
    for number in range(len(boxes)):
        arriving = [i for i, edge in enumerate(edges) if edge.target == number]
        # What meets again returns to the leftmost lane.
        wanted = min((of_box[edges[i].source] + (heirs[edges[i].source] != number
                                                 and len(arriving) == 1)
                      for i in arriving), default=0)
        of_box[number] = lanes.take(rows[number], rows[number], wanted)
        for i in arriving:
            source = edges[i].source
            first, last = rows[source] + 1, rows[number] - 1
            of_edge[i] = of_box[source] if first > last else lanes.take(
                first, last, of_box[source])
    return max([*of_box, *of_edge], default=0) + 1, of_box, of_edge


def _heirs(count: int, edges: Sequence[Edge]) -> list[int]:
    """For each box, the one that goes on in its lane: the first of the longest way to an end."""
    below, heirs = [0] * count, [-1] * count
    for edge in sorted(edges, key=lambda e: (e.source, e.target), reverse=True):
        if below[edge.target] + 1 >= below[edge.source]:
            below[edge.source], heirs[edge.source] = below[edge.target] + 1, edge.target
    return heirs
